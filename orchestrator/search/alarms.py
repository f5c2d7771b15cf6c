"""Which running runs of a search look like a collapse, by the early warnings of those that have ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from orchestrator.data import measured
from orchestrator.laws.early_warnings import METRICS, first_steps
from orchestrator.laws.weight_syncs import WeightSyncs, weight_syncs
from orchestrator.search.alarm import Alarm, alarm
from orchestrator.search.search import Ended, Group
from orchestrator.store.store import Outcome, RunProgress, Store


@dataclass(frozen=True, slots=True)
class Sounded:
    """A running run's first steps, beside an alarm.

    Attributes:
        loudness: How much they look like a collapse, and above what it is too much.
        sentence: What was found, for people.
    """

    loudness: tuple[float, float]
    sentence: str


class Alarms:
    """An alarm for each group of runs, once enough of them have ended to set one; from then on it stays as it is.

    Where an alarm has ended runs, those that ended later are no fair sample of all: it would get louder with each
    that it ends. So it is set by the runs that had ended before the first that it ended, which are the same whenever
    a search goes on.
    """

    def __init__(self, store: Store, rate: float, horizons: Mapping[Group, int]) -> None:
        """Nothing is known.

        Args:
            store: The results database.
            rate: The share of runs that would not collapse and may be ended; 0 = no alarm.
            horizons: Learner steps that runs of each group are to be trained.
        """
        self._store, self._rate, self._horizons = store, rate, horizons
        self._alarms: dict[Group, Alarm] = {}
        self._set_by: dict[Group, frozenset[int]] = {}
        self._heard: set[int] = set()

    def learn(self, ended: Ended) -> dict[Group, float]:
        """Set the alarms.

        Returns:
            What each tells of a run that it has ended, see `orchestrator.search.alarm.Alarm`.
        """
        for group, outcomes in ended.items() if self._rate else ():
            told = [one for one in outcomes if one.collapsed_by(self._horizons[group]) is not None]
            first = min((_time(one) for one in outcomes if one.warned), default=math.inf)
            fair = [one for one in told if _time(one) < first]
            runs = frozenset(one.run_id for one in fair)
            if runs == self._set_by.get(group):
                continue
            self._set_by[group] = runs
            self._alarms.pop(group, None)
            if len(fair) * self._rate >= 1 - self._rate and (found := self._set(fair, self._horizons[group])):
                self._alarms[group] = found
        return {group: one.odds for group, one in self._alarms.items()}

    def sounded(self, going: Sequence[tuple[Group, RunProgress]]) -> dict[int, Sounded]:
        """Look at the first steps of running runs, once each.

        Args:
            going: The runs, each with its group.

        Returns:
            By run, those whose first steps are over since the last time.
        """
        found: dict[int, Sounded] = {}
        for group, one in self._alarms.items():
            over = [
                run for of, run in going
                if of == group and run.state == "running" and run.learner_steps >= one.steps + run.k
                and run.run_id not in self._heard
            ]  # fmt: skip
            self._heard |= {run.run_id for run in over}
            rows = pd.DataFrame({"run": sorted(run.run_id for run in over)})
            values = one.values(self._early(rows.assign(learner_steps=0), one.steps)) if over else np.empty(0)
            for run_id, value in zip(rows["run"].tolist(), values.tolist(), strict=True):
                if math.isfinite(value):
                    found[run_id] = Sounded(one.loudness(value), one.sentence(value))
        return found

    def _set(self, outcomes: Sequence[Outcome], horizon: int) -> Alarm | None:
        rows = pd.DataFrame(
            {
                "run": one.run_id, "k": one.k, "eta": one.eta, "seed": one.seed, "horizon": horizon,
                "collapsed": bool(one.collapsed_by(horizon)), "learner_steps": one.learner_steps,
                "lo": _last_alive(one),
            }
            for one in sorted(outcomes, key=lambda one: one.run_id)
        )  # fmt: skip
        steps = first_steps(horizon)
        return alarm(rows, self._early(rows, steps[-1]), self._rate) if steps else None

    def _early(self, rows: pd.DataFrame, until: int) -> WeightSyncs:
        return weight_syncs(
            measured.syncs_of(self._store, rows["run"].tolist(), METRICS, until=until), rows, whole=False
        )


def _last_alive(one: Outcome) -> float:
    if one.collapse_step is None:
        return float(one.learner_steps)
    return float(max(one.collapse_step - one.k, 0) if one.last_alive is None else one.last_alive)


def _time(one: Outcome) -> float:
    return one.updated_at.timestamp() if isinstance(one.updated_at, datetime) else -math.inf
