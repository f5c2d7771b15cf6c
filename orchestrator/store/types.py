"""Column types and clock functions that mean the same in SQLite and in Postgres."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class NanFloat(TypeDecorator[float]):
    """A float64 that keeps NaN and NULL apart.

    SQLite turns a bound NaN into NULL, which would make a diverged metric look like a missing one. There it
    is stored as the text ``NaN``, which a REAL column keeps. Infinities are native in both databases.
    """

    impl = Double
    cache_ok = True

    # Whole processors, not `process_bind_param`: Double's own, which runs after that one, turns the text back
    # into a float; and Postgres, which needs neither, is spared a call per value.

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """Replace NaN by its text if the database cannot hold NaN."""
        return _nan_to_text if dialect.name == "sqlite" else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Read the text as a NaN."""
        return _nan_from_text if dialect.name == "sqlite" else None


def _nan_to_text(value: float | None) -> float | str | None:
    return "NaN" if value is not None and math.isnan(value) else value


def _nan_from_text(value: float | str | None) -> float | str | None:
    return math.nan if value == "NaN" else value


class UtcDateTime(TypeDecorator[datetime]):
    """A timestamp that is always read as UTC; SQLite holds it as text without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Bring a timestamp with a zone to UTC."""
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Attach UTC, or convert to it."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class now(FunctionElement[datetime]):
    """The time by the database's clock, in UTC, to the millisecond. The clocks of hosts differ."""

    type = UtcDateTime()
    inherit_cache = True


class seconds_ago(FunctionElement[datetime]):
    """The time by the database's clock, minus a number of seconds."""

    type = UtcDateTime()
    inherit_cache = True


class seconds_between(FunctionElement[float]):
    """Seconds from one timestamp to another, to the millisecond."""

    type = Double()
    inherit_cache = True


class greatest(FunctionElement[int]):
    """The largest of its arguments."""

    inherit_cache = True


class least(FunctionElement[int]):
    """The smallest of its arguments."""

    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f', 'now')"


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "clock_timestamp()"


@compiles(seconds_ago, "sqlite")
def _ago_sqlite(element: seconds_ago, compiler: SQLCompiler, **kw: Any) -> str:
    (seconds,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"strftime('%Y-%m-%d %H:%M:%f', 'now', printf('-%.3f seconds', {seconds}))"


@compiles(seconds_ago, "postgresql")
def _ago_postgresql(element: seconds_ago, compiler: SQLCompiler, **kw: Any) -> str:
    (seconds,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"clock_timestamp() - make_interval(secs => CAST({seconds} AS double precision))"


@compiles(seconds_between, "sqlite")
def _seconds_sqlite(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"round((julianday({end}) - julianday({start})) * 86400.0, 3)"


@compiles(seconds_between, "postgresql")
def _seconds_postgresql(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"CAST(round(CAST(extract(epoch FROM {end} - {start}) AS numeric), 3) AS double precision)"


@compiles(greatest, "postgresql")
@compiles(least, "postgresql")
def _extreme_postgresql(element: greatest | least, compiler: SQLCompiler, **kw: Any) -> str:
    return f"{type(element).__name__}({compiler.process(element.clauses, **kw)})"


@compiles(greatest, "sqlite")
@compiles(least, "sqlite")
def _extreme_sqlite(element: greatest | least, compiler: SQLCompiler, **kw: Any) -> str:
    name = "max" if isinstance(element, greatest) else "min"
    return f"{name}({compiler.process(element.clauses, **kw)})"
