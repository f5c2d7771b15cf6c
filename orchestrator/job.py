"""Inside a job: attempts of runs, one after the other, each record written to the database as it is made.

A job is handed run numbers and a reference to the database, never a live object. It takes the runs of its share
that nobody else has taken: several jobs may hold the same share, and a run is still trained once.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from grpo_worker.config import WorkerConfig
from grpo_worker.records import FinishRecord, Record
from orchestrator.db.store import AttemptOrigin, Claim, Store
from orchestrator.errors import Fenced
from orchestrator.processes import started_at, this_host
from orchestrator.settings import cache_dir, code_version, database_url, runs_dir

log = logging.getLogger(__name__)

HEARTBEAT_S = 20.0


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a job needs; it is pickled, so it holds no password.

    Attributes:
        run_ids: The job's share, in the order to train them.
        runs_dir: Where run directories lie, absolute.
        cache_dir: Where warmed-up policies are kept, absolute.
        database: URL without a password; None = the environment's ``STALESWEEP_DB``.
        executor: ``local``, ``slurm`` or ``debug``.
    """

    run_ids: tuple[int, ...]
    runs_dir: Path
    cache_dir: Path
    database: str | None
    executor: str


def job_spec(store: Store, run_ids: Sequence[int], executor: str) -> JobSpec:
    """Put a job's share together. A URL with a password travels in the environment, never in the pickle."""
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


def run_directory(runs_dir: Path, run_id: int) -> Path:
    """Where a run keeps its checkpoints and its log."""
    return runs_dir / f"run-{run_id:06d}"


def run_share(spec: JobSpec) -> dict[int, str]:
    """Train the runs of a share that are not taken; the entry point of every job.

    A run that fails is recorded, and the next one begins. On SIGTERM, SIGINT or SIGUSR2 the run in hand saves a
    checkpoint after its learner step and the job ends; the run is pending again.

    Returns:
        The outcome of each run that this job has attempted.
    """
    stop = threading.Event()
    outcomes: dict[int, str] = {}
    with _stopping_on_signals(stop), Store(database_url(spec.database)) as store:
        worker = importlib.import_module("grpo_worker.loop")  # takes seconds, in which a signal must not be lost
        for run_id in spec.run_ids:
            if stop.is_set():
                break
            outcome = attempt(store, spec, run_id, worker, stop)
            if outcome is not None:
                outcomes[run_id] = outcome
    return outcomes


def attempt(store: Store, spec: JobSpec, run_id: int, worker: Any, stop: threading.Event) -> str | None:
    """Make one attempt of a run, unless it is taken or done.

    Args:
        store: The results database.
        spec: The job's share.
        run_id: The run.
        worker: The module `grpo_worker.loop`.
        stop: Set when the job is to end.

    Returns:
        How the attempt ended, None when there was nothing to do.
    """
    config: WorkerConfig = store.run_config(run_id)
    run_dir = run_directory(spec.runs_dir, run_id)
    found = worker.latest_checkpoint(run_dir)
    step = found[1] if found else None
    claim = store.begin_attempt(
        run_id,
        origin(spec.executor),
        resumed_from_sync=None if step is None else config.last_whole_sync(step),
        resumed_from_step=step,
        take_over=_restart_count() > 0,
    )
    if claim is None:
        return None
    with _logging_to(run_dir / "log.txt"), _heartbeat(store, claim):
        log.info("run %d, attempt %d on %s: k = %d, eta = %g, seed %d", run_id, claim.attempt, this_host(),
                 config.k, config.eta, config.seed)  # fmt: skip
        try:
            finish = worker.run(
                config, _recorder(store, claim), cache_dir=spec.cache_dir, run_dir=run_dir, should_stop=stop.is_set
            )
        except Fenced as error:
            log.warning("%s", error)
            return "fenced"
        except Exception as error:
            log.exception("the attempt failed")
            store.fail(claim, _one_line(error))
            return "failed"
        log.info("ended: %s after %d learner steps", finish.outcome, finish.learner_steps)
        return str(finish.outcome)


def origin(executor: str) -> AttemptOrigin:
    """Describe this process, as an attempt records it."""
    environ = os.environ
    return AttemptOrigin(
        executor=executor,
        job_id=environ.get("SLURM_ARRAY_JOB_ID") or environ.get("SLURM_JOB_ID") or environ.get("SUBMITIT_LOCAL_JOB_ID"),
        task_id=environ.get("SLURM_ARRAY_TASK_ID"),
        restart_count=_restart_count(),
        host=this_host(),
        pid=os.getpid(),
        process_started_at=started_at(os.getpid()) or 0.0,
        code_version=code_version(),
    )


def _restart_count() -> int:
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def _recorder(store: Store, claim: Claim) -> Callable[[Record], None]:
    def emit(record: Record) -> None:
        if isinstance(record, FinishRecord):
            store.finish(claim, record)
        else:
            store.write(claim, record)

    return emit


@contextlib.contextmanager
def _heartbeat(store: Store, claim: Claim) -> Iterator[None]:
    """Say every few seconds that the attempt is alive, also while a model loads or a cycle takes long."""
    over = threading.Event()

    def beat() -> None:
        with contextlib.suppress(Fenced):  # the next record will meet it too, and end the attempt
            while not over.wait(HEARTBEAT_S):
                store.heartbeat(claim)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    """Let a signal end the run in hand in good order; outside a main thread signals stay as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Send what is logged to a run's own file as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def _one_line(error: Exception) -> str:
    return " ".join("".join(traceback.format_exception_only(error)).split())
