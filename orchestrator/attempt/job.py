"""Inside a job: attempts of runs, one after the other, each record to the journal and on to the database.

A job is handed run directories and a reference to the database, never a live object. It takes the runs of its share
that nobody else has taken: several jobs may hold the same share, and a run is still trained once.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from grpo_worker import import_large
from grpo_worker.schema.config import WorkerConfig
from orchestrator.attempt.claim import Begun, begin
from orchestrator.attempt.notice import tell_end
from orchestrator.attempt.recording import ORDINARY, Pace, Recording
from orchestrator.attempt.share import follow
from orchestrator.attempt.stop import Stop, on_signals
from orchestrator.base.errors import Fenced, JournalError, StoreError, UsageError
from orchestrator.base.filesystems import network_filesystem
from orchestrator.base.processes import this_host
from orchestrator.base.provenance import checkout
from orchestrator.base.safe_text import printable, redacted
from orchestrator.base.settings import cache_dir, jobs_write
from orchestrator.base.states import FENCED, AttemptOutcome, FailureClass
from orchestrator.base.urls import resolve
from orchestrator.rundir import folder as rundirs
from orchestrator.rundir import writing
from orchestrator.store.database import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a job needs; it is pickled, so it holds no password."""

    directories: tuple[Path, ...]  # run directories of the job's share, absolute, in the order to train them
    cache_dir: Path  # where warmed-up policies are kept, absolute
    database: str  # what orchestrator.base.urls.handed_over gave
    executor: str  # local, slurm or debug
    launched_from: str  # the host that launched it
    writes: str  # database, journal or auto, see journals_only
    more: Path | None = None  # where the launcher lists further runs, see orchestrator.attempt.share


def job_spec(database: str, directories: Iterable[Path], executor: str) -> JobSpec:
    """Put a job's share together, within `orchestrator.base.urls.handed_over`."""
    return JobSpec(
        directories=tuple(directories),
        cache_dir=cache_dir().absolute(),
        database=database,
        executor=executor,
        launched_from=this_host(),
        writes=jobs_write(),
    )


