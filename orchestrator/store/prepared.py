"""The statements behind every record, compiled once from the models and handed to the driver as text.

SQLAlchemy builds a statement and looks it up anew at each use, which takes ten times as long as the driver takes to
execute it; where many jobs write, that time limits them all. What is not asked for at each record needs none of this.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter, ne
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Dialect,
    Double,
    Update,
    bindparam,
    exists,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import CompilerElement

from orchestrator.store.models import Attempt, Base, Run, SyncMetric
from orchestrator.store.types import NanFloat, greatest, least, now, seconds_ago

_WORTH_COPYING = 50
_UNIQUE_VIOLATION = "23505"

Column = ColumnElement[int] | InstrumentedAttribute[int]
Execute = Callable[[str, tuple[Any, ...]], Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as its driver takes it.

    Attributes:
        sql: Its text.
        names: Of its parameters, in their order.
        pick: Takes their values, in that order, from values by name.
    """

    sql: str
    names: tuple[str, ...]
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]]

    def changes(self, execute: Execute, values: Mapping[str, Any]) -> bool:
        """Execute it; returns whether it changed anything.

        Args:
            execute: A driver's connection's ``execute``, or ``exec_driver_sql`` of SQLAlchemy's.
            values: Of its parameters, by name; others may be among them.
        """
        rowcount: int = execute(self.sql, self.pick(values)).rowcount
        return rowcount > 0


@functools.cache
def hold(kind: str) -> Prepared:
    """Lock the run ``run_id`` for its newest attempt, ``attempt``, which has come to learner step ``reached``.

    Args:
        kind: The database's, ``sqlite`` or ``postgresql``. So do the others.
    """
    return _prepared(_hold(), kind)


@functools.cache
def move(kind: str) -> Prepared:
    """Move what is stored of the attempt's journal from ``start`` to ``end``, written ``age_s`` seconds ago."""
    return _prepared(_move(_parameter("run_id", Run.id)), kind)


@functools.cache
def add_sync() -> Prepared:
    """`hold`, `move` and one weight sync in one statement; the sync is stored if the two found their rows. Postgres's.

    It does not wait for the server's disk. A server that crashes may lose it; then less of the journal is stored than
    its writer thinks, and is brought again. What ends an attempt waits for the disk, and so for all before it.
    """
    in_step = exists().where(*_where_stored(Run.id))
    hold = _hold().where(in_step, text("set_config('synchronous_commit', 'off', true) = 'off'"))
    held = hold.returning(Run.id).cte("held")
    moved = _move(held.c.id).returning(Attempt.run_id, Attempt.number).cte("moved")
    names, values = zip(
        *((n, p) for n, p in _parameters(SyncMetric).items() if n not in ("run_id", "attempt")), strict=True
    )
    row = select(moved.c.run_id, moved.c.number, *values)
    insert = postgresql.insert(SyncMetric).from_select(["run_id", "attempt", *names], row)
    return _prepared(_replacing(insert, SyncMetric), "postgresql")


@functools.cache
def upsert(table: type[Base], kind: str) -> Prepared:
    """Insert a row of a table of measurements, or replace it."""
    insert = sqlite.insert(table) if kind == "sqlite" else postgresql.insert(table)
    return _prepared(_replacing(insert.values(_parameters(table)), table), kind)


def upsert_all(
    connection: Connection, table: type[Base], keys: Mapping[str, int], entries: Iterable[Mapping[str, Any]]
) -> None:
    """Insert or replace rows of a table of measurements.

    Args:
        connection: An open write transaction.
        table: `SyncMetric` or `Evaluation`.
        keys: ``run_id`` and ``attempt`` of all rows.
        entries: The other columns by name; what an entry lacks was not measured.
    """
    kind = connection.dialect.name
    prepared = upsert(table, kind)
    rows = [row(prepared, kind, {**entry, **keys}) for entry in entries]
    if kind == "postgresql" and len(rows) >= _WORTH_COPYING and _copy(connection, table, prepared.names, rows):
        return
    if rows:
        connection.exec_driver_sql(prepared.sql, rows if len(rows) > 1 else rows[0])


def _copy(connection: Connection, table: type[Base], names: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> bool:
    """Copy rows into a table of Postgres's; nothing, and False, where one of them is there already."""
    driver: Any = connection.connection.driver_connection
    driver_error: Any = connection.dialect.loaded_dbapi.Error
    statement = f"COPY {table.__tablename__} ({', '.join(names)}) FROM STDIN"
    try:
        with connection.begin_nested(), driver.cursor() as cursor, cursor.copy(statement) as copy:
            for values in rows:
                copy.write_row(values)
    except driver_error as error:
        if error.sqlstate == _UNIQUE_VIOLATION:
            return False
        raise DBAPIError.instance(statement, None, error, driver_error, dialect=connection.dialect) from error
    return True


def row(prepared: Prepared, kind: str, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The parameters of `upsert` or `add_sync` from the values by name; what is missing was not measured."""
    try:
        found = prepared.pick(values)
    except KeyError:
        found = tuple(map(values.get, prepared.names))
    if kind == "sqlite" and any(map(ne, found, found)):  # only a NaN differs from itself
        return tuple("NaN" if value != value else value for value in found)  # as `orchestrator.store.types.NanFloat`
    return found


def _hold() -> Update:
    reached = least(_parameter("reached", Run.horizon), Run.horizon)
    return (
        update(Run)
        .where(Run.id == _parameter("run_id", Run.id), Run.fence == _parameter("attempt", Run.fence))
        .values(updated_at=now(), learner_steps=greatest(Run.learner_steps, reached))
    )


def _move(run_id: Column) -> Update:
    return (
        update(Attempt)
        .where(*_where_stored(run_id))
        .values(
            journal_bytes=_parameter("end", Attempt.journal_bytes),
            heartbeat_at=seconds_ago(_parameter("age_s", Attempt.setup_s)),
        )
    )


def _where_stored(run_id: Column) -> tuple[ColumnElement[bool], ...]:
    return (
        Attempt.run_id == run_id,
        Attempt.number == _parameter("attempt", Attempt.number),
        Attempt.journal_bytes == _parameter("start", Attempt.journal_bytes),
    )


def _replacing(insert: Any, table: type[Base]) -> CompilerElement:
    keys = [column.name for column in inspect(table).primary_key]
    replaced = {column.name: column for column in insert.excluded if column.name not in keys}
    statement: CompilerElement = insert.on_conflict_do_update(index_elements=keys, set_=replaced)
    return statement


def _parameters(table: type[Base]) -> dict[str, BindParameter[Any]]:
    return {column.name: _parameter(column.name, column) for column in inspect(table).columns}


def _parameter(name: str, column: Any) -> BindParameter[Any]:
    # Double, not NanFloat: Postgres is told the type where there is no other clue to it.
    return bindparam(name, type_=Double() if isinstance(column.type, NanFloat) else column.type)


def _prepared(statement: CompilerElement, kind: str) -> Prepared:
    dialect: Dialect = sqlite.dialect() if kind == "sqlite" else PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]
    compiled: Any = statement.compile(dialect=dialect)
    names = tuple(compiled.positiontup)
    return Prepared(str(compiled), names, itemgetter(*names))
