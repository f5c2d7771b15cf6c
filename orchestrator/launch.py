"""Pending runs → jobs: a pool of local processes through submitit, Slurm (`orchestrator.slurm`), or this process.

Local jobs share one list of runs and take them one by one (`orchestrator.job`), so that a sweep of small runs
pays for importing torch once a process, not once a run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import submitit

from orchestrator import slurm
from orchestrator.db.store import Claim, RunProgress, Store
from orchestrator.errors import NothingToDo, UsageError
from orchestrator.job import JobSpec, job_spec, run_share
from orchestrator.processes import is_alive, this_host
from orchestrator.settings import runs_dir

Executor = Literal["slurm", "local", "debug"]

_POLL_S = 0.2
_GRACE_S = 30.0


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


def recover(store: Store, sweep_id: int) -> None:
    """Mark the runs of this host whose process is gone as lost, so that they can be launched again."""
    for running in store.running_attempts(sweep_id):
        gone = running.host == this_host() and not is_alive(running.pid, running.process_started_at)
        if gone and running.executor != "slurm":
            reason = f"process {running.pid} on {running.host} ended without a word"
            store.lose(Claim(running.run_id, running.attempt), reason)


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


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_here(store: Store, run_ids: Sequence[int]) -> None:
    """Train in this process, one after the other (``--executor debug``)."""
    run_share(job_spec(store, run_ids, "debug"))


def detach(grid: Path, max_parallel: int | None, url: str) -> tuple[int, Path]:
    """Launch locally from a process of its own, which outlives this one and its terminal.

    Returns:
        Its process id and its log.
    """
    log = runs_dir() / f"launch-{grid.stem}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "orchestrator.cli", "launch", str(grid), "--executor", "local", "--yes"]
    command += ["--max-parallel", str(max_parallel)] if max_parallel else []
    with log.open("ab") as output, _environment(STALESWEEP_DB=url):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    return process.pid, log


def run_local(
    store: Store,
    sweep_id: int,
    run_ids: Sequence[int],
    max_parallel: int,
    on_poll: Callable[[list[RunProgress]], None],
) -> None:
    """Train in at most so many processes of this machine, each pinned to one thread, until all runs have ended.

    A run that is attempted and fails is not tried again here: whoever launches next decides that. Interrupting
    ends the processes in good order: runs in hand save a checkpoint and are pending again.

    Args:
        store: The results database.
        sweep_id: The sweep.
        run_ids: What to train.
        max_parallel: Processes at a time.
        on_poll: Shown how far every run of the sweep is, a few times a second.

    Raises:
        UsageError: Processes end without taking a run; the message holds the end of their log.
        KeyboardInterrupt: After the processes have ended.
    """
    spec = job_spec(store, run_ids, "local")
    ours = set(run_ids)
    jobs: list[submitit.Job[Any]] = []
    fruitless, waiting_before = 0, len(ours)
    store.set_queued(run_ids)
    try:
        while True:
            ended = [job for job in jobs if job.done()]
            recover(store, sweep_id)
            progress = store.progress(sweep_id)
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
        recover(store, sweep_id)
        unfinished = [p.run_id for p in store.progress(sweep_id) if p.run_id in ours and p.state in ("queued", "lost")]
        store.set_pending(unfinished)  # a failed run keeps its state and its reason
        raise


def watch(store: Store, sweep_id: int, on_poll: Callable[[list[RunProgress]], None]) -> None:
    """Show a sweep's progress until no run is waiting or running; changes nothing."""
    while True:
        progress = store.progress(sweep_id)
        on_poll(progress)
        if not any(run.state in ("queued", "running") for run in progress):
            return
        time.sleep(1.0)


def _submit_local(spec: JobSpec) -> submitit.Job[Any]:
    executor = submitit.LocalExecutor(folder=spec.runs_dir / "jobs" / "local")
    executor.update_parameters(timeout_min=60 * 24 * 365)
    with _children_ignore_interrupts(), _environment(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1"):
        return executor.submit(run_share, spec)


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
