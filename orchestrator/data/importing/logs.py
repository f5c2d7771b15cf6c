"""Training logs with one row per logged learner step, as TRL and Weights & Biases keep them, gathered by rollout cycle.

A row at step s belongs to the cycle of the s-th learner step: sync (s-1) // k where steps count from 1, s // k where
they count from 0. A metric of a weight sync is the mean over its rows; a validation belongs to the learner steps
applied, its step as it is.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestrator.base.errors import GridError
from orchestrator.data.importing.mapping import LABEL, METRICS, Mapped
from orchestrator.data.importing.observed import Observed
from orchestrator.data.importing.spool import Spool
from orchestrator.data.importing.syncs import Keys
from orchestrator.data.importing.tables import Table, read_json, table_of
from orchestrator.data.importing.values import Mistakes, checked, real, whole

USUAL: dict[str, tuple[str, ...]] = {
    "step": ("train/global_step", "global_step", "trainer/global_step", "training/global_step", "Step", "_step"),
    "reward": ("train/reward", "critic/score/mean"),
    "reward_std": ("train/reward_std",),
    "val_reward": ("eval_reward", "eval/reward"),
    "kl_reference": ("kl", "train/kl"),
    "entropy": ("train/entropy", "actor/entropy"),
    "gradient_norm": ("grad_norm", "train/grad_norm", "actor/grad_norm"),
    "completion_tokens": ("completions/mean_length", "train/completions/mean_length", "response_length/mean"),
    "truncated_fraction": (
        "completions/clipped_ratio", "train/completions/clipped_ratio", "response_length/clip_ratio",
    ),
    "clip_fraction_low": ("clip_ratio/low_mean", "train/clip_ratio/low_mean"),
    "clip_fraction_high": ("clip_ratio/high_mean", "train/clip_ratio/high_mean"),
    "zero_std_fraction": ("frac_reward_zero_std", "train/frac_reward_zero_std"),
}  # fmt: skip
"""Names that TRL 1.16 (alone and through W&B) and verl log, by ours. What each means there is what it means here."""

LABELS = ("run_name", "Name", "run_id")
"""Usual names of the column that tells runs apart."""

_LAST = ("drift_from_start", "drift_in_cycle", "path_length")
_LARGEST = ("ratio_max", "lag_max", "lag_p99")
_SUMS = ("rollout_s", "learner_s", "sync_s", "idle_s", "dropped_groups", "rollout_tokens")

_PANEL = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<range>__MIN|__MAX)?")


@dataclass(slots=True)
class Log:
    """The rows of one run.

    Attributes:
        run: What is known of the run; takes what the rows show.
        rows: Row number, step, metrics that were logged.
    """

    run: Observed
    rows: list[tuple[int, int, dict[str, float]]] = field(default_factory=list)


def find_trainer_states(path: Path) -> dict[str | None, Path]:
    """Find the newest ``trainer_state.json`` of a run's folder, or of each run in a folder of runs.

    Returns:
        The files by the name of the run's folder; None where there is one run only.
    """
    if path.is_file():
        return {None: path}
    alone = _newest_state(path)
    if alone is not None:
        return {None: alone}
    found = {child.name: _newest_state(child) for child in sorted(path.iterdir()) if child.is_dir()}
    return {name: state for name, state in found.items() if state is not None}


def _newest_state(folder: Path) -> Path | None:
    def step(path: Path) -> int:
        number = path.parent.name.rpartition("-")[2]
        return int(number) if number.isdigit() else -1

    saved = sorted(folder.glob("checkpoint-*/trainer_state.json"), key=step)
    own = folder / "trainer_state.json"
    return own if own.is_file() else (saved[-1] if saved else None)


def trainer_log(path: Path) -> tuple[Table, dict[str, Any]]:
    """Read a ``trainer_state.json``: its log as a table, and what it says beside it.

    Raises:
        GridError: It is none.
    """
    state = read_json(path)
    history = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise GridError([f"{path}: holds no log_history, so it is no trainer_state.json of transformers or TRL"])
    return table_of(path, enumerate(history, start=1)), {name: state.get(name) for name in _STATE}


_STATE = ("max_steps", "global_step", "logging_steps")


def reward_spacing(table: Table, step: str, reward: str) -> int | None:
    """Learner steps from one logged reward to the next, where it is always the same: TRL logs it when it samples."""
    steps = [whole(raw[step]) for _, raw in table.records(Mistakes(table.path)) if raw.get(reward) not in (None, "")]
    gaps = {after - before for before, after in itertools.pairwise(steps) if before is not None and after}
    return gaps.pop() if len(gaps) == 1 else None


def panel_names(columns: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Split the columns of a chart's CSV export, ``RUN - METRIC`` beside ``__MIN`` and ``__MAX``, by column."""
    found = {name: _PANEL.fullmatch(name) for name in columns if f"{name}__MIN" in columns}
    return {name: (match["run"], match["metric"]) for name, match in found.items() if match}


