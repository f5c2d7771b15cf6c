"""What runs logged, as weight syncs and validations: from one row per weight sync, or one per logged learner step.

A row of a log at step s belongs to the weight sync (s - 1) // k if steps count from 1, or s // k if they count from 0.
A metric of a weight sync is the mean over its rows; of lag_min the smallest counts, of lag_max the largest. Validations
keep their own steps.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.data.importing.columns import METRICS, RATE
from orchestrator.data.importing.runs import Ints, StatedRun, plain
from orchestrator.data.importing.tables import REAL, ROW, WHOLE, Mistakes

Taken = tuple[pa.Table, pa.Table, Ints, list[str]]
"""Weight syncs, validations by run and learner step, the last learner step of each run, and what a user should know."""


def in_learner_steps(rows: pa.Table, lags: Iterable[str], steps: pa.Array) -> pa.Table:
    """Bring lags to learner steps; ``steps`` is how many a lag of 1 is, of each row."""
    for name in lags:
        in_steps = _as_stored(name, pc.multiply(rows[name], steps))
        rows = rows.set_column(rows.column_names.index(name), name, in_steps)
    return rows


def take_syncs(rows: pa.Table, k: Ints, mistakes: Mistakes) -> Taken:
    """Take one row per weight sync; ``k`` is that of each run."""
    k_of_row = pa.array(k[rows["run"].to_numpy()])
    step = pc.multiply(rows["sync"], k_of_row)
    if "learner_step" in rows.column_names:
        step = pc.coalesce(rows["learner_step"], step)
        rows = rows.drop_columns("learner_step")
    rows = rows.append_column("learner_step", step)
    check_order(rows, "sync", mistakes)
    mistakes.raise_all()
    evals = in_order(valid(rows, "val_reward", ("run", "learner_step")), "learner_step")
    return rows, evals, _reach(k, rows["run"], pc.add(step, k_of_row), evals), []


def check_order(rows: pa.Table, key: str, mistakes: Mistakes) -> None:
    """Refuse numbers in a run that are missing, negative or there twice, and learner steps that do not rise with it."""
    columns = dict.fromkeys((key, "learner_step"))
    rows = rows.select([ROW, "run", *columns])
    for name in columns:
        for one in rows.filter(pc.fill_null(pc.less(rows[name], 0), True)).to_pylist():
            mistakes.note(one[ROW], f"{name} must be a whole number of at least 0 (found {one[name]})")
    rows = in_order(rows.drop_null(), key)
    row, run, number, step = (rows[name].to_numpy() for name in (ROW, "run", key, "learner_step"))
    is_same = np.diff(run) == 0
    for at in (np.flatnonzero(is_same & (np.diff(number) == 0)) + 1).tolist():
        mistakes.note(int(row[at]), f"{key} {number[at]} of this run stands in row {row[at - 1]} already")
    for at in (np.flatnonzero(is_same & (np.diff(number) > 0) & (np.diff(step) <= 0)) + 1).tolist():
        what = f"{key} {number[at]} is at learner step {step[at]}, {key} {number[at - 1]} before it"
        mistakes.note(int(row[at]), f"{what} (row {row[at - 1]}) at {step[at - 1]}; steps must rise")


def in_order(rows: pa.Table, key: str) -> pa.Table:
    """Sort rows by run, then by their number in the run, then as in the file."""
    names = ["run", key, *({ROW} & {*rows.column_names})]
    return rows.sort_by([(name, "ascending") for name in names])


def logged(rows: pa.Table, step: str, mistakes: Mistakes) -> pa.Table:
    """Sort the rows of a log that log something; their step, ``step`` in the file, must be there."""
    metrics = [name for name in rows.column_names if name in METRICS or name == RATE]
    rows = rows.filter(_any_valid(rows, metrics))
    for one in rows.filter(pc.fill_null(pc.less(rows["step"], 0), True)).to_pylist():
        beside = ", ".join(name for name in metrics if one[name] is not None)
        mistakes.note(one[ROW], f"{step} beside {beside} must be a whole number of at least 0 (found {one['step']})")
    mistakes.raise_all()
    return in_order(rows, "step")


def rate(rows: pa.Table, run: StatedRun) -> list[str]:
    """Take eta from a run's logged learning rates if it is not given; returns what a user should know."""
    limits = pc.min_max(valid(rows, RATE, ())[RATE]).as_py()
    low, peak = limits["min"], limits["max"]
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


def take_log(rows: pa.Table, k: Ints, mistakes: Mistakes) -> Taken:
    """Gather rows of a log, as `logged` sorts them, by rollout cycle; ``k`` is that of each run."""
    metrics = [name for name in METRICS if name in rows.column_names and name != "val_reward"]
    evals = valid(rows, "val_reward", ("run", "step")).group_by(["run", "step"], use_threads=False)
    evals = evals.aggregate([("val_reward", "last")]).rename_columns(["run", "learner_step", "val_reward"])
    rows = rows.filter(_any_valid(rows, metrics))
    run, step = rows["run"].to_numpy(), rows["step"].to_numpy()
    first = np.ones(len(k), np.int64)
    first[run[step == 0]] = 0
    step = step - first[run]
    cycles = rows.append_column("sync", pa.array(step // k[run])).group_by(["run", "sync"], use_threads=False)
    merged = cycles.aggregate([(name, {"lag_min": "min", "lag_max": "max"}.get(name, "mean")) for name in metrics])
    stored = {name: _as_stored(name, column) for name, column in zip(metrics, merged.columns[2:], strict=True)}
    steps = pa.array(merged["sync"].to_numpy() * k[merged["run"].to_numpy()])
    syncs = pa.table({"run": merged["run"], "sync": merged["sync"], **stored, "learner_step": steps})
    notes = [f"steps count from {start}" for start in np.unique(first[run]).tolist()]
    return syncs, evals, _reach(k, rows["run"], step + 1, evals), notes


def _reach(k: Ints, run: pa.Array, until: Ints, evals: pa.Table) -> Ints:
    reach = np.zeros(len(k), np.int64)
    np.maximum.at(reach, run.to_numpy(), until)
    np.maximum.at(reach, evals["run"].to_numpy(), evals["learner_step"].to_numpy())
    return reach


def valid(rows: pa.Table, name: str, others: Sequence[str]) -> pa.Table:
    """Keep a metric and other columns, of rows that have a value of it; none if it was not logged."""
    if name not in rows.column_names:
        return rows.select([*others]).slice(0, 0).append_column(name, pa.array([], REAL))
    return rows.select([*others, name]).filter(pc.is_valid(rows[name]))


def _any_valid(rows: pa.Table, names: Sequence[str]) -> pa.Array:
    nothing = pa.chunked_array([pa.array(np.zeros(len(rows), bool))])
    return functools.reduce(pc.or_, (pc.is_valid(rows[name]) for name in names), nothing)


def _as_stored(metric: str, values: pa.Array) -> pa.Array:
    """Round a metric that is stored as a whole number."""
    return pc.cast(pc.round(values), WHOLE) if METRICS[metric] == WHOLE else values
