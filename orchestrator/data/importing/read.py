"""A file to import, whatever its form, read and checked as a whole: `read_import` is all that the command needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpo_worker.schema.config import content_digest
from orchestrator.base.errors import GridError
from orchestrator.data.importing import folder, logs
from orchestrator.data.importing.forms import described, find_form, gathered, sha256
from orchestrator.data.importing.mapping import LABEL, METRICS, Mapped, Options, map_columns
from orchestrator.data.importing.observed import Observed, runs_of
from orchestrator.data.importing.runs import AXIS, READ, Runs, axis_values
from orchestrator.data.importing.spool import Spool
from orchestrator.data.importing.syncs import KNOWN, Keys, evals_of, read_syncs, with_learner_steps
from orchestrator.data.importing.tables import Table, open_table
from orchestrator.data.importing.values import Mistakes, checked, text, whole
from orchestrator.store.imports import Batches, ImportedRun, ImportedSweep


@dataclass(slots=True)
class Import:
    """What a file holds, checked.

    Attributes:
        source: The file or folder.
        format: Which form it has.
        files: SHA-256 of every file that was read, by name.
        runs: The runs.
        order: Places in ``runs`` in the order in which run numbers are to be given.
        syncs: Rows of weight syncs, and how many.
        evals: Rows of validations, and how many.
        notes: What was made of the columns, and what was left out.
    """

    source: Path
    format: str
    files: dict[str, str]
    runs: list[ImportedRun] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    syncs: tuple[Batches, int] = (Spool().batches(), 0)
    evals: tuple[Batches, int] = (Spool().batches(), 0)
    notes: list[str] = field(default_factory=list)

    def sweep(self, name: str, options: Options) -> ImportedSweep:
        """As the store takes it."""
        digest, described = identity(self.source, self.files, self.format, options)
        described["notes"] = self.notes
        shown = json.dumps(described, indent=2, ensure_ascii=False)
        order = self.order or list(range(len(self.runs)))
        return ImportedSweep(name, digest, shown, self.runs, order, self.syncs[0], self.evals[0])


def identity(source: Path, files: Mapping[str, str], format: str, options: Options) -> tuple[str, dict[str, Any]]:
    """The digest of an import, which depends on the files' content and on how they are read, and its description."""
    read_as: dict[str, Any] = {
        "format": format,
        "map": dict(options.columns),
        "set": dict(options.values),
        "skip": [*options.skip],
    }
    read_as["detector"] = options.detector
    content = {"files": sorted(files.values()), **read_as}
    return content_digest(content), {"import": source.name, "sha256": dict(files), **read_as}


def read_import(source: Path, options: Options) -> Import:
    """Read and check a file, or a folder of them.

    Raises:
        GridError: It has mistakes; all of them are named.
    """
    if not source.exists():
        raise GridError([f"{source}: there is no such file or folder"])
    format, paths = find_form(source, options)
    files = {str(path.relative_to(source) if source.is_dir() else path.name): sha256(path) for path in paths}
    if options.runs_file is not None:
        files[options.runs_file.name] = sha256(options.runs_file)
    found = Import(source, format, files)
    readers: dict[str, Callable[[Import, list[Path], Options], None]] = {
        "runs": _read_runs, "syncs": _read_syncs, "trl": _read_trl, "wandb": _read_wandb, "export": _read_export,
    }  # fmt: skip
    readers[format](found, paths, options)
    return found


def _read_runs(found: Import, paths: list[Path], options: Options) -> None:
    table, mistakes = open_table(paths[0]), Mistakes(paths[0])
    runs, _ = _runs_of_table(table, options, mistakes, found.notes)
    mistakes.raise_all()
    found.runs = runs.found


def _runs_of_table(
    table: Table, options: Options, mistakes: Mistakes, notes: list[str]
) -> tuple[Runs, list[tuple[int, dict[str, Any]]]]:
    mapped = map_columns(table.columns, [LABEL, "sweep", *READ], options, mistakes, rest_are_axes=True)
    if "collapse_step" not in mapped.used:
        mistakes.note("row 1", "has no column collapse_step; give it one, empty where a run did not collapse")
    notes += described(mapped, options)
    records = list(table.records(mistakes))
    runs = Runs(mistakes)
    for row, facts, label in _facts_of(records, mapped, options):
        runs.add(facts, f"row {row}", label=label)
    if not records:
        mistakes.note("", "has no rows")
    return runs, records


