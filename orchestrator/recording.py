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
from types import TracebackType
from typing import Self

from grpo_worker.records import EvalRecord, FinishRecord, Record, StartRecord, SyncRecord
from orchestrator.db.store import Claim, Store
from orchestrator.errors import (
    Fenced,
    JournalError,
    OutOfStep,
    SchemaError,
    StalesweepError,
    StoreError,
    StoreUnavailable,
)
from orchestrator.journal import Journal

log = logging.getLogger(__name__)

HEARTBEAT_S = 20.0
PATIENCE_S = 30.0
"""How long the end of an attempt waits for an absent database before it leaves the rest to others."""

_IDLE_S = 1.0  # without a record for so long, the connection is given back until the next
_HOLD_S = 15.0  # a busy connection too, now and then: at a server's limit others wait for it
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 15.0

_NAMES = {StartRecord: "start", EvalRecord: "eval", SyncRecord: "sync", FinishRecord: "finish"}


class Recording:
    """Takes the records of an attempt that has begun. A context: at its end the database has all, or is away.

    Args:
        journal: The attempt's journal; closed at the end.
        claim: The attempt.
        store: The database; None where jobs write journals only.
    """

    def __init__(self, journal: Journal, claim: Claim, store: Store | None) -> None:
        self._journal, self._claim, self._store = journal, claim, store
        self._stored = 0
        self._spoke = self._connected = time.monotonic()
        self._fresh = True
        self._refused = 0
        self._error: StalesweepError | None = None
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
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            self._given_up.set()
            self._thread.join()
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
        if self._error is not None:
            raise self._error
        if self._journal.overtaken():
            attempt = f"attempt {self._claim.attempt} of run {self._claim.run_id}"
            raise Fenced(f"{attempt} ends: a newer one took over, or the run was removed")
        self._journal.append(_NAMES[type(record)], dataclasses.asdict(record))
        self._wake.set()

    def fail(self, failure: str) -> None:
        """Record that an exception ended the attempt.

        Args:
            failure: One line for people: the error's class and message.
        """
        try:
            self._journal.append("fail", {"failure": failure})
        except JournalError as error:
            log.error("%s", error)
        else:
            if self._error is None:
                return
        if self._store is not None:
            try:
                self._store.fail(self._claim, failure)
            except StoreError as error:
                log.error("the failure is not stored: %s", error)

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
        except StalesweepError as error:
            self._error = error
        finally:
            self._disconnect()

    def _bring(self) -> None:
        if self._store is None:
            self._beat()
            return
        if self._fresh:
            self._store.check()
            self._fresh, self._connected = False, time.monotonic()
        while (chunk := self._journal.read(self._stored)).entries:
            for damage in chunk.damage:
                log.error("%s", damage)
            try:
                age_s = self._journal.elapsed_s - chunk.entries[-1]["elapsed_s"]
                self._store.ingest(self._claim, chunk, age_s=max(0.0, age_s))
            except OutOfStep as other:
                self._stored = other.stored
                continue
            self._stored, self._spoke = chunk.end, time.monotonic()
        if time.monotonic() - self._spoke > HEARTBEAT_S:
            self._store.heartbeat(self._claim)
            self._spoke = time.monotonic()
        if self._refused:
            log.info("the database answers again")
            self._refused = 0

    def _beat(self) -> None:
        # With no database to tell, the journal shows that the attempt is alive.
        if time.monotonic() - self._spoke > HEARTBEAT_S:
            self._journal.append("beat")
            self._spoke = time.monotonic()

    def _pause(self, error: StoreError) -> float:
        if not self._refused:
            log.warning("%s; training goes on, and the journal keeps what it measures", error)
        self._disconnect()
        self._refused += 1
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._refused, 16))
        return random.uniform(0.5, 1.0) * longest

    def _rest(self) -> None:
        if time.monotonic() - self._connected > _HOLD_S:
            self._disconnect()
            self._over.wait(random.uniform(0.0, _IDLE_S))
        if not self._wake.wait(_IDLE_S):
            self._disconnect()
            self._wake.wait(HEARTBEAT_S)
        self._wake.clear()

    def _disconnect(self) -> None:
        if self._store is not None:
            self._store.close()
        self._fresh = True
