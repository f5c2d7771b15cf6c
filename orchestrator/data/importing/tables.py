"""Files as tables: CSV, Parquet and JSON, each row with the number that people see.

Rows are counted as in a spreadsheet: the header of a CSV file is row 1. In Parquet and JSON the first row is row 1.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from orchestrator.base.errors import GridError
from orchestrator.data.importing.values import Mistakes, numbers

ROW = "#row"
"""The column that `Table.read` adds: the row's number."""

CSV_BLOCK = 4 * 1024 * 1024
"""Bytes of CSV that are parsed at a time."""

Kinds = Mapping[str, pa.DataType | None]
"""Columns to read, each with the type of its numbers; None = raw, which is text or, in Parquet, typed."""

_PANEL = re.compile(r"(?P<run>.+) - (?P<metric>.+?)")


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows.

    Attributes:
        path: The file.
        columns: Names in the file's order.
        load: Loads columns, raw or typed, and `ROW`; notes lines that are not rows. See `read`.
        notes: What a user should know of the rows, complete once they are loaded.
    """

    path: Path
    columns: tuple[str, ...]
    load: Callable[[Kinds, Mistakes], pa.Table]
    notes: list[str] = field(default_factory=list)

    def read(self, kinds: Kinds, mistakes: Mistakes) -> pa.Table:
        """Read columns and `ROW`; note lines and values that cannot be read.

        Raises:
            GridError: The file cannot be read at all.
        """
        try:
            raw = self.load(kinds, mistakes)
        except (OSError, pa.ArrowException) as error:
            raise GridError([f"{self.path}: cannot be read: {_reason(error)}"]) from error
        for place, name in enumerate(raw.schema.names):
            kind = kinds.get(name)
            if kind is not None and raw[name].type != kind:
                typed = numbers(raw[name], kind, raw[ROW], mistakes, name)
                raw = raw.set_column(place, name, typed)
        return raw

    def records(self, mistakes: Mistakes) -> list[tuple[int, dict[str, Any]]]:
        """Read each row with its number, all columns raw."""
        return [(one.pop(ROW), one) for one in self.read(dict.fromkeys(self.columns), mistakes).to_pylist()]


def open_table(path: Path) -> Table:
    """Open a file by its ending: .parquet, .jsonl, .ndjson, .json (a list of objects); all others are CSV.

    Raises:
        GridError: It cannot be read, or is not a table.
    """
    openers = {".parquet": _open_parquet, ".jsonl": _open_json_lines, ".ndjson": _open_json_lines, ".json": _open_json}
    try:
        return openers.get(path.suffix.lower(), _open_csv)(path)
    except (OSError, pa.ArrowInvalid, csv.Error, UnicodeDecodeError) as error:
        raise GridError([f"{path}: cannot be read: {_reason(error)}"]) from error


def table_of(path: Path, objects: Iterable[tuple[int, dict[str, Any]]]) -> Table:
    """Make a table of numbered JSON objects; a value that is neither number nor text becomes its JSON text."""
    raw = [{ROW: row} | {name: _as_text(value) for name, value in one.items()} for row, one in objects]
    columns = tuple(dict.fromkeys(name for one in raw for name in one if name != ROW))

    def load(kinds: Kinds, _: Mistakes) -> pa.Table:
        return pa.Table.from_pylist(raw, pa.schema([(ROW, pa.int64()), *((name, pa.string()) for name in kinds)]))

    return Table(path, columns, load)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        GridError: It cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise GridError([f"{path}: cannot be read as JSON: {_reason(error)}"]) from error


def chart_rows(table: Table) -> Table:
    """Turn the CSV of a W&B chart into rows of a log; any other table stays as it is.

    A chart has columns ``RUN - METRIC`` beside ``RUN - METRIC__MIN`` and ``__MAX``. The log has ``run`` and METRIC.
    """
    found = {name: _PANEL.fullmatch(name) for name in table.columns if f"{name}__MIN" in table.columns}
    by_run: dict[str, dict[str, str]] = {}
    for name, match in found.items():
        if match and match["metric"] != "_step":  # W&B's own counter, which is in every chart
            by_run.setdefault(match["run"], {})[match["metric"]] = name
    if not by_run:
        return table
    used = {f"{name}{end}" for name in found for end in ("", "__MIN", "__MAX")}
    shared = [name for name in table.columns if name not in used]
    metrics = dict.fromkeys(name for own in by_run.values() for name in own)
    notes: list[str] = []

    def load(kinds: Kinds, mistakes: Mistakes) -> pa.Table:
        for label in [label for label in by_run if label.startswith("Group: ")]:
            mistakes.note("row 1", f"{label!r} is a mean over runs; export the chart with its runs not grouped")
        raw = table.load(dict.fromkeys(table.columns), mistakes)
        pairs = [(f"{name}__MIN", f"{name}__MAX") for own in by_run.values() for m, name in own.items() if m in kinds]
        means = sum(pc.sum(pc.not_equal(raw[low], raw[high])).as_py() or 0 for low, high in pairs)
        if means:
            notes.append(f"{means} values are means over several points: the chart does not show each step")
        missing, parts = pa.nulls(len(raw), pa.string()), []
        for label, own in by_run.items():
            names = {"run": pa.array([label] * len(raw)), ROW: raw[ROW]} | {name: raw[name] for name in shared}
            names |= {metric: raw[own[metric]] if metric in own else missing for metric in metrics}
            parts.append(pa.table(names).select([ROW, *kinds]))
        return pa.concat_tables(parts)

    return Table(table.path, ("run", *shared, *metrics), load, notes)


def _open_parquet(path: Path) -> Table:
    names = tuple(pq.read_schema(path).names)
    _refuse_names(path, names)

    def load(kinds: Kinds, _: Mistakes) -> pa.Table:
        table = pq.read_table(path, columns=list(kinds))
        columns = {name: _plain(table[name]) for name in kinds}
        return pa.table({ROW: np.arange(1, len(table) + 1)} | columns)

    return Table(path, names, load)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) else column


def _open_csv(path: Path) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, strict=True), None)
    if not header:
        raise GridError([f"{path}: row 1: the file is empty; its first row must name the columns"])
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise GridError([f"{path}: row 1: columns must be separated by commas (found {header[0][:60]!r})"])
    _refuse_names(path, header)

    def load(kinds: Kinds, mistakes: Mistakes) -> pa.Table:
        typed = {name: pa.float64() for name, kind in kinds.items() if kind == pa.float64()}
        raw = dict.fromkeys(kinds, pa.string())
        try:
            table, refused = _parsed(path, raw | typed)
            infinite = [name for name in typed if pc.any(pc.is_inf(table[name])).as_py()]
            again, _ = _parsed(path, dict.fromkeys(infinite, pa.string())) if infinite else (table, [])
            for name in infinite:  # 1e999 is refused, inf is not
                table = table.set_column(table.schema.get_field_index(name), name, again[name])
        except pa.ArrowInvalid:  # some value is not a number, which `numbers` finds, or a row is longer than a block
            table, refused = _parsed(path, raw, 16 * CSV_BLOCK)
        for row in refused:
            mistakes.note(f"row {row.number}", f"has {row.actual_columns} fields, but the header names {len(header)}")
        skipped = [row.number for row in refused]
        rows = np.setdiff1d(np.arange(2, 2 + len(table) + len(skipped)), skipped)
        return _without_blank_lines(table.append_column(ROW, pa.array(rows)))

    return Table(path, tuple(header), load)


def _parsed(
    path: Path, types: Mapping[str, pa.DataType], block: int = CSV_BLOCK
) -> tuple[pa.Table, list[pa.csv.InvalidRow]]:
    refused: list[pa.csv.InvalidRow] = []

    def refuse(row: pa.csv.InvalidRow) -> str:
        refused.append(row)
        return "skip"

    table = pa.csv.read_csv(
        path,
        pa.csv.ReadOptions(use_threads=False, block_size=block),  # with threads rows have no numbers
        pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=refuse),
        pa.csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[""]),
    )
    return table, refused


def _without_blank_lines(table: pa.Table) -> pa.Table:
    blank = np.ones(len(table), bool)
    for column in table.drop_columns(ROW).columns:
        is_text = pa.types.is_string(column.type)
        blank &= (pc.equal(column, "") if is_text else pc.is_null(column)).to_numpy()
        if not blank.any():
            return table
    return table.filter(pa.array(~blank))


def _open_json_lines(path: Path) -> Table:
    wrong, objects = Mistakes(path), []
    with path.open(encoding="utf-8-sig") as file:
        for row, line in enumerate(file, start=1):
            try:
                objects.append((row, json.loads(line) if line.strip() else {}))
            except ValueError as error:
                wrong.note(f"row {row}", f"is not JSON: {error}")
    for row, one in objects:
        if not isinstance(one, dict):
            wrong.note(f"row {row}", f"must be a JSON object (found {json.dumps(one)[:40]})")
    wrong.raise_all()
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
    return repr(value) if isinstance(value, float) else json.dumps(value)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"it is not text in UTF-8 (found byte 0x{error.object[error.start]:02x})"
    return " ".join(str(getattr(error, "strerror", None) or error).split())
