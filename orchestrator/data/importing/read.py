"""A file to import, whatever its form, read and checked as a whole: `read_import` is all that the command needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grpo_worker.schema.config import content_digest
from orchestrator.base.errors import GridError
from orchestrator.data.importing import folder, history
from orchestrator.data.importing.columns import LABEL, METRICS, RATE, Columns, Options, map_columns, names_of
from orchestrator.data.importing.ending import ended_runs
from orchestrator.data.importing.rows import FACTS, ImportedRun
from orchestrator.data.importing.runs import RunLog, RunLogs, checked_runs, run_logs, stated_runs
from orchestrator.data.importing.tables import Table, chart_rows, open_table, read_json, table_of
from orchestrator.data.importing.values import Mistakes, checked, whole

FORMATS = ("auto", "runs", "syncs", "trl", "wandb")


@dataclass(slots=True)
class Import:
    """What a file holds, checked.

    Attributes:
        source: The file or folder.
        options: How it was read.
        format: Which form it has.
        files: SHA-256 of every file that was read, by name.
        runs: The runs; cells are listed as they first appear.
        order: Places in ``runs``, in the order in which the runs get their numbers.
        syncs: Weight syncs; ``run`` is the place in ``runs``.
        evals: Validations, likewise.
        notes: What was made of the columns, and what a user should know.
    """

    source: Path
    options: Options
    format: str
    files: dict[str, str]
    runs: list[ImportedRun] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    syncs: pa.Table = field(default_factory=lambda: pa.table({}))
    evals: pa.Table = field(default_factory=lambda: pa.table({}))
    notes: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """What identifies the import: the files' content and how they were read."""
        return content_digest({"files": sorted(self.files.values()), **self._read_as()})

    def described(self) -> dict[str, Any]:
        """Say what was imported, for people."""
        return {"import": self.source.name, "sha256": self.files, **self._read_as(), "notes": self.notes}

    def _read_as(self) -> dict[str, Any]:
        options = self.options
        read_as: dict[str, Any] = {"format": self.format, "map": dict(options.columns), "set": dict(options.values)}
        read_as |= {"skip": [*options.skip], "detector": options.detector}
        return read_as if options.lag_unit is None else read_as | {"lag_unit": options.lag_unit}


def read_import(source: Path, options: Options) -> Import:
    """Read and check a file, or a folder of them.

    Raises:
        GridError: It has mistakes; all of them are named.
    """
    if not source.exists():
        raise GridError([f"{source}: there is no such file or folder"])
    format, paths = _form(source, options)
    files = {str(path.relative_to(source) if source.is_dir() else path.name): _sha256(path) for path in paths}
    if options.runs_file is not None:
        files[options.runs_file.name] = _sha256(options.runs_file)
    found = Import(source, options, format, files)
    readers: dict[str, Callable[[Import, list[Path]], None]] = {
        "runs": _read_runs, "syncs": _read_syncs, "trl": _read_trl, "wandb": _read_log, "export": _read_export,
    }  # fmt: skip
    readers[format](found, paths)
    found.order = found.order or list(range(len(found.runs)))
    return found


def _form(source: Path, options: Options) -> tuple[str, list[Path]]:
    """Recognise the form of a file, and list the files to read."""
    if source.is_dir():
        tables, states = folder.files_of(source), _trainer_states(source)
        if "runs" in tables:
            return "export", list(tables.values())
        if states:
            return "trl", list(states.values())
        raise GridError([f"{source}: holds neither an export (runs.csv or runs.parquet) nor a trainer_state.json"])
    if options.format != "auto":
        return options.format, [source]
    if source.name.endswith("trainer_state.json"):
        return "trl", [source]
    columns = {*chart_rows(open_table(source)).columns, *options.columns}
    for format, marks in (("syncs", ["sync"]), ("runs", ["collapse_step"]), ("wandb", names_of("step"))):
        if columns.intersection(marks):
            return format, [source]
    if columns != {*open_table(source).columns, *options.columns}:
        return "wandb", [source]  # a chart; that it lacks steps is said later
    hint = (
        "one row per run needs a column collapse_step, one per weight sync a column sync, one per logged step a column"
    )
    raise GridError(
        [
            f"{source}: is none of the forms that can be imported: {hint} {', '.join(names_of('step'))} "
            f"(found: {', '.join(sorted(columns)[:30])}); name yours with --map OURS=THEIRS"
        ]
    )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GridError([f"{path}: cannot be read: {error.strerror}"]) from error


