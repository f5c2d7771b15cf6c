"""What runs of a group may cost: a run that collapses ends early where its collapse, once confirmed, ends it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from grpo_worker.schema.config import WorkerConfig
from orchestrator.laws.identified import Array
from orchestrator.laws.settle import Place
from orchestrator.store.store import Outcome

USUAL_EXPONENT = 1.5
"""Of T* in η, where a cost is to be guessed; it decides no result."""


@dataclass(frozen=True, slots=True)
class Costs:
    """How far runs of a group are trained.

    Attributes:
        horizon: Learner steps of a run that is stable.
        confirmed: Learner steps from T* to the end of a run that collapses; None: it is trained to its horizon.
        level: Mean of log T* + 1.5·log η over runs that collapsed; None: none is known.
        scatter: Standard deviation of it.
    """

    horizon: int
    confirmed: int | None
    level: float | None
    scatter: float

    @classmethod
    def of(cls, config: WorkerConfig, ended: Iterable[Outcome]) -> Costs:
        """Learn from runs that have ended.

        Args:
            config: Of any run of the group.
            ended: Runs of the group.
        """
        levels = [
            math.log(one.collapse_step) + USUAL_EXPONENT * math.log(one.eta) for one in ended if one.collapse_step
        ]
        confirmed = config.collapse.stop_after_evals * config.eval_every_steps
        level = float(np.mean(levels)) if levels else None
        scatter = float(np.std(levels)) if levels else 0.0
        return cls(config.horizon, confirmed or None, level, scatter)

    def collapse_step(self, eta: float, deviation: float = 0.0) -> float:
        """T* of a run that collapses, so many deviations from its mean; half of the horizon where none is known."""
        if self.level is None:
            return self.horizon / 2
        step = math.exp(self.level + self.scatter * deviation - USUAL_EXPONENT * math.log(eta))
        return min(step, self.horizon)

    def end(self, collapse_step: float | None) -> float:
        """How far a run is trained whose collapse is at this step, None for one that is stable."""
        if collapse_step is None or self.confirmed is None:
            return float(self.horizon)
        return min(collapse_step + self.confirmed, float(self.horizon))

    def expected(self, places: Iterable[Place], chances: Array) -> Array:
        """Expected learner steps of a run at each place, by its chance to collapse."""
        collapsed = np.array([self.end(self.collapse_step(eta)) for _, eta in places])
        expected: Array = chances * collapsed + (1 - chances) * self.end(None)
        return expected
