"""A whole export: runs with their attempts, weight syncs and validations, exactly as they were stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.base.errors import GridError
from orchestrator.base.states import AttemptOutcome, FailureClass
from orchestrator.data.importing.mapping import METRICS
from orchestrator.data.importing.runs import Runs
from orchestrator.data.importing.spool import Spool
from orchestrator.data.importing.tables import Table
from orchestrator.data.importing.values import Mistakes, checked, floats, moment, shown, text, whole, wholes
from orchestrator.store.imports import ImportedAttempt, ImportedRun

TABLES = ("runs", "attempts", "syncs", "evals")
"""The files of an export that are imported."""

_ATTEMPT = {
    "attempt": whole, "executor": text, "job_id": text, "task_id": text, "restart_count": whole, "host": text,
    "started_at": moment, "ended_at": moment, "outcome": text, "resumed_from_sync": whole,
}  # fmt: skip
_LATER = {"failure_class": text, "node": text}
"""Columns that older exports do not have."""

_MAY_LACK = ("job_id", "task_id", "ended_at", "outcome", "resumed_from_sync", *_LATER)


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


@dataclass(slots=True)
class Export:
    """What the files of an export hold beside the runs.

    Attributes:
        runs: The runs, each with its attempts.
        numbers: The number of each run in the export.
        mistakes: One list for each file that has some.
    """

    runs: list[ImportedRun]
    numbers: list[int]
    mistakes: list[Mistakes] = field(default_factory=list)
    _attempts: set[tuple[int, int]] = field(default_factory=set)

    def read_attempts(self, table: Table) -> None:
        """Give each run its attempts."""
        mistakes = self._mistakes_of(table, ("run", *_ATTEMPT))
        by_run: dict[int, list[ImportedAttempt]] = {}
        known = set(self.numbers)
        for row, raw in table.records(mistakes) if not mistakes.count else ():
            run, attempt = checked(whole, raw["run"], mistakes, f"row {row}", "run"), _attempt(raw, mistakes, row)
            if run is None or attempt is None:
                continue
            if run not in known:
                mistakes.note(f"row {row}", f"run {run} is not among the export's runs")
            if (run, attempt.attempt) in self._attempts:
                mistakes.note(f"row {row}", f"attempt {attempt.attempt} of run {run} is there twice")
            self._attempts.add((run, attempt.attempt))
            by_run.setdefault(run, []).append(attempt)
        pairs = zip(self.runs, self.numbers, strict=True)
        self.runs = [replace(run, attempts=tuple(by_run.get(number, ()))) for run, number in pairs]

    def read_syncs(self, table: Table) -> Spool:
        """Read the weight syncs."""
        metrics = [name for name in METRICS if name in table.columns]
        return self._read_rows(table, ("sync", "learner_step"), {name: METRICS[name] for name in metrics}, "sync")

    def read_evals(self, table: Table) -> Spool:
        """Read the validations."""
        values = {"val_reward": True} | ({"val_n": False} if "val_n" in table.columns else {})
        return self._read_rows(table, ("learner_step",), values, "learner_step")

    def _read_rows(self, table: Table, steps: tuple[str, ...], values: Mapping[str, bool], key: str) -> Spool:
        mistakes = self._mistakes_of(table, ("run", "attempt", *steps, *values))
        spool, keys = Spool(), []
        place_of = {number: place for place, number in enumerate(self.numbers)}
        for batch in table.batches(mistakes) if not mistakes.count else ():
            read = {
                name: wholes(batch.columns[name], batch.rows, mistakes, name) for name in ("run", "attempt", *steps)
            }
            self._refuse_strangers(read["run"], read["attempt"], batch.rows, mistakes)
            for name in steps:
                bad = pc.or_kleene(pc.is_null(read[name]), pc.less(read[name], 0)).to_numpy(zero_copy_only=False)
                for place in np.flatnonzero(bad).tolist():
                    mistakes.note(f"row {batch.rows[place]}", f"{name} must be a whole number of at least 0")
            keys.append(pa.table({"run": read["run"], "key": read[key], "row": pa.array(batch.rows, pa.int64())}))
            read["run"] = pa.array([place_of.get(number, 0) for number in read["run"].to_pylist()], pa.int64())
            for name, has_decimals in values.items():
                read[name] = (floats if has_decimals else wholes)(batch.columns[name], batch.rows, mistakes, name)
            self._refuse_values(read, batch.rows, mistakes, is_evals=key != "sync")
            spool.add(pa.record_batch(read))
        spool.finish()
        if keys:
            _refuse_twice(pa.concat_tables(keys), key, mistakes)
        return spool

    def _refuse_strangers(self, runs: pa.Array, attempts: pa.Array, rows: Any, mistakes: Mistakes) -> None:
        known = self._attempts or {(number, 1) for number in self.numbers}
        pairs = list(zip(runs.to_pylist(), attempts.to_pylist(), strict=True))
        for pair in set(pairs) - known:
            what = f"attempt {pair[1]} of run {pair[0]} is not among the export's attempts"
            mistakes.note(f"row {rows[pairs.index(pair)]}", what)

    def _refuse_values(self, read: Mapping[str, pa.Array], rows: Any, mistakes: Mistakes, *, is_evals: bool) -> None:
        if not is_evals:
            return
        for place in np.flatnonzero(pc.is_null(read["val_reward"]).to_numpy(zero_copy_only=False)).tolist():
            mistakes.note(f"row {rows[place]}", "val_reward is missing")
        if "val_n" in read:
            few = pc.fill_null(pc.less(read["val_n"], 1), False).to_numpy(zero_copy_only=False)
            for place in np.flatnonzero(few).tolist():
                mistakes.note(f"row {rows[place]}", f"val_n must be at least 1 (found {read['val_n'][place]})")

    def _mistakes_of(self, table: Table, needed: tuple[str, ...]) -> Mistakes:
        mistakes = Mistakes(table.path)
        self.mistakes.append(mistakes)
        missing = [name for name in needed if name not in table.columns]
        if missing:
            mistakes.note("row 1", f"has no column {', '.join(missing)}, so it is not of an export")
        return mistakes


def run_numbers(records: list[tuple[int, dict[str, Any]]], mistakes: Mistakes) -> list[int]:
    """Read the numbers that the runs have in their export; each must be there once."""
    numbers: list[int] = []
    seen: set[int] = set()
    for row, raw in records:
        number = checked(whole, raw.get("run"), mistakes, f"row {row}", "run")
        if number is None:
            mistakes.note(f"row {row}", "run must be the number that the export's other files know it by")
        elif number in seen:
            mistakes.note(f"row {row}", f"run {number} is there twice")
        seen |= {number} if number is not None else set()
        numbers.append(number if number is not None else -1)
    return numbers


def in_export_order(runs: Runs, numbers: list[int]) -> list[int]:
    """Places of the runs by rising number, so that the new numbers keep the order of the old ones."""
    return sorted(range(len(runs.found)), key=lambda place: numbers[place])


def _attempt(raw: Mapping[str, Any], mistakes: Mistakes, row: int) -> ImportedAttempt | None:
    before = mistakes.count
    values: dict[str, Any] = {
        name: checked(read, raw.get(name), mistakes, f"row {row}", name) for name, read in (_ATTEMPT | _LATER).items()
    }
    missing = [name for name in values if values[name] is None and name not in _MAY_LACK]
    if missing and mistakes.count == before:
        mistakes.note(f"row {row}", f"{', '.join(missing)} missing")
    _one_of("outcome", values["outcome"], list(AttemptOutcome), mistakes, row)
    _one_of("failure_class", values["failure_class"], list(FailureClass), mistakes, row)
    if (values["outcome"] is None) != (values["ended_at"] is None):
        mistakes.note(f"row {row}", "outcome and ended_at must both be there, or neither")
    if values["attempt"] is not None and values["attempt"] < 1:
        mistakes.note(f"row {row}", f"attempt must be at least 1 (found {values['attempt']})")
    return None if mistakes.count > before else ImportedAttempt(**values)


def _one_of(name: str, value: str | None, allowed: Sequence[str], mistakes: Mistakes, row: int) -> None:
    if value not in (None, *allowed):
        mistakes.note(f"row {row}", f"{name} must be one of {', '.join(allowed)} (found {shown(value)})")


def _refuse_twice(keys: pa.Table, key: str, mistakes: Mistakes) -> None:
    keys = keys.sort_by([("run", "ascending"), ("key", "ascending"), ("row", "ascending")])
    run, number, row = (keys[name].to_numpy() for name in ("run", "key", "row"))
    for place in (np.flatnonzero((np.diff(run) == 0) & (np.diff(number) == 0)) + 1).tolist():
        what = f"{key} {number[place]:g} of run {run[place]:g} stands in row {row[place - 1]} already"
        mistakes.note(f"row {row[place]}", what)
