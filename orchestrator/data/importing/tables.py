"""Files as tables: CSV, Parquet and JSON lines in batches of columns, each row with the number that people see.

Rows count as a spreadsheet does: the header of a CSV file is row 1. In Parquet and JSON the first row is row 1.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.base.errors import GridError
from orchestrator.data.importing.values import Mistakes

BATCH_ROWS = 20_000
"""Rows held as Python objects at a time."""

csv.field_size_limit(16 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a table.

    Attributes:
        rows: The number of each.
        columns: Raw values by column: text, or typed in Parquet.
    """

    rows: Sequence[int]
    columns: Mapping[str, pa.Array]

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each row with its number."""
        values = zip(*(column.to_pylist() for column in self.columns.values()), strict=True)
        for row, raw in zip(self.rows, values, strict=True):
            yield row, dict(zip(self.columns, raw, strict=True))


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows.

    Attributes:
        path: The file.
        columns: Names in the file's order.
        batches: Reads the rows from the start; notes those that are no rows.
    """

    path: Path
    columns: tuple[str, ...]
    batches: Callable[[Mistakes], Iterator[Batch]]

    def records(self, mistakes: Mistakes) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each row with its number."""
        for batch in self.batches(mistakes):
            yield from batch.records()


def open_table(path: Path) -> Table:
    """Open a file by its ending: .parquet, .jsonl, .ndjson, .json (a list of objects); all others are CSV.

    Raises:
        GridError: It cannot be read, or is no table.
    """
    openers = {".parquet": _open_parquet, ".jsonl": _open_json_lines, ".ndjson": _open_json_lines, ".json": _open_json}
    try:
        return openers.get(path.suffix.lower(), _open_csv)(path)
    except (OSError, pa.ArrowInvalid, csv.Error, UnicodeDecodeError) as error:
        raise GridError([f"{path}: cannot be read: {_reason(error)}"]) from error


def table_of(path: Path, objects: Iterable[tuple[int, dict[str, Any]]]) -> Table:
    """Make a table of JSON objects; what is no number or text in them becomes its JSON text."""
    numbered = list(objects)
    columns = tuple(dict.fromkeys(name for _, one in numbered for name in one))

    def batches(_: Mistakes) -> Iterator[Batch]:
        for start in range(0, len(numbered), BATCH_ROWS):
            part = numbered[start : start + BATCH_ROWS]
            raw = {name: pa.array([_as_text(one.get(name)) for _, one in part], pa.string()) for name in columns}
            yield Batch([row for row, _ in part], raw)

    return Table(path, columns, batches)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        GridError: It cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise GridError([f"{path}: cannot be read as JSON: {_reason(error)}"]) from error


def _open_parquet(path: Path) -> Table:
    with pq.ParquetFile(path) as file:
        names = tuple(file.schema_arrow.names)
    _refuse_names(path, names)

    def batches(_: Mistakes) -> Iterator[Batch]:
        row = 1
        with pq.ParquetFile(path) as file:
            for part in file.iter_batches(BATCH_ROWS):
                raw = {name: _plain(column) for name, column in zip(names, part.columns, strict=True)}
                yield Batch(range(row, row + part.num_rows), raw)
                row += part.num_rows

    return Table(path, names, batches)


def _plain(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) else column


def _open_csv(path: Path) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, strict=True), None)
    if not header:
        raise GridError([f"{path}: row 1: the file is empty; its first row must name the columns"])
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise GridError([f"{path}: row 1: columns must be separated by commas (found {header[0][:60]!r})"])
    _refuse_names(path, header)
    names = tuple(header)

    def batches(mistakes: Mistakes) -> Iterator[Batch]:
        rows: list[int] = []
        values: list[list[str]] = []
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                for row, fields in enumerate(csv.reader(file, strict=True), start=1):
                    if row == 1 or not fields:
                        continue
                    if len(fields) != len(names):
                        mistakes.note(f"row {row}", f"has {len(fields)} fields, but the header names {len(names)}")
                        continue
                    rows.append(row)
                    values.append(fields)
                    if len(rows) == BATCH_ROWS:
                        yield _text_batch(rows, names, values)
                        rows, values = [], []
        except (OSError, csv.Error, UnicodeDecodeError) as error:
            mistakes.note(f"after row {rows[-1] if rows else 1}", f"cannot be read: {_reason(error)}")
        if rows:
            yield _text_batch(rows, names, values)

    return Table(path, names, batches)


def _text_batch(rows: list[int], names: Sequence[str], values: list[list[str]]) -> Batch:
    columns = zip(*values, strict=True)
    return Batch(rows, {name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})


def _open_json_lines(path: Path) -> Table:
    objects = []
    mistakes = Mistakes(path)
    with path.open(encoding="utf-8-sig") as file:
        for row, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                content = json.loads(line)
            except ValueError as error:
                mistakes.note(f"row {row}", f"is not JSON: {error}")
                continue
            if isinstance(content, dict):
                objects.append((row, content))
            else:
                mistakes.note(f"row {row}", f"must be a JSON object (found {line.strip()[:40]})")
    mistakes.raise_all()
    return table_of(path, objects)


def _open_json(path: Path) -> Table:
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise GridError([f"{path}: must be a list of JSON objects, or a trainer_state.json with log_history"])
    return table_of(path, enumerate(content, start=1))


def _refuse_names(path: Path, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise GridError([f"{path}: row 1: names columns twice: {', '.join(twice)}"])


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"it is not text in UTF-8 (found byte 0x{error.object[error.start]:02x})"
    return " ".join(str(getattr(error, "strerror", None) or error).split())
