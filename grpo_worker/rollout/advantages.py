"""Advantages from the rewards of a group; equation numbers are those of arXiv 2607.01083."""

from __future__ import annotations

from torch import Tensor

ADVANTAGE_DELTA = 1e-4
"""δ of eq. (1), which keeps the denominator above zero."""


def group_advantages(reward_PG: Tensor, *, divide_by_std: bool) -> Tensor:
    """Normalise rewards within each group: A = (r − mean r) / (std r + δ), eq. (1).

    Args:
        reward_PG: Rewards, one row per prompt.
        divide_by_std: False = subtract the mean only, as in Dr. GRPO (arXiv 2503.20783).

    Returns:
        Advantages [P, G]. They are exactly 0 where the rewards of a group are all equal, so that the policy does not
        learn from a rounding error of their mean. The standard deviation is the sample's (denominator G − 1).
    """
    differs_P1 = reward_PG.amax(dim=1, keepdim=True) != reward_PG.amin(dim=1, keepdim=True)
    centred_PG = (reward_PG - reward_PG.mean(dim=1, keepdim=True)).where(differs_P1, 0.0)
    if not divide_by_std:
        return centred_PG
    return centred_PG / (reward_PG.std(dim=1, keepdim=True) + ADVANTAGE_DELTA)
