"""When did a run collapse: detectors as pure functions of what a run has measured. Torch-free.

The worker applies one while it trains; ``fit-laws`` applies any of them again to stored metrics.

- ``half``: the validation reward is below a fraction of its initial value at every evaluation from T* to the
  end, at least ``min_evals`` of them. Evaluations lie on a grid that does not depend on k, so collapse is
  resolved alike at every k. Measured on 69 cells of the tiny policy: no case that recovers.
- ``zero``: the paper's definition, "the reward drops to 0 and remains there": the training reward is 0 at every
  weight sync from m* to the end, T* = m*·k. Resolves T* only to one rollout cycle.

Both locate T* only up to the spacing of the observations: the collapse lies in (lo, hi], with hi reported as T*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from grpo_worker.schema.config import CollapseConfig

DEGRADED_BELOW = 0.7
"""A run that is not collapsed but ends below this fraction of its initial reward is called degraded."""


@dataclass(frozen=True, slots=True)
class Collapse:
    """Where a series of observations first stays below its threshold.

    Attributes:
        lo: Learner step of the last observation above the threshold.
        hi: Learner step of the first observation from which all are below: T*.
        observations: How many observations from T* to the end are below.
    """

    lo: int
    hi: int
    observations: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """A run's state under one detector; ``collapse`` is set exactly when the state is ``collapsed``."""

    state: Literal["collapsed", "degraded", "stable"]
    collapse: Collapse | None = None


def stays_below(steps: Sequence[int], below: Sequence[bool], min_observations: int) -> Collapse | None:
    """Find the first observation from which every one is below the threshold, to the end of the series.

    Args:
        steps: Learner steps of the observations, rising.
        below: Whether each observation is below. The first belongs to the initial policy and never counts.
        min_observations: How many observations at the end must be below.

    Returns:
        The interval, or None when too few observations at the end are below.
    """
    first = len(below)
    while first > 1 and below[first - 1]:
        first -= 1
    observations = len(below) - first
    if observations < max(min_observations, 1):
        return None
    return Collapse(lo=steps[first - 1], hi=steps[first], observations=observations)


def half(steps: Sequence[int], val_rewards: Sequence[float], config: CollapseConfig) -> Verdict:
    """Apply the ``half`` detector to validation rewards; the first must be the initial policy's (step 0).

    A reward that is NaN counts as below. A run that starts at reward 0 cannot collapse, and is stable.
    """
    return _verdict(steps, val_rewards, config.model_copy(update={"detector": "half"}))


def zero(steps: Sequence[int], rewards: Sequence[float], config: CollapseConfig) -> Verdict:
    """Apply the paper's detector to the training rewards at the weight syncs (arXiv 2607.01083, section 4.1)."""
    return _verdict(steps, rewards, config.model_copy(update={"detector": "zero"}))


def last_alive(steps: Sequence[int], rewards: Sequence[float], config: CollapseConfig) -> int | None:
    """Find where a run that has not ended was seen above its detector's threshold last.

    Args:
        steps: Learner steps of the observations, rising; the first belongs to the initial policy.
        rewards: What the detector reads there.
        config: Which detector.

    Returns:
        The learner step; None where nothing was seen, or the run began with nothing.
    """
    if not rewards or not rewards[0] > 0:
        return None
    alive = [step for step, is_below in zip(steps, _below(rewards, config), strict=True) if not is_below]
    return max(alive, default=None)


def _below(rewards: Sequence[float], config: CollapseConfig) -> list[bool]:
    if config.detector == "zero":
        return [not reward > 0 for reward in rewards]
    return [not reward >= config.fraction * rewards[0] for reward in rewards]


def _verdict(steps: Sequence[int], rewards: Sequence[float], config: CollapseConfig) -> Verdict:
    if not rewards or not rewards[0] > 0:
        return Verdict("stable")
    collapse = stays_below(steps, _below(rewards, config), config.min_evals)
    if collapse:
        return Verdict("collapsed", collapse)
    return Verdict("stable" if rewards[-1] >= DEGRADED_BELOW * rewards[0] else "degraded")
