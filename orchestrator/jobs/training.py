"""Give runs of a sweep to jobs, and stay until they have ended: what `launch`, `retry` and `search` have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path

from orchestrator.attempt.notifying import tell_end
from orchestrator.base.errors import NothingToDo, SlurmUnavailable
from orchestrator.base.states import RunState
from orchestrator.base.words import counted
from orchestrator.jobs.launch import Executor, pending_runs, place, prepare, recover, run_here, watch
from orchestrator.jobs.local import run_local
from orchestrator.jobs.slurm import dispatch
from orchestrator.jobs.slurm.survey import Survey, survey
from orchestrator.jobs.status import SweepStatus, sweep_status, with_standings
from orchestrator.store import queries
from orchestrator.store.collect import Collected, collect
from orchestrator.store.store import RunProgress, Store

Say = Callable[[str], None]
"""Told what people should know, a line at a time."""

Refill = Callable[[list[RunProgress]], bool]
"""Shown how far the runs of a sweep are, adds further ones to it; says whether it has."""


def bring_in(store: Store, name: str, say: Say) -> None:
    """Bring into the database what the journals of a sweep hold; tell the webhook where the sweep has ended."""
    say_collected(collect(store, queries.sweep_id(store, name)), say)
    tell_end(store, name)


def say_collected(found: Collected, say: Say) -> None:
    """Say what was brought in from journals, and what could not be."""
    if found.records:
        say(f"brought {found.records:,} records of {counted(found.runs, 'run')} from journals into the database")
    for note in found.notes:
        say(f"note: {note}")


def runs_to_train(store: Store, sweep_id: int, name: str, say: Say) -> list[int]:
    """Bring the database up to what has become of a sweep's runs, and choose those to be given to jobs.

    Raises:
        NothingToDo: Every run has its result or is in the hands of a job, as far as is known.
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
        run_ids: The runs; nobody has them. Where there are none, those that jobs have are watched.
        executor: What trains them.
        on_poll: Shown how far every run of the sweep is, again and again.
        say: Told what people should know.
        max_parallel: Local processes at a time; None = as many as there are cores, or GPUs for.
        gpus: The most that one of the runs asks for, those that are added meanwhile included.
        only: The runs that may be tried again; None = all of the sweep.
        refill: Adds further runs to the sweep while these are trained; None = there are none.

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
    """Submits to Slurm, while a command watches, what failed in a way that may pass, and what is added meanwhile."""

    def __init__(
        self, store: Store, sweep_id: int, name: str, say: Say, only: Set[int] | None, refill: Refill | None
    ) -> None:
        self._store, self._sweep_id, self._name, self._say = store, sweep_id, name, say
        self._only, self._refill = only, refill
        self._said = ""

    def __call__(self, found: Survey) -> bool:
        """Look at what has become of the runs; whether more was submitted, or has to wait."""
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
