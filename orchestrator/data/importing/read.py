"""A file to import, whatever its form, read and checked as a whole: `read_import` is all that the command needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grpo_worker.schema.config import content_digest
from orchestrator.base.errors import GridError
from orchestrator.data.importing import exported, history
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
    pa.default_memory_pool().release_unused()  # what checking took beside the rows
    return found


def _form(source: Path, options: Options) -> tuple[str, list[Path]]:
    """Recognise the form of a file, and list the files to read."""
    if source.is_dir():
        tables, states = exported.files_of(source), _trainer_states(source)
        if "runs" in tables or states:
            return ("export", list(tables.values())) if "runs" in tables else ("trl", states)
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
    hint = "one row per run needs a column collapse_step, one per weight sync sync, one per logged step one of"
    listed = (
        f"{', '.join(names_of('step'))} (found: {', '.join(sorted(columns)[:30])}); name yours with --map OURS=THEIRS"
    )
    raise GridError([f"{source}: is none of the forms that can be imported: {hint} {listed}"])


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
    table = open_table(paths[0])
    columns, runs = _columns(found, table, "sync", "is the number of the weight sync, counted from 0")
    found.syncs, found.evals = history.take_syncs(history.read_rows(table, columns, runs, found.options.lag_unit), runs)
    _finish(found, runs)


def _read_log(found: Import, paths: list[Path]) -> None:
    _take_log(found, chart_rows(open_table(paths[0])), {})


def _read_trl(found: Import, paths: list[Path]) -> None:
    states = {path: _trainer_state(path) for path in paths}
    is_one = len(paths) == 1 and found.options.runs_file is None
    labels = {path: _run_folder(path).name for path in paths}
    own: dict[Path, dict[str, Any]] = {path: {} if is_one else {LABEL: labels[path]} for path in paths}
    rows = [(row, own[path] | one) for path in paths for row, one in enumerate(states[path]["log_history"], start=1)]
    by_label = {None if is_one else labels[path]: state for path, state in states.items()}
    _take_log(found, table_of(found.source, rows), by_label)


def _take_log(found: Import, table: Table, states: Mapping[str | None, dict[str, Any]]) -> None:
    columns, runs = _columns(found, table, "step", "is the learner step")
    rows = history.read_rows(table, columns, runs, found.options.lag_unit)
    rows = history.logged(rows, columns.used["step"], runs.mistakes)
    notes: dict[str, list[str]] = {}
    for number, run in enumerate(runs.found) if states else ():
        for note in _completed(run, rows.filter(pc.equal(rows["run"], number)), states[run.label], runs.mistakes):
            notes.setdefault(note, []).append(run.place)
    found.notes += [*table.notes, *history.gathered(notes, len(runs.found))]
    if len(rows):
        found.syncs, found.evals, more = history.take_log(rows, runs)
        found.notes += more
    _finish(found, runs)


def _columns(found: Import, table: Table, index: str, meaning: str) -> tuple[Columns, RunLogs]:
    """Map the columns of rows that are numbered by a weight sync or a step."""
    mistakes, options, is_log = Mistakes(table.path), found.options, index == "step"
    known = [LABEL, index, RATE if is_log else "learner_step", *FACTS, *METRICS]
    columns = map_columns(table.columns, known, options, mistakes, is_log=is_log)
    found.notes += columns.described(options)
    listed = ", ".join(table.columns[:30])
    if index not in columns.used:
        mistakes.note("row 1", f"has no column {index}, which {meaning} (found: {listed}); use --map {index}=THEIRS")
    if is_log and not columns.metrics():
        mistakes.note("row 1", f"has no metric that is known (found: {listed}); use --map reward=THEIRS")
    if columns.foreign_lags() and options.lag_unit is None:
        lags = ", ".join(columns.foreign_lags().values())
        what = "say what a lag of 1 is with --lag-unit: steps (a learner step), versions (a weight sync: k learner "
        mistakes.note("row 1", f"{lags}: {what}steps), fraction (all of k), or a number of learner steps; or --skip it")
    if index not in columns.used or not columns.metrics():
        mistakes.raise_all()
    return columns, run_logs(options, mistakes)


def _finish(found: Import, runs: RunLogs) -> None:
    found.runs, notes = ended_runs(runs, found.options.detector)
    found.notes += notes
    if not runs.found and not runs.mistakes.count:
        runs.mistakes.note("", "shows no run")
    runs.mistakes.raise_all()


def _trainer_states(folder: Path) -> list[Path]:
    """Find the newest ``trainer_state.json`` of a run's folder, or of each run in a folder of runs."""
    for runs in ([folder], sorted(child for child in folder.iterdir() if child.is_dir())):
        states = [[*run.glob("trainer_state.json")] or _checkpoints(run) for run in runs]
        if found := [of_run[-1] for of_run in states if of_run]:
            return found
    return []


