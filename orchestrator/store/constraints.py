"""Changing what the CHECK constraints of a table allow, for migrations: Postgres alters them, SQLite cannot."""

from __future__ import annotations

import re

from sqlalchemy import Connection, text

from orchestrator.base.errors import SchemaError


def allow(connection: Connection, table: str, column: str, before: str, after: str) -> None:
    """Change which values a column's CHECK constraint ``ck_TABLE_COLUMN`` allows, as SQL.

    Rows must satisfy the new one. In SQLite foreign keys must be off, see `orchestrator.store.schema`.

    Raises:
        SchemaError: A SQLite table does not have the constraint as it should be.
    """
    old, new = (f"CHECK ({column} IN ({values}))" for values in (before, after))
    if connection.dialect.name == "sqlite":
        _write_anew(connection, table, old, new)
    else:
        name = f"ck_{table}_{column}"
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {new}")


def _write_anew(connection: Connection, table: str, old: str, new: str) -> None:
    # SQLite cannot change a constraint: https://www.sqlite.org/lang_altertable.html, "Making Other Kinds Of Table
    # Schema Changes". Editing the table's text would be quicker, but SQLite as macOS builds it does not allow that.
    # Foreign keys are off, so that tables may refer to a table that is missing for a moment.
    found = "SELECT sql FROM sqlite_master WHERE tbl_name = :table AND sql IS NOT NULL AND type"
    definition = connection.execute(text(f"{found} = 'table'"), {"table": table}).scalar_one()
    others = connection.scalars(text(f"{found} != 'table'"), {"table": table}).all()
    if old not in definition:
        raise SchemaError(f"table {table} was changed by hand: put back {old} there, then upgrade again")
    definition = definition.replace(old, new)
    legacy = connection.execute(text("PRAGMA legacy_alter_table")).scalar_one()
    connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")  # else views of the table are in the way
    connection.exec_driver_sql(re.sub(rf'\ACREATE TABLE "?{table}"?', f"CREATE TABLE new_{table}", definition))
    connection.exec_driver_sql(f"INSERT INTO new_{table} SELECT * FROM {table}")
    connection.exec_driver_sql(f"DROP TABLE {table}")
    connection.exec_driver_sql(f"ALTER TABLE new_{table} RENAME TO {table}")
    for other in others:
        connection.exec_driver_sql(other)
    connection.exec_driver_sql(f"PRAGMA legacy_alter_table = {legacy}")
