"""Who trains a run: an attempt begins by a number of its own, which the database grants, or its directory.

The number is reserved as an empty journal first, so that it is never given twice, whether the database answers or not.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_worker.config import WorkerConfig
from orchestrator import journal
from orchestrator.collect import collect_run
from orchestrator.db.store import AttemptOrigin, Claim, Store
from orchestrator.errors import StoreUnavailable
from orchestrator.journal import Journal
from orchestrator.processes import started_at, this_host
from orchestrator.provenance import checkout
from orchestrator.recording import PATIENCE_S
from orchestrator.rundirs import RunFile
from orchestrator.settings import code_version

log = logging.getLogger(__name__)

LatestCheckpoint = Callable[[Path], tuple[Path, int] | None]


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that has the run.

    Attributes:
        journal: Its journal, still empty.
        claim: The run and the attempt's number.
        first_record: What the journal's ``begin`` record is to say: whose attempt, resumed from where.
    """

    journal: Journal
    claim: Claim
    first_record: dict[str, Any]


def begin(
    store: Store | None,
    executor: str,
    directory: Path,
    run: RunFile,
    config: WorkerConfig,
    latest_checkpoint: LatestCheckpoint,
    stop: threading.Event,
) -> Begun | None:
    """Begin an attempt of a run, unless it is taken or done.

    A database that does not answer for a while is left out: the run directory then decides, and the database hears of
    the attempt later, from its journal.

    Args:
        store: The results database; None where jobs write journals only.
        executor: What executes the attempt.
        directory: The run's directory.
        run: What its ``run.json`` says.
        config: The run's config.
        latest_checkpoint: Finds the checkpoint that the attempt will resume from.
        stop: Ends the waiting for a database.

    Returns:
        The attempt; None when there is nothing to do.

    Raises:
        JournalError: The run directory cannot be written to.
        StoreError: The database cannot be used, and not for being away.
    """
    journal.mend(directory)
    own = origin(executor)
    give_up_at = time.monotonic() + PATIENCE_S
    while store is not None and time.monotonic() < give_up_at:
        try:
            return _ask_database(store, own, directory, run, config, latest_checkpoint)
        except StoreUnavailable as error:
            log.warning("run %d has to wait: %s", run.run_id, error)
        if stop.wait(random.uniform(0.5, 3.0)):
            return None
    return _ask_directory(own, directory, run, config, latest_checkpoint)


def origin(executor: str) -> AttemptOrigin:
    """Describe this process, as an attempt records it."""
    environ = os.environ
    code = checkout()
    return AttemptOrigin(
        executor=executor,
        job_id=environ.get("SLURM_ARRAY_JOB_ID") or environ.get("SLURM_JOB_ID") or environ.get("SUBMITIT_LOCAL_JOB_ID"),
        task_id=environ.get("SLURM_ARRAY_TASK_ID"),
        restart_count=int(environ.get("SLURM_RESTART_COUNT", "0")),
        host=this_host(),
        pid=os.getpid(),
        process_started_at=started_at(os.getpid()) or 0.0,
        code_version=code_version(),
        git_commit=code.commit if code else None,
        git_dirty=code.dirty if code else None,
    )


def _ask_database(
    store: Store,
    own: AttemptOrigin,
    directory: Path,
    run: RunFile,
    config: WorkerConfig,
    latest_checkpoint: LatestCheckpoint,
) -> Begun | None:
    store.check()
    folder = store.run_folder(run.run_id)
    if folder is None:
        return None
    # What earlier attempts could not bring must be there before this one drops what it does not resume from.
    notes: list[str] = []
    collect_run(store, folder, notes)
    for note in notes:
        log.warning("%s", note)
    reserved = Journal.reserve(directory, max(run.fence, folder.fence))
    begun = _begun(reserved, own, run, config, latest_checkpoint(directory))
    granted = False
    try:
        granted = store.begin_attempt(
            begun.claim,
            own,
            resumed_from_sync=begun.first_record["resumed_from_sync"],
            resumed_from_step=begun.first_record["resumed_from_step"],
            take_over=own.restart_count > 0,
        )
    finally:
        if not granted:
            reserved.discard()
    return begun if granted else None


def _ask_directory(
    own: AttemptOrigin, directory: Path, run: RunFile, config: WorkerConfig, latest_checkpoint: LatestCheckpoint
) -> Begun | None:
    reserved = Journal.reserve(directory, run.fence)
    begun = _begun(reserved, own, run, config, latest_checkpoint(directory))
    if not _is_free(directory, run.fence, reserved.number, take_over=own.restart_count > 0):
        reserved.discard()
        return None
    return begun


def _is_free(directory: Path, fence: int, own: int, *, take_over: bool) -> bool:
    """Whether nobody else has the run since it was submitted, as far as its directory tells."""
    others = [number for number in journal.numbers(directory) if number > fence and number != own]
    if any(number > own for number in others) or (others and not take_over):
        return False
    ends = [journal.last(journal.path_of(directory, number)) for number in others]
    return not any(end and end["record"] == "finish" and end["outcome"] != "interrupted" for end in ends)


def _begun(
    reserved: Journal, own: AttemptOrigin, run: RunFile, config: WorkerConfig, checkpoint: tuple[Path, int] | None
) -> Begun:
    step = checkpoint[1] if checkpoint else None
    first_record = {
        "run": run.run_id, "sweep": run.sweep, "config_digest": run.config_digest, "attempt": reserved.number,
        "resumed_from_sync": None if step is None else config.last_whole_sync(step), "resumed_from_step": step,
        "origin": dataclasses.asdict(own),
    }  # fmt: skip
    return Begun(reserved, Claim(run.run_id, reserved.number, config.steps_per_sync), first_record)