def _read_runs(found: Import, paths: list[Path]) -> None:
    mistakes = Mistakes(paths[0])
    found.runs, _ = _table_of_runs(found, open_table(paths[0]), mistakes)
    mistakes.raise_all()


def _table_of_runs(
    found: Import, table: Table, mistakes: Mistakes
) -> tuple[list[ImportedRun], list[tuple[int, dict[str, Any]]]]:
    columns = map_columns(table.columns, [LABEL, "sweep", *FACTS], found.options, mistakes, rest_are_axes=True)
    if "collapse_step" not in columns.used:
        mistakes.note("row 1", "has no column collapse_step; give it one, empty where a run did not collapse")
    found.notes += columns.described(found.options)
    records = table.records(mistakes)
    if not records:
        mistakes.note("", "has no rows")
    return checked_runs(stated_runs(records, columns, found.options.values), mistakes), records


def _read_syncs(found: Import, paths: list[Path]) -> None:
    table, mistakes = open_table(paths[0]), Mistakes(paths[0])
    columns = map_columns(table.columns, [LABEL, "sync", "learner_step", *FACTS, *METRICS], found.options, mistakes)
    found.notes += columns.described(found.options)
    if "sync" not in columns.used:
        mistakes.note("row 1", "has no column sync, the number of the weight sync, counted from 0")
    _refuse_unknown_unit(columns, found.options, mistakes)
    if "sync" not in columns.used:
        mistakes.raise_all()
    runs = run_logs(found.options, mistakes)
    rows = history.read_rows(table, columns, runs, ("sync", "learner_step"), found.options.lag_unit)
    found.syncs, found.evals = history.take_syncs(rows, runs)
    _finish(found, runs)


def _read_log(found: Import, paths: list[Path]) -> None:
    table, mistakes = chart_rows(open_table(paths[0])), Mistakes(paths[0])
    columns = _columns_of_log(table, found.options, mistakes)
    found.notes += columns.described(found.options)
    listed = ", ".join(table.columns[:30])
    if "step" not in columns.used:
        mistakes.note("row 1", f"has no column of learner steps (found: {listed}); use --map step=THEIRS")
    if not columns.metrics():
        mistakes.note("row 1", f"has no metric that is known (found: {listed}); use --map reward=THEIRS")
    mistakes.raise_all()
    runs = run_logs(found.options, mistakes)
    rows = history.read_rows(table, columns, runs, ["step"], found.options.lag_unit)
    found.notes += table.notes
    _take_log(found, history.logged(rows, columns.used["step"], mistakes), runs)


def _columns_of_log(table: Table, options: Options, mistakes: Mistakes) -> Columns:
    known = [LABEL, "step", *FACTS, *METRICS, RATE]
    columns = map_columns(table.columns, known, options, mistakes, is_log=True)
    _refuse_unknown_unit(columns, options, mistakes)
    return columns


def _refuse_unknown_unit(columns: Columns, options: Options, mistakes: Mistakes) -> None:
    if columns.foreign_lags() and options.lag_unit is None:
        lags = ", ".join(columns.foreign_lags().values())
        what = "say what a lag of 1 is with --lag-unit: steps (a learner step), versions (a weight sync: k learner "
        mistakes.note("row 1", f"{lags}: {what}steps), fraction (all of k), or a number of learner steps; or --skip it")


def _take_log(found: Import, rows: pa.Table, runs: RunLogs) -> None:
    if len(rows):
        found.syncs, found.evals, notes = history.take_log(rows, runs)
        found.notes += notes
    _finish(found, runs)


def _finish(found: Import, runs: RunLogs) -> None:
    found.runs, notes = ended_runs(runs, found.options.detector)
    found.notes += notes
    if not runs.found and not runs.mistakes.count:
        runs.mistakes.note("", "shows no run")
    runs.mistakes.raise_all()


def _read_trl(found: Import, _: list[Path]) -> None:
    mistakes = Mistakes(found.source)
    runs, parts, notes = run_logs(found.options, mistakes), [], dict[str, list[str]]()
    for name, path in _trainer_states(found.source).items():
        table, state = _trainer_log(path)
        label = name if name is not None or runs.named is None else found.source.resolve().name
        columns = _columns_of_log(table, found.options, mistakes)
        said = columns.described(found.options)
        if "step" not in columns.used:
            mistakes.note(str(path), "its log has no step")
            continue
        before = len(runs.found)
        rows = history.read_rows(table, columns, runs, ["step"], found.options.lag_unit, label)
        parts.append(history.logged(rows, columns.used["step"], mistakes))
        for run in runs.found[before:]:
            said += _completed(run, parts[-1], state, mistakes)
        for note in said:
            notes.setdefault(note, []).append(str(label))
    found.notes += history.gathered(notes, len(parts))
    _take_log(found, pa.concat_tables(parts, promote_options="default") if parts else pa.table({}), runs)


