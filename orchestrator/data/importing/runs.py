"""The runs of a file: told apart by their columns, checked, and how each ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from grpo_worker.schema.config import CollapseConfig
from orchestrator.base.states import RunState
from orchestrator.data.importing.columns import LABEL, Options, map_columns
from orchestrator.data.importing.rows import AXIS, FACTS, ImportedRun, axes_of, axis_values, read_row
from orchestrator.data.importing.tables import REAL, ROW, Mistakes, open_table, shown
from orchestrator.laws.collapse import redetect

CONFIG = CollapseConfig()

Facts = dict[str, Any]
"""What is known of a run, by column, as text; what is missing is left out."""

Ints = NDArray[np.int64]

IDENTITY = ("model", "k", "eta", "seed", "axes")
NUMBERS = ("k", "eta", "seed", "horizon", "collapse_step", "learner_steps")


@dataclass(frozen=True, slots=True, eq=False)
class StatedRun:
    """What a file says of one run; ``place`` is where it stands or begins, for messages."""

    place: str
    facts: Facts
    label: str | None = None


def stated_runs(records: Iterable[Mapping[str, Any]], constants: Facts) -> list[StatedRun]:
    """Read the rows of a table of runs; the constants hold for all of them."""
    return [StatedRun(f"row {one[ROW]}", constants | _facts(one), one.get(LABEL)) for one in records]


def named_runs(path: Path) -> dict[str, Facts]:
    """Read a table that says what each named run is.

    Raises:
        GridError: It has mistakes.
    """
    table, wrong = open_table(path), Mistakes(path)
    used, _ = map_columns(table.columns, [LABEL, *FACTS], Options(), wrong, rest_are_axes=True)
    if LABEL not in used:
        wrong.note(1, "has no column run, the name by which the log knows each run")
        wrong.raise_all()
    named: dict[str, Facts] = {}
    for run in stated_runs(table.read(used, {}, wrong).to_pylist(), {}):
        if run.label is None or run.label in named:
            wrong.note(run.place, "names no run" if run.label is None else f"names run {run.label!r} a second time")
        named[run.label or ""] = run.facts
    wrong.raise_all()
    return named


def tell_apart(rows: pa.Table, options: Options, mistakes: Mistakes) -> tuple[list[StatedRun], Ints]:
    """Find the runs in rows that each say whose they are; returns the runs, and the number of each row's run."""
    named = None if options.runs_file is None else named_runs(options.runs_file)
    names = [name for name in rows.column_names if name == LABEL or _is_fact(name)]
    group: Ints = np.zeros(len(rows), np.int64)
    if names:
        group = rows.select(names).to_pandas().groupby(names, sort=False, dropna=False).ngroup().to_numpy()
    found: list[StatedRun] = []
    numbers: dict[Any, int] = {}
    of_group = []
    for one in rows.select([ROW, *names]).take(np.unique(group, return_index=True)[1]).to_pylist():
        label = one.get(LABEL)
        place = f"row {one[ROW]}" if label is None else f"run {label!r}"
        if named is not None and label is not None and label not in named:
            mistakes.note(place, "is not among the runs of --runs")
        facts = {**options.values, **_facts(one), **(named or {}).get(label, {})}
        same = [(name, plain(name, raw)) for name, raw in facts.items() if name in IDENTITY or name.startswith(AXIS)]
        number = numbers.setdefault(label or frozenset(same), len(found))
        if number == len(found):
            found.append(StatedRun(place, facts, label))
        of_group.append(number)
        first = found[number]
        for name in facts | first.facts:
            said, before = facts.get(name), first.facts.get(name)
            if plain(name, said) != plain(name, before):
                what = f"says {name} {shown(said)}, but {first.place} of the same run says {shown(before)}"
                mistakes.note(one[ROW], what)
    return found, np.array(of_group, np.int64)[group]


def _is_fact(name: str) -> bool:
    return name in FACTS or name.startswith(AXIS)


def _facts(record: Mapping[str, Any]) -> Facts:
    return {name: raw for name, raw in record.items() if name.startswith(AXIS) or (name in FACTS and raw is not None)}


def plain(name: str, raw: Any) -> Any:
    """Read a fact so that 8 and 8.0 are equal; one that cannot be read stays as it is."""
    for read in (int, float) if name in NUMBERS else ():
        try:
            return read(raw)
        except (TypeError, ValueError):
            continue
    return raw


