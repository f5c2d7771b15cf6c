"""A pool of local processes, through submitit.

They share one list of runs and take them one by one (`orchestrator.attempt.job`), so that a sweep of small runs pays
for importing torch once a process, not once a run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import submitit

from orchestrator.attempt.job import JobSpec, job_spec, journals_only, run_share
from orchestrator.attempt.share import Share
from orchestrator.base.errors import StoreUnavailable, UsageError
from orchestrator.base.processes import environment
from orchestrator.base.settings import runs_dir
from orchestrator.base.urls import handed_over
from orchestrator.jobs.gpus import dealt, visible
from orchestrator.jobs.launch import collect_aloud, recover, wait_for_database
from orchestrator.store import queries, submissions
from orchestrator.store.store import RunProgress, Store

Refill = Callable[[list[RunProgress], Set[int]], Mapping[int, Path]]
"""Shown how far runs are, and which the jobs have been given, gives further ones: their directories by run number."""

_POLL_S = 0.2
_GRACE_S = 30.0


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def detach(grid: Path, max_parallel: int | None, url: str) -> tuple[int, Path]:
    """Launch locally from a process of its own, which outlives this one and its terminal.

    Returns:
        Its process id and its log.
    """
    log = runs_dir() / f"launch-{grid.stem}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "orchestrator.cli.app", "launch", str(grid), "--executor", "local", "--yes"]
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
    max_parallel: int | None,
    gpus_each: int,
    on_poll: Callable[[list[RunProgress]], None],
    refill: Refill | None = None,
) -> None:
    """Train in at most so many processes of this machine, each pinned to one thread, until all runs have ended.

    A run that is attempted and fails is not tried again here: whoever launches next decides that. Interrupting
    ends the processes in good order: runs in hand save a checkpoint and are pending again.

    Args:
        store: The results database.
        sweep_id: The sweep.
        directories: What to train: the run directories by run number.
        max_parallel: Processes at a time; None = as many as there are cores, or GPUs for.
        gpus_each: How many GPUs each process sees, of its own as far as there are enough; 0 = all.
        on_poll: Shown how far every run of the sweep is, a few times a second.
        refill: Gives further runs while these are trained; None = there are none.

    Raises:
        UsageError: Processes end without taking a run; the message holds the end of their log.
        KeyboardInterrupt: After the processes have ended.
    """
    with handed_over(store.url) as database:
        spec = job_spec(database, directories.values(), "local")
        if refill is None:
            _run_local(store, sweep_id, set(directories), spec, max_parallel, gpus_each, on_poll)
            return
        with _share() as share:
            spec = dataclasses.replace(spec, more=share.path)
            _run_local(store, sweep_id, set(directories), spec, max_parallel, gpus_each, on_poll, (refill, share))


@contextlib.contextmanager
def _share() -> Iterator[Share]:
    path = runs_dir().absolute() / "jobs" / "local" / f"share-{os.getpid()}-{time.time_ns()}.jsonl"
    try:
        yield Share(path)
    finally:
        path.unlink()  # jobs that still read it keep it until they have


def _run_local(
    store: Store,
    sweep_id: int,
    ours: set[int],
    spec: JobSpec,
    max_parallel: int | None,
    gpus_each: int,
    on_poll: Callable[[list[RunProgress]], None],
    more: tuple[Refill, Share] | None = None,
) -> None:
    jobs: dict[int, submitit.Job[Any]] = {}
    gpus = visible() if gpus_each else []
    max_parallel = max_parallel or min(cores(), max(1, len(gpus) // gpus_each) if gpus else cores())
    fruitless, waiting_before = 0, len(ours)
    submissions.set_queued(store, ours)
    journals = journals_only(store.url, spec.writes, spec.launched_from) is not None
    behind, noted = journals, set[str]()
    try:
        while True:
            ended = [job for job in jobs.values() if job.done()]
            try:
                if behind:
                    collect_aloud(store, sweep_id, noted)
                recover(store, sweep_id)
                progress = queries.progress(store, sweep_id)
                behind = journals
                added = _add(store, more, progress, ours) if more else 0
            except StoreUnavailable as error:
                wait_for_database(store, error)
                behind = True  # jobs may have ended without being able to say so
                continue
            on_poll(progress)
            waiting = sum(p.state == "queued" for p in progress if p.run_id in ours) + added
            running = sum(p.state == "running" for p in progress if p.run_id in ours)
            jobs = {number: job for number, job in jobs.items() if job not in ended}
            if not waiting and not running:
                if not jobs:
                    return
                if more:
                    more[1].close()
                    more = None
            fruitless = 0 if waiting < waiting_before else fruitless + len(ended)
            waiting_before = waiting
            if fruitless > max_parallel and waiting:
                raise UsageError(f"jobs end without training anything:\n{_log_tail(ended[-1])}")
            wanted = min(max_parallel, waiting + running) - len(jobs) if waiting else 0
            for number in [free for free in range(max_parallel) if free not in jobs][: max(wanted, 0)]:
                jobs[number] = _submit_local(spec, dealt(gpus, gpus_each, number))
            time.sleep(_POLL_S)
    except BaseException:
        _end(list(jobs.values()))
        with contextlib.suppress(StoreUnavailable):  # then the next launch finds out
            recover(store, sweep_id)
            left = [
                p.run_id
                for p in queries.progress(store, sweep_id)
                if p.run_id in ours and p.state in ("queued", "lost")
            ]
            submissions.set_pending(store, left)  # a failed run keeps its state and its reason
        raise


def _add(store: Store, more: tuple[Refill, Share], progress: list[RunProgress], ours: set[int]) -> int:
    """Give further runs to the jobs; how many."""
    refill, share = more
    added = refill(progress, ours)
    submissions.set_queued(store, added)
    share.add(added.values())
    ours |= added.keys()
    return len(added)


def _submit_local(spec: JobSpec, gpus: Sequence[str] | None) -> submitit.Job[Any]:
    executor = submitit.LocalExecutor(folder=runs_dir().absolute() / "jobs" / "local", python=_python(gpus))
    executor.update_parameters(timeout_min=60 * 24 * 365)
    with _children_ignore_interrupts(), environment({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}):
        return executor.submit(run_share, spec)


def _python(gpus: Sequence[str] | None) -> str:
    """The interpreter of a job that sees these GPUs, or all that this process does: submitit would hide them."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES") if gpus is None else ",".join(gpus)
    change = ["-u", "CUDA_VISIBLE_DEVICES"] if seen is None else [f"CUDA_VISIBLE_DEVICES={seen}"]
    return shlex.join(["env", *change, sys.executable])


@contextlib.contextmanager
def _children_ignore_interrupts() -> Iterator[None]:
    """Start children deaf to Ctrl-C: the terminal sends it to all, but only the launcher ends jobs, in good order."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


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
