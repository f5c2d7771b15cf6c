"""Waiting for a SQLite file's write lock, in fair turns."""

from __future__ import annotations

import random
import sqlite3
import time

from orchestrator.store.failures import BUSY_TIMEOUT_S

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.04


def begin_writing(connection: sqlite3.Connection) -> None:
    """Begin a transaction that has the write lock; waits for it as long as the connection waits for any lock.

    SQLite itself asks ever more seldom, down to every 100 ms: who has waited longest is the least likely to come next,
    and with many writers the lock lies idle while all sleep.

    Raises:
        sqlite3.OperationalError: It cannot be had.
    """
    give_up_at = time.monotonic() + BUSY_TIMEOUT_S
    longest_s = _FIRST_PAUSE_S
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                    raise
            else:
                return
            time.sleep(random.uniform(0.0, longest_s))
            longest_s = min(2.0 * longest_s, _LONGEST_PAUSE_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1e3:.0f}")
