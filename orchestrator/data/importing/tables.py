"""Files as tables: CSV, Parquet and JSON, each row with the number that people see.

Rows are counted as in a spreadsheet: the header of a CSV file is row 1. In Parquet and JSON the first row is row 1.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import functools
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.base.errors import GridError
from orchestrator.base.safe_text import QUOTED_FORMULA

ROW = "#row"
"""The column that `Table.read` adds: the row's number."""

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
CSV_BLOCK = 4 * 1024 * 1024  # bytes that are parsed at a time
BATCH_ROWS = 1 << 16  # of a Parquet file that are read at a time
MOST_OBJECTS = 1_000_000  # runs or attempts of a file
MOST_BYTES, MOST_GROWTH = 1 << 30, 100  # a Parquet file may grow so large in memory, or so many times its size
SHOWN_MISTAKES = 100  # of a file; further ones are counted
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_NUMBERS = {
    WHOLE: TypeAdapter[list[Any]](list[Annotated[int, Field(ge=-(2**63), lt=2**63)] | None]),
    REAL: TypeAdapter[list[Any]](list[float | None]),
}

Kinds = Mapping[str, pa.DataType]
"""Columns, each with `TEXT`, `WHOLE` or `REAL`."""


@dataclass(slots=True)
class Mistakes:
    """The mistakes of one file: one sentence each, at most `SHOWN_MISTAKES`, and how many there are."""

    path: Path
    found: list[str] = field(default_factory=list)
    count: int = 0

    def note(self, place: str | int, what: str) -> None:
        """Note what is wrong in a row, given by its number, or at a place; an empty place is the file itself."""
        self.count += 1
        if self.count <= SHOWN_MISTAKES:
            where = f"row {place}: " if isinstance(place, int) else f"{place}: " if place else ""
            self.found.append(f"{self.path}: {where}{what}")

    def raise_all(self) -> None:
        """Raise GridError with all that was noted, if there is any."""
        hidden = self.count - len(self.found)
        if self.found:
            raise GridError([*self.found, *([f"{self.path}: and {hidden:,} more mistakes"] if hidden else [])])


