"""Rewards of a group → advantages."""

from __future__ import annotations

from torch import Tensor

ADVANTAGE_DELTA = 1e-4
"""δ of eq. (1): keeps the advantage of a group of equal rewards at zero."""


def group_advantages(reward_PG: Tensor, *, divide_by_std: bool) -> Tensor:
    """Normalise rewards within each group: A = (r − mean r) / (std r + δ), eq. (1).

    Args:
        reward_PG: Rewards, one row a prompt.
        divide_by_std: Without it the advantage is only centred (as in Dr. GRPO, arXiv 2503.20783).

    Returns:
        Advantages [P, G], exactly 0 where a group's rewards are all equal: rounding of their mean must not become a
        direction to learn. The standard deviation is the sample's (denominator G − 1).
    """
    differs_P1 = reward_PG.amax(dim=1, keepdim=True) != reward_PG.amin(dim=1, keepdim=True)
    centred_PG = (reward_PG - reward_PG.mean(dim=1, keepdim=True)).where(differs_P1, 0.0)
    if not divide_by_std:
        return centred_PG
    return centred_PG / (reward_PG.std(dim=1, keepdim=True) + ADVANTAGE_DELTA)
