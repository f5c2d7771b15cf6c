"""Give runs of a sweep to jobs, and stay until they have ended: what `launch`, `retry` and `search` have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.attempt.job import job_spec, run_share
from orchestrator.base.errors import NothingToDo, SlurmUnavailable
from orchestrator.base.states import RunState
from orchestrator.base.urls import handed_over
from orchestrator.base.words import Say, counted
from orchestrator.jobs.collecting import bring_in
from orchestrator.jobs.launch import Executor, pending_runs, place, prepare, recover, watch
from orchestrator.jobs.local import run_local
from orchestrator.jobs.slurm import dispatch
from orchestrator.jobs.slurm.survey import Survey, survey
from orchestrator.jobs.status import SweepStatus, sweep_status, with_standings
from orchestrator.store import queries
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress

Refill = Callable[[list[RunProgress]], bool]
"""Takes how far the runs of a sweep are, adds runs to it, and returns whether it added any."""


@dataclass(slots=True)
class Training:
    """A sweep whose runs are given to jobs."""

    store: Store
    sweep_id: int
    name: str
    say: Say
    _said: str = field(default="", init=False)

    def runs(self) -> list[int]:
        """Bring the database up to what has become of the sweep's runs, and choose those to be given to jobs.

        Raises:
            NothingToDo: Every run has its result, or a job has it or may have it.
        """
        place(self.store, self.sweep_id)
        bring_in(self.store, self.name, self.say)
        recover(self.store, self.sweep_id)
        return pending_runs(self.store, self.sweep_id, dispatch.catch_up(self.store, self.sweep_id, self.say))

    def submit(self, run_ids: Sequence[int]) -> None:
        """Give runs to job arrays of Slurm, see `orchestrator.jobs.slurm.dispatch.submit`."""
        if run_ids:
            dispatch.submit(self.store, self.sweep_id, self.name, self.prepare(run_ids), self.say)

    def prepare(self, run_ids: Sequence[int]) -> dict[int, Path]:
        """Prepare runs, see `orchestrator.jobs.launch.prepare`."""
        return prepare(self.store, self.sweep_id, run_ids)

    def train(
        self,
        run_ids: Sequence[int],
        executor: Executor,
        on_poll: Callable[[list[RunProgress]], None],
        *,
        max_parallel: int | None = None,
        gpus: int = 0,
        only: Set[int] | None = None,
        refill: Refill | None = None,
    ) -> SweepStatus:
        """Give runs to jobs, and stay until they have ended; on Slurm, try again what may be tried again.

        Args:
            run_ids: Runs that no job has. Without any, the runs that jobs already have are watched.
            executor: What trains them.
            on_poll: Called again and again with how far every run of the sweep is.
            max_parallel: Local processes at a time; None = as many as there are cores, or GPUs for.
            gpus: The most GPUs that one of the runs asks for, later ones of `refill` included.
            only: The runs that may be tried again; None = all of the sweep.
            refill: Adds runs to the sweep while these are trained; None = none are added.

        Returns:
            How the sweep stands then.
        """
        match executor:
            case "slurm":
                self.submit(run_ids)
                watch(self.store, self.sweep_id, on_poll, functools.partial(self._tend, only, refill))
            case "debug":
                with handed_over(self.store.url) as database:
                    run_share(job_spec(database, self.prepare(run_ids).values(), "debug"))
            case "local":
                more = refill and functools.partial(self._further, refill)
                run_local(self.store, self.sweep_id, self.prepare(run_ids), max_parallel, gpus, on_poll, more)
        progress = queries.progress(self.store, self.sweep_id)
        return sweep_status(self.name, with_standings(progress, survey(self.store, self.sweep_id)))

    def _further(self, refill: Refill, progress: list[RunProgress], given: Set[int]) -> Mapping[int, Path]:
        """Let runs be added to the sweep, and prepare those that no job has been given."""
        if refill(progress):
            progress = queries.progress(self.store, self.sweep_id)
        new = [run.run_id for run in progress if run.state == RunState.PENDING and run.run_id not in given]
        if not new:
            return {}
        place(self.store, self.sweep_id)
        return self.prepare(new)

    def _tend(self, only: Set[int] | None, refill: Refill | None, found: Survey) -> bool:
        """Submit to Slurm the runs to be tried again and those that `refill` adds; whether any are, or have to wait."""
        try:
            again = self._submit_again(only, found)
            return self._submit_further(refill, found) or again
        except (NothingToDo, SlurmUnavailable) as error:  # the queue is full, or Slurm away: both pass
            if str(error) != self._said:
                self._said = str(error)
                self.say(self._said)
            return True

    def _submit_again(self, only: Set[int] | None, found: Survey) -> bool:
        dispatch.find_lost_answers(self.store, self.sweep_id, self.say)
        chosen = dispatch.settle_and_choose(self.store, self.sweep_id, found)
        again = [run_id for run_id in chosen if only is None or run_id in only]
        self.submit(again)
        if again:
            self.say(f"{counted(len(again), 'run')} {'is' if len(again) == 1 else 'are'} tried again")
        return bool(again)

    def _submit_further(self, refill: Refill | None, found: Survey) -> bool:
        if refill is None or not refill(queries.progress(self.store, self.sweep_id)):
            return False
        place(self.store, self.sweep_id)
        self.submit(dispatch.settle_and_choose(self.store, self.sweep_id, found))
        return True