@contextlib.contextmanager
def reading(path: Path) -> Generator[None]:
    """Raise GridError, which names the file, where what is done within cannot read it."""
    try:
        yield
    except ValidationError as error:
        problems = error.errors(include_url=False)
        whys = [": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"]))) for one in problems]
        raise GridError([f"{path}: cannot be read: {why}" for why in whys]) from error
    except (OSError, pa.ArrowException, csv.Error, UnicodeDecodeError) as error:
        why = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise GridError([f"{path}: cannot be read: {why}"]) from error


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows; ``load`` reads columns and `ROW`, typed or not, and notes lines that are not rows."""

    path: Path
    columns: tuple[str, ...]
    load: Callable[[Kinds, Mistakes], pa.Table]

    def read(self, used: Mapping[str, str], kinds: Kinds, mistakes: Mistakes) -> pa.Table:
        """Read columns, by the names that they get, and `ROW`; note lines and numbers that cannot be read.

        A column that is not among ``kinds`` is `TEXT`; missing values are null. GridError: the file cannot be read.
        """
        wanted = {ours: (theirs, kinds.get(ours, TEXT)) for ours, theirs in used.items()}
        with reading(self.path):
            raw = self.load(dict(wanted.values()), mistakes)
            typed = {o: _typed(raw[theirs], kind, raw[ROW], mistakes, theirs) for o, (theirs, kind) in wanted.items()}
        return pa.table({ROW: raw[ROW], **typed})

    def without_apostrophes(self) -> Table:
        """Take away the apostrophe that an export in CSV puts before what looks like a formula."""

        def load(kinds: Kinds, mistakes: Mistakes) -> pa.Table:
            raw = self.load(kinds, mistakes)
            plain = [
                pc.replace_substring_regex(column, QUOTED_FORMULA, r"\1") if column.type == TEXT else column
                for column in raw.columns
            ]
            return pa.table(plain, names=raw.column_names)

        return replace(self, load=load)


def shown(raw: Any) -> str:
    """Write a value for a message, shortened."""
    written = repr(raw)
    return written if len(written) <= 60 else f"{written[:57]}..."


def refused(column: object, problem: ErrorDetails) -> str:
    """Say what pydantic refused in a column."""
    return f"{problem['msg'].replace('Input', str(column), 1)} (found {shown(problem['input'])})"


def _typed(
    raw: pa.ChunkedArray, kind: pa.DataType, rows: pa.ChunkedArray, mistakes: Mistakes, column: str
) -> pa.ChunkedArray:
    """Read a column as one type: at once, or value by value if that fails."""
    if raw.type == kind:
        return raw
    if pa.types.is_floating(raw.type) and kind != REAL:  # pandas writes NaN where a whole number is missing
        raw = pc.if_else(pc.is_nan(raw), pa.scalar(None, raw.type), raw)
    with contextlib.suppress(pa.ArrowInvalid):
        if kind == TEXT or not pa.types.is_boolean(raw.type):  # true is no 1
            return pc.cast(raw, kind)
    parts, start = [], 0
    for chunk in pc.cast(raw, TEXT).chunks:
        try:
            parts.append(pa.array(_NUMBERS[kind].validate_python(chunk.to_pylist()), kind))
        except ValidationError as error:
            for one in error.errors(include_url=False):
                mistakes.note(rows[start + int(one["loc"][0])].as_py(), refused(column, one))
            parts.append(pa.nulls(len(chunk), kind))
        start += len(chunk)
    return pa.chunked_array(parts, kind)


def open_table(path: Path) -> Table:
    """Open a file by its ending, CSV if it has no other; GridError says why it is no table."""
    openers = {".parquet": _open_parquet, ".jsonl": _open_json_lines, ".ndjson": _open_json_lines, ".json": _open_json}
    with reading(path):
        table = openers.get(path.suffix.lower(), _open_csv)(path)
    if twice := sorted(name for name, count in Counter(table.columns).items() if count > 1):
        raise GridError([f"{path}: row 1: names columns twice: {', '.join(twice[:30])}"])
    return table


def listed(rows: pa.Table, mistakes: Mistakes) -> list[dict[str, Any]]:
    """Return rows as Python objects; GridError if there are more than `MOST_OBJECTS`."""
    if len(rows) > MOST_OBJECTS:
        mistakes.note("", f"holds {len(rows):,} runs or attempts; at most {MOST_OBJECTS:,} can be read at once")
        mistakes.raise_all()
    found: list[dict[str, Any]] = rows.to_pylist()
    return found


def table_of(path: Path, objects: Iterable[tuple[int, Mapping[str, Any]]]) -> Table:
    """Make a table of numbered JSON objects; a value that is neither number nor text becomes its JSON text."""
    raw = [{ROW: row} | {name: _as_text(value) for name, value in one.items()} for row, one in objects]
    columns = dict.fromkeys(name for one in raw for name in one if name != ROW)

    def load(kinds: Kinds, _: Mistakes) -> pa.Table:
        return pa.Table.from_pylist(raw, pa.schema([(ROW, WHOLE), *((name, TEXT) for name in kinds)]))

    return Table(path, tuple(columns), load)


def _as_text(value: Any) -> str | None:
    if isinstance(value, float):
        return repr(value)
    return (value if value is None or isinstance(value, str) else json.dumps(value)) or None


def _open_json(path: Path) -> Table:
    text = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    return table_of(path, enumerate(TypeAdapter(list[dict[str, Any]]).validate_json(text), start=1))


def _open_json_lines(path: Path) -> Table:
    wrong, objects, kind = Mistakes(path), [], TypeAdapter(dict[str, Any])
    with path.open(encoding="utf-8-sig") as file:
        for row, line in enumerate(file, start=1):
            try:
                objects.append((row, kind.validate_json(line.strip() or "{}")))
            except ValidationError as error:
                wrong.note(row, f"{error.errors()[0]['msg']} (found {shown(line.strip())})")
    wrong.raise_all()
    return table_of(path, objects)


def _open_parquet(path: Path) -> Table:
    """Open a Parquet file. It is read piece by piece, because a small file may hold a huge table."""
    most = max(MOST_BYTES, MOST_GROWTH * path.stat().st_size)
    schema = pq.read_schema(path)
    types = {one.name: one.type.value_type if pa.types.is_dictionary(one.type) else one.type for one in schema}
    texts = [name for name, kind in types.items() if any(is_text(kind) for is_text in _TEXTS)]

    def load(kinds: Kinds, _: Mistakes) -> pa.Table:
        # Texts as numbers into the list of those that differ, until it is known how long they are in all.
        file = pq.ParquetFile(path, read_dictionary=texts)
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        parts = [group.column(number) for group in groups for number in range(group.num_columns)]
        least = sum(8 * part.num_values for part in parts if part.path_in_schema.partition(".")[0] in kinds)
        batches, size = [], 0
        for batch in file.iter_batches(BATCH_ROWS, columns=list(kinds)) if least <= most else ():
            size += sum(map(_plain_bytes, batch.columns))
            if size > most:
                break
            batches.append(pa.record_batch({name: pc.cast(batch[name], types[name]) for name in kinds}))
        if max(least, size) > most:
            raise GridError([f"{path}: cannot be read: it takes more than {most / 2**30:.1f} GiB of memory"])
        table = pa.Table.from_batches(batches, pa.schema([(name, types[name]) for name in kinds]))
        return table.append_column(ROW, pa.array(np.arange(1, len(table) + 1)))

    return Table(path, tuple(schema.names), load)


def _plain_bytes(column: pa.Array) -> int:
    """The size of a column, once its texts are written out."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    return int(pc.sum(pc.binary_length(column.dictionary).take(column.indices).cast(WHOLE)).as_py() or 0)