def _facts_of(
    records: list[tuple[int, dict[str, Any]]], mapped: Mapped, options: Options
) -> list[tuple[int, dict[str, Any], str | None]]:
    """The facts of each row by our names, axes typed; and what the row calls its run."""
    facts = mapped.facts()
    axes = axis_values(
        {ours: [raw[theirs] for _, raw in records] for ours, theirs in facts.items() if ours.startswith(AXIS)}
    )
    axes |= {name: axis_values({name: [value]})[name] * len(records) for name, value in _axis_constants(options)}
    constants = {name: value for name, value in options.values.items() if not name.startswith(AXIS)}
    rows = []
    for place, (row, raw) in enumerate(records):
        own = {ours: raw[theirs] for ours, theirs in facts.items() if not ours.startswith(AXIS)}
        label = text(raw[mapped.used[LABEL]]) if LABEL in mapped.used else None
        rows.append((row, {**constants, **own, **{name: values[place] for name, values in axes.items()}}, label))
    return rows


def _axis_constants(options: Options) -> list[tuple[str, str]]:
    return [(name, value) for name, value in options.values.items() if name.startswith(AXIS)]


def _keys(options: Options, mistakes: Mistakes) -> Keys:
    if options.runs_file is None:
        return Keys(mistakes, dict(options.values))
    table, wrong = open_table(options.runs_file), Mistakes(options.runs_file)
    mapped = map_columns(table.columns, [LABEL, *READ], Options(), wrong, rest_are_axes=True)
    if LABEL not in mapped.used:
        wrong.note("row 1", "has no column run, the name by which the log knows each run")
        wrong.raise_all()
    named: dict[str, dict[str, Any]] = {}
    for row, facts, label in _facts_of(list(table.records(wrong)), mapped, Options()):
        if label is None or label in named:
            wrong.note(f"row {row}", "names no run" if label is None else f"names run {label!r} a second time")
        else:
            named[label] = facts
    wrong.raise_all()
    return Keys(mistakes, dict(options.values), named)


def _read_syncs(found: Import, paths: list[Path], options: Options) -> None:
    table, mistakes = open_table(paths[0]), Mistakes(paths[0])
    mapped = map_columns(table.columns, KNOWN, options, mistakes)
    found.notes += described(mapped, options)
    if "sync" not in mapped.used:
        mistakes.note("row 1", "has no column sync, the number of the weight sync, counted from 0")
        mistakes.raise_all()
    keys = _keys(options, mistakes)
    spool, _ = read_syncs(table, mapped, keys)
    _finish(found, keys, spool, options)


def _read_trl(found: Import, paths: list[Path], options: Options) -> None:
    mistakes = Mistakes(found.source)
    keys, rows, notes = _keys(options, mistakes), dict[int, logs.Log](), dict[str, list[str]]()
    for name, path in logs.find_trainer_states(found.source).items():
        table, state = logs.trainer_log(path)
        label = name if name is not None or keys.named is None else found.source.resolve().name
        mapped = map_columns(table.columns, ["step", *METRICS], options, mistakes, usual=logs.USUAL)
        told = notes.setdefault(str(label), described(mapped, options))
        if "step" not in mapped.used:
            mistakes.note(str(path), "its log has no step")
            continue
        before = len(keys.runs)
        logs.read_log(table, mapped, keys, rows, label)
        for run in keys.runs[before:]:
            told += _complete(run, table, mapped, state, mistakes)
    spool, more = logs.gather(rows, mistakes)
    found.notes += [*gathered(notes), *more]
    _finish(found, keys, spool, options)