def read_log(table: Table, mapped: Mapped, keys: Keys, logs: dict[int, Log], label: str | None = None) -> None:
    """Read the rows of a log, of one run or of several with a column that tells them apart.

    Args:
        table: The rows.
        mapped: Its columns.
        keys: Tells the runs apart, and takes the mistakes.
        logs: Takes the rows, by the run's number.
        label: The run's name, where the file is one run's.
    """
    facts = {ours: theirs for ours, theirs in mapped.used.items() if ours == LABEL} | mapped.facts()
    names = [*facts, LABEL] if label is not None else list(facts)
    metrics = mapped.metrics()
    for row, raw in table.records(keys.mistakes):
        given = (*(raw[theirs] for theirs in facts.values()), *([label] if label is not None else []))
        number = keys.number(names, given, row)
        _add_row(logs.setdefault(number, Log(keys.runs[number])), row, raw, mapped.used["step"], metrics, keys.mistakes)


def read_panel(
    table: Table, step: str, panel: Mapping[str, tuple[str, str]], mapped: Mapped, keys: Keys, logs: dict[int, Log]
) -> int:
    """Read a chart's export, whose columns are runs' metrics.

    Args:
        table: The rows.
        step: The column of the learner step.
        panel: Run and metric of each column.
        mapped: Our metrics by theirs, without the runs' names.
        keys: Tells the runs apart, and takes the mistakes.
        logs: Takes the rows, by the run's number.

    Returns:
        How many values are means over several points that the chart drew as one.
    """
    by_run: dict[str, dict[str, str]] = {}
    ours_of = {theirs: ours for ours, theirs in mapped.metrics().items()}
    for column, (label, theirs) in panel.items():
        if theirs in ours_of:
            by_run.setdefault(label, {})[ours_of[theirs]] = column
    for label in [label for label in by_run if label.startswith("Group: ")]:
        keys.mistakes.note("row 1", f"{label!r} is a mean over runs; export the chart with its runs not grouped")
    means = 0
    for row, raw in table.records(keys.mistakes):
        for label, columns in by_run.items():
            logged = [column for column in columns.values() if raw[column] not in (None, "")]
            if logged:
                number = keys.number([LABEL], (label,), row)
                _add_row(logs.setdefault(number, Log(keys.runs[number])), row, raw, step, columns, keys.mistakes)
                means += sum(raw[f"{column}__MIN"] != raw.get(f"{column}__MAX") for column in logged)
    return means


def _add_row(
    log: Log, row: int, raw: Mapping[str, Any], step: str, metrics: Mapping[str, str], mistakes: Mistakes
) -> None:
    at = checked(whole, raw[step], mistakes, f"row {row}", step)
    values = {ours: checked(real, raw[theirs], mistakes, f"row {row}", theirs) for ours, theirs in metrics.items()}
    logged = {ours: value for ours, value in values.items() if value is not None}
    if at is None:
        if logged and raw[step] in (None, ""):
            mistakes.note(f"row {row}", f"{step} is missing beside {', '.join(logged)}")
    elif at < 0:
        mistakes.note(f"row {row}", f"{step} must be at least 0 (found {at})")
    elif logged:
        log.rows.append((row, at, logged))


