"""What runs logged, as weight syncs and validations: from one row per weight sync, or one per logged learner step.

A row of a log at step s belongs to the weight sync (s - 1) // k if steps count from 1, or s // k if they count from 0.
A metric of a weight sync is the mean over its rows. A validation keeps its own step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.data.importing.columns import LABEL, METRICS, RATE, Columns
from orchestrator.data.importing.runs import Ints, RunLogs
from orchestrator.data.importing.tables import ROW, Table
from orchestrator.data.importing.values import Mistakes

_SUMS = ("rollout_s", "learner_s", "sync_s", "idle_s", "dropped_groups", "rollout_tokens")
MERGED_BY = (
    dict.fromkeys(("drift_from_start", "drift_in_cycle", "path_length"), "last")
    | dict.fromkeys(("ratio_max", "lag_max", "lag_p99"), "max")
    | dict.fromkeys(_SUMS, "sum")
    | {"lag_min": "min"}
)
"""How the values of a metric in one rollout cycle become one, as in the worker; all others are averaged."""

EVAL = ("run", "learner_step", "val_reward")


def read_rows(table: Table, columns: Columns, runs: RunLogs, lag_unit: str | None) -> pa.Table:
    """Read the rows of a file: `ROW`, ``run``, their step or weight sync, and the metrics that the file has.

    Args:
        table: The file.
        columns: What its columns are.
        runs: The runs; takes the mistakes.
        lag_unit: What a lag of 1 is, if its name is not ours.
    """
    foreign = columns.foreign_lags()
    decimals = dict.fromkeys(("sync", "learner_step", "step"), False) | METRICS | dict.fromkeys((RATE, *foreign), True)
    used = {ours: theirs for ours, theirs in columns.used.items() if ours in decimals}
    kinds = dict.fromkeys(theirs for ours, theirs in columns.used.items() if ours in columns.facts() or ours == LABEL)
    kinds |= {theirs: pa.float64() if decimals[ours] else pa.int64() for ours, theirs in used.items()}
    raw = table.read(kinds, runs.mistakes)
    run = runs.number(raw, columns)
    rows = {ROW: raw[ROW], "run": pa.array(run)} | {ours: raw[theirs] for ours, theirs in used.items()}
    for ours in foreign:
        rows[ours] = _as_stored(ours, pc.multiply(rows[ours], _steps_per_lag(lag_unit, runs, run)))
    return pa.table(rows)


def _steps_per_lag(unit: str | None, runs: RunLogs, run: Ints) -> pa.Array:
    """Learner steps of a lag of 1, by row."""
    if unit in ("versions", "fraction"):
        return pa.array(runs.k()[run].astype(float))
    return pa.scalar(1.0 if unit in ("steps", None) else float(unit))


def _as_stored(metric: str, values: pa.Array) -> pa.Array:
    """Round a metric that is stored as a whole number."""
    return values if METRICS[metric] else pc.cast(pc.round(values), pa.int64())


def take_syncs(rows: pa.Table, runs: RunLogs) -> tuple[pa.Table, pa.Table]:
    """Take one row per weight sync.

    Returns:
        The weight syncs and the validations; each run takes what they show of it.
    """
    if not len(rows):
        runs.mistakes.note("", "has no rows")
    by_sync = pc.multiply(rows["sync"], pa.array(runs.k()[rows["run"].to_numpy()]))
    if "learner_step" in rows.schema.names:
        by_sync = pc.coalesce(rows["learner_step"], by_sync)
        rows = rows.drop_columns("learner_step")
    rows = rows.append_column("learner_step", by_sync)
    for row in rows.filter(pc.is_null(rows["sync"]))[ROW].to_pylist():
        runs.mistakes.note(f"row {row}", "sync must be a whole number (found nothing)")
    seen = rows.select([name for name in (ROW, "sync", "reward", *EVAL) if name in rows.schema.names])
    seen = in_order(seen.filter(pc.is_valid(seen["sync"])), "sync")
    _check_order(seen, runs.mistakes)
    evals = _measured(seen, "val_reward").select(EVAL)
    _observe(runs, seen, evals)
    return rows, evals


def _check_order(rows: pa.Table, mistakes: Mistakes) -> None:
    """Refuse weight syncs of a run that are there twice, negative, or whose learner steps do not rise."""
    row, run, sync, step = (rows[name].to_numpy() for name in (ROW, "run", "sync", "learner_step"))
    for name, values in (("sync", sync), ("learner_step", step)):
        for place in np.flatnonzero(values < 0).tolist():
            mistakes.note(f"row {row[place]}", f"{name} must be at least 0 (found {values[place]})")
    refuse_twice(rows, "sync", mistakes)
    falls = (np.diff(run) == 0) & (np.diff(sync) > 0) & (np.diff(step) <= 0)
    for place in (np.flatnonzero(falls) + 1).tolist():
        what = f"sync {sync[place]} is at learner step {step[place]}, sync {sync[place - 1]} before it"
        mistakes.note(f"row {row[place]}", f"{what} (row {row[place - 1]}) at {step[place - 1]}; steps must rise")


def refuse_twice(rows: pa.Table, key: str, mistakes: Mistakes) -> None:
    """Refuse rows of a run with the same number; the rows are `in_order`."""
    row, run, number = (rows[name].to_numpy() for name in (ROW, "run", key))
    for place in (np.flatnonzero((np.diff(run) == 0) & (np.diff(number) == 0)) + 1).tolist():
        what = f"{key} {number[place]} of this run stands in row {row[place - 1]} already"
        mistakes.note(f"row {row[place]}", what)


def in_order(rows: pa.Table, key: str) -> pa.Table:
    """Sort rows by run, then by their number in the run, then as in the file."""
    last = [ROW] if ROW in rows.schema.names else []
    return rows.sort_by([(name, "ascending") for name in ("run", key, *last)])


def logged(rows: pa.Table, step: str, mistakes: Mistakes) -> pa.Table:
    """Keep the rows of a log that log something; their step, ``step`` in the file, must be there."""
    metrics = [name for name in rows.schema.names if name in METRICS or name == RATE]
    rows = rows.filter(_any_valid(rows, metrics))
    for one in rows.filter(pc.is_null(rows["step"])).to_pylist():
        beside = ", ".join(name for name in metrics if one[name] is not None)
        mistakes.note(f"row {one[ROW]}", f"{step} is missing beside {beside}")
    for one in rows.filter(pc.less(rows["step"], 0)).to_pylist():
        mistakes.note(f"row {one[ROW]}", f"{step} must be at least 0 (found {one['step']})")
    return rows.filter(pc.greater_equal(rows["step"], 0))


def take_log(rows: pa.Table, runs: RunLogs) -> tuple[pa.Table, pa.Table, list[str]]:
    """Gather one row per logged step by rollout cycle.

    Returns:
        The weight syncs, the validations, and what a user should know of them; each run takes what they show of it.
    """
    rows = in_order(rows, "step")
    metrics = [name for name in METRICS if name in rows.schema.names and name != "val_reward"]
    for name in (*metrics, "val_reward"):
        _refuse_second_values(_measured(rows, name), name, runs)
    notes = _take_rates(rows, runs)
    evals = _measured(rows, "val_reward").group_by(["run", "step"], use_threads=False)
    evals = in_order(evals.aggregate([("val_reward", "last")]).rename_columns(EVAL), "learner_step")
    rows = rows.filter(_any_valid(rows, metrics))
    run, step = rows["run"].to_numpy(), rows["step"].to_numpy()
    first = np.ones(len(runs.found), np.int64)
    first[run[step == 0]] = 0
    notes += [f"steps count from {start}" for start in np.unique(first[run]).tolist()]
    syncs = _cycles(rows.append_column("sync", pa.array((step - first[run]) // runs.k()[run])), metrics)
    syncs = _with_validations(syncs, evals, runs.k())
    _observe(runs, syncs, evals)
    for log, own, start in zip(runs.found, _by_run(rows, runs), first.tolist(), strict=True):
        if log.last_step is None and len(own):
            steps = [own["step"][-1].as_py() + 1 - start, *log.evals["learner_step"][-1:].to_pylist()]
            log.last_step = max(steps)
    return syncs, evals, notes


def _cycles(rows: pa.Table, metrics: list[str]) -> pa.Table:
    merged = [(name, MERGED_BY.get(name, "mean")) for name in metrics]
    cycles = rows.group_by(["run", "sync"], use_threads=False).aggregate(merged)
    columns = zip(metrics, cycles.columns[2:], strict=True)
    return pa.table({name: cycles[name] for name in ("run", "sync")} | {n: _as_stored(n, c) for n, c in columns})


def _with_validations(syncs: pa.Table, evals: pa.Table, k: Ints) -> pa.Table:
    """Give each weight sync its learner step and the last validation of its cycle."""
    run, step = evals["run"].to_numpy(), evals["learner_step"].to_numpy()
    in_cycle = evals.append_column("sync", pa.array((step - 1) // k[run])).filter(pa.array(step > 0))
    last = in_cycle.group_by(["run", "sync"], use_threads=False).aggregate([("val_reward", "last")])
    syncs = syncs.join(last.rename_columns(["run", "sync", "val_reward"]), ["run", "sync"], join_type="left outer")
    syncs = in_order(syncs, "sync")
    return syncs.append_column("learner_step", pa.array(syncs["sync"].to_numpy() * k[syncs["run"].to_numpy()]))


def _refuse_second_values(rows: pa.Table, name: str, runs: RunLogs) -> None:
    run, step, row, value = (rows[column].to_numpy() for column in ("run", "step", ROW, name))
    differ = (value[1:] != value[:-1]) & ~(np.isnan(value[1:]) & np.isnan(value[:-1]))
    for place in np.flatnonzero((np.diff(run) == 0) & (np.diff(step) == 0) & differ).tolist():
        what = f"{name} of {runs.found[run[place]].place} at step {step[place]} is {value[place + 1]}"
        runs.mistakes.note(f"row {row[place + 1]}", f"{what}, but {value[place]} in row {row[place]}")


def _take_rates(rows: pa.Table, runs: RunLogs) -> list[str]:
    """Take eta from the logged learning rates where it is not given; returns what a user should know."""
    if RATE not in rows.schema.names:
        return []
    notes: dict[str, list[str]] = {}
    limits = rows.group_by("run").aggregate([(RATE, "min"), (RATE, "max")]).sort_by("run").drop_null()
    for number, low, peak in zip(*(column.to_pylist() for column in limits.columns), strict=True):
        run = runs.found[number]
        is_constant = low >= peak * (1 - 1e-6)
        shape = f"constant at {peak:g}" if is_constant else f"scheduled from {low:g} to {peak:g}"
        if not run.has("eta"):
            run.facts["eta"] = peak
            how = "" if is_constant else "; its largest value was taken, --eta sets another"
            notes.setdefault(f"eta = {peak:g}: the learning rate is {shape}{how}", []).append(run.place)
        elif run.number("eta") != peak:
            what = f"eta is given as {run.facts['eta']}, but the learning rate is {shape}"
            notes.setdefault(what, []).append(run.place)
    return gathered(notes, len(runs.found))


def gathered(notes: dict[str, list[str]], count: int) -> list[str]:
    """Write a note of all runs once, and a note of some with their names."""
    return [note if len(names) == count else f"{', '.join(names)}: {note}" for note, names in notes.items()]


def _measured(rows: pa.Table, name: str) -> pa.Table:
    """Keep the rows with a value of a metric."""
    if name not in rows.schema.names:
        return rows.slice(0, 0).append_column(name, pa.array([], pa.float64()))
    return rows.filter(pc.is_valid(rows[name]))


def _any_valid(rows: pa.Table, names: Sequence[str]) -> pa.Array:
    logged = np.zeros(len(rows), bool)
    for name in names:
        logged |= pc.is_valid(rows[name]).to_numpy()
    return pa.array(logged)


def _observe(runs: RunLogs, syncs: pa.Table, evals: pa.Table) -> None:
    """Give each run its weight syncs and validations."""
    for run, own, validated in zip(runs.found, _by_run(syncs, runs), _by_run(evals, runs), strict=True):
        run.syncs, run.evals = own, validated


def _by_run(rows: pa.Table, runs: RunLogs) -> Iterator[pa.Table]:
    """Cut rows that are sorted by run into those of each run."""
    rows = rows.combine_chunks()
    ends = np.searchsorted(rows["run"].to_numpy(), np.arange(len(runs.found) + 1)).tolist()
    return (rows.slice(start, end - start) for start, end in itertools.pairwise(ends))
