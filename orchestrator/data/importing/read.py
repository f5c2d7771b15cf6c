"""A file to import, whatever its form, read and checked as a whole: `read_import` is all that the command needs."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from grpo_worker.schema.config import content_digest
from orchestrator.base.errors import GridError
from orchestrator.data import frames
from orchestrator.data.importing import columns, runs
from orchestrator.data.importing.columns import METRICS, Options
from orchestrator.data.importing.rows import FACTS, LABEL, MOST_STEP, RATE, ImportedAttempt, ImportedRun, read_row
from orchestrator.data.importing.tables import REAL, ROW, WHOLE, Mistakes, Table, listed, open_table, reading, table_of

FORMATS = ("auto", "runs", "syncs", "trl", "wandb")


@dataclass(slots=True)
class Import:
    """What a file holds, checked: the runs, and their weight syncs and validations, whose ``run`` is a place in them.

    ``files`` has the SHA-256 of each file that was read, ``notes`` what a user should know.
    """

    source: Path
    options: Options
    format: str
    files: dict[str, str]
    runs: list[ImportedRun] = field(default_factory=list)
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
        asked = self.options
        unit = {} if asked.lag_unit is None else {"lag_unit": asked.lag_unit}
        named = {"map": dict(asked.columns), "set": dict(asked.values), "skip": [*asked.skip]}
        return {"format": self.format, **named, "detector": asked.detector, **unit}


class _TrainerState(BaseModel):
    log_history: list[dict[str, Any]]
    global_step: int | None = None
    max_steps: int | None = None


def read_import(source: Path, options: Options) -> Import:
    """Read and check a file, or a folder of them; GridError names all its mistakes."""
    if not source.exists():
        raise GridError([f"{source}: there is no such file or folder"])
    exports = _exports(source) if source.is_dir() else {}
    found = Import(source, options, "export" if exports else options.format, {})
    paths = list(exports.values()) or (_trainer_states(source) if source.is_dir() else [source])
    for path in (*paths, *filter(None, [options.runs_file])):
        with reading(path), path.open("rb") as file:
            name = path.relative_to(source) if source in path.parents else path.name
            found.files[str(name)] = hashlib.file_digest(file, "sha256").hexdigest()
    if exports:
        _read_export(found, {name: open_table(path) for name, path in exports.items()})
    elif source.is_dir() or source.name.endswith("trainer_state.json") or options.format == "trl":
        found.format = "trl"
        _read_rows(found, _trl_rows(found, paths))
    else:
        table = open_table(source)
        found.format = _form(table, options) if options.format == "auto" else options.format
        if found.format == "runs":
            _read_runs(found, table)
        else:
            _read_rows(found, table)
    pa.default_memory_pool().release_unused()  # what checking took beside the rows
    return found


def _form(table: Table, options: Options) -> str:
    """Recognise the form of a file by its columns."""
    present = {*table.columns, *options.columns}
    for format, marks in (("syncs", ["sync"]), ("runs", ["collapse_step"]), ("wandb", columns.names_of("step"))):
        if present.intersection(marks):
            return format
    what = (
        "is none of the forms that can be imported: one row per run needs a column collapse_step, one per weight sync "
    )
    what += f"sync, one per logged step one of {', '.join(columns.names_of('step'))} "
    what += f"(found: {', '.join(sorted(present)[:30])}); name yours with --map OURS=THEIRS"
    raise GridError([f"{table.path}: {what}"])


def _read_runs(found: Import, table: Table) -> list[runs.StatedRun]:
    mistakes = Mistakes(table.path)
    used, found.notes = columns.map_columns(table.columns, [LABEL, "sweep", *FACTS], found.options, mistakes)
    if "collapse_step" not in used:
        mistakes.note(1, "has no column collapse_step; give it one, empty where a run did not collapse")
    stated = runs.stated_runs(listed(table.read(used, {}, mistakes), mistakes), dict(found.options.values))
    if not stated:
        mistakes.note("", "has no rows")
    found.runs = runs.checked_runs(stated, mistakes)
    mistakes.raise_all()
    return stated


def _read_rows(found: Import, table: Table) -> None:
    """Read rows that are numbered by weight sync or, in a log, by learner step."""
    options, is_log, mistakes = found.options, found.format != "syncs", Mistakes(table.path)
    index, meaning = ("step", "learner step") if is_log else ("sync", "number of the weight sync, counted from 0")
    known = [LABEL, index, RATE if is_log else "learner_step", *FACTS, *METRICS]
    used, found.notes = columns.map_columns(table.columns, known, options, mistakes, found.format)
    names = ", ".join(table.columns[:30])
    if index not in used:
        mistakes.note(1, f"has no column {index}, which is the {meaning} (found: {names}); use --map {index}=THEIRS")
    if is_log and not METRICS.keys() & used.keys():
        mistakes.note(1, f"has no metric that is known (found: {names}); use --map reward=THEIRS")
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
    stated, run = runs.tell_apart(rows, options, mistakes)
    rows = rows.select([ROW, *filter(kinds.get, rows.column_names)]).append_column("run", pa.array(run))
    if is_log:
        rows = runs.logged(rows, used["step"], mistakes)
        notes: dict[str, list[str]] = {}
        ends = np.searchsorted(rows["run"].to_numpy(), np.arange(len(stated) + 1)).tolist()
        for one, (start, end) in zip(stated, itertools.pairwise(ends), strict=True):
            own = rows.slice(start, end - start)
            for note in (*runs.rate(own, one), *(_sampling(own, one, mistakes) if found.format == "trl" else ())):
                notes.setdefault(note, []).append(one.place)
        found.notes += [n if len(at) == len(stated) else f"{', '.join(at)}: {n}" for n, at in notes.items()]
    # A horizon that is missing is found below; all else must be known by now.
    without = [replace(one, facts={"horizon": 2**62, **one.facts}) for one in stated]
    k = np.array([one.k for one in runs.checked_runs(without, mistakes)], np.int64)
    mistakes.raise_all()
    if lags:
        unit = options.lag_unit
        steps = k if unit in ("versions", "fraction") else np.full(len(k), 1.0 if unit == "steps" else float(str(unit)))
        of_row = pa.array(steps[rows["run"].to_numpy()].astype(float))
        for name in lags:
            in_steps, most = pc.multiply(rows[name], of_row), MOST_STEP
            for one in rows.filter(pc.invert(pc.less_equal(pc.abs(in_steps), most))).to_pylist():
                mistakes.note(one[ROW], f"{lags[name]} must be a lag of at most {most:,} (found {one[name]})")
            mistakes.raise_all()
            rows = rows.set_column(rows.column_names.index(name), name, runs.as_stored(name, in_steps))
    found.syncs, found.evals, reach, more = runs.take(rows, k, mistakes)
    found.runs, notes_of_ends = runs.ended_runs(stated, found.syncs, found.evals, reach, options.detector, mistakes)
    found.notes += [*more, *notes_of_ends]
    mistakes.raise_all()


def _trl_rows(found: Import, paths: list[Path]) -> Table:
    """Make a table of the logs of trainers' states; what a state says of its run stands in each row."""
    rows: list[tuple[int, dict[str, Any]]] = []
    for path in paths:
        folder = path.resolve().parent
        run = folder.parent if folder.name.startswith("checkpoint-") else folder
        with reading(path):
            state = _TrainerState.model_validate_json(path.read_bytes())
        facts = {"horizon": state.max_steps, "learner_steps": state.global_step}
        facts = {name: value for name, value in facts.items() if name not in found.options.values}
        own = facts if len(paths) == 1 and found.options.runs_file is None else facts | {LABEL: run.name}
        rows += [(row, own | one) for row, one in enumerate(state.log_history, start=1)]
    return table_of(found.source, rows)


