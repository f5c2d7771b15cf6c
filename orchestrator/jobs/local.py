"""A pool of local processes, through submitit.

The processes take runs from one list, one by one (`orchestrator.attempt.job`). So a sweep of small runs imports torch
once a process, not once a run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import submitit

from orchestrator.attempt.job import JobSpec, job_spec, journals_only, run_share
from orchestrator.attempt.share import Share
from orchestrator.base.errors import StoreUnavailable, UsageError
from orchestrator.base.files import tail
from orchestrator.base.processes import environment
from orchestrator.base.settings import runs_dir
from orchestrator.base.states import RunState
from orchestrator.base.urls import handed_over
from orchestrator.jobs import shares
from orchestrator.jobs.collecting import collect_aloud, patiently, recover, wait_for_database
from orchestrator.jobs.gpus import dealt, visible
from orchestrator.store import queries, submissions
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress

Further = Callable[[list[RunProgress], Set[int]], Mapping[int, Path]]
"""Takes how far runs are, and which ones the jobs were given; returns the directories of further ones by run number."""

_POLL_S = 0.2
_GRACE_S = 30.0


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def places_for(gpus: Sequence[str], gpus_each: int) -> int:
    """How many processes train at once: as many as there are cores, or GPUs if each has some of them."""
    return min(cores(), max(1, len(gpus) // gpus_each)) if gpus else cores()


def detach(grid: Path, max_parallel: int | None, url: str) -> tuple[int, Path]:
    """Launch locally in a new process, which outlives this one and its terminal; returns its number and its log."""
    log = runs_dir() / f"launch-{grid.stem}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "orchestrator.cli.app", "launch", str(grid), "--executor", "local", "--yes"]
    command += ["--detached"]
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
    refill: Further | None = None,
) -> None:
    """Train in at most so many processes of this machine, each pinned to one thread, until all runs have ended.

    A run that is attempted and fails is not tried again here; the next launch decides that. Interrupting ends the
    processes in good order: runs in hand save a checkpoint and are pending again.

    With ``max_parallel`` None, as many processes train as there are cores, or GPUs for. Each sees ``gpus_each`` GPUs,
    not shared while there are enough; 0 = all. ``on_poll`` is shown how far every run of the sweep is, a few times a
    second, and ``refill`` gives further runs while these are trained.

    Raises:
        UsageError: Processes end without taking a run; the message holds the end of their log.
    """
    gpus = visible() if gpus_each else []
    places = max_parallel or places_for(gpus, gpus_each)
    folder = runs_dir().absolute() / "jobs" / f"local-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    shares.write(folder, [directories.values()])
    shared = Share(folder / "share.jsonl") if refill else contextlib.nullcontext()
    with handed_over(store.url) as database, shared as share:
        spec = job_spec(database, directories.values(), "local")
        spec = dataclasses.replace(spec, more=share.path) if share else spec
        processes = _Processes(folder, spec, places, gpus, gpus_each)
        runs = _Runs(store, sweep_id, spec, directories, refill, share)
        try:
            while True:
                ended = processes.ended()  # before the database is read, so that it has all that they wrote
                progress = runs.look()
                on_poll(progress)
                waiting, running = runs.counts(progress)
                processes.drop(ended, waiting)
                if not waiting and not running:
                    runs.close()
                    if processes.are_gone:
                        return
                processes.start_for(waiting, running)
                time.sleep(_POLL_S)
        except BaseException:
            processes.end()
            with contextlib.suppress(StoreUnavailable):  # then the next launch finds out
                runs.give_back()
            raise


class _Runs:
    """The runs that a launch has given to its processes, in the database."""

    def __init__(
        self,
        store: Store,
        sweep_id: int,
        spec: JobSpec,
        runs: Mapping[int, Path],
        refill: Further | None,
        share: Share | None,
    ) -> None:
        self._store, self._sweep_id, self._runs = store, sweep_id, dict(runs)
        self._refill, self._share = refill, share
        self._journals_only = journals_only(store.url, spec.writes, spec.launched_from) is not None
        self._behind, self._noted = self._journals_only, set[str]()
        patiently(store, functools.partial(submissions.set_queued, store, runs))

    def look(self) -> list[RunProgress]:
        """Bring the database up to date, add further runs, and read how far all are; waits while it is away."""
        while True:
            try:
                if self._behind:
                    collect_aloud(self._store, self._sweep_id, self._noted)
                recover(self._store, self._sweep_id)
                progress = queries.progress(self._store, self._sweep_id)
                self._behind = self._journals_only
                return queries.progress(self._store, self._sweep_id) if self._add(progress) else progress
            except StoreUnavailable as error:
                wait_for_database(self._store, error)
                self._behind = True  # jobs may have ended without being able to say so

    def _add(self, progress: list[RunProgress]) -> bool:
        """Give further runs to the processes, if there are any."""
        if self._refill is None or self._share is None:
            return False
        added = self._refill(progress, self._runs.keys())
        submissions.set_queued(self._store, added)
        self._runs |= added
        if added:
            shares.write(self._share.path.parent, [self._runs.values()])
        self._share.add(added.values())
        return bool(added)

    def counts(self, progress: Iterable[RunProgress]) -> tuple[int, int]:
        """How many of them wait, and how many are being trained."""
        states = Counter(run.state for run in progress if run.run_id in self._runs)
        return states[RunState.QUEUED], states[RunState.RUNNING]

    def close(self) -> None:
        """Add no further ones, so that the processes end."""
        if self._share is not None:
            self._share.close()
            self._share = None

    def give_back(self) -> None:
        """Make those pending that no process has; a failed run keeps its state and its reason."""
        recover(self._store, self._sweep_id)
        left = (RunState.QUEUED, RunState.LOST)
        progress = queries.progress(self._store, self._sweep_id)
        given_back = [run.run_id for run in progress if run.run_id in self._runs and run.state in left]
        submissions.set_pending(self._store, given_back, even_cancelled=False)


class _Processes:
    """Local jobs, each in a numbered place, which decides on its GPUs."""

    def __init__(self, folder: Path, spec: JobSpec, places: int, gpus: Sequence[str], gpus_each: int) -> None:
        self._folder, self._spec = folder, spec
        self._places, self._gpus, self._gpus_each = places, gpus, gpus_each
        self._jobs: dict[int, submitit.Job[Any]] = {}
        self._fruitless, self._waited = 0, math.inf

    @property
    def are_gone(self) -> bool:
        """Whether there is none."""
        return not self._jobs

    def ended(self) -> list[int]:
        """The places whose process has ended."""
        return [place for place, job in self._jobs.items() if job.done()]

    def drop(self, ended: Sequence[int], waiting: int) -> None:
        """Forget the processes of these places, which have ended.

        Raises:
            UsageError: More processes than there are places have ended, and not one run fewer waits.
        """
        gone = [self._jobs.pop(place) for place in ended]
        self._fruitless = self._fruitless + len(gone) if waiting and waiting >= self._waited else 0
        self._waited = waiting
        if self._fruitless > self._places and gone:
            raise UsageError(f"jobs end without training anything:\n{_last_lines(gone[-1].paths.stderr)}")

    def start_for(self, waiting: int, running: int) -> None:
        """Start as many as there are runs for, and free places."""
        wanted = min(self._places, waiting + running) - len(self._jobs) if waiting else 0
        free = [place for place in range(self._places) if place not in self._jobs]
        for place in free[: max(wanted, 0)]:
            self._jobs[place] = _submit_local(self._folder, self._spec, dealt(self._gpus, self._gpus_each, place))

    def end(self) -> None:
        """Ask them to end, and wait until they have; those that do not within a grace period are killed."""
        jobs = list(self._jobs.values())
        for job in jobs:
            _signal(job, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C: no more grace
            while not all(job.done() for job in jobs) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        for job in jobs:
            if not job.done():
                _signal(job, signal.SIGKILL)


def _submit_local(folder: Path, spec: JobSpec, gpus: Sequence[str] | None) -> submitit.Job[Any]:
    # submitit would hide all GPUs; the job sees these, or all that this process does.
    seen = os.environ.get("CUDA_VISIBLE_DEVICES") if gpus is None else ",".join(gpus)
    change = ["-u", "CUDA_VISIBLE_DEVICES"] if seen is None else [f"CUDA_VISIBLE_DEVICES={seen}"]
    executor = submitit.LocalExecutor(folder=folder, python=shlex.join(["env", *change, sys.executable]))
    executor.update_parameters(timeout_min=60 * 24 * 365)
    with _children_ignore_interrupts(), environment({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}):
        job = executor.submit(run_share, spec)
    job.paths.submitted_pickle.chmod(0o600)
    return job


@contextlib.contextmanager
def _children_ignore_interrupts() -> Iterator[None]:
    """Start children that ignore Ctrl-C: the terminal sends it to all, but the launcher ends jobs in good order."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _signal(job: submitit.Job[Any], number: signal.Signals) -> None:
    # The job's id is its controller's process id; the controller hands SIGTERM on to the process that trains.
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(job.job_id), number)


def _last_lines(log: Path) -> str:
    return "\n".join(tail(log).splitlines()[-15:]) if log.exists() else f"no log at {log}"
