"""The runs of a file: told apart by their columns, checked, and what they logged and how each ended.

A row of a log at step s belongs to the weight sync (s - 1) // k if steps count from 1, or s // k if they count from 0.
A metric of a weight sync is the mean over its rows; of lag_min the smallest counts, of lag_max the largest. Validations
keep their own steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from grpo_worker.schema.config import CollapseConfig
from orchestrator.base.states import RunState
from orchestrator.data.importing import columns
from orchestrator.data.importing.columns import METRICS, Options
from orchestrator.data.importing.rows import (
    AXIS,
    FACTS,
    LABEL,
    MOST_STEP,
    RATE,
    ImportedRun,
    axes_of,
    axis_values,
    read_row,
)  # fmt: skip
from orchestrator.data.importing.tables import REAL, ROW, WHOLE, Mistakes, listed, open_table, shown
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
    """Read a table that says what each named run is; GridError names its mistakes."""
    table, wrong = open_table(path), Mistakes(path)
    used, _ = columns.map_columns(table.columns, [LABEL, *FACTS], Options(), wrong)
    if LABEL not in used:
        wrong.note(1, "has no column run, the name by which the log knows each run")
        wrong.raise_all()
    named: dict[str, Facts] = {}
    for run in stated_runs(listed(table.read(used, {}, wrong), wrong), {}):
        if run.label is None or run.label in named:
            wrong.note(run.place, "names no run" if run.label is None else f"names run {run.label!r} a second time")
        named[run.label or ""] = run.facts
    wrong.raise_all()
    return named


def tell_apart(rows: pa.Table, options: Options, mistakes: Mistakes) -> tuple[list[StatedRun], Ints]:
    """Find the runs in rows that each say whose they are; returns the runs, and the number of each row's run."""
    named = named_runs(options.runs_file) if options.runs_file else {}
    names = [name for name in rows.column_names if name in (LABEL, *FACTS) or name.startswith(AXIS)]
    group: Ints = np.zeros(len(rows), np.int64)
    if names:
        group = rows.select(names).to_pandas().groupby(names, sort=False, dropna=False).ngroup().to_numpy()
    found: list[StatedRun] = []
    numbers: dict[Any, int] = {}
    of_group = []
    for one in listed(rows.select([ROW, *names]).take(np.unique(group, return_index=True)[1]), mistakes):
        label = one.get(LABEL)
        place = f"row {one[ROW]}" if label is None else f"run {label!r}"
        if options.runs_file and label is not None and label not in named:
            mistakes.note(place, "is not among the runs of --runs")
        facts = {**options.values, **_facts(one), **named.get(label or "", {})}
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
    """Check runs and refuse one that is there twice; returns those without mistakes. Each further axis has one type."""
    names = dict.fromkeys(name for run in stated for name in run.facts if name.startswith(AXIS))
    by_name = [axis_values([run.facts.get(name) for run in stated]) for name in names]
    axes = list(zip(*by_name, strict=True)) or [()] * len(stated)
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


