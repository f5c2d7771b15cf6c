"""A file to import, whatever its form, read and checked as a whole: `read_import` is all that the command needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from grpo_worker.schema.config import content_digest
from orchestrator.base.errors import GridError
from orchestrator.data.importing import exported, history
from orchestrator.data.importing.columns import LABEL, METRICS, RATE, Options, map_columns, names_of
from orchestrator.data.importing.rows import FACTS, ImportedRun
from orchestrator.data.importing.runs import StatedRun, checked_runs, ended_runs, plain, stated_runs, tell_apart
from orchestrator.data.importing.tables import REAL, ROW, WHOLE, Mistakes, Table, open_table, read_json, table_of

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


class TrainerState(BaseModel):
    """What transformers and TRL write beside a checkpoint."""

    log_history: list[dict[str, Any]]
    global_step: int | None = None
    max_steps: int | None = None
    logging_steps: float | None = None


def read_import(source: Path, options: Options) -> Import:
    """Read and check a file, or a folder of them.

    Raises:
        GridError: It has mistakes; all of them are named.
    """
    if not source.exists():
        raise GridError([f"{source}: there is no such file or folder"])
    mistakes, tables = Mistakes(source), dict[str, Table]()
    states = _trainer_states(source) if source.is_dir() else [source]
    if source.is_dir() and (exports := exported.files_of(source)):
        format, paths = "export", [*exports.values()]
        tables = {name: open_table(path) for name, path in exports.items()}
    elif source.is_dir() or source.name.endswith("trainer_state.json") or options.format == "trl":
        format, paths = "trl", states
    else:
        format, paths, tables = options.format, [source], {"": open_table(source)}
        format = _form(tables[""], options) if format == "auto" else format
    if not paths:
        raise GridError([f"{source}: holds neither an export (runs.csv or runs.parquet) nor a trainer_state.json"])
    files = {str(path.relative_to(source)) if source.is_dir() else path.name: _sha256(path) for path in paths}
    if options.runs_file is not None:
        files[options.runs_file.name] = _sha256(options.runs_file)
    found = Import(source, options, format, files)
    match format:
        case "export":
            _read_export(found, tables)
        case "runs":
            found.runs, _ = _table_of_runs(found, tables[""], mistakes)
        case "trl":
            _read_trl(found, paths, mistakes)
        case _:
            _read_rows(found, tables[""], {}, mistakes)
    mistakes.raise_all()
    found.order = found.order or list(range(len(found.runs)))
    pa.default_memory_pool().release_unused()  # what checking took beside the rows
    return found


def _form(table: Table, options: Options) -> str:
    """Recognise the form of a file by its columns."""
    columns = {*table.columns, *options.columns}
    for format, marks in (("syncs", ["sync"]), ("runs", ["collapse_step"]), ("wandb", names_of("step"))):
        if columns.intersection(marks):
            return format
    hint = "one row per run needs a column collapse_step, one per weight sync sync, one per logged step one of"
    listed = f"{', '.join(names_of('step'))} (found: {', '.join(sorted(columns)[:30])})"
    raise GridError(
        [f"{table.path}: is none of the forms that can be imported: {hint} {listed}; name yours with --map OURS=THEIRS"]
    )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GridError([f"{path}: cannot be read: {error.strerror}"]) from error


def _table_of_runs(found: Import, table: Table, mistakes: Mistakes) -> tuple[list[ImportedRun], list[StatedRun]]:
    known = [LABEL, "sweep", *FACTS]
    used, found.notes = map_columns(table.columns, known, found.options, mistakes, rest_are_axes=True)
    if "collapse_step" not in used:
        mistakes.note(1, "has no column collapse_step; give it one, empty where a run did not collapse")
    records = table.records(used, mistakes)
    if not records:
        mistakes.note("", "has no rows")
    stated = stated_runs(records, dict(found.options.values))
    return checked_runs(stated, mistakes), stated


def _read_rows(found: Import, table: Table, states: Mapping[str | None, TrainerState], mistakes: Mistakes) -> None:
    """Read rows that are numbered by weight sync or, in a log, by learner step."""
    options, is_log = found.options, found.format != "syncs"
    index, meaning = ("step", "learner step") if is_log else ("sync", "number of the weight sync, counted from 0")
    known = [LABEL, index, RATE if is_log else "learner_step", *FACTS, *METRICS]
    used, found.notes = map_columns(table.columns, known, options, mistakes, is_log=is_log)
    listed = ", ".join(table.columns[:30])
    if index not in used:
        mistakes.note(1, f"has no column {index}, which is the {meaning} (found: {listed}); use --map {index}=THEIRS")
    if is_log and not METRICS.keys() & used.keys():
        mistakes.note(1, f"has no metric that is known (found: {listed}); use --map reward=THEIRS")
    lags = {ours: theirs for ours, theirs in used.items() if ours.startswith("lag_") and ours != theirs}
    if lags and options.lag_unit is None:
        what = "say what a lag of 1 is with --lag-unit: steps (a learner step), versions (a weight sync: k learner "
        what += "steps), fraction (all of k), or a number of learner steps; or --skip it"
        mistakes.note(1, f"{', '.join(lags.values())}: {what}")
    mistakes.raise_all()
    kinds = dict.fromkeys(("sync", "learner_step", "step"), WHOLE) | METRICS | dict.fromkeys((RATE, *lags), REAL)
    rows = table.read(used, kinds, mistakes)
    if not len(rows):
        mistakes.note("", "has no rows")
    mistakes.raise_all()
    stated, run = tell_apart(rows, options, mistakes)
    rows = rows.select([ROW, *(name for name in rows.column_names if name in kinds)]).append_column(
        "run", pa.array(run)
    )
    if is_log:
        rows = history.logged(rows, used["step"], mistakes)
        found.notes += history.rates(rows, stated)
    notes: dict[str, list[str]] = {}
    for number, one in enumerate(stated) if states else ():
        for note in _completed(one, rows.filter(pc.equal(rows["run"], number)), states[one.label], mistakes):
            notes.setdefault(note, []).append(one.place)
    found.notes += history.gathered(notes, len(stated))
    known_so_far = [replace(one, facts={"horizon": 2**62, **one.facts}) for one in stated]
    k = np.array([one.k for one in checked_runs(known_so_far, mistakes)], np.int64)
    mistakes.raise_all()
    of_row = pa.array(k[rows["run"].to_numpy()].astype(float))
    units = {None: 1.0, "steps": 1.0, "versions": of_row, "fraction": of_row}
    unit = units[options.lag_unit] if options.lag_unit in units else float(str(options.lag_unit))
    rows = history.with_lags(rows, lags, unit)
    if is_log:
        found.syncs, found.evals, reach, notes_of_log = history.take_log(
            rows, k, [one.place for one in stated], mistakes
        )
        found.notes += notes_of_log
    else:
        found.syncs, found.evals, reach = history.take_syncs(rows, k, mistakes)
    for number, one in enumerate(stated) if states else ():
        reach[number] = states[one.label].global_step or reach[number]
    names = ["run", "learner_step", "reward"]
    seen = (
        found.syncs
        if "reward" in found.syncs.column_names
        else found.syncs.append_column("reward", pa.nulls(len(found.syncs), REAL))
    )
    found.runs, notes_of_ends = ended_runs(stated, seen.select(names), found.evals, reach, options.detector, mistakes)
    found.notes += notes_of_ends


def _read_trl(found: Import, paths: list[Path], mistakes: Mistakes) -> None:
    is_one = len(paths) == 1 and found.options.runs_file is None
    states: dict[str | None, TrainerState] = {}
    rows: list[tuple[int, dict[str, Any]]] = []
    for path in paths:
        folder = path.resolve().parent
        label = None if is_one else (folder.parent if folder.name.startswith("checkpoint-") else folder).name
        states[label] = read_json(path, TrainerState)
        rows += [(row, {LABEL: label, **one}) for row, one in enumerate(states[label].log_history, start=1)]
    _read_rows(found, table_of(found.source, rows), states, mistakes)


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


def _completed(run: StatedRun, rows: pa.Table, state: TrainerState, mistakes: Mistakes) -> Iterator[str]:
    """Take from a trainer's state what its log does not show; yields what a user should know."""
    if "horizon" not in run.facts:
        run.facts["horizon"] = state.max_steps
        yield f"horizon = {state.max_steps} (max_steps)"
    every, k = state.logging_steps, plain("k", run.facts.get("k"))
    if every == 1 and "reward" in rows.column_names:
        # TRL logs a reward when it samples, so a log of every step shows k.
        gaps = np.unique(np.diff(np.unique(history.valid(rows, "reward", ["step"])["step"].to_numpy()))).tolist()
        spacing = gaps[0] if len(gaps) == 1 else k
        if k is None and spacing is not None:
            run.facts["k"] = spacing
            yield f"k = {spacing} (rewards are logged every {spacing} steps, whenever TRL samples)"
        elif spacing != k:
            mistakes.note(run.place, f"k is given as {k}, but the log has a reward every {spacing} steps")
    elif every is not None and every > 1 and k is not None:
        yield f"logged every {every:g} steps only: each value is a mean over that many, as is T*"


def _read_export(found: Import, tables: Mapping[str, Table]) -> None:
    options = found.options
    if options.columns or options.values or options.skip or options.detector:
        raise GridError([f"{found.source}: an export is imported as it is, without --map, --set, --skip or --detector"])
    wrong = {name: Mistakes(table.path) for name, table in tables.items()}
    found.runs, stated = _table_of_runs(found, tables["runs"], wrong["runs"])
    places = exported.run_numbers(stated, wrong["runs"])
    wrong["runs"].raise_all()
    if "attempts" in tables:
        found.runs = exported.with_attempts(found.runs, places, tables["attempts"], wrong["attempts"])
    if "syncs" in tables:
        found.syncs = exported.read_metrics(tables["syncs"], "syncs", places, found.runs, wrong["syncs"])
    if "evals" in tables:
        found.evals = exported.read_metrics(tables["evals"], "evals", places, found.runs, wrong["evals"])
    wrong.pop("runs").raise_all(*wrong.values())
    found.order = [places[number] for number in sorted(places)]
    found.notes += [f"no {name} in the folder" for name in exported.TABLES if name not in tables]