def _checkpoints(run: Path) -> list[Path]:
    """List the states of a run's checkpoints by step; a larger number is longer or comes later."""
    return sorted(run.glob("checkpoint-*/trainer_state.json"), key=lambda path: (len(path.parent.name), path))


def _run_folder(state: Path) -> Path:
    folder = state.resolve().parent
    return folder.parent if folder.name.startswith("checkpoint-") else folder


def _trainer_state(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = read_json(path)
    logged = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(logged, list) or not all(isinstance(entry, dict) for entry in logged):
        raise GridError([f"{path}: holds no log_history, so it is no trainer_state.json of transformers or TRL"])
    return state


def _completed(run: RunLog, rows: pa.Table, state: dict[str, Any], mistakes: Mistakes) -> Iterator[str]:
    """Take from a trainer's state what its log does not show; yields what a user should know."""
    run.last_step = checked(whole, state.get("global_step"), mistakes, run.place, "global_step")
    if not run.has("horizon"):
        run.facts["horizon"] = state.get("max_steps")
        yield f"horizon = {state.get('max_steps')} (max_steps)"
    every, k = state.get("logging_steps"), run.number("k")
    if every == 1 and "reward" in rows.schema.names:
        # TRL logs a reward when it samples, so a log of every step shows k.
        gaps = np.unique(np.diff(np.unique(rows.filter(pc.is_valid(rows["reward"]))["step"].to_numpy()))).tolist()
        spacing = gaps[0] if len(gaps) == 1 else k
        if not run.has("k") and spacing is not None:
            run.facts["k"] = spacing
            yield f"k = {spacing} (rewards are logged every {spacing} steps, whenever TRL samples)"
        elif spacing != k:
            mistakes.note(run.place, f"k is given as {run.facts['k']}, but the log has a reward every {spacing} steps")
    elif k is not None and isinstance(every, int) and every > k:
        yield f"logged every {every} steps only: each value is a mean over several weight syncs, as is T*"


def _read_export(found: Import, paths: list[Path]) -> None:
    options = found.options
    if options.columns or options.values or options.skip or options.detector:
        raise GridError([f"{found.source}: an export is imported as it is, without --map, --set, --skip or --detector"])
    tables = {path.stem: open_table(path) for path in paths}
    wrong = {name: Mistakes(table.path) for name, table in tables.items()}
    found.runs, records = _table_of_runs(found, tables["runs"], wrong["runs"])
    places = exported.run_numbers(records, wrong["runs"])
    wrong["runs"].raise_all()
    if "attempts" in tables:
        found.runs = exported.with_attempts(found.runs, places, tables["attempts"], wrong["attempts"])
    numbers = [(number, found.runs[place].attempts) for number, place in places.items()]
    attempts = {(number, one.attempt) for number, own in numbers for one in own or ()}
    attempts |= {(number, 1) for number, own in numbers if own is None}
    if "syncs" in tables:
        found.syncs = exported.read_metrics(tables["syncs"], places, attempts, wrong["syncs"], key="sync")
    if "evals" in tables:
        found.evals = exported.read_metrics(tables["evals"], places, attempts, wrong["evals"], key="learner_step")
    wrong["runs"].raise_all(*(one for name, one in wrong.items() if name != "runs"))
    found.order = [places[number] for number in sorted(places)]
    found.notes += [f"no {name} in the folder" for name in exported.TABLES if name not in tables]
