"""Engines and transactions: one way to open a database, one way to read, one way to write.

Every error of the driver leaves here as a `StoreError` whose message says what is wrong and what to do.
A message never holds a password, in whatever form the URL carries it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from orchestrator.errors import StoreError

BUSY_TIMEOUT_S = 30.0
"""How long a SQLite writer waits for another one."""

_ALLOWED = "sqlite:///FILE, postgresql://USER@HOST/NAME"

CONNECT_TIMEOUT_S = 10
"""How long to wait for a Postgres server to answer."""


def create_engine_for(url: str, *, create: bool = False) -> Engine:
    """Open a database lazily: nothing is contacted before the first transaction.

    The pool holds one connection, since hundreds of jobs share a server's limit. A SQLite path is made
    absolute, so that the engine's URL means the same in another working directory.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``.
        create: Whether to create a missing SQLite file, and to set its journal mode.

    Raises:
        StoreError: The URL cannot be read, or names an unknown database or a driver that is not installed.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed, create=create)
    try:
        return create_engine(
            parsed,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "stalesweep"},
        )
    except ImportError as error:
        raise StoreError("Postgres needs its driver: pip install 'stalesweep[postgres]'") from error


def describe(url: URL) -> str:
    """Name a database in a message: never its password, nor query parameters, which may hold one too."""
    if url.get_backend_name() == "sqlite":
        return f"SQLite file {url.database}"
    host = url.host or url.query.get("host") or "local socket"
    user = f"{url.username}@" if url.username else ""
    port = f":{url.port}" if url.port else ""
    return f"Postgres database {url.database!r} at {user}{host}{port}"


@contextmanager
def transaction(engine: Engine, *, write: bool) -> Iterator[Connection]:
    """Run one transaction: committed at the end, rolled back on any error.

    A SQLite writer takes the write lock at once: if it took it at its first write instead, two that had both
    read before would refuse each other without waiting. A reader sees one state throughout.

    Raises:
        StoreError: The database cannot be reached or refuses.
    """
    options: dict[str, Any] = {"stalesweep_write": write}
    if not write and engine.dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"
    try:
        with engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(f"{describe(engine.url)}: {_reason(engine.url, error)}") from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    except (ArgumentError, ValueError):
        # The URL itself stays out of the message and the chain: nobody knows where in it a password stands.
        raise StoreError(f"the database URL cannot be read; allowed: {_ALLOWED}") from None
    file = parsed.database
    match parsed.get_backend_name():
        case "postgresql":
            return parsed.set(drivername="postgresql+psycopg")
        case "sqlite" if not file or file == ":memory:" or parsed.query:
            raise StoreError("a SQLite database must be a file that several processes can share: sqlite:///FILE")
        case "sqlite":
            return parsed.set(drivername="sqlite", database=str(Path(str(file)).expanduser().resolve()))
        case other:
            raise StoreError(f"no database of kind {other!r}; allowed: {_ALLOWED}")


def _sqlite_engine(url: URL, *, create: bool) -> Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(url.database))}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,  # the driver must not begin transactions of its own
            check_same_thread=False,  # the pool hands its connection to one thread at a time
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        if create:
            # A lasting property of the file: readers and the one writer then do not block each other.
            connection.execute("PRAGMA journal_mode = WAL")
        return connection

    engine = create_engine(url, creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("stalesweep_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _reason(url: URL, error: SQLAlchemyError) -> str:
    message = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
    if url.get_backend_name() != "sqlite":
        return message
    path = Path(str(url.database))
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; create it, or name another file with --db or STALESWEEP_DB"
    if path.is_dir():
        return "this is a folder; name a file in it"
    if "unable to open" in message:
        if path.exists():
            return "no permission to open it"
        if not os.access(path.parent, os.W_OK, effective_ids=True):
            return f"no permission to create files in {path.parent}"
        return "there is no such file yet; `stalesweep launch` or `stalesweep db upgrade` creates it"
    if "not a database" in message or "malformed" in message:
        return f"not a SQLite database, or a damaged one ({message}); name another file or restore a backup"
    if "readonly" in message:
        return "no permission to write to it or to its folder"
    if "locked" in message:
        return f"another process has held its lock for {BUSY_TIMEOUT_S:.0f} s; try again when it is done"
    return message