def _trainer_states(folder: Path) -> list[Path]:
    """Find the newest ``trainer_state.json`` of a run's folder, or of each run in a folder of runs."""
    for folders in ([folder], sorted(child for child in folder.iterdir() if child.is_dir())):
        # A checkpoint's number that is larger is longer or comes later; a state beside the checkpoints is the newest.
        states = [[*run.glob("checkpoint-*/trainer_state.json"), *run.glob("trainer_state.json")] for run in folders]
        if any(states):
            return [max(one, key=lambda at: (at.parent in folders, len(str(at)), at)) for one in states if one]
    raise GridError([f"{folder}: holds neither an export (runs.csv or runs.parquet) nor a trainer_state.json"])


def _sampling(rows: pa.Table, run: runs.StatedRun, mistakes: Mistakes) -> list[str]:
    """Take k from a log of every step, because TRL logs a reward when it samples; returns what a user should know."""
    every, sampled = (
        np.unique(np.diff(np.unique(one["step"].to_numpy()))).tolist()
        for one in (rows, runs.valid(rows, "reward", ["step"]))
    )
    if every != [1] or len(sampled) != 1 or sampled == [k := runs.plain("k", run.facts.get("k"))]:
        return []
    if k is not None:
        mistakes.note(run.place, f"k is given as {k}, but the log has a reward every {sampled[0]} steps")
    run.facts.setdefault("k", sampled[0])
    return [f"k = {sampled[0]} (rewards are logged every {sampled[0]} steps, whenever TRL samples)"]