def gather(logs: Mapping[int, Log], mistakes: Mistakes) -> tuple[Spool, list[str]]:
    """Turn the rows of every run into weight syncs and validations.

    Args:
        logs: The rows by run; each run takes what they show.
        mistakes: Takes contradictions.

    Returns:
        The weight syncs, and what to tell about them.
    """
    spool, notes = Spool(), []
    for number in sorted(logs):
        run = logs[number].run
        k = checked(whole, run.facts.get("k"), mistakes, run.place, "k")
        if k is None or k < 1:
            continue  # noted when the run's facts are checked
        logs[number].rows.sort(key=lambda row: row[1])
        _refuse_second_values(logs[number], mistakes)
        training = [(step, values) for _, step, values in logs[number].rows if values.keys() - {"val_reward"}]
        first = 0 if any(step == 0 for step, _ in training) else 1
        if training:
            notes.append(f"steps count from {first}")
        validations = {step: values["val_reward"] for _, step, values in logs[number].rows if "val_reward" in values}
        run.eval_steps, run.val_rewards = list(validations), list(validations.values())
        syncs = _cycles(((step - first) // k, values) for step, values in training)
        _last_validations(run, syncs, k)
        run.cycle, run.sync_steps = k, [sync * k for sync in syncs]
        rewards = {sync * k: values["reward"] for sync, values in syncs.items() if "reward" in values}
        run.reward_steps, run.rewards = list(rewards), list(rewards.values())
        if run.last_step is None and training:
            run.last_step = max(training[-1][0] + 1 - first, *run.eval_steps, 0)
        spool.add(_rows(number, k, syncs))
    spool.finish()
    return spool, list(dict.fromkeys(notes))


def _refuse_second_values(log: Log, mistakes: Mistakes) -> None:
    seen: dict[tuple[int, str], tuple[int, float]] = {}
    for row, step, values in log.rows:
        for name, value in values.items():
            first, there = seen.setdefault((step, name), (row, value))
            if there != value and not (math.isnan(there) and math.isnan(value)):
                what = f"{name} of {log.run.place} at step {step} is {value}, but {there} in row {first}"
                mistakes.note(f"row {row}", what)


def _cycles(rows: Iterable[tuple[int, Mapping[str, float]]]) -> dict[int, dict[str, float]]:
    gathered: dict[int, dict[str, list[float]]] = {}
    for sync, values in rows:
        for name, value in values.items():
            if name != "val_reward":
                gathered.setdefault(sync, {}).setdefault(name, []).append(value)
    return {sync: {name: _one(name)(values) for name, values in gathered[sync].items()} for sync in sorted(gathered)}


def _one(name: str) -> Callable[[list[float]], float]:
    """How a metric's values in one cycle become one, as the worker does it."""
    if name in _LAST:
        return lambda values: values[-1]
    if name in _LARGEST:
        return max
    if name in _SUMS:
        return sum
    return min if name == "lag_min" else _mean


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _last_validations(run: Observed, syncs: Mapping[int, dict[str, float]], k: int) -> None:
    for step, reward in zip(run.eval_steps, run.val_rewards, strict=True):
        if step > 0 and (step - 1) // k in syncs:
            syncs[(step - 1) // k]["val_reward"] = reward


def _rows(number: int, k: int, syncs: Mapping[int, Mapping[str, float]]) -> pa.RecordBatch:
    columns = {
        "run": pa.array([number] * len(syncs), pa.int64()),
        "attempt": pa.array([1] * len(syncs), pa.int64()),
        "sync": pa.array(list(syncs), pa.int64()),
        "learner_step": pa.array([sync * k for sync in syncs], pa.int64()),
    }
    for name, has_decimals in METRICS.items():
        values = [values.get(name) for values in syncs.values()]
        kind = pa.float64() if has_decimals else pa.int64()
        columns[name] = pa.array(
            [v if v is None or has_decimals else round(v) for v in values], kind, from_pandas=False
        )
    return pa.record_batch(columns)
