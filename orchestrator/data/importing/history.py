"""What runs logged, as weight syncs and validations: from one row per weight sync, or one per logged learner step.

A row of a log at step s belongs to the weight sync (s - 1) // k if steps count from 1, or s // k if they count from 0.
A metric of a weight sync is the mean over its rows. A validation keeps its own step.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.data.importing.columns import METRICS, RATE
from orchestrator.data.importing.runs import Ints, StatedRun
from orchestrator.data.importing.tables import REAL, ROW, WHOLE, Mistakes

_SUMS = ("rollout_s", "learner_s", "sync_s", "idle_s", "dropped_groups", "rollout_tokens")
MERGED_BY = (
    dict.fromkeys(("drift_from_start", "drift_in_cycle", "path_length"), "last")
    | dict.fromkeys(("ratio_max", "lag_max", "lag_p99"), "max")
    | dict.fromkeys(_SUMS, "sum")
    | {"lag_min": "min"}
)
"""How the values of a metric in one rollout cycle become one, as in the worker; all others are averaged."""

EVAL = ("run", "learner_step", "val_reward")


def with_lags(rows: pa.Table, names: Iterable[str], steps: pa.Array) -> pa.Table:
    """Bring lags to learner steps; ``steps`` is how many a lag of 1 is, of each row or of all."""
    for name in names:
        in_steps = _as_stored(name, pc.multiply(rows[name], steps))
        rows = rows.set_column(rows.column_names.index(name), name, in_steps)
    return rows


def take_syncs(rows: pa.Table, k: Ints, mistakes: Mistakes) -> tuple[pa.Table, pa.Table, Ints]:
    """Take one row per weight sync.

    Args:
        rows: `ROW`, ``run``, ``sync``, metrics, and perhaps ``learner_step``.
        k: Of each run.
        mistakes: Takes what is wrong.

    Returns:
        The weight syncs, the validations, and the last learner step of each run.
    """
    step = pc.multiply(rows["sync"], pa.array(k[rows["run"].to_numpy()]))
    if "learner_step" in rows.column_names:
        step = pc.coalesce(rows["learner_step"], step)
        rows = rows.drop_columns("learner_step")
    rows = rows.append_column("learner_step", step)
    check_order(rows, "sync", mistakes)
    mistakes.raise_all()
    evals = in_order(valid(rows, "val_reward", ("run", "learner_step")), "learner_step")
    return rows, evals, _reach(k, rows["run"], pc.add(step, k[rows["run"].to_numpy()]), evals)


def check_order(rows: pa.Table, key: str, mistakes: Mistakes) -> None:
    """Refuse numbers in a run that are missing, negative or there twice, and learner steps that do not rise with it."""
    columns = dict.fromkeys((key, "learner_step"))
    rows = rows.select([ROW, "run", *columns])
    for name in columns:
        for one in rows.filter(pc.fill_null(pc.less(rows[name], 0), True)).to_pylist():
            found = "nothing" if one[name] is None else one[name]
            mistakes.note(one[ROW], f"{name} must be a whole number of at least 0 (found {found})")
    rows = in_order(rows.drop_null(), key)
    row, run, number, step = (rows[name].to_numpy() for name in (ROW, "run", key, "learner_step"))
    is_same = np.diff(run) == 0
    for place in (np.flatnonzero(is_same & (np.diff(number) == 0)) + 1).tolist():
        mistakes.note(int(row[place]), f"{key} {number[place]} of this run stands in row {row[place - 1]} already")
    for place in (np.flatnonzero(is_same & (np.diff(number) > 0) & (np.diff(step) <= 0)) + 1).tolist():
        what = f"{key} {number[place]} is at learner step {step[place]}, {key} {number[place - 1]} before it"
        mistakes.note(int(row[place]), f"{what} (row {row[place - 1]}) at {step[place - 1]}; steps must rise")


def in_order(rows: pa.Table, key: str) -> pa.Table:
    """Sort rows by run, then by their number in the run, then as in the file."""
    last = [ROW] if ROW in rows.column_names else []
    return rows.sort_by([(name, "ascending") for name in ("run", key, *last)])


def logged(rows: pa.Table, step: str, mistakes: Mistakes) -> pa.Table:
    """Sort the rows of a log that log something; their step, ``step`` in the file, must be there."""
    metrics = [name for name in rows.column_names if name in METRICS or name == RATE]
    rows = rows.filter(_any_valid(rows, metrics))
    for one in rows.filter(pc.fill_null(pc.less(rows["step"], 0), True)).to_pylist():
        beside = ", ".join(name for name in metrics if one[name] is not None)
        found = "nothing" if one["step"] is None else one["step"]
        mistakes.note(one[ROW], f"{step} beside {beside} must be a whole number of at least 0 (found {found})")
    mistakes.raise_all()
    return in_order(rows, "step")


def rates(rows: pa.Table, stated: Sequence[StatedRun]) -> list[str]:
    """Take eta from the logged learning rates where it is not given; returns what a user should know."""
    if RATE not in rows.column_names:
        return []
    notes: dict[str, list[str]] = {}
    limits = rows.group_by("run").aggregate([(RATE, "min"), (RATE, "max")]).sort_by("run").drop_null()
    for number, low, peak in zip(*(column.to_pylist() for column in limits.columns), strict=True):
        run = stated[number]
        is_constant = low >= peak * (1 - 1e-6)
        shape = f"constant at {peak:g}" if is_constant else f"scheduled from {low:g} to {peak:g}"
        how = "" if is_constant else "; its largest value was taken, --eta sets another"
        note = f"eta = {peak:g}: the learning rate is {shape}{how}"
        if (given := run.facts.setdefault("eta", peak)) is not peak:
            note = f"eta is given as {given}, but the learning rate is {shape}"
        if float(given) != peak or given is peak:
            notes.setdefault(note, []).append(run.place)
    return gathered(notes, len(stated))


def take_log(
    rows: pa.Table, k: Ints, places: Sequence[str], mistakes: Mistakes
) -> tuple[pa.Table, pa.Table, Ints, list[str]]:
    """Gather one row per logged step by rollout cycle.

    Args:
        rows: As `logged` sorts them, with ``run``.
        k: Of each run.
        places: Of each run, for messages.
        mistakes: Takes what is wrong.

    Returns:
        The weight syncs, the validations, the last learner step of each run, and what a user should know.
    """
    metrics = [name for name in METRICS if name in rows.column_names and name != "val_reward"]
    for name in (*metrics, "val_reward"):
        _refuse_second_values(valid(rows, name, (ROW, "run", "step")), name, places, mistakes)
    mistakes.raise_all()
    evals = valid(rows, "val_reward", ("run", "step")).group_by(["run", "step"], use_threads=False)
    evals = in_order(evals.aggregate([("val_reward", "last")]).rename_columns(EVAL), "learner_step")
    rows = rows.filter(_any_valid(rows, metrics))
    run, step = rows["run"].to_numpy(), rows["step"].to_numpy()
    first = np.ones(len(k), np.int64)
    first[run[step == 0]] = 0
    step = step - first[run]
    rows = rows.append_column("sync", pa.array(step // k[run]))
    cycles = rows.group_by(["run", "sync"], use_threads=False).aggregate(
        [(m, MERGED_BY.get(m, "mean")) for m in metrics]
    )
    merged = {name: _as_stored(name, column) for name, column in zip(metrics, cycles.columns[2:], strict=True)}
    syncs = pa.table({"run": cycles["run"], "sync": cycles["sync"], **merged})
    # The last validation of its cycle stands beside a weight sync.
    of, at = evals["run"].to_numpy(), evals["learner_step"].to_numpy()
    last = evals.append_column("sync", pa.array((at - 1) // k[of])).filter(pa.array(at > 0))
    last = last.group_by(["run", "sync"], use_threads=False).aggregate([("val_reward", "last")])
    last = last.rename_columns(["run", "sync", "val_reward"])
    syncs = in_order(syncs.join(last, ["run", "sync"], join_type="left outer"), "sync")
    syncs = syncs.append_column("learner_step", pa.array(syncs["sync"].to_numpy() * k[syncs["run"].to_numpy()]))
    notes = [f"steps count from {start}" for start in np.unique(first[run]).tolist()]
    return syncs, evals, _reach(k, rows["run"], step + 1, evals), notes


def _reach(k: Ints, run: pa.Array, until: Ints, evals: pa.Table) -> Ints:
    reach = np.zeros(len(k), np.int64)
    np.maximum.at(reach, run.to_numpy(), until)
    np.maximum.at(reach, evals["run"].to_numpy(), evals["learner_step"].to_numpy())
    return reach


def _refuse_second_values(rows: pa.Table, name: str, places: Sequence[str], mistakes: Mistakes) -> None:
    run, step, row, value = (rows[column].to_numpy() for column in ("run", "step", ROW, name))
    differ = (value[1:] != value[:-1]) & ~(np.isnan(value[1:]) & np.isnan(value[:-1]))
    for at in np.flatnonzero((np.diff(run) == 0) & (np.diff(step) == 0) & differ).tolist():
        what = f"{name} of {places[run[at]]} at step {step[at]} is {value[at + 1]}, but {value[at]} in row {row[at]}"
        mistakes.note(int(row[at + 1]), what)


def gathered(notes: Mapping[str, Sequence[str]], count: int) -> list[str]:
    """Write a note of all runs once, and a note of some with their places."""
    return [note if len(places) == count else f"{', '.join(places)}: {note}" for note, places in notes.items()]


def valid(rows: pa.Table, name: str, others: Sequence[str]) -> pa.Table:
    """Keep a metric and other columns, of rows that have a value of it; none if it was not logged."""
    if name not in rows.column_names:
        return rows.select(others).slice(0, 0).append_column(name, pa.array([], REAL))
    return rows.select([*others, name]).filter(pc.is_valid(rows[name]))


def _any_valid(rows: pa.Table, names: Sequence[str]) -> pa.Array:
    nothing = pa.chunked_array([pa.array(np.zeros(len(rows), bool))])
    return functools.reduce(pc.or_, (pc.is_valid(rows[name]) for name in names), nothing)


def _as_stored(metric: str, values: pa.Array) -> pa.Array:
    """Round a metric that is stored as a whole number."""
    return pc.cast(pc.round(values), WHOLE) if METRICS[metric] == WHOLE else values
