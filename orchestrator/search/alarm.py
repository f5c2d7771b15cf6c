"""The alarm: which early warning may end a run, and from where on, at a stated share of runs that are ended wrongly.

A warning may end runs where it tells collapsing from other runs beyond chance, after correction for all that was
tried. The bound is the conformal one (Vovk et al. 2005, Algorithmic Learning in a Random World): of n runs that did
not collapse the ⌈(n + 1)(1 − rate)⌉-th, so that a further one lies beyond it with a probability of at most ``rate``,
whatever the metric's distribution; so fewer than 1/rate − 1 such runs set no alarm.

Much of what a warning tells, k and η tell too. How much it tells *besides*, of runs of equal k and η, is a number of
its own, ``odds``: by it a run that was ended counts in a search, and near 1 it counts for nothing. A search would then
have to make another, so an alarm must pay: what it tells, in parts of what a collapse tells, must not be less than what
it costs, in parts of what the run would have cost. Of a run that collapses with a chance of one half, odds of r leave
r/(r + 1), so they move it by (r − 1)/(r + 1) of the way to 1, and the variance by the square of that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from orchestrator.laws.early_warnings import DRIFT_EXPONENT, LEAST_CYCLES, early_warnings
from orchestrator.laws.identified import Array
from orchestrator.laws.separation import Labels, Mask
from orchestrator.laws.weight_syncs import WeightSyncs

PROVEN = 0.05
"""A warning counts below this p."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A metric's mean over the first steps of a run, beyond which a collapse is predicted.

    Attributes:
        metric: One of `orchestrator.laws.early_warnings.METRICS`, or its drift exponent.
        steps: Over the first so many learner steps.
        collapse_is: Whether it is ``higher`` or ``lower`` in runs that collapse.
        bound: Beyond which a run is ended.
        rate: The share of runs that would not collapse and may lie beyond it, as asked.
        n_stable: How many runs that did not collapse say so.
        caught: Share of the runs that collapse later and lie beyond it.
        odds: Within a cell, how many times as often runs that collapse lie beyond it as others (Mantel–Haenszel).
    """

    metric: str
    steps: int
    collapse_is: str
    bound: float
    rate: float
    n_stable: int
    caught: float
    odds: float

    @property
    def sign(self) -> float:
        """What makes larger mean more like a collapse."""
        return 1.0 if self.collapse_is == "higher" else -1.0

    @property
    def tells(self) -> float:
        """What it tells of a run that collapses with a chance of one half, in parts of what a collapse tells."""
        return max((self.odds - 1) / (self.odds + 1), 0.0) ** 2

    def is_loud(self, values: Array) -> Mask:
        """Of which runs a collapse is predicted."""
        return self.sign * values > self.sign * self.bound

    def loudness(self, value: float) -> tuple[float, float]:
        """How much a run's mean looks like a collapse, and above what that is too much."""
        return self.sign * value, self.sign * self.bound

    def values(self, early: WeightSyncs) -> Array:
        """The metric's mean of each run, shape (runs,); NaN where too few of its rollout cycles have ended."""
        known = early.up_to(np.full(early.count, float(self.steps)))
        values = known.drift_exponents() if self.metric == DRIFT_EXPONENT else known.means(self.metric)
        return np.where(known.cycles() < LEAST_CYCLES, np.nan, values)

    def sentence(self, value: float) -> str:
        """Why a run is ended."""
        side = "above" if self.collapse_is == "higher" else "below"
        return (
            f"{self.metric} over the first {self.steps} learner steps is {value:.3g}, {side} {self.bound:.3g}, as in "
            f"at most {100 * self.rate:g} % of runs that do not collapse ({self.n_stable} say so)"
        )


def alarm(runs: pd.DataFrame, early: WeightSyncs, rate: float) -> Alarm | None:
    """Choose, of the warnings that are proven and pay, the one that would have saved most; None where there is none.

    Args:
        runs: Finished rows of `orchestrator.laws.cells.evidence`, of one group, none of them ended by an alarm or
            trained while there was one.
        early: Their weight syncs up to the last of `orchestrator.laws.early_warnings.first_steps`.
        rate: The share of runs that would not collapse and may be ended.
    """
    collapsed = runs["collapsed"].to_numpy(dtype=bool)
    if rate <= 0 or collapsed.all() or not collapsed.any():
        return None
    last_alive = runs["lo"].to_numpy(dtype=float)
    steps = runs["learner_steps"].to_numpy(dtype=float)
    cell = runs.groupby(["k", "eta"]).ngroup().to_numpy()
    best, most = None, 0.0
    for one in early_warnings(runs, early)[1]:
        if one.p is None or one.p >= PROVEN:
            continue
        plan = Alarm(one.name, one.steps, one.collapse_is, math.nan, rate, 0, 0.0, 1.0)
        values = plan.values(early)
        usable = np.isfinite(values) & ~(collapsed & (last_alive <= one.steps))
        found = _bounded(plan, values, usable & collapsed, usable & ~collapsed, cell)
        if found is not None:
            loud = steps[usable & found.is_loud(values)]
            saved = float((loud - one.steps).sum())
            if saved > most and found.tells >= one.steps / loud.mean():
                best, most = found, saved
    return best


def _bounded(plan: Alarm, values: Array, collapsing: Mask, stable: Mask, cell: Labels) -> Alarm | None:
    ordered = np.sort(plan.sign * values[stable])
    rank = math.ceil((len(ordered) + 1) * (1 - plan.rate))
    if rank > len(ordered):
        return None
    found = replace(plan, bound=plan.sign * float(ordered[rank - 1]), n_stable=len(ordered))
    beyond = found.is_loud(values)
    caught = float(beyond[collapsing].mean())
    return replace(found, caught=caught, odds=_odds(beyond, collapsing, stable, cell)) if caught else None


def _odds(beyond: Mask, collapsing: Mask, stable: Mask, cell: Labels) -> float:
    """Ratio of two shares over strata (Mantel and Haenszel 1959); half a run more each, so that it is finite."""
    above, below = 0.5, 0.5
    for one in np.unique(cell[collapsing]):
        m, n = collapsing & (cell == one), stable & (cell == one)
        if n.any():
            runs = int(m.sum()) + int(n.sum())
            above += int(beyond[m].sum()) * int(n.sum()) / runs
            below += int(beyond[n].sum()) * int(m.sum()) / runs
    return above / below
