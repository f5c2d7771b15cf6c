"""Who trains a run: an attempt begins by a number of its own, which the database grants, or its directory.

The number is reserved as an empty journal first, so that it is never given twice, whether the database answers or not.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_worker.schema.config import WorkerConfig
from orchestrator.attempt.recording import Pace
from orchestrator.attempt.stop import Stop
from orchestrator.base.errors import SchemaError, StoreError, StoreUnavailable
from orchestrator.base.processes import started_at, this_host
from orchestrator.base.provenance import checkout
from orchestrator.base.settings import code_version
from orchestrator.base.states import AttemptOutcome
from orchestrator.rundir import journal
from orchestrator.rundir.folder import RunFile
from orchestrator.rundir.writing import Journal
from orchestrator.store import attempts, queries
from orchestrator.store.attempts import AttemptOrigin, Claim
from orchestrator.store.collect import collect_run, refill
from orchestrator.store.database import Store
from orchestrator.store.queries import RunFolder

log = logging.getLogger(__name__)

LatestCheckpoint = Callable[[Path], tuple[Path, int] | None]


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that has the run."""

    journal: Journal  # still empty
    claim: Claim  # the run and the attempt's number
    first_record: dict[str, Any]  # what the journal's begin record is to say: whose attempt, resumed from where


def begin(
    store: Store | None,
    executor: str,
    directory: Path,
    run: RunFile,
    config: WorkerConfig,
    latest_checkpoint: LatestCheckpoint,
    stop: Stop,
    pace: Pace,
) -> Begun | None:
    """Begin an attempt of a run, unless it is taken or done; then there is none.

    If the database does not answer for a while, or ``store`` is None, the run directory decides instead. The attempt
    then reaches the database later, through its journal.

    Raises:
        JournalError: The run directory cannot be written to.
        StoreError: The database cannot be used, and not for being away.
    """
    asking = _Asking(origin(executor), directory, run, config, latest_checkpoint)
    give_up_at = time.monotonic() + pace.patience_s
    while store is not None and time.monotonic() < give_up_at:
        try:
            return asking.database(store)
        except StoreUnavailable as error:
            log.warning("run %d has to wait: %s", run.run_id, error)
        if stop.wait(random.uniform(0.1, 1.0) * pace.longest_pause_s / 5):
            return None
    return asking.directory_alone()


def origin(executor: str) -> AttemptOrigin:
    """Describe this process, as an attempt records it."""
    environ, code = os.environ, checkout()
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
        node=environ.get("SLURMD_NODENAME"),
    )


@dataclass(slots=True)
class _Asking:
    """What one process asks for until it is answered: always the same attempt, since an answer may have been lost."""

    _own: AttemptOrigin
    _directory: Path
    _run: RunFile
    _config: WorkerConfig
    _latest_checkpoint: LatestCheckpoint
    _wanted: Begun | None = None

    @property
    def _take_over(self) -> bool:
        return self._own.restart_count > 0

    def database(self, store: Store) -> Begun | None:
        store.check()
        folder = queries.run_folder(store, self._run.run_id)
        if folder is None:
            return self._if_free(False)
        if (folder.sweep, folder.config_digest) != (self._run.sweep, self._run.config_digest):
            raise StoreError(
                f"run {self._run.run_id} of this database is another one than {self._directory} is for: was the "
                "database replaced? `stalesweep launch` registers its runs anew"
            )
        folder = dataclasses.replace(folder, directory=str(self._directory))
        checkpoint = self._latest_checkpoint(self._directory)
        self._bring_what_earlier_ones_left(store, folder, checkpoint)
        wanted = self._wanted = self._wanted or self._reserve(max(self._run.fence, folder.fence), checkpoint)
        resumed = {name: wanted.first_record[name] for name in ("resumed_from_sync", "resumed_from_step")}
        return self._if_free(attempts.begin(store, wanted.claim, self._own, **resumed, take_over=self._take_over))

    def directory_alone(self) -> Begun | None:
        wanted = self._wanted = self._wanted or self._reserve(self._run.fence, self._latest_checkpoint(self._directory))
        return self._if_free(self._is_free(wanted.journal))

    def _bring_what_earlier_ones_left(
        self, store: Store, folder: RunFolder, checkpoint: tuple[Path, int] | None
    ) -> None:
        # All that the checkpoint holds must be there before the attempt drops what it does not resume from. It was in
        # the journals before the checkpoint was saved, so the checkpoint is looked for first.
        notes: list[str] = []
        with _noting_refusals(notes):
            collect_run(store, folder, notes)
        if checkpoint is not None:
            with _noting_refusals(notes):
                refill(store, folder, checkpoint[1], notes)
        for note in notes:
            log.warning("%s", note)

    def _reserve(self, after: int, checkpoint: tuple[Path, int] | None) -> Begun:
        reserved = Journal.reserve(self._directory, after)
        run, config = self._run, self._config
        step = checkpoint[1] if checkpoint else None
        first_record = {
            "run": run.run_id, "sweep": run.sweep, "config_digest": run.config_digest, "attempt": reserved.number,
            "resumed_from_sync": None if step is None else config.last_whole_sync(step), "resumed_from_step": step,
            "origin": dataclasses.asdict(self._own), "writer": reserved.writer.to_json(),
        }  # fmt: skip
        claim = Claim(run.run_id, reserved.number, config.steps_per_sync, run.config_digest)
        return Begun(reserved, claim, first_record)

    def _is_free(self, mine: Journal) -> bool:
        """Whether nobody else has the run since it was submitted, as far as its directory tells."""
        others = {
            n: path for n in journal.numbers(self._directory)
            if self._run.fence < n != mine.number
            and not journal.stranger(path := journal.path_of(self._directory, n), self._run.identity)
        }  # fmt: skip
        # Of those who ask at once the first one has it: the number that it reserved is the smallest.
        if mine.overtaken() or (min(others, default=mine.number) < mine.number and not self._take_over):
            return False
        return not any(map(_leaves_nothing_to_do, others.values()))

    def _if_free(self, is_free: bool) -> Begun | None:
        """The attempt that was asked for; else its reserved number is given up."""
        if not is_free and self._wanted is not None:
            self._wanted.journal.discard()
            self._wanted = None
        return self._wanted


@contextmanager
def _noting_refusals(notes: list[str]) -> Iterator[None]:
    # A record that an older attempt has left, and that the database refuses, must not keep the run from going on.
    try:
        yield
    except (OSError, StoreError) as error:
        if isinstance(error, StoreUnavailable | SchemaError):
            raise
        notes.append(str(error))


def _leaves_nothing_to_do(path: Path) -> bool:
    try:
        end = journal.last(path)
    except FileNotFoundError:  # reserved by another process, which has given up meanwhile
        return False
    if end is not None and end["record"] == "finish":
        return bool(end["outcome"] != AttemptOutcome.INTERRUPTED)
    return end is not None and end["record"] in (*journal.WORDS, "fail")
