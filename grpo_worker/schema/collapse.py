"""When a run collapsed, decided from its rewards. Torch-free and without numpy.

The worker calls `detect` while it trains, ``import`` calls it on logs, and ``fit-laws`` on stored metrics.

- ``half``: the validation reward is below a fraction of its initial value at every evaluation from T* to the end, at
  least ``min_evals`` of them. Evaluations lie on a grid that does not depend on k, so the resolution of T* does not
  either. In 69 cells of the tiny policy no run recovered after that.
- ``zero``: the paper's definition, "the reward drops to 0 and remains there" (arXiv 2607.01083, section 4.1): the
  training reward is 0 at every weight sync from m* to the end, at least ``min_evals`` of them. T* = m*·k is known only
  to one rollout cycle.

Both find T* only to the spacing of the observations: the collapse lies in (lo, hi], and hi is reported as T*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from grpo_worker.schema.config import CollapseConfig

DEGRADED_BELOW = 0.7
"""A run that did not collapse but ends below this fraction of its initial reward is called degraded."""


@dataclass(frozen=True, slots=True)
class Collapse:
    """From where on all observations of a run are below its threshold.

    Attributes:
        lo: Learner step of the last observation that is not below.
        hi: Learner step of the first observation after it: T*.
        observations: How many observations from T* to the end are below.
    """

    lo: int
    hi: int
    observations: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a detector says about a run.

    Attributes:
        state: How the run ended, if it ends here.
        collapse: Set exactly if the state is ``collapsed``.
        last_alive: Learner step of the last observation that is not below the threshold; None if nothing was observed
            or the initial reward is not above 0.
    """

    state: Literal["collapsed", "degraded", "stable"]
    collapse: Collapse | None = None
    last_alive: int | None = None


def detect(steps: Sequence[int], rewards: Sequence[float], config: CollapseConfig) -> Verdict:
    """Apply a detector to all that was observed of a run so far.

    The time grows with the number of observations below the threshold at the end, not with all of them, so the worker
    can call this after each observation.

    Args:
        steps: Learner steps of the observations, rising. The first belongs to the initial policy, which never counts
            as collapsed.
        rewards: Validation rewards for ``half``, training rewards for ``zero``. NaN counts as below.
        config: Which detector, with its settings.

    Returns:
        The verdict. A run whose initial reward is not above 0 cannot collapse and is ``stable``.
    """
    if len(rewards) == 0 or not rewards[0] > 0:
        return Verdict("stable")
    last = alive = len(rewards) - 1
    if config.detector == "half":
        threshold = config.fraction * rewards[0]
        while alive > 0 and not rewards[alive] >= threshold:
            alive -= 1
    else:
        while alive > 0 and not rewards[alive] > 0:
            alive -= 1
    if last - alive >= max(config.min_evals, 1):
        collapse = Collapse(lo=steps[alive], hi=steps[alive + 1], observations=last - alive)
        return Verdict("collapsed", collapse, steps[alive])
    return Verdict("stable" if rewards[last] >= DEGRADED_BELOW * rewards[0] else "degraded", None, steps[alive])
