"""A search on a results database: it learns from runs that have ended, ends others early, and stores further ones.

    a run has ended ─► learn ─► `Search.step` ─► end what is decided ─► store what is to be trained ─► show both

All that a search remembers is in the database: killed anywhere, it goes on from the runs that are stored. The Optuna
study only shows it (`orchestrator.search.study`) and takes part in no decision.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Collection, Iterable, Sequence

from orchestrator.base.states import CANCELLABLE, GOING, FailureClass, RunState
from orchestrator.data import frames
from orchestrator.grid.sweep import Sweep
from orchestrator.runs import cancelling
from orchestrator.search.search import Search, Underway, group_of, key_of
from orchestrator.search.search_file import SearchConfig
from orchestrator.search.study import Study
from orchestrator.store import outcomes, queries, registration, submissions
from orchestrator.store.collect import collect_runs
from orchestrator.store.database import Store
from orchestrator.store.endings import Ending
from orchestrator.store.queries import RunProgress

DECIDED = Ending(FailureClass.DECIDED, "all that the search asks for is known, and stays so however this run ends")

log = logging.getLogger(__name__)


class SearchDriver:
    """Applies a `Search` to a results database while its runs are trained, in so many places at once."""

    def __init__(self, store: Store, sweep_id: int, sweep: Sweep, wanted: SearchConfig, places: int) -> None:
        self.search = Search(sweep, wanted)
        self._store, self._sweep_id, self._wanted, self._places = store, sweep_id, wanted, places
        self._study = Study(store.url, sweep)
        self._over: dict[int, str] | None = None

    def look(self, progress: Sequence[RunProgress]) -> bool:
        """If a run has ended since the last look: learn from it, end what is decided, and store further runs.

        Returns whether further runs were stored. Raises StoreError if the database cannot be used.
        """
        over = {run.run_id: run.state for run in progress if run.state not in GOING}
        if over == self._over:
            return False
        self._learn()
        going = {key_of(run): run.run_id for run in progress if run.state in GOING}
        has_failed = bool({RunState.FAILED, RunState.LOST} & set(over.values()))
        hours = self._gpu_hours()

        def is_spent(under_way: Underway) -> bool:
            return self._is_spent(progress, hours, sum(steps for _, steps in under_way))

        taken = queries.seeds(self._store, self._sweep_id)
        under_way = [self.search.runs[key] for key in going]
        step = self.search.step(taken, under_way, 0 if has_failed else self._places, is_spent)
        end_early(self._store, self._sweep_id, [going[key_of(run)] for run in step.end])
        if step.begin:
            registration.grow(self._store, self._sweep_id, self.search.sweep, step.begin)
        self._study.mirror(self._store, self._sweep_id, step.begin)
        self._over = over
        return bool(step.begin)

    def ending(self, progress: Sequence[RunProgress]) -> str:
        """Say why no further run is made, and what the search has cost."""
        steps = f"{_steps(progress):,}"
        if self._wanted.learner_steps is not None:
            steps += f" of {self._wanted.learner_steps:,}"
        spent = f"{len(progress)} runs, {steps} learner steps"
        hours = self._gpu_hours()
        if self._wanted.gpu_hours is not None:
            spent += f", {hours:.3g} of {self._wanted.gpu_hours:g} GPU-hours"
        if self.search.done:
            return f"Done: {spent}."
        if self._is_spent(progress, hours):
            return f"The budget is spent: {spent}."
        return f"No run of the file is left that would teach more: {spent}."

    def _learn(self) -> None:
        models = {run.cell.model for run in self.search.sweep.runs}
        self.search.learn(outcomes.outcomes(self._store, models))
        if self._wanted.gpu_hours is None:
            return
        # A learner step is priced in GPU-seconds once finished runs of every model show their pace.
        paces = {name: statistics.median(times) for name, times in queries.step_times(self._store, models).items()}
        gpus = {group_of(run): run.resources.gpus for run in self.search.sweep.runs}
        prices = {group: paces.get(group[0], 0.0) * gpus[group] for group in gpus}
        if all(prices.values()):
            self.search.prices = prices

    def _is_spent(self, progress: Sequence[RunProgress], hours: float, expected: float = 0.0) -> bool:
        """Whether the budget will be spent after so many learner steps more than runs that have ended took."""
        steps = _steps(run for run in progress if run.state not in GOING)
        total = steps + expected
        return self._wanted.is_spent(total, hours * (total / steps if steps else 1.0))

    def _gpu_hours(self) -> float:
        """Of all runs; 0 unless the budget is in GPU-hours."""
        if self._wanted.gpu_hours is None:
            return 0.0
        return float(frames.runs(self._store, [self.search.sweep.name])["gpu_s"].sum()) / 3600


def end_early(store: Store, sweep_id: int, run_ids: Collection[int]) -> list[int]:
    """End runs whose results can change no answer; what they have measured stays.

    A job leaves such a run at its next learner step, and goes on with the next run of its share.

    Returns:
        The runs that were ended, rising. A run that has ended by itself meanwhile stays as it is.

    Raises:
        StoreError: The database cannot be used. The next command that collects journals finishes what was begun.
    """
    wanted = set(run_ids)
    if not wanted:
        return []
    notes = collect_runs(store, [run for run in queries.run_folders(store, sweep_id) if run.run_id in wanted]).notes
    going = {place.run_id for place in submissions.places(store, sweep_id) if place.state in CANCELLABLE} & wanted
    done = cancelling.end(store, [sweep_id], dict.fromkeys(going, DECIDED)) if going else cancelling.Done()
    for note in (*notes, *done.notes):
        log.warning("%s", note)
    for run_id in done.runs:
        log.info("run %d is ended: %s", run_id, DECIDED.reason)
    return sorted(done.runs)


def _steps(progress: Iterable[RunProgress]) -> int:
    return sum(run.learner_steps for run in progress)
