"""Choose the runs to train, prepare their directories, and watch the jobs that train them.

The jobs are local processes (`orchestrator.jobs.local`), tasks of Slurm arrays (`orchestrator.jobs.slurm`), or this
process.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from orchestrator.attempt.job import journals_only
from orchestrator.base.errors import NothingToDo, SchemaError, SlurmUnavailable, StoreUnavailable, UsageError
from orchestrator.base.processes import is_alive, this_host
from orchestrator.base.settings import jobs_write, runs_dir
from orchestrator.base.states import UNKNOWN, RunState
from orchestrator.jobs.slurm import client
from orchestrator.jobs.slurm.survey import Survey, survey
from orchestrator.jobs.status import with_standings
from orchestrator.rundir import journal
from orchestrator.rundir.folder import RunFile, name_of
from orchestrator.rundir.folder import prepare as write_run_file
from orchestrator.store import attempts, queries, registration, submissions
from orchestrator.store.attempts import Claim
from orchestrator.store.collect import collect, collect_run
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress

Executor = Literal["slurm", "local", "debug"]

_POLL_S = 1.0
_SURVEY_S = 5.0
_OUTAGE_POLL_S = 2.0

log = logging.getLogger(__name__)


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


def place(store: Store, sweep_id: int) -> None:
    """Choose a directory for each unfinished run without one; one that is gone may have moved to the present folder."""
    here = runs_dir().absolute()
    gone = [run for run in queries.run_folders(store, sweep_id) if not (run.directory and Path(run.directory).is_dir())]
    names = {run.run_id: Path(run.directory).name if run.directory else name_of(run.run_id) for run in gone}
    registration.set_directories(store, {run_id: str(here / name) for run_id, name in names.items()})


def prepare(store: Store, sweep_id: int, run_ids: Sequence[int]) -> dict[int, Path]:
    """Make runs pending, and write what jobs need to know into their directories.

    Returns:
        The directories by run number, in the order given.

    Raises:
        UsageError: A directory holds a run of another database, or cannot be written.
    """
    configs = queries.run_configs(store, run_ids)
    folders = {run.run_id: run for run in queries.run_folders(store, sweep_id)}
    directories = {}
    for run_id in run_ids:
        run = folders[run_id]
        directory = Path(run.directory or runs_dir().absolute() / name_of(run_id))
        # A process that was killed before it began leaves a journal without a record. Its number is not used again.
        later = [number for number in journal.numbers(directory) if number > run.fence]
        empty = [number for number in later if journal.last(journal.path_of(directory, number)) is None]
        fence = max([run.fence, *empty])
        write_run_file(directory, RunFile(run_id, run.sweep, run.config_digest, configs[run_id], fence))
        directories[run_id] = directory
    submissions.set_pending(store, run_ids)
    return directories


def recover(store: Store, sweep_id: int) -> None:
    """Mark the runs of this host whose process is gone as lost, so that they can be launched again."""
    for running in queries.running_attempts(store, sweep_id):
        gone = running.host == this_host() and not is_alive(running.pid, running.process_started_at)
        if gone and running.executor != "slurm":
            try:  # its process may have ended in good order
                if folder := queries.run_folder(store, running.run_id):
                    collect_run(store, folder, [])
            except (StoreUnavailable, SchemaError):
                raise
            except (OSError, UsageError) as error:  # the next command that collects says it to the user
                log.debug("%s", error)
            reason = f"process {running.pid} on {running.host} ended and recorded no reason"
            attempts.lose(store, Claim(running.run_id, running.attempt), reason)


def pending_runs(store: Store, sweep_id: int, found: Survey) -> list[int]:
    """Choose the runs to submit: those without a result that no running or waiting job has.

    Raises:
        NothingToDo: Every run has its result, or a job has it or may have it.
    """
    unfinished = queries.unfinished_runs(store, sweep_id)
    if not unfinished:
        raise NothingToDo("every run of this sweep is done")
    taken = {running.run_id for running in queries.running_attempts(store, sweep_id)}
    taken |= {run_id for run_id, one in found.standings.items() if one.held is not False}
    pending = [run_id for run_id in unfinished if run_id not in taken]
    if not pending:
        unknown = f", as far as is known: {found.silence}" if found.silence else ""
        raise NothingToDo(f"the {len(unfinished)} unfinished runs are in the hands of jobs{unknown}")
    return pending


def why_journals_only(store: Store, executor: str) -> str | None:
    """Say why jobs will write journals only; None where they write to the database."""
    reason = journals_only(store.url, jobs_write(), this_host())
    if reason is None and executor == "slurm" and store.url.startswith("sqlite"):
        return "SQLite serves one host; on others" if jobs_write() == "auto" else None
    return reason


def collect_aloud(store: Store, sweep_id: int, noted: set[str]) -> None:
    """Bring in journals; each note is logged once."""
    notes = collect(store, sweep_id).notes
    for note in notes:
        if note not in noted:
            log.warning("%s", note)
    noted.update(notes)


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


def wait_for_database(store: Store, error: StoreUnavailable) -> None:
    """Wait until the database answers, asking every few seconds. The jobs go on without it."""
    log.warning("%s; the jobs go on, and this waits", error)
    while True:
        time.sleep(random.uniform(0.5, 1.5) * _OUTAGE_POLL_S)
        try:
            store.check()
        except StoreUnavailable:
            continue
        log.warning("the database answers again")
        return