def _complete(
    run: Observed, table: Table, mapped: Mapped, state: Mapping[str, Any], mistakes: Mistakes
) -> Iterator[str]:
    """Take from a trainer's state what its log does not say, and tell what was taken."""
    run.last_step = checked(whole, state["global_step"], mistakes, run.place, "global_step")
    if text(run.facts.get("horizon")) is None:
        run.facts["horizon"] = state["max_steps"]
        yield f"horizon = {state['max_steps']} (max_steps)"
    every, given = state["logging_steps"], text(run.facts.get("k"))
    if every == 1 and "reward" in mapped.used:
        # TRL logs a reward when it samples, so a log of every step shows k.
        spacing = logs.reward_spacing(table, mapped.used["step"], mapped.used["reward"])
        if given is None and spacing is not None:
            run.facts["k"] = spacing
            yield f"k = {spacing} (rewards are logged every {spacing} steps, whenever TRL samples)"
        elif spacing is not None and given != str(spacing):
            mistakes.note(run.place, f"k is given as {given}, but the log has a reward every {spacing} steps")
    elif given is not None and given.isdigit() and isinstance(every, int) and every > int(given):
        yield f"logged every {every} steps only: each value is a mean over several weight syncs, and T* is as coarse"


def _read_wandb(found: Import, paths: list[Path], options: Options) -> None:
    table, mistakes = open_table(paths[0]), Mistakes(paths[0])
    panel = logs.panel_names(table.columns)
    known = [LABEL, "step", *READ, *METRICS]
    usual = {**logs.USUAL, LABEL: logs.LABELS}
    if panel:
        ranges = {f"{name}{end}" for name in panel for end in ("__MIN", "__MAX")}
        plain = [name for name in table.columns if name not in panel and name not in ranges]
        columns = [*plain, *dict.fromkeys(metric for _, metric in panel.values())]
    else:
        columns = list(table.columns)
    mapped = map_columns(columns, known, options, mistakes, usual=usual)
    found.notes += described(mapped, options)
    if mapped.used.get("step") not in table.columns:
        mistakes.note(
            "row 1", f"has no column of learner steps (found: {', '.join(columns[:30])}); use --map step=THEIRS"
        )
    if not mapped.metrics():
        mistakes.note(
            "row 1", f"has no metric that is known (found: {', '.join(columns[:30])}); use --map reward=THEIRS"
        )
    mistakes.raise_all()
    keys, rows = _keys(options, mistakes), dict[int, logs.Log]()
    if panel:
        means = logs.read_panel(table, mapped.used["step"], panel, mapped, keys, rows)
        if means:
            found.notes.append(f"{means} values are means over several points: the chart does not show each step")
    else:
        logs.read_log(table, mapped, keys, rows)
    spool, notes = logs.gather(rows, mistakes)
    found.notes += notes
    _finish(found, keys, spool, options)


def _finish(found: Import, keys: Keys, spool: Spool, options: Options) -> None:
    runs, notes = runs_of(keys.runs, options.detector, keys.mistakes)
    if not keys.runs and not keys.mistakes.count:
        keys.mistakes.note("", "shows no run")
    keys.mistakes.raise_all()
    evals = evals_of(keys.runs)
    found.notes += notes
    found.runs = runs.found
    found.syncs = (spool.batches(with_learner_steps(runs.found)), spool.rows)
    found.evals = (evals.batches(), evals.rows)


def _read_export(found: Import, paths: list[Path], options: Options) -> None:
    if options.columns or options.values or options.skip or options.detector:
        raise GridError([f"{found.source}: an export is imported as it is, without --map, --set, --skip or --detector"])
    tables = {path.stem: open_table(path) for path in paths}
    mistakes = Mistakes(tables["runs"].path)
    runs, records = _runs_of_table(tables["runs"], options, mistakes, found.notes)
    numbers = folder.run_numbers(records, mistakes)
    mistakes.raise_all()
    export = folder.Export(runs.found, numbers)
    if "attempts" in tables:
        export.read_attempts(tables["attempts"])
    syncs = export.read_syncs(tables["syncs"]) if "syncs" in tables else Spool()
    evals = export.read_evals(tables["evals"]) if "evals" in tables else Spool()
    wrong = [sentence for one in export.mistakes if one.count for sentence in _sentences(one)]
    if wrong:
        raise GridError(wrong)
    found.runs, found.order = export.runs, folder.in_export_order(runs, numbers)
    found.syncs, found.evals = (syncs.batches(), syncs.rows), (evals.batches(), evals.rows)
    found.notes += [f"no {name} in the folder" for name in folder.TABLES if name not in tables]


def _sentences(mistakes: Mistakes) -> list[str]:
    try:
        mistakes.raise_all()
    except GridError as error:
        return error.mistakes
    return []
