"""A search at work: each look at the store tells what was learnt, which runs to end, and which to make next.

    progress ─► learn ─► study ─► end the doomed and the decided ─► fill the free places ─► store

The store is all that it remembers (`orchestrator.search.search`); the study shows it (`orchestrator.search.study`).
"""

from __future__ import annotations

import logging
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Self

from orchestrator.base.states import GOING, RunState
from orchestrator.data import frames
from orchestrator.grid.sweep import Run, Sweep
from orchestrator.search.alarms import Alarms, Sounded
from orchestrator.search.early_stops import EarlyStop, stop_early
from orchestrator.search.search import Key, Search, group_of, key_of
from orchestrator.search.searchfile import SearchConfig
from orchestrator.search.study import Study
from orchestrator.store import outcomes, queries, registration
from orchestrator.store.store import RunProgress, Store

DECIDED = EarlyStop("decided", "all that the search asks for is known, and stays so however this run ends")

log = logging.getLogger(__name__)


class Searching:
    """Between a search and the store, while runs are trained.

    Attributes:
        search: What is known.
    """

    def __init__(self, store: Store, sweep_id: int, sweep: Sweep, wanted: SearchConfig, places: int) -> None:
        """Begin, or go on.

        Args:
            store: The results database.
            sweep_id: From `Store.begin`.
            sweep: All runs that may be made.
            wanted: What is wanted of them.
            places: Runs that are to be under way at once.
        """
        self.search = Search(sweep, wanted)
        self._store, self._sweep_id, self._sweep, self._wanted = store, sweep_id, sweep, wanted
        self._places = places
        self._runs = {key_of(run): run for run in sweep.runs}
        self._models = {run.cell.model for run in sweep.runs}
        self._keys: dict[int, Key] = {}
        self._alarms = Alarms(store, wanted.early_stops.predicted, self.search.horizons)
        self._sounded: dict[int, Sounded] = {}
        self._chosen: deque[Run] = deque()
        self._study = Study(store.url, sweep, lambda: self._chosen.popleft() if self._chosen else None)
        self._over: dict[int, str] | None = None

    def __enter__(self) -> Self:
        self._study.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._study.__exit__(*error)

    def look(self, progress: Sequence[RunProgress]) -> bool:
        """Learn from runs that have ended since the last look, end those that need not go on, and store further ones.

        Args:
            progress: How far the runs of the search are.

        Returns:
            Whether further runs were stored.

        Raises:
            StoreError: The database cannot be used.
        """
        self._keys |= {run.run_id: _key(run) for run in progress if run.run_id not in self._keys}
        over = {run.run_id: run.state for run in progress if run.state not in GOING}
        news = over != self._over
        if news:
            self._learn()
        going = [run for run in progress if run.state in GOING]
        sounded = self._alarms.sounded([(self._keys[run.run_id][0], run) for run in going])
        self._sounded |= sounded
        if news or sounded:
            loud = {run_id: one.loudness for run_id, one in self._sounded.items()}
            self._study.mirror(self._store, self._sweep_id, loud)
            self._end_early(going, decided=news)
        if not news:
            return False
        further = self._fill(progress, going)
        self._over = over
        return further

    def ending(self, progress: Sequence[RunProgress]) -> str:
        """Why no further run is made, and what it has cost, for people."""
        steps = f"{_steps(progress):,}"
        if self._wanted.learner_steps is not None:
            steps += f" of {self._wanted.learner_steps:,}"
        spent = f"{len(progress)} runs, {steps} learner steps"
        if self._wanted.gpu_hours is not None:
            spent += f", {self._gpu_hours():.3g} of {self._wanted.gpu_hours:g} GPU-hours"
        if self.search.done:
            return f"Done: {spent}."
        if self._is_spent(*self._used(progress)):
            return f"The budget is spent: {spent}."
        return f"No run of the file is left that would teach more: {spent}."

    def _learn(self) -> None:
        found = outcomes.outcomes(self._store, self._models)
        self.search.learn(found, self._alarms.learn)
        if self._wanted.gpu_hours is not None:
            self._price()

    def _price(self) -> None:
        """Tell how many GPU-seconds a learner step takes, where finished runs of every model say so."""
        paces = {
            name: statistics.median(times) for name, times in queries.step_times(self._store, self._models).items()
        }
        gpus = {group_of(run): run.resources.gpus for run in self._sweep.runs}
        prices = {group: paces.get(group[0], 0.0) * gpus[group] for group in gpus}
        if all(prices.values()):
            self.search.prices = prices

    def _end_early(self, going: Sequence[RunProgress], *, decided: bool) -> None:
        stops: dict[int, EarlyStop] = {}
        if decided and self._wanted.early_stops.decided and self.search.done:
            certain = [run.run_id for run in going if self.search.decided_without(self._runs[self._keys[run.run_id]])]
            stops = dict.fromkeys(certain, DECIDED)
        for run_id in self._study.doomed():
            if run_id in self._sounded:
                stops[run_id] = EarlyStop("predicted_collapse", self._sounded[run_id].sentence)
        for run_id in stop_early(self._store, self._sweep_id, stops):
            log.info("run %d is ended: %s", run_id, stops[run_id].sentence)

    def _fill(self, progress: Sequence[RunProgress], going: Sequence[RunProgress]) -> bool:
        """Store a run for each free place, as far as the budget reaches."""
        if any(run.state in (RunState.FAILED, RunState.LOST) for run in progress):
            return False
        under_way = [self._keys[run.run_id] for run in going]
        free = self._places - len(under_way)
        self._chosen = deque(self.search.choose(queries.seeds(self._store, self._sweep_id), under_way, number=free))
        expected = sum(map(self.search.expected_steps, under_way))
        spent, hours = self._used(progress)
        asked: list[Run] = []
        while not self._is_spent(spent, hours, expected) and (run := self._study.ask()):
            asked.append(run)
            expected += self.search.expected_steps(key_of(run))
        if asked:
            registration.grow(self._store, self._sweep_id, self._sweep, asked)
            self._study.mirror(self._store, self._sweep_id)
        return bool(asked)

    def _used(self, progress: Sequence[RunProgress]) -> tuple[int, float]:
        """Learner steps of the runs that have ended, and GPU-hours of all, where they are asked for."""
        hours = 0.0 if self._wanted.gpu_hours is None else self._gpu_hours()
        return _steps(run for run in progress if run.state not in GOING), hours

    def _is_spent(self, steps: int, hours: float, expected: float = 0.0) -> bool:
        """Whether the budget is spent, or will be after so many steps more, as are expected of runs under way."""
        total = steps + expected
        if self._wanted.learner_steps is not None and total >= self._wanted.learner_steps:
            return True
        if self._wanted.gpu_hours is None:
            return False
        return hours * (total / steps if steps else 1.0) >= self._wanted.gpu_hours

    def _gpu_hours(self) -> float:
        return float(frames.runs(self._store, [self._sweep.name])["gpu_s"].sum()) / 3600


def _key(run: RunProgress) -> Key:
    return (run.model, run.cell.axes_text), (run.k, run.eta), run.seed


def _steps(progress: Iterable[RunProgress]) -> int:
    return sum(run.learner_steps for run in progress)
