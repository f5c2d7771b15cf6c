"""Pending runs → jobs: a pool of local processes through submitit, Slurm (`orchestrator.slurm`), or this process.

Local jobs share one list of runs and take them one by one (`orchestrator.job`), so that a sweep of small runs
pays for importing torch once a process, not once a run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import submitit

from orchestrator import journal, slurm
from orchestrator.collect import collect, collect_run
from orchestrator.db.store import Claim, RunFolder, RunProgress, Store
from orchestrator.errors import NothingToDo, SchemaError, StoreUnavailable, UsageError
from orchestrator.job import JobSpec, job_spec, journals_only, run_share
from orchestrator.processes import is_alive, this_host
from orchestrator.rundirs import RunFile, name_of
from orchestrator.rundirs import prepare as write_run_file
from orchestrator.settings import jobs_write, runs_dir
from orchestrator.urls import handed_over

Executor = Literal["slurm", "local", "debug"]

_POLL_S = 0.2
_GRACE_S = 30.0
_OUTAGE_POLL_S = 2.0

log = logging.getLogger(__name__)


def choose_executor(wanted: str) -> Executor:
    """Resolve ``auto``: slurm where sbatch answers, else local.

    Raises:
        UsageError: The name is not known, or Slurm was asked for and does not answer.
    """
    if wanted not in ("auto", "slurm", "local", "debug"):
        raise UsageError(f"--executor: expected auto, slurm, local or debug, found {wanted!r}")
    answers = wanted in ("auto", "slurm") and slurm.answers()
    if wanted == "slurm" and not answers:
        raise UsageError("--executor slurm: sbatch is not on this machine or the controller does not answer")
    if wanted == "auto":
        return "slurm" if answers else "local"
    return wanted  # type: ignore[return-value]  # narrowed above


def place(store: Store, sweep_id: int) -> None:
    """Give the unfinished runs that have no directory one; one that is gone is looked for where it would be now."""
    here = runs_dir().absolute()
    gone = [run for run in store.run_folders(sweep_id) if not (run.directory and Path(run.directory).is_dir())]
    names = {run.run_id: Path(run.directory).name if run.directory else name_of(run.run_id) for run in gone}
    store.set_directories({run_id: str(here / name) for run_id, name in names.items()})


def prepare(store: Store, sweep_id: int, run_ids: Sequence[int]) -> dict[int, Path]:
    """Make runs pending, and write what jobs need to know into their directories.

    Returns:
        The directories by run number, in the order given.

    Raises:
        UsageError: A directory holds a run of another database, or cannot be written.
    """
    configs = store.run_configs(run_ids)
    folders = {run.run_id: run for run in store.run_folders(sweep_id)}
    directories = {}
    for run_id in run_ids:
        run = folders[run_id]
        directory = Path(run.directory or runs_dir().absolute() / name_of(run_id))
        # A journal without a record is of a process that was killed before it began, and may take no other's place.
        unheard = [number for number in journal.numbers(directory) if number > run.fence]
        empty = [number for number in unheard if journal.last(journal.path_of(directory, number)) is None]
        fence = max([run.fence, *empty])
        write_run_file(directory, RunFile(run_id, run.sweep, run.config_digest, configs[run_id], fence))
        directories[run_id] = directory
    store.set_pending(run_ids)
    return directories


def recover(store: Store, sweep_id: int) -> None:
    """Mark the runs of this host whose process is gone as lost, so that they can be launched again."""
    for running in store.running_attempts(sweep_id):
        gone = running.host == this_host() and not is_alive(running.pid, running.process_started_at)
        if gone and running.executor != "slurm":
            folder = store.run_folder(running.run_id)
            if folder is not None:
                _hear_out(store, folder)
            reason = f"process {running.pid} on {running.host} ended without a word"
            store.lose(Claim(running.run_id, running.attempt), reason)


def _hear_out(store: Store, folder: RunFolder) -> None:
    """Bring the journals of a run whose process is gone: it may have ended in good order, and not been able to say so.

    What cannot be brought is named by whoever collects next.
    """
    try:
        collect_run(store, folder, [])
    except (OSError, UsageError) as error:
        if isinstance(error, StoreUnavailable | SchemaError):
            raise


def pending_runs(store: Store, sweep_id: int) -> list[int]:
    """Runs to be submitted: without a result, and not in the hands of a living job.

    Raises:
        NothingToDo: Every run has its result or is being trained.
    """
    unfinished = store.unfinished_runs(sweep_id)
    if not unfinished:
        raise NothingToDo("every run of this sweep is done")
    taken = {running.run_id for running in store.running_attempts(sweep_id)}
    pending = [run_id for run_id in unfinished if run_id not in taken]
    if not pending:
        raise NothingToDo(f"the {len(unfinished)} unfinished runs are in the hands of running jobs")
    return pending


def why_journals_only(store: Store, executor: str) -> str | None:
    """Say why jobs will leave the database to the command line, None where they write to it."""
    reason = journals_only(store.url, jobs_write(), this_host())
    if reason is None and executor == "slurm" and store.url.startswith("sqlite"):
        return "SQLite serves one host; on others" if jobs_write() == "auto" else None
    return reason


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_here(store: Store, directories: Iterable[Path]) -> None:
    """Train in this process, one after the other (``--executor debug``)."""
    with handed_over(store.url) as database:
        run_share(job_spec(database, directories, "debug"))


def detach(grid: Path, max_parallel: int | None, url: str) -> tuple[int, Path]:
    """Launch locally from a process of its own, which outlives this one and its terminal.

    Returns:
        Its process id and its log.
    """
    log = runs_dir() / f"launch-{grid.stem}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "orchestrator.cli", "launch", str(grid), "--executor", "local", "--yes"]
    command += ["--max-parallel", str(max_parallel)] if max_parallel else []
    with log.open("ab") as output, handed_over(url):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    return process.pid, log


def run_local(
    store: Store,
    sweep_id: int,
    directories: Mapping[int, Path],
    max_parallel: int,
    on_poll: Callable[[list[RunProgress]], None],
) -> None:
    """Train in at most so many processes of this machine, each pinned to one thread, until all runs have ended.

    A run that is attempted and fails is not tried again here: whoever launches next decides that. Interrupting
    ends the processes in good order: runs in hand save a checkpoint and are pending again.

    Args:
        store: The results database.
        sweep_id: The sweep.
        directories: What to train: the run directories by run number.
        max_parallel: Processes at a time.
        on_poll: Shown how far every run of the sweep is, a few times a second.

    Raises:
        UsageError: Processes end without taking a run; the message holds the end of their log.
        KeyboardInterrupt: After the processes have ended.
    """
    with handed_over(store.url) as database:
        spec = job_spec(database, directories.values(), "local")
        _run_local(store, sweep_id, set(directories), spec, max_parallel, on_poll)


def _run_local(
    store: Store,
    sweep_id: int,
    ours: set[int],
    spec: JobSpec,
    max_parallel: int,
    on_poll: Callable[[list[RunProgress]], None],
) -> None:
    jobs: list[submitit.Job[Any]] = []
    fruitless, waiting_before = 0, len(ours)
    store.set_queued(ours)
    journals = journals_only(store.url, spec.writes, spec.launched_from) is not None
    behind, noted = journals, set[str]()
    try:
        while True:
            ended = [job for job in jobs if job.done()]
            try:
                if behind:
                    _collect(store, sweep_id, noted)
                recover(store, sweep_id)
                progress = store.progress(sweep_id)
                behind = journals
            except StoreUnavailable as error:
                _wait_for_database(store, error)
                behind = True  # jobs may have ended without being able to say so
                continue
            on_poll(progress)
            waiting = sum(p.state == "queued" for p in progress if p.run_id in ours)
            running = sum(p.state == "running" for p in progress if p.run_id in ours)
            jobs = [job for job in jobs if job not in ended]
            if not jobs and not waiting and not running:
                return
            fruitless = 0 if waiting < waiting_before else fruitless + len(ended)
            waiting_before = waiting
            if fruitless > max_parallel and waiting:
                raise UsageError(f"jobs end without training anything:\n{_log_tail(ended[-1])}")
            for _ in range(min(max_parallel, waiting + running) - len(jobs) if waiting else 0):
                jobs.append(_submit_local(spec))
            time.sleep(_POLL_S)
    except BaseException:
        _end(jobs)
        with contextlib.suppress(StoreUnavailable):  # then the next launch finds out
            recover(store, sweep_id)
            left = [p.run_id for p in store.progress(sweep_id) if p.run_id in ours and p.state in ("queued", "lost")]
            store.set_pending(left)  # a failed run keeps its state and its reason
        raise


def _collect(store: Store, sweep_id: int, noted: set[str]) -> None:
    """Bring in journals; what people should know of is logged once."""
    notes = collect(store, sweep_id).notes
    for note in notes:
        if note not in noted:
            log.warning("%s", note)
    noted.update(notes)


def watch(store: Store, sweep_id: int, on_poll: Callable[[list[RunProgress]], None]) -> None:
    """Show a sweep's progress until no run is waiting or running; all it changes is to bring in journals."""
    noted = set[str]()
    while True:
        try:
            _collect(store, sweep_id, noted)
            progress = store.progress(sweep_id)
        except StoreUnavailable as error:
            _wait_for_database(store, error)
            continue
        on_poll(progress)
        if not any(run.state in ("queued", "running") for run in progress):
            return
        time.sleep(1.0)