def take(rows: pa.Table, k: Ints, mistakes: Mistakes) -> tuple[pa.Table, pa.Table, Ints, list[str]]:
    """Take rows numbered by weight sync, or rows of a log as `logged` sorts them; ``k`` is that of each run.

    Returns weight syncs, validations, the last learner step of each run, and what a user should know.
    """
    notes = []
    if "step" in rows.column_names:
        evals = valid(rows, "val_reward", ("run", "step")).group_by(["run", "step"], use_threads=False)
        evals = evals.aggregate([("val_reward", "last")]).rename_columns(["run", "learner_step", "val_reward"])
        metrics = [name for name in METRICS if name in rows.column_names and name != "val_reward"]
        rows = rows.filter(_any_valid(rows, metrics))
        run, step = rows["run"].to_numpy(), rows["step"].to_numpy()
        first = np.ones(len(k), np.int64)
        first[run[step == 0]] = 0
        notes = [f"steps count from {start}" for start in np.unique(first[run]).tolist()]
        until = step - first[run] + 1
        cycles = rows.append_column("sync", pa.array((until - 1) // k[run])).group_by(
            ["run", "sync"], use_threads=False
        )
        merged = cycles.aggregate([(name, {"lag_min": "min", "lag_max": "max"}.get(name, "mean")) for name in metrics])
        stored = {name: as_stored(name, column) for name, column in zip(metrics, merged.columns[2:], strict=True)}
        steps = pa.array(merged["sync"].to_numpy() * k[merged["run"].to_numpy()])
        syncs = pa.table({"run": merged["run"], "sync": merged["sync"], **stored, "learner_step": steps})
    else:
        run = rows["run"].to_numpy()
        _refuse_far(rows, "sync", "sync", mistakes)
        mistakes.raise_all()
        steps = pc.multiply(rows["sync"], pa.array(k[run]))
        if "learner_step" in rows.column_names:
            steps = pc.coalesce(rows["learner_step"], steps)
            rows = rows.drop_columns("learner_step")
        syncs = rows.append_column("learner_step", steps)
        check_order(syncs, "sync", mistakes)
        mistakes.raise_all()
        until = steps.to_numpy() + k[run]
        evals = in_order(valid(syncs, "val_reward", ("run", "learner_step")), "learner_step")
    reach = np.zeros(len(k), np.int64)
    np.maximum.at(reach, run, until)
    np.maximum.at(reach, evals["run"].to_numpy(), evals["learner_step"].to_numpy())
    return syncs, evals, reach, notes


def check_order(rows: pa.Table, key: str, mistakes: Mistakes) -> None:
    """Refuse numbers in a run that are missing, negative or there twice, and learner steps that do not rise with it."""
    numbers = dict.fromkeys((key, "learner_step"))
    rows = rows.select([ROW, "run", *numbers])
    for name in numbers:
        for one in rows.filter(pc.fill_null(pc.less(rows[name], 0), True)).to_pylist():
            mistakes.note(one[ROW], f"{name} must be a whole number of at least 0 (found {one[name]})")
        _refuse_far(rows, name, name, mistakes)
    rows = in_order(rows.drop_null(), key)
    row, run, number, step = (rows[name].to_numpy() for name in (ROW, "run", key, "learner_step"))
    is_same = np.diff(run) == 0
    for at in (np.flatnonzero(is_same & (np.diff(number) == 0)) + 1).tolist():
        mistakes.note(int(row[at]), f"{key} {number[at]} of this run stands in row {row[at - 1]} already")
    for at in (np.flatnonzero(is_same & (np.diff(number) > 0) & (np.diff(step) <= 0)) + 1).tolist():
        what = f"{key} {number[at]} is at learner step {step[at]}, {key} {number[at - 1]} before it"
        mistakes.note(int(row[at]), f"{what} (row {row[at - 1]}) at {step[at - 1]}; steps must rise")


def _refuse_far(rows: pa.Table, name: str, theirs: str, mistakes: Mistakes) -> None:
    for one in rows.filter(pc.greater(rows[name], MOST_STEP)).to_pylist():
        mistakes.note(one[ROW], f"{theirs} must be at most {MOST_STEP:,} (found {one[name]})")


def in_order(rows: pa.Table, key: str) -> pa.Table:
    """Sort rows by run, then by their number in the run, then as in the file."""
    return rows.sort_by([(name, "ascending") for name in ("run", key, ROW) if name in rows.column_names])


def logged(rows: pa.Table, step: str, mistakes: Mistakes) -> pa.Table:
    """Sort the rows of a log that log something; their step, ``step`` in the file, must be there."""
    metrics = [name for name in rows.column_names if name in METRICS or name == RATE]
    rows = rows.filter(_any_valid(rows, metrics))
    for one in rows.filter(pc.fill_null(pc.less(rows["step"], 0), True)).to_pylist():
        beside = ", ".join(name for name in metrics if one[name] is not None)
        mistakes.note(one[ROW], f"{step} beside {beside} must be a whole number of at least 0 (found {one['step']})")
    _refuse_far(rows, "step", step, mistakes)
    mistakes.raise_all()
    return in_order(rows, "step")


def rate(rows: pa.Table, run: StatedRun) -> list[str]:
    """Take eta from a run's logged learning rates if it is not given; returns what a user should know."""
    low, peak = pc.min_max(valid(rows, RATE, ())[RATE]).as_py().values()
    if peak is None:
        return []
    is_constant = low >= peak * (1 - 1e-6)
    shape = f"constant at {peak:g}" if is_constant else f"scheduled from {low:g} to {peak:g}"
    if "eta" in run.facts:
        what = f"eta is given as {run.facts['eta']}, but the learning rate is {shape}"
        return [] if plain("eta", run.facts["eta"]) == peak else [what]
    run.facts["eta"] = peak
    how = "" if is_constant else "; its largest value was taken, --eta sets another"
    return [f"eta = {peak:g}: the learning rate is {shape}{how}"]


def valid(rows: pa.Table, name: str, others: Sequence[str]) -> pa.Table:
    """Keep a metric and other columns, of rows that have a value of it; none if it was not logged."""
    if name not in rows.column_names:
        return rows.select([*others]).slice(0, 0).append_column(name, pa.array([], REAL))
    return rows.select([*others, name]).filter(pc.is_valid(rows[name]))


def _any_valid(rows: pa.Table, names: Sequence[str]) -> pa.Array:
    return pa.array(
        np.any([np.zeros(len(rows), bool), *(pc.is_valid(rows[name]).to_numpy() for name in names)], axis=0)
    )


def as_stored(metric: str, values: pa.Array) -> pa.Array:
    """Round a metric that is stored as a whole number."""
    return pc.cast(pc.round(values), WHOLE) if METRICS[metric] == WHOLE else values
