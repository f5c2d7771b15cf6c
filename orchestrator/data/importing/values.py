"""Raw values of a file, read as numbers; a value that cannot be read is noted with its row.

A raw value is text (CSV and JSON, where empty text is missing and ``NaN`` and ``inf`` are numbers) or, in Parquet,
already typed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.base.errors import GridError

T = TypeVar("T")

SHOWN_MISTAKES = 100
"""Mistakes of a file that are printed; further ones are counted."""

_WHOLE = re.compile(r"[-+]?[0-9]{1,28}(\.0*)?")
_REAL = re.compile(r"[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|nan|inf|infinity)", re.IGNORECASE)
_EXACT = 2**53
"""Floats hold every whole number up to here."""


@dataclass(slots=True)
class Mistakes:
    """The mistakes of one file: one sentence each, at most `SHOWN_MISTAKES`, and how many there are."""

    path: Path
    found: list[str] = field(default_factory=list)
    count: int = 0

    def note(self, place: str, what: str) -> None:
        """Note what is wrong at a place in the file such as ``row 7``; an empty place is the file itself."""
        self.count += 1
        if len(self.found) < SHOWN_MISTAKES:
            self.found.append(f"{self.path}: {place}: {what}" if place else f"{self.path}: {what}")

    def raise_all(self, *others: Mistakes) -> None:
        """Raise the mistakes of this file and others together.

        Raises:
            GridError: There are mistakes.
        """
        listed: list[str] = []
        for one in (self, *others):
            hidden = one.count - len(one.found)
            listed += [*one.found, *([f"{one.path}: and {hidden:,} more mistakes"] if hidden else [])]
        if listed:
            raise GridError(listed)


def whole(raw: Any) -> int | None:
    """Read a whole number. ``8.0`` is one, because pandas writes it so beside missing values.

    Raises:
        ValueError: It is not one; the message says what is allowed.
    """
    raw = (raw.strip() or None) if isinstance(raw, str) else raw
    if raw is None or (isinstance(raw, float) and math.isnan(raw)):
        return None
    if isinstance(raw, float) and raw.is_integer() and abs(raw) <= _EXACT:
        return int(raw)
    if isinstance(raw, str) and _WHOLE.fullmatch(raw):
        raw = int(raw.partition(".")[0])
    if isinstance(raw, int) and not isinstance(raw, bool) and -(2**63) <= raw < 2**63:
        return raw
    raise ValueError("must be a whole number of at most 64 bits")


def real(raw: Any) -> float | None:
    """Read a number; ``NaN`` and ``inf`` are numbers.

    Raises:
        ValueError: It is not one; the message says what is allowed.
    """
    raw = (raw.strip() or None) if isinstance(raw, str) else raw
    if isinstance(raw, str):
        if not _REAL.fullmatch(raw):
            raise ValueError("must be a number, with a point before its decimals; missing is an empty field")
        if math.isinf(float(raw)) and "n" not in raw.lower():
            raise ValueError("must fit in a 64-bit float; infinity is written inf")
    elif isinstance(raw, bool) or not isinstance(raw, int | float | None):
        raise ValueError("must be a number")
    return None if raw is None else float(raw)


def text(raw: Any) -> str | None:
    """Read text as it is; empty text is missing."""
    return None if raw is None or raw == "" else str(raw)


def shown(raw: Any) -> str:
    """Write a value for a message, shortened."""
    written = repr(raw)
    return written if len(written) <= 60 else f"{written[:57]}..."


def checked(read: Callable[[Any], T], raw: Any, mistakes: Mistakes, place: str, column: str) -> T | None:
    """Read one value; if it cannot be read, note why and return None."""
    try:
        return read(raw)
    except ValueError as error:
        mistakes.note(place, f"{column} {error} (found {shown(raw)})")
        return None


def numbers(
    raw: pa.ChunkedArray, kind: pa.DataType, rows: pa.ChunkedArray, mistakes: Mistakes, column: str
) -> pa.ChunkedArray:
    """Read a column of raw values as ``pa.int64()`` or ``pa.float64()``: all at once, or one by one if that fails."""
    fast = _cast(raw, kind)
    if fast is not None:
        return fast
    read: Callable[[Any], Any] = whole if kind == pa.int64() else real
    pairs = zip(rows.to_pylist(), raw.to_pylist(), strict=True)
    values = [checked(read, value, mistakes, f"row {row}", column) for row, value in pairs]
    return pa.chunked_array([pa.array(values, kind, from_pandas=False)])


def _cast(raw: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    is_text = pa.types.is_string(raw.type)
    if pa.types.is_boolean(raw.type) or (pa.types.is_floating(raw.type) and kind == pa.int64()):
        return None
    if is_text:
        trimmed = pc.utf8_trim_whitespace(raw)
        raw = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    try:
        read = pc.cast(raw, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    may_overflow = is_text and kind == pa.float64() and pc.any(pc.is_inf(read)).as_py()
    return None if may_overflow else read
