"""A whole export: runs with their attempts, weight syncs and validations, exactly as they were stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.base.errors import GridError
from orchestrator.data.importing.columns import METRICS
from orchestrator.data.importing.history import in_order, refuse_twice
from orchestrator.data.importing.rows import ImportedAttempt, ImportedRun, read_row
from orchestrator.data.importing.tables import ROW, Table
from orchestrator.data.importing.values import Mistakes, checked, whole

TABLES = ("runs", "attempts", "syncs", "evals")
"""The files of an export that are imported."""

_LATER = ("failure_class", "node")  # older exports do not have them


def files_of(folder: Path) -> dict[str, Path]:
    """Find the files of an export in a folder, CSV or Parquet.

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
    return found


def run_numbers(records: Sequence[tuple[int, dict[str, Any]]], mistakes: Mistakes) -> dict[int, int]:
    """Read the numbers that the runs have in their export, each once; returns the run's place by number."""
    places: dict[int, int] = {}
    for place, (row, raw) in enumerate(records):
        number = checked(whole, raw.get("run"), mistakes, f"row {row}", "run")
        if number is None:
            mistakes.note(f"row {row}", "run must be the number that the export's other files know it by")
        elif places.setdefault(number, place) != place:
            mistakes.note(f"row {row}", f"run {number} is there twice")
    return places


def with_attempts(
    runs: Sequence[ImportedRun], places: Mapping[int, int], table: Table, mistakes: Mistakes
) -> list[ImportedRun]:
    """Give each run its attempts."""
    by_run: dict[int, list[ImportedAttempt]] = {number: [] for number in places}
    _refuse_missing(table, ["run", *(name for name in ImportedAttempt.model_fields if name not in _LATER)], mistakes)
    for row, raw in table.records(mistakes) if not mistakes.count else ():
        run = checked(whole, raw["run"], mistakes, f"row {row}", "run")
        attempt = read_row(ImportedAttempt, raw, mistakes, f"row {row}")
        if run not in by_run:
            mistakes.note(f"row {row}", f"run {run} is not among the export's runs")
        elif attempt is not None:
            if attempt.attempt in (one.attempt for one in by_run[run]):
                mistakes.note(f"row {row}", f"attempt {attempt.attempt} of run {run} is there twice")
            by_run[run].append(attempt)
    return [runs[place].model_copy(update={"attempts": tuple(by_run[run])}) for run, place in places.items()]


def read_metrics(
    table: Table, places: Mapping[int, int], attempts: Collection[tuple[int, int]], mistakes: Mistakes, *, key: str
) -> pa.Table:
    """Read the weight syncs or the validations of an export.

    Args:
        table: The file.
        places: Each run's place among the runs, by its number.
        attempts: The attempts that rows may belong to, each with its run's number.
        mistakes: Takes what is wrong.
        key: What numbers the rows of a run: ``sync`` or ``learner_step``.
    """
    needed = ["run", "attempt", "learner_step"]
    needed, metrics = ([*needed, "sync"], METRICS) if key == "sync" else ([*needed, "val_reward"], _OF_EVALS)
    _refuse_missing(table, needed, mistakes)
    if mistakes.count:
        return pa.table({})
    decimals = dict.fromkeys(needed, False) | {name: metrics[name] for name in metrics if name in table.columns}
    rows = table.read({name: pa.float64() if d else pa.int64() for name, d in decimals.items()}, mistakes)
    pairs = rows.select(["run", "attempt", ROW]).group_by(["run", "attempt"]).aggregate([(ROW, "min")])
    for run, attempt, row in zip(*(column.to_pylist() for column in pairs.columns), strict=True):
        if (run, attempt) not in attempts:
            mistakes.note(f"row {row}", f"attempt {attempt} of run {run} is not among the export's attempts")
    for name, least in (("sync", 0), ("learner_step", 0), ("val_n", 1)):
        if name in decimals:
            wrong = rows.filter(pc.fill_null(pc.less(rows[name], least), name != "val_n"))
            for row, value in zip(wrong[ROW].to_pylist(), wrong[name].to_pylist(), strict=True):
                mistakes.note(f"row {row}", f"{name} must be a whole number of at least {least} (found {value})")
    for row in rows.filter(pc.is_null(rows["val_reward"]))[ROW].to_pylist() if key != "sync" else ():
        mistakes.note(f"row {row}", "val_reward is missing")
    refuse_twice(in_order(rows.select(["run", key, ROW]).drop_null(), key), key, mistakes)
    place_of = [places.get(number, 0) for number in rows["run"].to_pylist()]
    return rows.set_column(rows.schema.names.index("run"), "run", pa.array(place_of, pa.int64()))


_OF_EVALS = {"val_reward": True, "val_n": False}


def _refuse_missing(table: Table, needed: Sequence[str], mistakes: Mistakes) -> None:
    if missing := [name for name in needed if name not in table.columns]:
        mistakes.note("row 1", f"has no column {', '.join(missing)}, so it is not of an export")
