"""Choose the runs of a sweep to train, give them to jobs, and stay until they have ended.

The jobs are local processes (`orchestrator.jobs.local`), tasks of Slurm arrays (`orchestrator.jobs.slurm`), or this
process. `launch`, `retry` and `search` have this in common.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from orchestrator.attempt.job import job_spec, journals_only, run_share
from orchestrator.base.errors import NothingToDo, SlurmUnavailable, StoreUnavailable, UsageError
from orchestrator.base.processes import this_host
from orchestrator.base.settings import jobs_write, runs_dir
from orchestrator.base.states import UNKNOWN, RunState
from orchestrator.base.urls import handed_over
from orchestrator.base.words import Say, counted
from orchestrator.jobs.collecting import bring_in, collect_aloud, patiently, recover, wait_for_database
from orchestrator.jobs.local import run_local
from orchestrator.jobs.slurm import client, dispatch
from orchestrator.jobs.slurm.standing import SILENT_AFTER_S
from orchestrator.jobs.slurm.survey import Survey, survey
from orchestrator.jobs.status import SweepStatus, sweep_status, with_standings
from orchestrator.rundir import journal
from orchestrator.rundir.folder import RunFile, name_of
from orchestrator.rundir.folder import prepare as write_run_file
from orchestrator.store import queries, registration, submissions
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress

Executor = Literal["slurm", "local", "debug"]

Refill = Callable[[list[RunProgress]], bool]
"""Takes how far the runs of a sweep are, adds runs to it, and returns whether it added any."""

_POLL_S = 1.0
_SURVEY_S = 5.0


def choose_executor(wanted: str) -> Executor:
    """Resolve ``auto``: slurm where there is one, else local.

    A controller that does not answer is an error: else the login node would train the whole sweep.

    Raises:
        UsageError: The name is not known, or Slurm was asked for and is not here.
        SlurmUnavailable: There is a Slurm, and its controller does not answer.
    """
    if wanted not in ("auto", "slurm", "local", "debug"):
        raise UsageError(f"--executor: expected auto, slurm, local or debug, found {wanted!r}")
    try:
        is_here = wanted in ("auto", "slurm") and client.is_here()
    except SlurmUnavailable as error:
        raise SlurmUnavailable(
            f"Slurm does not answer: {error}; launch again when it does, or with --executor local on this machine"
        ) from error
    if wanted == "slurm" and not is_here:
        raise UsageError("--executor slurm: sbatch is not on this machine, or SLURM_CONF names no cluster")
    return ("slurm" if is_here else "local") if wanted == "auto" else wanted  # type: ignore[return-value]


def why_journals_only(store: Store, executor: str) -> str | None:
    """Say why jobs will write journals only; None where they write to the database."""
    reason = journals_only(store.url, jobs_write(), this_host())
    if reason is None and executor == "slurm" and store.url.startswith("sqlite"):
        return "SQLite serves one host; on others" if jobs_write() == "auto" else None
    return reason


def place(store: Store, sweep_id: int) -> None:
    """Choose a directory for each unfinished run without one; one that is gone may have moved to the present folder."""
    here = runs_dir().absolute()
    gone = [run for run in queries.run_folders(store, sweep_id) if not (run.directory and Path(run.directory).is_dir())]
    names = {run.run_id: Path(run.directory).name if run.directory else name_of(run.run_id) for run in gone}
    registration.set_directories(store, {run_id: str(here / name) for run_id, name in names.items()})


def prepare(store: Store, sweep_id: int, run_ids: Sequence[int]) -> dict[int, Path]:
    """Make runs pending, write what jobs need to know into their directories, and return these by run number.

    Runs that are cancelled are left out: somebody has cancelled them since the user asked for this launch.

    Raises:
        UsageError: A directory holds a run of another database, or cannot be written.
    """
    if not run_ids:
        return {}
    configs = queries.run_configs(store, run_ids)
    folders = {run.run_id: run for run in queries.run_folders(store, sweep_id)}
    directories, folder_ids = {}, {}
    for run_id in _not_cancelled(store, sweep_id, run_ids):
        run = folders[run_id]
        directory = Path(run.directory or runs_dir().absolute() / name_of(run_id))
        # A process that was killed before it began leaves a journal without a record. Its number is not used again.
        later = [number for number in journal.numbers(directory) if number > run.fence]
        empty = [number for number in later if journal.last(journal.path_of(directory, number)) is None]
        fence = max([run.fence, *empty])
        folder_ids[run_id] = write_run_file(
            directory, RunFile(run_id, run.sweep, run.config_digest, configs[run_id], fence)
        )
        directories[run_id] = directory
    registration.set_folder_ids(store, folder_ids)
    submissions.set_pending(store, directories, even_cancelled=False)
    # Where there was no directory yet, a cancel had none to write to: the database alone has it.
    return {run_id: directories[run_id] for run_id in _not_cancelled(store, sweep_id, directories)}


def _not_cancelled(store: Store, sweep_id: int, run_ids: Iterable[int]) -> list[int]:
    states = queries.run_states(store, [sweep_id])
    return [run_id for run_id in run_ids if states[run_id] != RunState.CANCELLED]


def pending_runs(store: Store, sweep_id: int, found: Survey) -> list[int]:
    """Choose the runs to submit: those without a result that no running or waiting job has.

    Raises:
        NothingToDo: Every run has its result, or a job has it or may have it.
    """
    unfinished = queries.unfinished_runs(store, sweep_id)
    if not unfinished:
        raise NothingToDo("every run of this sweep is done")
    running = queries.running_attempts(store, sweep_id)
    taken = {one.run_id for one in running}
    taken |= {run_id for run_id, one in found.standings.items() if one.held is not False}
    pending = [run_id for run_id in unfinished if run_id not in taken]
    if not pending:
        unknown = f", as far as is known: {found.silence}" if found.silence else ""
        silent = [str(one.run_id) for one in running if one.heartbeat_age_s > SILENT_AFTER_S]
        freed = "; `stalesweep cancel {}` frees those that are silent, if their processes are gone"
        raise NothingToDo(
            f"the {len(unfinished)} unfinished runs are in the hands of jobs{unknown}"
            f"{freed.format(' '.join(silent)) if silent else ''}"
        )
    return pending


def watch(
    store: Store,
    sweep_id: int,
    on_poll: Callable[[list[RunProgress]], None],
    tend: Callable[[Survey], bool] = lambda _: False,
) -> None:
    """Show a sweep's progress until no run is waiting or running. Changes nothing but bringing in journals.

    ``on_poll`` is shown how far every run is, about once a second. ``tend`` is called every few seconds with what has
    become of the runs on Slurm, and returns whether it submitted more.
    """
    noted = set[str]()
    surveyed_at, found = -math.inf, Survey({}, {}, {})
    more = False  # until the next look: what was found before knows nothing of what was submitted since
    while True:
        try:
            collect_aloud(store, sweep_id, noted)
            progress = queries.progress(store, sweep_id)
            if time.monotonic() - surveyed_at > _SURVEY_S:
                surveyed_at, found = time.monotonic(), survey(store, sweep_id)
                more = tend(found)
        except StoreUnavailable as error:
            wait_for_database(store, error)
            continue
        shown = with_standings(progress, found)
        on_poll(shown)
        if not more and not any(run.state in (RunState.QUEUED, RunState.RUNNING, UNKNOWN) for run in shown):
            return
        time.sleep(_POLL_S)


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
        if directories := prepare(self.store, self.sweep_id, run_ids):
            dispatch.submit(self.store, self.sweep_id, self.name, directories, self.say)

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
        """Give runs that no job has to jobs, and stay until they have ended; returns how the sweep stands then.

        Without any, the runs that jobs already have are watched. On Slurm, all runs of the sweep may be tried again,
        or those in ``only``. ``refill`` may add runs meanwhile, and no run asks for more than so many ``gpus``. For
        ``max_parallel`` and ``on_poll`` see `orchestrator.jobs.local.run_local`.
        """
        match executor:
            case "slurm":
                self.submit(run_ids)
                watch(self.store, self.sweep_id, on_poll, functools.partial(self._tend, only, refill))
            case "debug":
                with handed_over(self.store.url) as database:
                    run_share(job_spec(database, prepare(self.store, self.sweep_id, run_ids).values(), "debug"))
            case "local":
                more = refill and functools.partial(self._further, refill)
                directories = prepare(self.store, self.sweep_id, run_ids)
                run_local(self.store, self.sweep_id, directories, max_parallel, gpus, on_poll, more)
        return patiently(self.store, self._status)

    def _status(self) -> SweepStatus:
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
        return prepare(self.store, self.sweep_id, new)

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
