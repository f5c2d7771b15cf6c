"""The runs of a file: told apart by their columns, each with what its rows say of it as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.data.importing.columns import LABEL, Columns, Options, map_columns
from orchestrator.data.importing.rows import AXIS, FACTS, ImportedRun, axes_of, axis_values, read_row
from orchestrator.data.importing.tables import ROW, open_table
from orchestrator.data.importing.values import Mistakes, real, shown, text, whole

NUMBERS = {"k": whole, "seed": whole, "horizon": whole, "collapse_step": whole, "learner_steps": whole, "eta": real}
Ints = NDArray[np.int64]
Record = tuple[int, dict[str, Any]]

NO_SYNCS = pa.table({"learner_step": pa.array([], pa.int64()), "reward": pa.array([], pa.float64())})
NO_EVALS = NO_SYNCS.rename_columns(["learner_step", "val_reward"])


@dataclass(slots=True, eq=False)
class RunLog:
    """What a file says of one run.

    Attributes:
        facts: Raw values by column.
        place: Where the run begins, for messages.
        label: The run's name in the file.
        syncs: Its weight syncs by learner step, with ``reward`` if that was logged.
        evals: Its validations by learner step, with ``val_reward``.
        last_step: Learner steps that were applied, if the file says so.
    """

    facts: dict[str, Any]
    place: str
    label: str | None = None
    syncs: pa.Table = field(default_factory=lambda: NO_SYNCS)
    evals: pa.Table = field(default_factory=lambda: NO_EVALS)
    last_step: int | None = None

    def has(self, name: str) -> bool:
        """Whether a fact is known."""
        return text(self.facts.get(name)) is not None

    def number(self, name: str) -> float | None:
        """Read a fact; None if it is missing, or cannot be read and is refused later."""
        read = _plain(name, self.facts.get(name))
        return None if isinstance(read, str) else read

    @property
    def trained(self) -> int:
        """Learner steps that the rows reach."""
        if self.last_step is not None:
            return self.last_step
        syncs, evals = (rows["learner_step"].to_numpy() for rows in (self.syncs, self.evals))
        cycle = min([self.number("k") or 1, *np.diff(syncs[-2:])])
        return int(max([*(syncs[-1:] + cycle), *evals[-1:]], default=0))


@dataclass(slots=True)
class RunLogs:
    """The runs of a file in order of appearance.

    Attributes:
        mistakes: Takes contradictions between rows of a run.
        constants: Facts that hold for all runs.
        named: Facts of each named run, from ``--runs``.
        found: The runs.
    """

    mistakes: Mistakes
    constants: Mapping[str, Any]
    named: Mapping[str, Mapping[str, Any]] | None = None
    found: list[RunLog] = field(default_factory=list)
    _numbers: dict[Any, int] = field(default_factory=dict)

    def number(self, rows: pa.Table, columns: Columns) -> Ints:
        """Give each row the number of its run; the rows have the raw facts of their runs."""
        facts = columns.facts() | ({LABEL: columns.used[LABEL]} if LABEL in columns.used else {})
        if not facts and len(rows):
            self._find({}, rows[ROW][0].as_py())
        if not facts:
            return np.zeros(len(rows), np.int64)
        raw = rows.select(list(facts.values())).to_pandas()
        group: Ints = raw.groupby(list(raw.columns), sort=False, dropna=False).ngroup().to_numpy()
        _, first = np.unique(group, return_index=True)
        row = rows[ROW].to_numpy()
        stated = rows.select(list(facts.values())).take(first).to_pylist()
        numbers = [
            self._find({ours: one[theirs] for ours, theirs in facts.items()}, int(row[place]))
            for place, one in zip(first.tolist(), stated, strict=True)
        ]
        by_group: Ints = np.array(numbers, np.int64)
        return by_group[group]

    def k(self) -> Ints:
        """Staleness k of each run; 1 if it is missing or is refused later."""
        return np.array([max(1, int(run.number("k") or 1)) for run in self.found], np.int64)

    def _find(self, facts: dict[str, Any], row: int) -> int:
        label = text(facts.pop(LABEL, None))
        if self.named is not None and label is not None and label not in self.named:
            self.mistakes.note(f"run {label!r}", "is not among the runs of --runs")
        facts = {**self.constants, **facts, **(self.named or {}).get(label or "", {})}
        read = {name: _plain(name, raw) for name, raw in facts.items()}
        same = (name for name in read if name in ("model", "k", "eta", "seed") or name.startswith("axes"))
        key = label if label is not None else tuple(sorted((name, str(read[name])) for name in same))
        number = self._numbers.setdefault(key, len(self.found))
        if number == len(self.found):
            self.found.append(RunLog(facts, f"row {row}" if label is None else f"run {label!r}", label))
        first = self.found[number]
        for name, value in read.items():
            if value != _plain(name, there := first.facts.get(name)):
                what = f"says {name} {shown(facts[name])}, but {first.place} of the same run says {shown(there)}"
                self.mistakes.note(f"row {row}", what)
        return number


def _plain(name: str, raw: Any) -> Any:
    """Read a fact so that 8 and 8.0 are equal; one that cannot be read stays as it is."""
    try:
        return NUMBERS.get(name, text)(raw)
    except ValueError:
        return str(raw)


def run_logs(options: Options, mistakes: Mistakes) -> RunLogs:
    """Start to tell runs apart, with what the command line and its ``--runs`` table say of them."""
    if options.runs_file is None:
        return RunLogs(mistakes, options.values)
    table, wrong = open_table(options.runs_file), Mistakes(options.runs_file)
    columns = map_columns(table.columns, [LABEL, *FACTS], Options(), wrong, rest_are_axes=True)
    if LABEL not in columns.used:
        wrong.note("row 1", "has no column run, the name by which the log knows each run")
        wrong.raise_all()
    named: dict[str, Mapping[str, Any]] = {}
    for place, facts, label in stated_runs(table.records(wrong), columns, {}):
        if label is None or label in named:
            wrong.note(place, "names no run" if label is None else f"names run {label!r} a second time")
        else:
            named[label] = facts
    wrong.raise_all()
    return RunLogs(mistakes, options.values, named)


Stated = Sequence[tuple[str, dict[str, Any], str | None]]
"""Of each run its place in the file, raw facts by our names, and its name."""


def stated_runs(records: Sequence[Record], columns: Columns, constants: Mapping[str, Any]) -> Stated:
    """Read the rows of a table of runs."""
    own, label = columns.facts(), columns.used.get(LABEL, "")
    return [
        (f"row {row}", {**constants, **{ours: raw[theirs] for ours, theirs in own.items()}}, text(raw.get(label)))
        for row, raw in records
    ]


def checked_runs(stated: Stated, mistakes: Mistakes) -> list[ImportedRun]:
    """Check runs and refuse a run that is there twice.

    Args:
        stated: The runs; their further axes get one type each.
        mistakes: Takes what is wrong.

    Returns:
        The runs in the same order, without those that cannot be read.
    """
    for name in dict.fromkeys(name for _, facts, _ in stated for name in facts if name.startswith(AXIS)):
        for (_, facts, _), value in zip(stated, axis_values([one.get(name) for _, one, _ in stated]), strict=True):
            facts[name] = value
    found: list[ImportedRun] = []
    places: dict[tuple[Any, ...], str] = {}
    for place, facts, label in stated:
        axes = axes_of(facts, mistakes, place)
        hint = ": neither in the file nor with {} or --runs"
        run = read_row(ImportedRun, {**facts, "axes": axes}, mistakes, place, hint=hint)
        if run is not None:
            first = places.setdefault((run.cell, run.seed), place)
            if first != place:
                what = f"is a second run with {run.described()} (first: {first}); runs of a cell differ in seed"
                mistakes.note(place, what)
            found.append(run.model_copy(update={"label": label}))
    return found