def _open_csv(path: Path) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, strict=True), None)
        while file.read(CSV_BLOCK):  # what is no UTF-8 is refused here: Arrow cannot hand such rows over
            pass
    if not header:
        raise GridError([f"{path}: row 1: the file is empty; its first row must name the columns"])

    def parsed(kinds: Kinds, block: int) -> tuple[pa.Table, dict[int, int]]:
        fields: dict[int, int] = {}  # how many each wrong row has

        def refuse(row: pa.csv.InvalidRow) -> str:
            fields[row.number] = row.actual_columns
            return "skip"

        columns = {"column_types": kinds, "include_columns": list(kinds)}
        table = pa.csv.read_csv(
            path,
            pa.csv.ReadOptions(use_threads=False, block_size=block),  # with threads rows have no numbers
            pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=refuse),
            pa.csv.ConvertOptions(null_values=[""], strings_can_be_null=True, **columns),
        )
        return table, fields

    def load(kinds: Kinds, mistakes: Mistakes) -> pa.Table:
        try:  # a whole number may be written 8.0, which only `_typed` reads
            table, fields = parsed({name: REAL if kind == REAL else TEXT for name, kind in kinds.items()}, CSV_BLOCK)
        except pa.ArrowInvalid:  # some value is not a number, which `_typed` finds, or a row is longer than a block
            table, fields = parsed(dict.fromkeys(kinds, TEXT), 16 * CSV_BLOCK)
        for row, count in fields.items():
            mistakes.note(row, f"has {count} fields, but the header names {len(header)}")
        rows = np.setdiff1d(np.arange(2, 2 + len(table) + len(fields)), list(fields))
        is_blank = functools.reduce(pc.and_, map(pc.is_null, table.columns))
        table = table.append_column(ROW, pa.array(rows))
        return table.filter(pc.invert(is_blank)) if pc.any(is_blank).as_py() else table

    return Table(path, tuple(header), load)
