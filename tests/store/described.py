"""What a database itself says of its tables: two schemas are alike when this is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlalchemy import Connection

from orchestrator.store.schema import VERSION_TABLE

_POSTGRES = (
    # Columns: type, default, NOT NULL.
    "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text, "
    "coalesce(pg_get_expr(d.adbin, d.adrelid), '') "
    "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
    "LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
    "WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped",
    # Constraints: keys, foreign keys, UNIQUE and CHECK. Newer servers list NOT NULL here too.
    "SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid), '' "
    "FROM pg_constraint WHERE conrelid <> 0 AND connamespace = 'public'::regnamespace AND contype <> 'n'",
    "SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public'",
)

_NAMED = re.compile(r'(?:CONSTRAINT\s+"?(\w+)"?\s+)?(CHECK|PRIMARY\s+KEY|FOREIGN\s+KEY|UNIQUE)\s*\(', re.IGNORECASE)
_OF_COLUMN = re.compile(r'"?(\w+)"?\s+\w+\s+CONSTRAINT\s+"?(\w+)"?\s+REFERENCES', re.IGNORECASE)


def described(connection: Connection) -> set[tuple[object, ...]]:
    """Every column with its type, default and NOT NULL, and every constraint and index with its name and content."""
    if connection.dialect.name == "postgresql":
        rows = [tuple(row) for query in _POSTGRES for row in connection.exec_driver_sql(query)]
    else:
        rows = [row for name, sql in _sqlite_tables(connection) for row in _sqlite_table(connection, name, sql)]
    return {row for row in rows if row[0] != VERSION_TABLE}


def _sqlite_tables(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
    return [(name, sql) for name, sql in rows]


def _sqlite_table(connection: Connection, table: str, sql: str) -> Iterator[tuple[object, ...]]:
    def pragma(name: str, of: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql(f"PRAGMA {name}({of})")]

    # The order of columns is left out: one that a migration adds comes last.
    yield from ((table, "column", *row[1:]) for row in pragma("table_xinfo", table))
    for _, seq, *key in pragma("foreign_key_list", table):
        yield (table, "foreign key", seq, *key)
    for _, index, unique, origin, partial in pragma("index_list", table):
        columns = tuple(row[2] for row in pragma("index_info", str(index)))
        yield (table, "index", index if origin == "c" else origin, unique, partial, columns)
    # SQLite tells CHECKs and names only as text; a column's own CHECK is written like a table's, its own key is not.
    for column, name in _OF_COLUMN.findall(sql):
        yield (table, name, "FOREIGN KEY", column)
    for match in _NAMED.finditer(sql):
        yield (table, match[1], match[2].upper(), "".join(_until_closed(sql[match.end() :]).split()))


def _until_closed(text: str) -> str:
    """The part before the parenthesis that closes one opened before; those within quotes do not count."""
    depth, quoted = 1, False
    for position, char in enumerate(text):
        quoted ^= char == "'"
        depth += 0 if quoted else (char == "(") - (char == ")")
        if depth == 0:
            return text[:position]
    raise AssertionError(f"no closing parenthesis in {text!r}")
