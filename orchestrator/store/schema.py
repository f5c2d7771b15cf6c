"""The schema's version: read it, check it, bring it up to date. Workers check and never change it.

The version stands in a table of our own name: Optuna keeps its studies in the same database, under
Alembic's default name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from orchestrator.base.errors import SchemaError, StoreUnavailable
from orchestrator.base.settings import shipped
from orchestrator.store import sqlite_files
from orchestrator.store.session import (
    choose_journal_mode,
    create_engine_for,
    describe,
    ignore_foreign_keys,
    transaction,
)

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""Every revision in migrations/, oldest first. Kept here so that a job need not load Alembic to check."""

VERSION_TABLE = "stalesweep_version"

_LOCK = 0x57A1E  # any constant: the key of the advisory lock under which Postgres migrates


@contextlib.contextmanager
def _reading(url: str) -> Iterator[Connection]:
    engine = create_engine_for(url)
    try:
        with transaction(engine, write=False) as connection:
            yield connection
    finally:
        engine.dispose()


def current(url: str) -> str | None:
    """Read the schema's revision; None in a database without one.

    Raises:
        StoreError: The database cannot be reached or used.
    """
    with _reading(url) as connection:
        return revision(connection)


def check(url: str) -> None:
    """Make sure that the schema is this version's.

    Raises:
        SchemaError: It is missing, older or newer; the message says what to run.
        StoreError: The database cannot be reached or used.
    """
    with _reading(url) as connection:
        check_revision(connection)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade did."""

    where: str  # the database, as messages name it
    before: str | None  # the schema's revision that was found; None in a new database
    backup: Path | None  # the copy of a SQLite file as it was before

    def __str__(self) -> str:
        """One line for people."""
        if self.before is None:
            return f"{self.where}: created schema {REVISIONS[-1]}"
        kept = "" if self.backup is None else (
            f"; as it was before it is kept as {self.backup.name} beside it (to go back: with no stalesweep running, "
            "delete the file, its -wal and its -shm, and rename the backup)"
        )  # fmt: skip
        return f"{self.where}: schema {self.before} upgraded to {REVISIONS[-1]}{kept}"


def upgrade(url: str) -> Upgrade | None:
    """Create the schema or bring it up to date; what is up to date stays untouched.

    One transaction, which one process at a time can enter, does it as a whole or not at all. Of several processes
    that arrive together one migrates. A SQLite file that holds an older schema is copied before, under the
    same lock.

    Returns:
        What was done, None where there was nothing to do.

    Raises:
        SchemaError: The schema is newer than this version's.
        StoreError: The database cannot be reached or used.
    """
    engine = create_engine_for(url, create=True)
    try:
        with transaction(engine, write=False) as connection:
            found = revision(connection)
        done = None if found == REVISIONS[-1] else _upgrade(engine)
        if engine.dialect.name == "sqlite":
            with contextlib.suppress(StoreUnavailable):  # while others use it, it stays as it is
                choose_journal_mode(engine)
        return done
    finally:
        engine.dispose()


def _upgrade(engine: Engine) -> Upgrade | None:
    if engine.dialect.name == "sqlite":
        ignore_foreign_keys(engine)  # the setting cannot be changed within a transaction
    with transaction(engine, write=True) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = revision(connection)
        if found == REVISIONS[-1]:
            return None
        kept = None
        if found is not None:
            _refuse_newer(describe(engine.url), found)
            if connection.dialect.name == "sqlite":
                kept = sqlite_files.backup(Path(str(engine.url.database)), found)
        _migrate(connection)
    return Upgrade(describe(engine.url), found, kept)


def revision(connection: Connection) -> str | None:
    """Read the schema's revision on an open connection."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return found


def check_revision(connection: Connection) -> None:
    """As `check`, on an open connection."""
    where = describe(connection.engine.url)
    found = revision(connection)
    if found == REVISIONS[-1]:
        return
    if found is None:
        raise SchemaError(f"{where} holds no stalesweep tables yet: run `stalesweep db upgrade`")
    _refuse_newer(where, found)
    raise SchemaError(f"{where} has schema {found}, this stalesweep needs {REVISIONS[-1]}: run `stalesweep db upgrade`")


def _refuse_newer(where: str, found: str) -> None:
    if found not in REVISIONS:
        raise SchemaError(
            f"{where} has schema {found}, newer than this stalesweep, which knows up to {REVISIONS[-1]}: "
            "upgrade the package (pip install -U stalesweep)"
        )


def _migrate(connection: Connection) -> None:
    # Takes longer to import than a check takes, and only a migration needs it.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", str(shipped("migrations")))
    command.upgrade(config, "head")