def _trainer_states(path: Path) -> dict[str | None, Path]:
    """The newest ``trainer_state.json`` of a run's folder, or of each run in a folder of runs, by the folder's name."""
    alone = path if path.is_file() else _newest_state(path)
    if alone is not None:
        return {None: alone}
    found = {child.name: _newest_state(child) for child in sorted(path.iterdir()) if child.is_dir()}
    return {name: state for name, state in found.items() if state is not None}


def _newest_state(run: Path) -> Path | None:
    def step(path: Path) -> int:
        number = path.parent.name.rpartition("-")[2]
        return int(number) if number.isdigit() else -1

    saved = max(run.glob("checkpoint-*/trainer_state.json"), key=step, default=None)
    own = run / "trainer_state.json"
    return own if own.is_file() else saved


def _trainer_log(path: Path) -> tuple[Table, dict[str, Any]]:
    state = read_json(path)
    logged = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(logged, list) or not all(isinstance(entry, dict) for entry in logged):
        raise GridError([f"{path}: holds no log_history, so it is no trainer_state.json of transformers or TRL"])
    return table_of(path, enumerate(logged, start=1)), state


def _completed(run: RunLog, rows: pa.Table, state: dict[str, Any], mistakes: Mistakes) -> list[str]:
    """Take from a trainer's state what its log does not show; returns what a user should know."""
    said = []
    run.last_step = checked(whole, state.get("global_step"), mistakes, run.place, "global_step")
    if not run.has("horizon"):
        run.facts["horizon"] = state.get("max_steps")
        said.append(f"horizon = {state.get('max_steps')} (max_steps)")
    every, k = state.get("logging_steps"), run.number("k")
    if every == 1 and "reward" in rows.schema.names:
        # TRL logs a reward when it samples, so a log of every step shows k.
        gaps = np.unique(np.diff(np.unique(rows.filter(pc.is_valid(rows["reward"]))["step"].to_numpy()))).tolist()
        spacing = gaps[0] if len(gaps) == 1 else None
        if not run.has("k") and spacing is not None:
            run.facts["k"] = spacing
            said.append(f"k = {spacing} (rewards are logged every {spacing} steps, whenever TRL samples)")
        elif spacing not in (None, k):
            mistakes.note(run.place, f"k is given as {run.facts['k']}, but the log has a reward every {spacing} steps")
    elif k is not None and isinstance(every, int) and every > k:
        said.append(f"logged every {every} steps only: each value is a mean over several weight syncs, as is T*")
    return said


def _read_export(found: Import, paths: list[Path]) -> None:
    options = found.options
    if options.columns or options.values or options.skip or options.detector:
        raise GridError([f"{found.source}: an export is imported as it is, without --map, --set, --skip or --detector"])
    tables = {path.stem: open_table(path) for path in paths}
    wrong = {name: Mistakes(table.path) for name, table in tables.items()}
    found.runs, records = _table_of_runs(found, tables["runs"], wrong["runs"])
    places = folder.run_numbers(records, wrong["runs"])
    wrong["runs"].raise_all()
    if "attempts" in tables:
        found.runs = folder.with_attempts(found.runs, places, tables["attempts"], wrong["attempts"])
    numbers = [(number, found.runs[place].attempts) for number, place in places.items()]
    attempts = {(number, one.attempt) for number, own in numbers for one in own or ()}
    attempts |= {(number, 1) for number, own in numbers if own is None}
    if "syncs" in tables:
        found.syncs = folder.read_metrics(tables["syncs"], places, attempts, wrong["syncs"], key="sync")
    if "evals" in tables:
        found.evals = folder.read_metrics(tables["evals"], places, attempts, wrong["evals"], key="learner_step")
    wrong["runs"].raise_all(*(one for name, one in wrong.items() if name != "runs"))
    found.order = [places[number] for number in sorted(places)]
    found.notes += [f"no {name} in the folder" for name in folder.TABLES if name not in tables]
