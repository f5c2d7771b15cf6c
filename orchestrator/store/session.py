"""Engines and transactions: one way to open a database, one way to read, one way to write.

Every error of the driver leaves here as a `StoreError` whose message says what is wrong and what to do
(`orchestrator.store.failures`), as a `StoreUnavailable` where trying again later may help.
A message never holds a password, in whatever form the URL carries it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError

from orchestrator.base.errors import StoreError, StoreUnavailable
from orchestrator.base.filesystems import network_filesystem
from orchestrator.base.urls import parse, split
from orchestrator.store import failures, sqlite_files

CONNECT_TIMEOUT_S = 10
"""How long to wait for a Postgres server to answer."""

IDLE_S = 15
"""How long a client may stand still in the midst of writing to Postgres, e.g. frozen, while others wait for it."""

LOCK_S = 30
"""How long a writer waits for another one's lock in Postgres, as for SQLite's; the other one may be frozen."""

_POSTGRES_OPTIONS = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "application_name": "stalesweep",
    # Without these, a server or network that is silently gone would be noticed after hours, not half a minute.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def create_engine_for(url: str, *, create: bool = False) -> Engine:
    """Open a database lazily: nothing is contacted before the first transaction.

    The pool holds one connection, since hundreds of jobs share a server's limit. The engine's own URL holds no
    secret, so that nothing that prints it shows one.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``.
        create: Whether to create a missing SQLite file.

    Raises:
        StoreError: The URL cannot be read, or names an unknown database or a driver that is not installed.
    """
    plain, secrets = split(parse(url))
    if plain.get_backend_name() == "sqlite":
        return _sqlite_engine(plain, create=create)
    try:
        return create_engine(
            plain,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,  # the server may have restarted since the last transaction
            connect_args=postgres_arguments(plain) | secrets,
        )
    except ImportError as error:
        raise StoreError("Postgres needs its driver: pip install 'stalesweep[postgres]'") from error


def postgres_arguments(plain: URL) -> dict[str, Any]:
    """What to hand Postgres's driver besides a URL and its secrets."""
    return {key: value for key, value in _POSTGRES_OPTIONS.items() if key not in plain.query}


def describe(url: URL) -> str:
    """Name a database in a message: never its password, nor query parameters, which may hold one too."""
    if url.get_backend_name() == "sqlite":
        return f"SQLite file {url.database}"
    if not url.host and "service" in url.query:
        return f"Postgres service {url.query['service']!r}"
    host = url.host or url.query.get("host") or "local socket"
    user = f"{url.username}@" if url.username else ""
    port = f":{url.port}" if url.port else ""
    return f"Postgres database {url.database!r} at {user}{host}{port}"


@contextmanager
def transaction(
    engine: Engine, *, write: bool, before: Callable[[Connection], None] | None = None
) -> Iterator[Connection]:
    """Run one transaction: committed at the end, rolled back on any error.

    A SQLite writer takes the write lock at once: if it took it at its first write instead, two that had both
    read before would refuse each other without waiting. A reader sees one state throughout. ``before`` comes first on
    the same connection, while it has no lock, e.g. to fill temporary tables.

    Raises:
        StoreUnavailable: The database cannot be reached or used now; later it may.
        StoreError: The database refuses what it was asked.
    """
    options: dict[str, Any] = {"stalesweep_write": write}
    if not write and engine.dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"
    with _errors(engine), engine.connect() as connection:
        if before is not None:
            with connection.begin():
                before(connection)
        with connection.execution_options(**options).begin():
            if write and engine.dialect.name == "postgresql":
                connection.exec_driver_sql(
                    f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_S}s'; SET LOCAL lock_timeout = '{LOCK_S}s'"
                )
            yield connection


def ignore_foreign_keys(engine: Engine) -> None:
    """Let the next transaction on a SQLite file write a table anew that others refer to.

    Raises:
        StoreError: The database cannot be reached or used.
    """
    with _errors(engine), engine.connect() as connection:
        driver: Any = connection.connection.driver_connection  # outside of any transaction
        driver.execute("PRAGMA foreign_keys = OFF")


def choose_journal_mode(engine: Engine) -> None:
    """Give a SQLite file the journal that suits where it lies; a lasting property of the file.

    With a write-ahead log, readers and the one writer do not block each other. Its index is memory that processes
    share, which two hosts cannot: on a network file system the log would be read wrongly and the file damaged. There
    it is a rollback journal, whose only means is the file's locks.

    Raises:
        StoreUnavailable: Another process is using the file for too long, or it cannot be written.
    """
    mode = "DELETE" if network_filesystem(Path(str(engine.url.database))) else "WAL"
    with _errors(engine), engine.connect() as connection:
        driver: Any = connection.connection.driver_connection  # outside of any transaction
        (current,) = driver.execute("PRAGMA journal_mode").fetchone()
        if current.upper() != mode:
            driver.execute(f"PRAGMA journal_mode = {mode}")


@contextmanager
def _errors(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        kind, reason = failures.meaning(error)
        if issubclass(kind, StoreUnavailable) and engine.dialect.name == "postgresql":
            engine.dispose()  # a session keeps settings, e.g. to take no writes, which new ones no longer have
        raise kind(f"{describe(engine.url)}: {reason}") from error


def _sqlite_engine(url: URL, *, create: bool) -> Engine:
    def connect() -> Any:
        return sqlite_files.connect(Path(str(url.database)), create=create)

    engine = create_engine(url, creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0)

    # A file that is moved away or replaced while it is open goes on taking writes, which nobody sees again.
    @event.listens_for(engine, "connect")
    def remember(_: object, record: Any) -> None:
        record.info["file"] = _identity(url)

    @event.listens_for(engine, "checkout")
    def check(_: object, record: Any, __: object) -> None:
        if record.info["file"] != _identity(url):
            raise DisconnectionError  # the pool opens what now has that name, or fails

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("stalesweep_write", False):
            sqlite_files.begin_writing(connection.connection.driver_connection)  # type: ignore[arg-type]
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _identity(url: URL) -> tuple[int, int] | None:
    try:
        found = Path(str(url.database)).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
