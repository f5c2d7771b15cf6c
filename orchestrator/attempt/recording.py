"""An attempt's records: the worker appends each to the journal, and a thread brings the journal to the database.

The thread calls the same `orchestrator.store.collect.collect_run` as `stalesweep status`, about once a second and at
the end. Training never waits for the database: while it is away, full, read-only, locked or at its connection limit,
the journal grows, and the thread tries again after growing pauses.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from grpo_worker.schema.records import EvalRecord, FinishRecord, Record, StartRecord, SyncRecord
from orchestrator.attempt.stop import Stop
from orchestrator.base.errors import Fenced, JournalError, SchemaError, StoreError, StoreUnavailable
from orchestrator.rundir.writing import Journal
from orchestrator.store import attempts
from orchestrator.store.attempts import Claim
from orchestrator.store.collect import collect_run
from orchestrator.store.database import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often an attempt turns to the database, and how long it waits for it."""

    every_s: float = 1.0  # between two looks for new records; a look that finds none gives the connection back
    heartbeat_s: float = 20.0  # without a record for so long, the journal gets a beat: the attempt is alive
    patience_s: float = 30.0  # how long its beginning, and its end, wait for a database that is away
    hurry_s: float = 5.0  # how long its end waits after the job was asked to stop, because Slurm kills it soon
    hold_s: float = 15.0  # then a busy connection is given back: at a server's limit other jobs wait for it
    longest_pause_s: float = 15.0  # the longest pause before the database is tried again


ORDINARY = Pace()

_FIRST_PAUSE_S = 0.1

_NAMES = {StartRecord: "start", EvalRecord: "eval", SyncRecord: "sync", FinishRecord: "finish"}


class Recording:
    """Takes the records of an attempt. A context: when it ends, the database has all records, or is away.

    It closes the journal at its end. ``store`` is None where jobs write journals only.
    """

    def __init__(
        self, journal: Journal, claim: Claim, store: Store | None, pace: Pace = ORDINARY, stop: Stop | None = None
    ) -> None:
        self._journal, self._claim, self._store, self._pace = journal, claim, store, pace
        self._stop = stop or Stop()
        self._stored = 0
        self._connected_at: float | None = None
        self._failed_looks = 0
        self._notes: set[str] = set()
        self._error: Exception | None = None
        self._over, self._given_up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, name="recording", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._wait()
        if self._thread.is_alive():
            self._given_up.set()
            self._wait()  # with an end, because a server may be silent without being gone
            log.warning("the database does not have all records yet; `stalesweep status` brings them from the journal")
        self._journal.close()
        if self._error is not None and error is None:
            raise self._error

    def emit(self, record: Record) -> None:
        """Take a record: it is on disk when this returns.

        Raises:
            Fenced: A newer attempt of the run has taken over.
            JournalError: The run directory cannot be written to.
            StoreError: The database refuses the attempt's records, and not for being away.
        """
        self.refuse_older()
        name, values = as_entry(record)
        if isinstance(record, FinishRecord) and record.outcome == "interrupted":
            values["why"] = self._stop.why
        self._journal.append(name, values)

    def refuse_older(self) -> None:
        """Raise what `emit` would raise, e.g. before a checkpoint is saved that a newer attempt does not know of."""
        if self._error is not None:
            raise self._error
        if self._journal.overtaken():
            raise self._overtaken()

    def fail(self, failure: str, failure_class: str = "exception") -> None:
        """Record that an exception ended the attempt; ``failure`` is one line for people: its class and message."""
        try:
            self._journal.append("fail", {"failure": failure, "failure_class": failure_class})
        except JournalError as error:
            log.error("%s", error)
        else:
            if self._error is None:
                return
        # The disk is full, or the database refuses a record that stands before this one in the journal.
        if self._store is not None:
            try:
                attempts.abort(self._store, self._claim, failure, failure_class)
            except (StoreError, Fenced) as error:
                log.error("the failure is not stored: %s", error)
            self._disconnect()

    def _wait(self) -> None:
        began = time.monotonic()
        while self._thread.is_alive():
            longest_s = self._pace.hurry_s if self._stop.is_set() else self._pace.patience_s
            left_s = began + longest_s - time.monotonic()
            if left_s <= 0:
                return
            self._thread.join(min(left_s, 0.2))

    def _serve(self) -> None:
        try:
            while True:
                last = self._over.is_set()  # read before the records are looked for, because none is added after it
                if not last:
                    self._beat()
                try:
                    self._look(last)
                except (StoreUnavailable, SchemaError, OSError) as error:
                    if self._given_up.is_set():
                        return
                    (self._given_up if last else self._over).wait(self._pause(error))
                    continue
                if last:
                    return
                self._over.wait(random.uniform(0.7, 1.0) * self._pace.every_s)
        except Exception as error:  # noqa: BLE001
            # Raised where the next record is emitted, or at the end.
            self._error = self._overtaken() if self._journal.overtaken() else error
        finally:
            self._disconnect()

    def _overtaken(self) -> Fenced:
        attempt = f"attempt {self._claim.attempt} of run {self._claim.run_id}"
        return Fenced(f"{attempt} ends: a newer one took over, or the run was removed")

    def _beat(self) -> None:
        try:
            self._journal.beat(self._pace.heartbeat_s)
        except JournalError as error:
            log.warning("%s", error)  # training goes on, because there may be space again for the next record

    def _look(self, last: bool) -> None:
        flushed = self._journal.flushed
        if self._store is None or (flushed == self._stored and not last):
            self._disconnect()
            return
        self._bring(self._store)
        self._stored = flushed
        if self._failed_looks:
            log.info("the database answers again")
            self._failed_looks = 0

    def _bring(self, store: Store) -> None:
        if self._connected_at is None:
            store.check()
            self._connected_at = time.monotonic()
        run = attempts.followed_run(store, self._claim)
        if run is not None:
            notes: list[str] = []
            run = dataclasses.replace(run, directory=str(self._journal.path.parent))
            collect_run(store, run, notes, own=self._journal)
            for note in sorted({*notes} - self._notes):
                log.error("%s", note)
            self._notes.update(notes)
        if time.monotonic() - self._connected_at > self._pace.hold_s:
            self._disconnect()

    def _pause(self, error: Exception) -> float:
        if not self._failed_looks:
            log.warning("%s; training goes on, and the journal keeps what it measures", error)
        self._disconnect()
        self._failed_looks += 1
        return pause_s(self._failed_looks, self._pace.longest_pause_s)

    def _disconnect(self) -> None:
        if self._store is not None:
            self._store.close()
        self._connected_at = None


def pause_s(failed_looks: int, longest_s: float) -> float:
    """Choose how long to wait before the database is tried again: about twice as long after each failed look."""
    return random.uniform(0.5, 1.0) * min(longest_s, _FIRST_PAUSE_S * 2.0 ** min(failed_looks, 16))


def as_entry(record: Record) -> tuple[str, dict[str, Any]]:
    """What the journal is to hold of a record: its kind and its fields."""
    # Not `asdict`, which copies every value deeply: half of the time that a record took from training.
    return _NAMES[type(record)], {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
