"""A whole export: runs with their attempts, weight syncs and validations, exactly as they were stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.base.errors import GridError
from orchestrator.data import frames
from orchestrator.data.importing.history import check_order
from orchestrator.data.importing.rows import ImportedAttempt, ImportedRun, read_row
from orchestrator.data.importing.runs import StatedRun
from orchestrator.data.importing.tables import ROW, Mistakes, Table

TABLES = ("runs", "attempts", "syncs", "evals")
"""The files of an export that are imported."""


def files_of(folder: Path) -> dict[str, Path]:
    """Find the files of an export in a folder, CSV or Parquet; empty if it holds no runs.

    Raises:
        GridError: A table is there in both formats.
    """
    found = {}
    for table in TABLES:
        paths = [path for path in (folder / f"{table}.csv", folder / f"{table}.parquet") if path.is_file()]
        if len(paths) > 1:
            raise GridError([f"{folder}: holds both {paths[0].name} and {paths[1].name}; take one away"])
        if paths:
            found[table] = paths[0]
    return found if "runs" in found else {}


def run_numbers(stated: Sequence[StatedRun], mistakes: Mistakes) -> dict[int, int]:
    """Read the numbers that the runs have in their export, each once; returns the run's place by number."""
    places: dict[int, int] = {}
    for place, run in enumerate(stated):
        if not (run.label or "").isdecimal():
            mistakes.note(run.place, "run must be the number that the export's other files know it by")
        elif places.setdefault(int(run.label or 0), place) != place:
            mistakes.note(run.place, f"run {run.label} is there twice")
    return places


def with_attempts(
    runs: Sequence[ImportedRun], places: Mapping[int, int], table: Table, mistakes: Mistakes
) -> list[ImportedRun]:
    """Give each run its attempts."""
    of_runs: dict[int, dict[int, ImportedAttempt]] = {number: {} for number in places}
    for raw in table.records(dict(zip(table.columns, table.columns, strict=True)), mistakes):
        attempt = read_row(ImportedAttempt, raw, mistakes, f"row {raw[ROW]}")
        if attempt is None:
            continue
        if attempt.run not in of_runs:
            mistakes.note(raw[ROW], f"run {attempt.run} is not among the export's runs")
        elif of_runs[attempt.run].setdefault(attempt.attempt, attempt) is not attempt:
            mistakes.note(raw[ROW], f"attempt {attempt.attempt} of run {attempt.run} is there twice")
    own = [tuple(attempts.values()) for attempts in of_runs.values()]
    return [run.model_copy(update={"attempts": one}) for run, one in zip(runs, own, strict=True)]


def read_metrics(
    table: Table, kind: str, places: Mapping[int, int], runs: Sequence[ImportedRun], mistakes: Mistakes
) -> pa.Table:
    """Read the weight syncs or the validations of an export.

    Args:
        table: The file.
        kind: ``syncs`` or ``evals``.
        places: Each run's place among the runs, by its number.
        runs: The runs; their attempts may have rows.
        mistakes: Takes what is wrong.
    """
    schema, key = frames.schema(kind), "sync" if kind == "syncs" else "learner_step"
    needed = [column.name for column in schema if not column.nullable]
    _refuse_missing(table, needed, mistakes)
    kinds = {column.name: column.type for column in schema if column.name in table.columns}
    rows = table.read(dict(zip(kinds, kinds, strict=True)), kinds, mistakes)
    mistakes.raise_all()
    attempts = {(number, one.attempt) for number, place in places.items() for one in runs[place].attempts or ()}
    attempts |= {(number, 1) for number, place in places.items() if runs[place].attempts is None}
    for one in rows.group_by(["run", "attempt"]).aggregate([(ROW, "min")]).to_pylist():
        if (one["run"], one["attempt"]) not in attempts:
            what = f"attempt {one['attempt']} of run {one['run']} is not among the export's attempts"
            mistakes.note(one[f"{ROW}_min"], what)
    for name in set(needed) - {key, "learner_step"}:
        for row in rows.filter(pc.is_null(rows[name]))[ROW].to_pylist():
            mistakes.note(row, f"{name} is missing")
    for one in rows.filter(pc.less(rows["val_n"], 1)).to_pylist() if "val_n" in kinds else ():
        mistakes.note(one[ROW], f"val_n must be at least 1 (found {one['val_n']})")
    rows = rows.set_column(rows.column_names.index("run"), "run", pc.index_in(rows["run"], pa.array([*places])))
    check_order(rows, key, mistakes)
    return rows


def _refuse_missing(table: Table, needed: Sequence[str], mistakes: Mistakes) -> None:
    if missing := [name for name in needed if name not in table.columns]:
        mistakes.note(1, f"has no column {', '.join(missing)}, so it is not of an export")
        mistakes.raise_all()
