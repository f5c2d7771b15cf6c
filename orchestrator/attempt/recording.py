"""An attempt's records on their way: the worker → the journal, at once → the database, by a thread of its own.

Training never waits for the database. While it is away, full, read-only, locked or at its connection limit, the
journal goes on, the thread asks again with growing pauses, and brings what has gathered when it answers.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from grpo_worker.schema.records import EvalRecord, FinishRecord, Record, StartRecord, SyncRecord
from orchestrator.attempt.stopping import Stop
from orchestrator.base.errors import (
    Fenced,
    JournalError,
    OutOfStep,
    SchemaError,
    StoreError,
    StoreUnavailable,
    Unheard,
)
from orchestrator.rundir.journal import Chunk, Journal
from orchestrator.store.store import Claim, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How an attempt deals with the database's time.

    Attributes:
        heartbeat_s: Without a record for so long, it says that it is alive.
        patience_s: How long its beginning, and its end, wait for a database that is away.
        hurry_s: How long its end waits where the job is asked to stop: who asks will not wait long either.
        idle_s: Without a record for so long, it gives its connection back until the next.
        hold_s: A busy connection too, after so long: at a server's limit others wait for it.
        longest_pause_s: Between two questions whether the database is back.
    """

    heartbeat_s: float = 20.0
    patience_s: float = 30.0
    hurry_s: float = 5.0
    idle_s: float = 1.0
    hold_s: float = 15.0
    longest_pause_s: float = 15.0


ORDINARY = Pace()

_FIRST_PAUSE_S = 0.1

_NAMES = {StartRecord: "start", EvalRecord: "eval", SyncRecord: "sync", FinishRecord: "finish"}


class Recording:
    """Takes the records of an attempt that has begun. A context: at its end the database has all, or is away.

    Args:
        journal: The attempt's journal; closed at the end.
        claim: The attempt.
        store: The database; None where jobs write journals only.
        introduce: Brings the journals of the run, oldest first, to a database that has not heard of the attempt: it
            was away when the attempt began, or is an older state of itself.
        pace: How it deals with the database's time.
        stop: Set when the job is asked to end.
    """

    def __init__(
        self,
        journal: Journal,
        claim: Claim,
        store: Store | None,
        introduce: Callable[[], None],
        pace: Pace = ORDINARY,
        stop: Stop | None = None,
    ) -> None:
        self._journal, self._claim, self._store = journal, claim, store
        self._introduce, self._pace = introduce, pace
        self._stop = stop or Stop()
        self._stored = 0
        self._spoke = self._connected = time.monotonic()
        self._fresh, self._introduced = True, False
        self._refused = 0
        self._error: Exception | None = None
        self._wake, self._over, self._given_up = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, name="recording", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._wake.set()
        self._wait()
        if self._thread.is_alive():
            self._given_up.set()
            self._wait()  # not for ever: a server may be silent without being gone
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
        self._wake.set()

    def refuse_older(self) -> None:
        """Raise what `emit` would raise, e.g. before a checkpoint is saved that a newer attempt does not know of."""
        if self._error is not None:
            raise self._error
        if self._journal.overtaken():
            raise self._overtaken()

    def fail(self, failure: str, failure_class: str = "exception") -> None:
        """Record that an exception ended the attempt.

        Args:
            failure: One line for people: the error's class and message.
            failure_class: One of `orchestrator.base.states.FailureClass`.
        """
        try:
            self._journal.append("fail", {"failure": failure, "failure_class": failure_class})
        except JournalError as error:
            log.error("%s", error)
        else:
            if self._error is None:
                return
        if self._store is not None:
            try:
                self._store.fail(self._claim, failure, failure_class)
            except (StoreError, Unheard) as error:
                log.error("the failure is not stored: %s", error)

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
                last = self._over.is_set()  # before the records are looked for: after it, none is added
                try:
                    self._bring()
                except (StoreUnavailable, SchemaError) as error:
                    if self._given_up.is_set():
                        return
                    self._beat()
                    (self._given_up if last else self._over).wait(self._pause(error))
                    continue
                if last:
                    return
                self._rest()
        except Exception as error:  # noqa: BLE001
            # Raised where the next record is emitted, or at the end.
            self._error = self._overtaken() if self._journal.overtaken() else error
        finally:
            self._disconnect()

    def _overtaken(self) -> Fenced:
        attempt = f"attempt {self._claim.attempt} of run {self._claim.run_id}"
        return Fenced(f"{attempt} ends: a newer one took over, or the run was removed")

    def _bring(self) -> None:
        if self._store is None:
            self._beat()
            return
        if self._fresh:
            self._store.check(self._claim)
            self._fresh, self._connected = False, time.monotonic()
        while (chunk := self._journal.read(self._stored)).entries and not self._must_let_go():
            for damage in chunk.damage:
                log.error("%s", damage)
            self._ingest(self._store, chunk)
        if time.monotonic() - self._spoke > self._pace.heartbeat_s:
            try:
                self._store.heartbeat(self._claim)
            except Unheard:
                self._stored = 0  # its first record introduces it
            self._spoke = time.monotonic()
        if self._refused:
            log.info("the database answers again")
            self._refused = 0

    def _ingest(self, store: Store, chunk: Chunk) -> None:
        try:
            age_s = self._journal.elapsed_s - chunk.entries[-1]["elapsed_s"]
            store.ingest(self._claim, chunk, age_s=max(0.0, age_s))
            self._stored, self._spoke = chunk.end, time.monotonic()
        except OutOfStep as other:
            store.check(self._claim)  # another database may have taken the place of the one that it was
            self._stored = other.stored
        except Unheard as error:
            self._stored, self._introduced = 0, not self._introduced
            if not self._introduced:
                raise StoreUnavailable(str(error)) from error
            self._introduce()
            return
        self._introduced = False

    def _beat(self) -> None:
        # With no database to tell, the journal shows that the attempt is alive: between its first record, which says
        # whose it is, and its last.
        silent = time.monotonic() - self._spoke > self._pace.heartbeat_s
        if silent and not self._journal.empty and not self._over.is_set():
            self._spoke = time.monotonic()
            try:
                self._journal.append("beat")
            except JournalError as error:
                log.warning("%s", error)  # not what training should end for; the next record may find space

    def _pause(self, error: StoreError) -> float:
        if not self._refused:
            log.warning("%s; training goes on, and the journal keeps what it measures", error)
        self._disconnect()
        self._refused += 1
        longest = min(self._pace.longest_pause_s, _FIRST_PAUSE_S * 2.0 ** min(self._refused, 16))
        return random.uniform(0.5, 1.0) * longest

    def _rest(self) -> None:
        if self._must_let_go():
            self._disconnect()
            self._over.wait(random.uniform(0.0, self._pace.idle_s))
            return
        if not self._wake.wait(self._pace.idle_s):
            self._disconnect()
            self._wake.wait(self._pace.heartbeat_s)
        self._wake.clear()

    def _must_let_go(self) -> bool:
        return time.monotonic() - self._connected > self._pace.hold_s and not self._over.is_set()

    def _disconnect(self) -> None:
        if self._store is not None:
            self._store.close()
        self._fresh = True


def as_entry(record: Record) -> tuple[str, dict[str, Any]]:
    """What the journal is to hold of a record: its kind and its fields."""
    # Not `asdict`, which copies every value deeply: half of the time that a record took from training.
    return _NAMES[type(record)], {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
