"""Changing what the CHECK constraints of a table allow, for migrations: Postgres alters them, SQLite cannot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from orchestrator.base.errors import SchemaError


@dataclass(frozen=True, slots=True)
class Allowed:
    """The values that a column's CHECK constraint ``ck_TABLE_COLUMN`` allows."""

    table: str
    column: str
    before: str  # the values that the constraint allows now, as SQL
    after: str  # those that it is to allow


def allow(connection: Connection, changes: Iterable[Allowed]) -> None:
    """Change CHECK constraints. Rows must satisfy the new ones.

    Args:
        connection: The migration's; in SQLite foreign keys must be off, see `orchestrator.store.schema`.
        changes: Several may be of one table.

    Raises:
        SchemaError: A SQLite table does not have the constraint as it should be.
    """
    by_table: dict[str, list[Allowed]] = {}
    for change in changes:
        by_table.setdefault(change.table, []).append(change)
    for table, of_table in by_table.items():
        if connection.dialect.name == "sqlite":
            _write_anew(connection, table, of_table)
            continue
        for change in of_table:
            name = f"ck_{table}_{change.column}"
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            connection.exec_driver_sql(
                f"ALTER TABLE {table} ADD CONSTRAINT {name} {_check(change.column, change.after)}"
            )


def _check(column: str, values: str) -> str:
    return f"CHECK ({column} IN ({values}))"


def _write_anew(connection: Connection, table: str, changes: Sequence[Allowed]) -> None:
    # SQLite cannot change a constraint: https://www.sqlite.org/lang_altertable.html, "Making Other Kinds Of Table
    # Schema Changes". Editing the table's text would be quicker, but SQLite as macOS builds it does not allow that.
    # Foreign keys are off, so that tables may refer to a table that is missing for a moment.
    found = "SELECT sql FROM sqlite_master WHERE tbl_name = :table AND sql IS NOT NULL AND type"
    definition = connection.execute(text(f"{found} = 'table'"), {"table": table}).scalar_one()
    others = connection.scalars(text(f"{found} != 'table'"), {"table": table}).all()
    for change in changes:
        before, after = _check(change.column, change.before), _check(change.column, change.after)
        if before not in definition:
            raise SchemaError(f"table {table} was changed by hand: put back {before} there, then upgrade again")
        definition = definition.replace(before, after)
    legacy = connection.execute(text("PRAGMA legacy_alter_table")).scalar_one()
    connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")  # else views of the table are in the way
    connection.exec_driver_sql(re.sub(rf'\ACREATE TABLE "?{table}"?', f"CREATE TABLE new_{table}", definition))
    connection.exec_driver_sql(f"INSERT INTO new_{table} SELECT * FROM {table}")
    connection.exec_driver_sql(f"DROP TABLE {table}")
    connection.exec_driver_sql(f"ALTER TABLE new_{table} RENAME TO {table}")
    for other in others:
        connection.exec_driver_sql(other)
    connection.exec_driver_sql(f"PRAGMA legacy_alter_table = {legacy}")