def _exports(folder: Path) -> dict[str, Path]:
    """Find the files of an export in a folder, CSV or Parquet, by table; empty if it holds no runs."""
    paths = [
        folder / f"{table}.{end}" for table in ("runs", "attempts", "syncs", "evals") for end in ("csv", "parquet")
    ]
    found: dict[str, Path] = {}
    for path in filter(Path.is_file, paths):
        if found.setdefault(path.stem, path) != path:
            raise GridError([f"{folder}: holds both {found[path.stem].name} and {path.name}; take one away"])
    return found if "runs" in found else {}


def _read_export(found: Import, tables: Mapping[str, Table]) -> None:
    """Read runs with their attempts, weight syncs and validations, exactly as they were stored."""
    options = found.options
    if options.columns or options.values or options.skip or options.detector:
        raise GridError([f"{found.source}: an export is imported as it is, without --map, --set, --skip or --detector"])
    tables = {name: one.without_apostrophes() if one.path.suffix == ".csv" else one for name, one in tables.items()}
    places: dict[int, int] = {}
    wrong = Mistakes(tables["runs"].path)
    for place, run in enumerate(_read_runs(found, tables["runs"])):
        if not (run.label or "").isdecimal():
            wrong.note(run.place, "run must be the number that the export's other files know it by")
        elif places.setdefault(int(run.label or 0), place) != place:
            wrong.note(run.place, f"run {run.label} is there twice")
    wrong.raise_all()
    if "attempts" in tables:
        found.runs = _with_attempts(found.runs, places, tables["attempts"])
    if "syncs" in tables:
        found.syncs = _exported_rows(tables["syncs"], "syncs", places, found.runs)
    if "evals" in tables:
        found.evals = _exported_rows(tables["evals"], "evals", places, found.runs)
    found.notes += [f"no {name} in the folder" for name in ("attempts", "syncs", "evals") if name not in tables]


def _with_attempts(trained: Sequence[ImportedRun], places: Mapping[int, int], table: Table) -> list[ImportedRun]:
    mistakes, attempts = Mistakes(table.path), [dict[int, ImportedAttempt]() for _ in trained]
    for raw in listed(table.read({name: name for name in table.columns}, {}, mistakes), mistakes):
        one = read_row(ImportedAttempt, raw, mistakes, f"row {raw[ROW]}")
        if one is not None and one.run not in places:
            mistakes.note(raw[ROW], f"run {one.run} is not among the export's runs")
        elif one is not None and attempts[places[one.run]].setdefault(one.attempt, one) is not one:
            mistakes.note(raw[ROW], f"attempt {one.attempt} of run {one.run} is there twice")
    mistakes.raise_all()
    return [run.model_copy(update={"attempts": (*own.values(),)}) for run, own in zip(trained, attempts, strict=True)]


def _exported_rows(table: Table, kind: str, places: Mapping[int, int], trained: Sequence[ImportedRun]) -> pa.Table:
    """Read the ``syncs`` or ``evals`` of an export, of the attempts that its runs have."""
    schema, mistakes = frames.schema(kind), Mistakes(table.path)
    needed = [c.name for c in schema if not c.nullable or (kind == "evals" and c.name in ("val_reward", "val_n"))]
    if missing := [name for name in needed if name not in table.columns]:
        mistakes.note(1, f"has no column {', '.join(missing)}, so it is not of an export")
        mistakes.raise_all()
    kinds = {column.name: column.type for column in schema if column.name in table.columns}
    rows = table.read({name: name for name in kinds}, kinds, mistakes)
    mistakes.raise_all()
    attempts = {
        (number, one) for number, at in places.items()
        for one in ([1] if trained[at].attempts is None else [own.attempt for own in trained[at].attempts or ()])
    }  # fmt: skip
    for one in rows.group_by(["run", "attempt"]).aggregate([(ROW, "min")]).to_pylist():
        if (one["run"], one["attempt"]) not in attempts:
            unknown = f"attempt {one['attempt']} of run {one['run']}"
            mistakes.note(one[f"{ROW}_min"], f"{unknown} is not among the export's attempts")
    if kind == "evals":
        for one in rows.filter(pc.or_kleene(pc.is_null(rows["val_reward"]), pc.less(rows["val_n"], 1))).to_pylist():
            what = f"val_reward must be there, and val_n at least 1 (found {one['val_reward']} and {one['val_n']})"
            mistakes.note(one[ROW], what)
    rows = rows.set_column(rows.column_names.index("run"), "run", pc.index_in(rows["run"], pa.array([*places])))
    runs.check_order(rows, "sync" if kind == "syncs" else "learner_step", mistakes)
    mistakes.raise_all()
    return rows