def _wait_for_database(store: Store, error: StoreUnavailable) -> None:
    """Ask every few seconds until the database answers: the jobs go on without it, and so does who watches them."""
    log.warning("%s; the jobs go on, and this waits", error)
    while True:
        time.sleep(random.uniform(0.5, 1.5) * _OUTAGE_POLL_S)
        try:
            store.check()
        except StoreUnavailable:
            continue
        log.warning("the database answers again")
        return


def _submit_local(spec: JobSpec) -> submitit.Job[Any]:
    executor = submitit.LocalExecutor(folder=runs_dir().absolute() / "jobs" / "local", python=_python())
    executor.update_parameters(timeout_min=60 * 24 * 365)
    with _children_ignore_interrupts(), _environment(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1"):
        return executor.submit(run_share, spec)


def _python() -> str:
    """The interpreter of local jobs, which sees the GPUs that this process does: submitit would hide them all."""
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    change = ["-u", "CUDA_VISIBLE_DEVICES"] if gpus is None else [f"CUDA_VISIBLE_DEVICES={gpus}"]
    return shlex.join(["env", *change, sys.executable])


@contextlib.contextmanager
def _children_ignore_interrupts() -> Iterator[None]:
    """Start children deaf to Ctrl-C: the terminal sends it to all, but only the launcher ends jobs, in good order."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end(jobs: Sequence[submitit.Job[Any]]) -> None:
    """Ask local jobs to end, and wait until they have; those that do not within a grace period are killed."""
    for job in jobs:
        _signal(job, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C: no more grace
        while not all(job.done() for job in jobs) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    for job in jobs:
        if not job.done():
            _signal(job, signal.SIGKILL)


def _signal(job: submitit.Job[Any], number: signal.Signals) -> None:
    # The job's id is its controller's process id; the controller hands SIGTERM on to the process that trains.
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(job.job_id), number)


def _log_tail(job: submitit.Job[Any], lines: int = 15) -> str:
    path: Path = job.paths.stderr
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else f"no log at {path}"