def checked_runs(stated: Sequence[StatedRun], mistakes: Mistakes) -> list[ImportedRun]:
    """Check runs and refuse a run that is there twice.

    Returns:
        The runs in the same order, without those that have mistakes. Each further axis has one type.
    """
    names = dict.fromkeys(name for run in stated for name in run.facts if name.startswith(AXIS))
    columns = [axis_values([run.facts.get(name) for run in stated]) for name in names]
    axes = list(zip(*columns, strict=True)) or [()] * len(stated)
    found: list[ImportedRun] = []
    places: dict[tuple[Any, ...], str] = {}
    for stands, values in zip(stated, axes, strict=True):
        own = axes_of(stands.facts | dict(zip(names, values, strict=True)), mistakes, stands.place)
        facts = {**stands.facts, "axes": own, "label": stands.label}
        run = read_row(ImportedRun, facts, mistakes, stands.place, ": neither in the file nor with {} or --runs")
        if run is not None:
            first = places.setdefault((run.cell, run.seed), stands.place)
            if first != stands.place:
                what = f"is a second run with {run.described()} (first: {first}); runs of a cell differ in seed"
                mistakes.note(stands.place, what)
            found.append(run)
    return found


def ended_runs(
    stated: Sequence[StatedRun], syncs: pa.Table, evals: pa.Table, reach: Ints, asked: str | None, mistakes: Mistakes
) -> tuple[list[ImportedRun], list[str]]:
    """Complete runs by what they logged: the horizon, and whether and when each collapsed.

    ``reach`` is the last learner step of each run. ``asked`` is the detector to use; None = ``half`` if every run was
    validated before its first step and often enough, else ``zero``. Returns the runs, and what a user should know.
    """
    if "reward" not in syncs.column_names:
        syncs = syncs.append_column("reward", pa.nulls(len(syncs), REAL))
    as_kept = {REAL: pd.ArrowDtype(REAL)}.get  # in which NaN and missing stay apart
    synced = syncs.select(["run", "learner_step", "reward"]).to_pandas(types_mapper=as_kept)
    validated = evals.to_pandas(types_mapper=as_kept)
    numbers = [n for n, run in enumerate(stated) if not {"state", "collapse_step"} & run.facts.keys()]
    counts = validated.groupby("run")["learner_step"].agg(["size", "min"]).reindex(numbers, fill_value=0)
    whys = {n: _why_not_half(stated[n].place, size, first) for n, size, first in counts.itertuples()}
    why = next(filter(None, whys.values()), "")
    detector: Any = asked or ("zero" if why else "half")
    notes, endings = [], dict[int, dict[str, Any]]()
    if numbers:
        notes.append(f"collapse: found by the detector '{detector}'" + (f" ({why})" if why and not asked else ""))
        finished = pd.DataFrame({"run": numbers, "state": str(RunState.STABLE), "failure_class": None})
        found = redetect(CONFIG.model_copy(update={"detector": detector}), finished, validated, synced)
        records: list[Any] = found.astype(object).where(found.notna(), None).to_dict("records")
        endings = {one.pop("run"): one for one in records}
    if not all("horizon" in run.facts for run in stated):
        notes.append("horizon: the last learner step that each run's log reaches")
    logged = {"a weight sync": synced, "a validation": validated}
    ends = {what: rows.groupby("run")["learner_step"].max() for what, rows in logged.items()}
    complete = []
    for number, (run, trained) in enumerate(zip(stated, reach.tolist(), strict=True)):
        horizon, ending = int(float(run.facts.get("horizon", trained))), endings.get(number, {})
        for what, steps in ends.items():
            if steps.get(number, 0) > horizon:
                mistakes.note(run.place, f"has {what} at learner step {steps[number]}, beyond its horizon {horizon}")
        if detector == "half" and whys.get(number):
            mistakes.note(run.place, f"{whys[number]}; use --detector zero")
        elif ending and not ending["decided"]:
            what = "has no training reward to find a collapse by; name its column with --map reward=..."
            mistakes.note(run.place, what)
        facts = {"horizon": trained, "learner_steps": min(trained, horizon), **run.facts, **ending}
        complete.append(replace(run, facts=facts))
    mistakes.raise_all()
    return checked_runs(complete, mistakes), notes


def _why_not_half(place: str, count: int, first: int) -> str:
    """Why the detector ``half`` cannot be used for a run; empty if it can."""
    if not count:
        return "'half' needs validation rewards, and there are none"
    if first:
        return f"'half' needs a validation before the first learner step; {place} begins at {first}"
    if count <= CONFIG.min_evals:
        return f"'half' needs more than {CONFIG.min_evals} validations; {place} has {count}"
    return ""