def journals_only(url: str, writes: str, launched_from: str) -> str | None:
    """Say why jobs on this host leave the database to the command line, None where they write to it.

    SQLite is for processes of one host that share a local disk. Elsewhere its locks cannot be relied on: jobs write
    journals only, and `status` brings them in, as the only writer. ``writes`` is ``database`` or ``journal`` where the
    user has decided, else ``auto``.
    """
    if writes != "auto":
        return "STALESWEEP_JOBS_WRITE says so" if writes == "journal" else None
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    if found := network_filesystem(Path(str(parsed.database))):
        return f"the SQLite file lies on a network file system ({found})"
    if this_host() != launched_from:
        return f"the SQLite file was made on another host, {launched_from}"
    return None


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt of a job ended."""

    run_id: int
    outcome: str  # of AttemptOutcome, or FENCED
    learner_steps: int | None = None  # learner steps that this attempt itself has applied; None where it did not say
    sweep: str = ""  # its name


def run_share(spec: JobSpec, pace: Pace = ORDINARY, stop: Stop | None = None) -> list[Ended]:
    """Train the runs of a share that are not taken; the entry point of every job.

    A run that fails is recorded, and the next one begins. On SIGTERM, SIGINT or SIGUSR2 the run in hand saves a
    checkpoint after its learner step and the job ends; the run is pending again. A caller that gives ``stop`` handles
    the signals. Returns how each attempt of this job ended, in their order.
    """
    handling: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if stop is None:
        stop = Stop()
        handling = on_signals(stop)
    ended: list[Ended] = []
    url = resolve(spec.database)
    store = None if journals_only(url, spec.writes, spec.launched_from) else Store(url, check_schema=False)
    with handling, store or contextlib.nullcontext():
        worker = import_large("grpo_worker.loop")  # takes seconds, in which a signal must not be lost
        for directory in itertools.chain(spec.directories, follow(spec.more, stop) if spec.more else ()):
            if stop.is_set():
                break
            try:
                one = attempt(store, spec, directory, worker, stop, pace)
            except (JournalError, UsageError) as error:
                if isinstance(error, StoreError):
                    raise
                log.error("%s: not trained: %s", directory.name, error)
                continue
            if one is not None:
                ended.append(one)
                if store is not None:
                    tell_end(store, one.sweep)
    return ended


def attempt(
    store: Store | None, spec: JobSpec, directory: Path, worker: Any, stop: Stop, pace: Pace = ORDINARY
) -> Ended | None:
    """Make one attempt of a run, unless it is taken or done; returns how it ended, if there was one.

    ``store`` is None where jobs write journals only, and ``worker`` the module `grpo_worker.loop`.

    Raises:
        JournalError: The run directory cannot be written to.
        UsageError: Its ``run.json`` cannot be used.
        StoreError: The database cannot be used, and not for being away.
    """
    if not directory.exists():
        log.warning("%s is gone: its run was removed", directory)
        return None
    run = rundirs.load(directory)
    config = run.worker_config()
    begun = begin(store, spec.executor, directory, run, config, worker.latest_checkpoint, stop, pace)
    if begun is None:
        return None

    with _logging_to(rundirs.log_of(directory, begun.claim.attempt)):
        log.info("run %d, attempt %d on %s: k = %d, eta = %g, seed %d", run.run_id, begun.claim.attempt, this_host(),
                 config.k, config.eta, config.seed)  # fmt: skip
        try:
            with Recording(begun.journal, begun.claim, store, pace, stop) as recording:
                ended = _train(recording, begun, worker, config, spec.cache_dir, directory, stop)
        except Fenced as error:
            log.warning("%s", error)
            ended = Ended(run.run_id, FENCED)
        except StoreError:
            log.exception("the database refuses this attempt")
            ended = Ended(run.run_id, AttemptOutcome.FAILED)
        return replace(ended, sweep=run.sweep)


def _train(
    recording: Recording, begun: Begun, worker: Any, config: WorkerConfig, cache_dir: Path, directory: Path, stop: Stop
) -> Ended:
    def should_stop() -> bool:
        recording.refuse_older()  # it is asked before a checkpoint is saved, which a newer attempt must be spared
        return stop.is_set()

    try:
        begun.journal.append("begin", begun.first_record)
        writing.mend(directory, before=begun.claim.attempt)
        if (code := checkout()) is not None and code.dirty:
            begun.journal.path.with_suffix(".diff").write_bytes(code.diff)
        finish = worker.run(config, recording.emit, cache_dir=cache_dir, run_dir=directory, should_stop=should_stop)
    except Fenced:
        raise
    except Exception as error:
        log.exception("the attempt failed")
        recording.fail(_one_line(error) + _if_full(error, directory), _class_of(error))
        return Ended(begun.claim.run_id, AttemptOutcome.FAILED)
    log.info("ended: %s after %d learner steps", finish.outcome, finish.learner_steps)
    steps = finish.learner_steps - (begun.first_record["resumed_from_step"] or 0)
    return Ended(begun.claim.run_id, str(finish.outcome), steps)


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Send what is logged to a run's own file as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
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
        with contextlib.suppress(OSError):  # of a full disk, where the last lines do not fit
            handler.close()


def _class_of(error: Exception) -> str:
    # By name: the control plane does not import torch.
    is_out_of_memory = type(error).__name__ == "OutOfMemoryError"
    return FailureClass.GPU_OUT_OF_MEMORY if is_out_of_memory else FailureClass.EXCEPTION


def _if_full(error: Exception, directory: Path) -> str:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"; make room on the disk of {directory}, then `stalesweep launch` again" if full else ""


def _one_line(error: Exception) -> str:
    return printable(redacted(" ".join("".join(traceback.format_exception_only(error)).split())))
