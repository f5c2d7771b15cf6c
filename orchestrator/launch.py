"""Pending runs → jobs, through submitit: a pool of local processes, Slurm arrays, or this very process.

Local jobs share one list of runs and take them one by one (`orchestrator.job`), so that a sweep of small runs
pays for importing torch once a process, not once a run.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import submitit
from sqlalchemy import make_url

from orchestrator import grid
from orchestrator.db.store import Claim, RunProgress, Store
from orchestrator.errors import NothingToDo, UsageError
from orchestrator.job import JobSpec, run_share
from orchestrator.processes import is_alive, this_host
from orchestrator.settings import cache_dir, runs_dir

Executor = Literal["slurm", "local", "debug"]

_POLL_S = 0.2
_GRACE_S = 30.0
_SLURM_TIMEOUT_S = 20.0


def choose_executor(wanted: str) -> Executor:
    """Resolve ``auto``: slurm where sbatch answers, else local.

    Raises:
        UsageError: The name is not known, or Slurm was asked for and does not answer.
    """
    if wanted not in ("auto", "slurm", "local", "debug"):
        raise UsageError(f"--executor: expected auto, slurm, local or debug, found {wanted!r}")
    answers = wanted in ("auto", "slurm") and _slurm_answers()
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
    run_share(_spec(store, run_ids, "debug"))


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
    spec = _spec(store, run_ids, "local")
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
        store.set_pending(run_ids)
        raise


def watch(store: Store, sweep_id: int, on_poll: Callable[[list[RunProgress]], None]) -> None:
    """Show a sweep's progress until no run is waiting or running; changes nothing."""
    while True:
        progress = store.progress(sweep_id)
        on_poll(progress)
        if not any(run.state in ("queued", "running") for run in progress):
            return
        time.sleep(1.0)


def submit_slurm(store: Store, sweep: grid.Sweep, sweep_id: int, run_ids: Sequence[int]) -> list[str]:
    """Submit one array task a run, in arrays of equal resources within the cluster's MaxArraySize.

    Args:
        store: The results database.
        sweep: The grid, for the resources and its name, which squeue shows.
        sweep_id: The sweep.
        run_ids: What to train.

    Returns:
        The ids of the arrays.

    Raises:
        UsageError: Slurm refused; what it had not taken is pending again.
    """
    folder = runs_dir().absolute() / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    needs = _resources_by_run(store, sweep, sweep_id)
    array_ids = []
    for resources, chunk in _chunks([(run_id, needs[run_id]) for run_id in run_ids]):
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
        executor.update_parameters(name=f"stalesweep-{sweep.name}", **slurm_parameters(resources))
        specs = [_spec(store, [run_id], "slurm") for run_id in chunk]
        store.set_queued(chunk)  # before the jobs exist, so that one that starts at once is not set back
        try:
            jobs = executor.map_array(run_share, specs)
        except (submitit.core.utils.FailedJobError, subprocess.SubprocessError, OSError) as error:
            store.set_pending(chunk)
            raise UsageError(f"Slurm refused the submission: {str(error).strip().splitlines()[-1]}") from error
        array_ids.append(jobs[0].job_id.split("_")[0])
    return array_ids


def planned_arrays(sweep: grid.Sweep) -> list[str]:
    """A line for each array that a launch of the whole sweep would submit."""
    return [
        f"Array of {len(chunk)} tasks: {', '.join(f'{k} = {v}' for k, v in slurm_parameters(resources).items() if v)}"
        for resources, chunk in _chunks([(index, run.resources) for index, run in enumerate(sweep.runs)])
    ]


def _resources_by_run(store: Store, sweep: grid.Sweep, sweep_id: int) -> dict[int, grid.Resources]:
    by_axes = {(r.cell.model, r.cell.k, r.cell.eta, _key(dict(r.cell.axes)), r.seed): r.resources for r in sweep.runs}
    return {
        p.run_id: by_axes[p.model, p.k, p.eta, _key(p.axes), p.seed]
        for p in store.progress(sweep_id)
        if (p.model, p.k, p.eta, _key(p.axes), p.seed) in by_axes
    }


def _key(axes: dict[str, Any]) -> str:
    return json.dumps(axes, sort_keys=True)


def _chunks(runs: Sequence[tuple[int, grid.Resources]]) -> Iterator[tuple[grid.Resources, list[int]]]:
    """Runs of equal resources, at most as many at a time as one array may hold."""
    size = max_array_size()
    for _, group in itertools.groupby(sorted(runs, key=_resources_key), key=_resources_key):
        members = list(group)
        for start in range(0, len(members), size):
            yield members[0][1], [run_id for run_id, _ in members[start : start + size]]


def slurm_parameters(resources: grid.Resources) -> dict[str, Any]:
    """Resources in submitit's spelling; what is not set is left to the cluster."""
    additional: dict[str, Any] = {name: getattr(resources, name) for name in ("account", "qos", "gres", "constraint")}
    parameters = {
        "timeout_min": resources.time_min,
        "cpus_per_task": resources.cpus,
        "mem_gb": resources.mem_gb,
        "gpus_per_node": resources.gpus or None,
        "slurm_partition": resources.partition,
        "slurm_array_parallelism": resources.array_parallelism,
        "slurm_additional_parameters": {
            **{name: value for name, value in additional.items() if value is not None},
            **resources.slurm,
        },
    }
    return {name: value for name, value in parameters.items() if value is not None}


def max_array_size() -> int:
    """Most tasks of one array on this cluster: MaxArraySize is the first index that is too large."""
    config = subprocess.run(
        ["scontrol", "show", "config"], capture_output=True, text=True, timeout=_SLURM_TIMEOUT_S, check=True
    ).stdout
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
    return max(1, int(found.group(1)) - 1) if found else 1000


def _slurm_answers() -> bool:
    if shutil.which("sbatch") is None:
        return False
    try:
        ping = subprocess.run(["sinfo", "-h", "-o", "%P"], capture_output=True, timeout=_SLURM_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ping.returncode == 0


def _spec(store: Store, run_ids: Sequence[int], executor: str) -> JobSpec:
    """A job's share. A URL with a password travels in the environment, never in the pickle."""
    url = make_url(store.url)
    secret = url.password is not None or "password" in url.query
    if secret:
        os.environ["STALESWEEP_DB"] = store.url
    return JobSpec(
        run_ids=tuple(run_ids),
        runs_dir=runs_dir().absolute(),
        cache_dir=cache_dir().absolute(),
        database=None if secret else store.url,
        executor=executor,
    )


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


def _resources_key(run: tuple[int, grid.Resources]) -> str:
    return run[1].model_dump_json()
