"""What a driver's error means: whether trying again later may help, and what to do about it.

Errors are sorted by SQLSTATE and by SQLite's result code, never by the class of the exception: drivers put a full
disk, a missing table and a refused password into one class. Our own mistakes stay a plain `StoreError`, which is not
tried again.
"""

from __future__ import annotations

import re
import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestrator.base.errors import StoreError, StoreUnavailable

BUSY_TIMEOUT_S = 30.0
"""How long a SQLite writer waits for another one."""

_TOO_MANY = (
    "the server is at its connection limit (max_connections): fewer jobs at a time, a higher limit, or PgBouncer"
)
_NOT_UP = "the server is starting up or shutting down: try again in a moment"
_AWAY = "the connection to the server was lost: is it running, and is the network up?"
_REFUSED = (
    "the server refuses this user or password: check the user's name, and the password in ~/.pgpass or in the file "
    "that STALESWEEP_DB_FILE names"
)
_CONFLICT = "another transaction was in the way: try again"
_DAMAGED = "the server reports damaged data: ask its administrator, restore a backup"
_NO_DATABASE = "the server has no such database: create it with createdb, or name another one"

_POSTGRES = {
    "08": _AWAY,
    "25006": "the server takes no writes (a standby, or default_transaction_read_only is on): name the primary server",
    "25P03": "the server ended a transaction that stood still for too long: try again",
    "25P04": "the server ended a transaction that took too long (transaction_timeout): try again",
    "28": _REFUSED,
    "3D000": _NO_DATABASE,
    "40": _CONFLICT,
    "42501": "this user lacks a right there: the owner of the database grants it (GRANT ... TO ...)",
    "53": "the server is short of something: try again later, or ask its administrator",
    "53100": "the disk of the server is full: make room there",
    "53200": "the server is out of memory: try again later, or ask its administrator",
    "53300": _TOO_MANY,
    "55006": _CONFLICT,
    "55P03": "another transaction holds a lock for too long (lock_timeout): try again when it is done",
    "57": _NOT_UP,
    "57014": "the server cancelled a statement that took too long (statement_timeout): try again, or raise the limit",
    "58": "the disk of the server fails: ask its administrator",
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
"""By SQLSTATE, or by its class if the whole class means the same."""

_CONNECTING = (
    (r"too many clients|connection slots|too many connections|no more connections", _TOO_MANY),
    (r"starting up|shutting down|recovery|not (yet )?accepting connections", _NOT_UP),
    (r"authentication|pg_hba|no password supplied|role .* does not exist|SASL", _REFUSED),
    (r"database .* does not exist", _NO_DATABASE),
    (r"resolve host|translate host", "the server's name is not known here: check the host in the URL"),
    (r"timeout", "the server does not answer: is it running, and is the network up?"),
    (r"refused|No such file", "the server cannot be reached: is it running, and are host and port right?"),
)
"""Libpq gives no SQLSTATE for a connection that was never made. Messages in other languages match none of these."""

_NO_WRITING = "it cannot be written: give yourself the right to write the file and its folder, or name another file"

_SQLITE = {
    sqlite3.SQLITE_BUSY: f"another process has held its lock for {BUSY_TIMEOUT_S:.0f} s: try again when it is done",
    sqlite3.SQLITE_LOCKED: "this process has it locked itself: try again",
    sqlite3.SQLITE_PROTOCOL: "its lock cannot be had: try again; network file systems may not lock at all",
    sqlite3.SQLITE_NOMEM: "this process is out of memory",
    sqlite3.SQLITE_READONLY: _NO_WRITING,
    sqlite3.SQLITE_READONLY_DBMOVED: "it was moved or deleted while in use: put it back, or start again",
    sqlite3.SQLITE_PERM: _NO_WRITING,
    sqlite3.SQLITE_IOERR: "reading or writing it fails: look at the disk or the network file system that it lies on",
    sqlite3.SQLITE_FULL: "the disk is full, or your quota is used up: make room there",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: look at the file, at its folder, and at how many files are open",
    sqlite3.SQLITE_CORRUPT: "a damaged SQLite database: restore a backup, or name another file",
    sqlite3.SQLITE_NOTADB: "not a SQLite database, or a damaged one: name another file, or restore a backup",
}
"""By extended result code, or by the primary one, its lowest byte."""


def meaning(error: SQLAlchemyError | sqlite3.Error) -> tuple[type[StoreError], str]:
    """Say what an error of SQLAlchemy or SQLite's driver means.

    Returns:
        `StoreUnavailable` if trying again later may help, else `StoreError`; and a sentence that says what is wrong and
        what to do, followed by the database's own message.
    """
    if isinstance(error, PoolTimeout):
        return StoreUnavailable, "this process waits too long for its own connection: the database is slow"
    cause = error.orig if isinstance(error, DBAPIError) else error
    words = " ".join(str(cause or error).split())
    if isinstance(cause, sqlite3.Error):
        advice = _sqlite(cause)
    else:
        advice = _postgres(error, words) if isinstance(error, DBAPIError) else None
    return (StoreUnavailable, f"{advice} ({words})") if advice else (StoreError, words)


def _sqlite(error: sqlite3.Error) -> str | None:
    code: int = getattr(error, "sqlite_errorcode", 0)  # missing where the driver, not SQLite, complains
    return _SQLITE.get(code) or _SQLITE.get(code & 0xFF)


def _postgres(error: DBAPIError, words: str) -> str | None:
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state:
        return _POSTGRES.get(state) or _POSTGRES.get(state[:2])
    if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
        return next((advice for pattern, advice in _CONNECTING if re.search(pattern, words)), _AWAY)
    return None
