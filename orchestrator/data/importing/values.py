"""Raw values to numbers, each wrong one noted with its row: whole columns at once, one by one where that fails.

A raw value is text (CSV, JSON: nothing or an empty text is missing, ``NaN`` and ``inf`` are numbers) or, from
Parquet, already typed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.base.errors import GridError

T = TypeVar("T")

SHOWN_MISTAKES = 100
"""More are counted, not printed."""

_WHOLE = re.compile(r"[-+]?[0-9]+(\.0*)?")
_REAL = re.compile(r"[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|nan|inf|infinity)", re.IGNORECASE)
_EXACT = 2**53
"""Floats hold every whole number up to here."""


@dataclass(slots=True)
class Mistakes:
    """The mistakes of a file, each a complete sentence with its place.

    Attributes:
        path: The file that is read, as mistakes name it.
        found: The sentences, at most `SHOWN_MISTAKES`.
        count: How many there are.
    """

    path: Path
    found: list[str] = field(default_factory=list)
    count: int = 0

    def note(self, place: str, what: str) -> None:
        """Note what is wrong at a place in the file, e.g. ``row 7``; none = the file itself."""
        self.count += 1
        if len(self.found) < SHOWN_MISTAKES:
            self.found.append(f"{self.path}: {place}: {what}" if place else f"{self.path}: {what}")

    def raise_all(self) -> None:
        """Raise what was noted.

        Raises:
            GridError: There are mistakes.
        """
        if self.count > len(self.found):
            self.found.append(f"{self.path}: and {self.count - len(self.found):,} more mistakes")
        if self.found:
            raise GridError(self.found)


def whole(raw: Any) -> int | None:
    """Read a whole number that fits in 64 bits; ``8.0`` is one, as pandas writes those beside missing ones.

    Raises:
        ValueError: It is none; the message says what is allowed.
    """
    raw = _stripped(raw)
    if raw is None or (isinstance(raw, float) and math.isnan(raw)):
        return None
    if isinstance(raw, float) and raw.is_integer() and abs(raw) <= _EXACT:
        return int(raw)
    if isinstance(raw, str) and _WHOLE.fullmatch(raw) and len(raw) < 30:
        raw = int(raw.partition(".")[0])
    if isinstance(raw, int) and not isinstance(raw, bool) and -(2**63) <= raw < 2**63:
        return raw
    raise ValueError("must be a whole number of at most 64 bits")


def real(raw: Any) -> float | None:
    """Read a number; ``NaN`` and ``inf`` are numbers.

    Raises:
        ValueError: It is none; the message says what is allowed.
    """
    raw = _stripped(raw)
    if raw is None:
        return None
    if isinstance(raw, str):
        if not _REAL.fullmatch(raw):
            raise ValueError("must be a number, with a point before its decimals; missing is an empty field")
        value = float(raw)
        if math.isinf(value) and "n" not in raw.lower():
            raise ValueError("is beyond what 64-bit floats hold; write inf if that is what it was")
        return value
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError("must be a number")
    return float(raw)


def text(raw: Any) -> str | None:
    """Read text as it is; none and an empty one are missing."""
    return None if raw is None or raw == "" else str(raw)


def moment(raw: Any) -> datetime | None:
    """Read a time; without a zone it is UTC.

    Raises:
        ValueError: It is none.
    """
    raw = _stripped(raw)
    if raw is None:
        return None
    try:
        value = raw if isinstance(raw, datetime) else datetime.fromisoformat(str(raw))
    except ValueError:
        raise ValueError("must be a time such as 2026-03-01 12:30:00+00:00") from None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def shown(raw: Any) -> str:
    """A value for a message, shortened."""
    written = repr(raw)
    return written if len(written) <= 60 else f"{written[:57]}..."


def checked(read: Callable[[Any], T], raw: Any, mistakes: Mistakes, place: str, column: str) -> T | None:
    """Read one value, or note why it cannot be read and give None."""
    try:
        return read(raw)
    except ValueError as error:
        mistakes.note(place, f"{column} {error} (found {shown(raw)})")
        return None


def floats(raw: pa.Array, rows: Sequence[int], mistakes: Mistakes, column: str) -> pa.Array:
    """Read a column of numbers as float64, missing ones as null."""
    fast = _cast(raw, pa.float64())
    if fast is not None and not (pa.types.is_string(raw.type) and pc.any(pc.is_inf(fast)).as_py()):
        return fast
    return _one_by_one(real, raw, rows, mistakes, column, pa.float64())


def wholes(raw: pa.Array, rows: Sequence[int], mistakes: Mistakes, column: str) -> pa.Array:
    """Read a column of whole numbers as int64, missing ones as null."""
    fast = _cast(raw, pa.int64()) if not pa.types.is_floating(raw.type) else None
    return fast if fast is not None else _one_by_one(whole, raw, rows, mistakes, column, pa.int64())


def _cast(raw: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    if pa.types.is_boolean(raw.type):
        return None
    if pa.types.is_string(raw.type):
        trimmed = pc.utf8_trim_whitespace(raw)
        raw = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    try:
        return pc.cast(raw, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _one_by_one(
    read: Callable[[Any], Any],
    raw: pa.Array,
    rows: Sequence[int],
    mistakes: Mistakes,
    column: str,
    wanted: pa.DataType,
) -> pa.Array:
    pairs = zip(rows, raw.to_pylist(), strict=True)
    values = [checked(read, value, mistakes, f"row {row}", column) for row, value in pairs]
    return pa.array(values, wanted, from_pandas=False)


def _stripped(raw: Any) -> Any:
    return (raw.strip() or None) if isinstance(raw, str) else raw
