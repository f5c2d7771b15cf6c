"""Give runs of a sweep to jobs, and stay until they have ended: what `launch`, `retry` and `search` have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path

from orchestrator.base.errors import NothingToDo, SlurmUnavailable
from orchestrator.base.states import RunState
from orchestrator.base.words import counted
from orchestrator.jobs.collecting import Say, bring_in
from orchestrator.jobs.launch import Executor, pending_runs, place, prepare, recover, run_here, watch
from orchestrator.jobs.local import run_local
from orchestrator.jobs.slurm import dispatch
from orchestrator.jobs.slurm.survey import Survey, survey
from orchestrator.jobs.status import SweepStatus, sweep_status, with_standings
from orchestrator.store import queries
from orchestrator.store.store import RunProgress, Store

Refill = Callable[[list[RunProgress]], bool]
"""Takes how far the runs of a sweep are, adds runs to it, and returns whether it added any."""


def runs_to_train(store: Store, sweep_id: int, name: str, say: Say) -> list[int]:
    """Bring the database up to what has become of a sweep's runs, and choose those to be given to jobs.

    Raises:
        NothingToDo: Every run has its result, or a job has it or may have it.
    """
    place(store, sweep_id)
    bring_in(store, name, say)
    recover(store, sweep_id)
    return pending_runs(store, sweep_id, dispatch.catch_up(store, sweep_id, say))


def submit(store: Store, sweep_id: int, name: str, run_ids: Sequence[int], say: Say) -> None:
    """Give runs to job arrays of Slurm, see `orchestrator.jobs.slurm.dispatch.submit`."""
    if run_ids:
        dispatch.submit(store, sweep_id, name, prepare(store, sweep_id, run_ids), say)


def train(
    store: Store,
    sweep_id: int,
    name: str,
    run_ids: Sequence[int],
    executor: Executor,
    on_poll: Callable[[list[RunProgress]], None],
    say: Say,
    *,
    max_parallel: int | None = None,
    gpus: int = 0,
    only: Set[int] | None = None,
    refill: Refill | None = None,
) -> SweepStatus:
    """Give runs of a sweep to jobs, and stay until they have ended; on Slurm, try again what may be tried again.

    Args:
        store: The results database.
        sweep_id: The sweep.
        name: Its name.
        run_ids: Runs that no job has. Without any, the runs that jobs already have are watched.
        executor: What trains them.
        on_poll: Called again and again with how far every run of the sweep is.
        say: Takes lines for the user.
        max_parallel: Local processes at a time; None = as many as there are cores, or GPUs for.
        gpus: The most GPUs that one of the runs asks for, later ones of `refill` included.
        only: The runs that may be tried again; None = all of the sweep.
        refill: Adds runs to the sweep while these are trained; None = none are added.

    Returns:
        How the sweep stands then.
    """
    match executor:
        case "slurm":
            submit(store, sweep_id, name, run_ids, say)
            watch(store, sweep_id, on_poll, _Tender(store, sweep_id, name, say, only, refill))
        case "debug":
            run_here(store, prepare(store, sweep_id, run_ids).values())
        case "local":
            more = refill and functools.partial(_further, store, sweep_id, refill)
            run_local(store, sweep_id, prepare(store, sweep_id, run_ids), max_parallel, gpus, on_poll, more)
    return sweep_status(name, with_standings(queries.progress(store, sweep_id), survey(store, sweep_id)))


def failed(status: SweepStatus, only: Iterable[int] | None) -> bool:
    """Whether runs have failed: of those named, or any."""
    return any(only is None or run.run_id in only for run in status.failures)


def _further(
    store: Store, sweep_id: int, refill: Refill, progress: list[RunProgress], given: Set[int]
) -> Mapping[int, Path]:
    """Let runs be added to a sweep, and prepare those that no job has been given."""
    if refill(progress):
        progress = queries.progress(store, sweep_id)
    new = [run.run_id for run in progress if run.state == RunState.PENDING and run.run_id not in given]
    if not new:
        return {}
    place(store, sweep_id)
    return prepare(store, sweep_id, new)


class _Tender:
    """Submits to Slurm, while a command watches, the runs to be tried again and those that `refill` adds."""

    def __init__(
        self, store: Store, sweep_id: int, name: str, say: Say, only: Set[int] | None, refill: Refill | None
    ) -> None:
        self._store, self._sweep_id, self._name, self._say = store, sweep_id, name, say
        self._only, self._refill = only, refill
        self._said = ""

    def __call__(self, found: Survey) -> bool:
        """Submit what can be submitted now; returns whether anything was, or has to wait."""
        try:
            again = self._submit_again(found)
            return self._submit_further(found) or again
        except (NothingToDo, SlurmUnavailable) as error:  # the queue is full, or Slurm away: both pass
            if str(error) != self._said:
                self._said = str(error)
                self._say(self._said)
            return True

    def _submit_again(self, found: Survey) -> bool:
        dispatch.find_lost_answers(self._store, self._sweep_id, self._say)
        again = dispatch.settle_and_choose(self._store, self._sweep_id, found)
        again = [run_id for run_id in again if self._only is None or run_id in self._only]
        submit(self._store, self._sweep_id, self._name, again, self._say)
        if again:
            self._say(f"{counted(len(again), 'run')} {'is' if len(again) == 1 else 'are'} tried again")
        return bool(again)

    def _submit_further(self, found: Survey) -> bool:
        if self._refill is None or not self._refill(queries.progress(self._store, self._sweep_id)):
            return False
        place(self._store, self._sweep_id)
        new = dispatch.settle_and_choose(self._store, self._sweep_id, found)
        submit(self._store, self._sweep_id, self._name, new, self._say)
        return True
