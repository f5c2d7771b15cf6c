"""A table with one row per weight sync: runs told apart by their columns, collapse derived, metrics set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.data.importing.mapping import LABEL, METRICS, Mapped
from orchestrator.data.importing.observed import Observed
from orchestrator.data.importing.runs import READ
from orchestrator.data.importing.spool import Spool
from orchestrator.data.importing.tables import Batch, Table
from orchestrator.data.importing.values import Mistakes, floats, shown, text, wholes
from orchestrator.store.imports import ImportedRun

KNOWN = [LABEL, "sync", "learner_step", *READ, *METRICS]
"""Columns that this form has."""

IDENTITY = ("model", "k", "eta", "seed")
Ints = NDArray[np.int64]


@dataclass(slots=True)
class Keys:
    """Numbers the runs of a table by the columns that say what they are.

    Attributes:
        mistakes: Takes contradictions between rows of one run.
        constants: Facts that hold for all runs.
        named: Facts of each named run.
        runs: The runs in order of appearance.
    """

    mistakes: Mistakes
    constants: dict[str, Any]
    named: dict[str, dict[str, Any]] | None = None
    runs: list[Observed] = field(default_factory=list)
    _seen: dict[tuple[Any, ...], int] = field(default_factory=dict)
    _known: dict[Any, int] = field(default_factory=dict)

    def number(self, names: Sequence[str], raw: tuple[Any, ...], row: int) -> int:
        """Number the run that a row with these facts belongs to."""
        number = self._seen.get(raw)
        if number is None:
            number = self._seen[raw] = self._find(dict(zip(names, raw, strict=True)), row)
        return number

    def _find(self, facts: dict[str, Any], row: int) -> int:
        label = text(facts.pop(LABEL, None))
        facts = {**self.constants, **facts, **self._facts_of(label)}
        read = {name: _read(name, raw) for name, raw in facts.items()}
        same = (name for name in read if name in IDENTITY or name.startswith("axes"))
        key = label if label is not None else tuple(sorted((name, str(read[name])) for name in same))
        number = self._known.setdefault(key, len(self.runs))
        if number == len(self.runs):
            place = f"row {row}" if label is None else f"run {label!r}"
            self.runs.append(Observed(facts, place, label))
        else:
            first = self.runs[number]
            for name, value in read.items():
                if value != _read(name, first.facts.get(name)):
                    there = shown(first.facts.get(name))
                    what = f"says {name} {shown(facts[name])}, but {first.place} of the same run says {there}"
                    self.mistakes.note(f"row {row}", what)
        return number

    def _facts_of(self, label: str | None) -> dict[str, Any]:
        if self.named is None or label is None:
            return {}
        if label not in self.named:
            self.mistakes.note(f"run {label!r}", "is not among the runs of --runs")
        return self.named.get(label, {})


def read_syncs(table: Table, mapped: Mapped, keys: Keys) -> tuple[Spool, list[Observed]]:
    """Read, check and set aside the rows.

    Args:
        table: The file.
        mapped: Its columns.
        keys: Tells the runs apart, and takes the mistakes.

    Returns:
        The rows, their ``run`` being the place among the runs; and what they show of each run.
    """
    spool, kept = Spool(), []
    for batch in table.batches(keys.mistakes):
        rows = _read_batch(batch, mapped, keys)
        few = rows.select([name for name in KEPT if name in rows.schema.names])
        kept.append(few.append_column("row", pa.array(batch.rows, pa.int64())))
        spool.add(rows)
    spool.finish()
    if kept:
        _observe(pa.Table.from_batches(kept), keys)
    else:
        keys.mistakes.note("", "has no rows")
    return spool, keys.runs


KEPT = ("run", "sync", "learner_step", "reward", "val_reward")
"""What is held in memory of every row, to look at each run as a whole."""


def with_learner_steps(runs: Sequence[ImportedRun]) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Make the change that gives each row the learner step sync·k where the file has none."""
    k_of = pa.array([run.k for run in runs], pa.int64())

    def change(batch: pa.RecordBatch) -> pa.RecordBatch:
        by_sync = pc.multiply(batch["sync"], k_of.take(batch["run"]))
        if "learner_step" not in batch.schema.names:
            return batch.append_column("learner_step", by_sync)
        place = batch.schema.names.index("learner_step")
        return batch.set_column(place, "learner_step", pc.coalesce(batch["learner_step"], by_sync))

    return change


def evals_of(runs: Sequence[Observed]) -> Spool:
    """Make validations of the validation rewards that were seen."""
    spool = Spool()
    for place, run in enumerate(runs):
        count = len(run.eval_steps)
        columns = {
            "run": pa.array([place] * count, pa.int64()),
            "attempt": pa.array([1] * count, pa.int64()),
            "learner_step": pa.array(run.eval_steps, pa.int64()),
            "val_reward": pa.array(run.val_rewards, pa.float64(), from_pandas=False),
        }
        spool.add(pa.record_batch(columns))
    spool.finish()
    return spool


def _read_batch(batch: Batch, mapped: Mapped, keys: Keys) -> pa.RecordBatch:
    facts = {ours: theirs for ours, theirs in mapped.used.items() if ours == LABEL} | mapped.facts()
    raw = [batch.columns[theirs].to_pylist() for theirs in facts.values()]
    rows: Iterable[tuple[Any, ...]] = zip(*raw, strict=True) if raw else (() for _ in batch.rows)
    names = list(facts)
    numbers = [keys.number(names, values, row) for row, values in zip(batch.rows, rows, strict=True)]
    columns = {"run": pa.array(numbers, pa.int64()), "attempt": pa.array([1] * len(numbers), pa.int64())}
    for name in ("sync", "learner_step"):
        if name in mapped.used:
            columns[name] = wholes(batch.columns[mapped.used[name]], batch.rows, keys.mistakes, name)
    for name, theirs in mapped.metrics().items():
        read = floats if METRICS[name] else wholes
        columns[name] = read(batch.columns[theirs], batch.rows, keys.mistakes, name)
    return pa.record_batch(columns)


def _observe(rows: pa.Table, keys: Keys) -> None:
    mistakes = keys.mistakes
    for row in rows.filter(pc.is_null(rows["sync"]))["row"].to_pylist():
        mistakes.note(f"row {row}", "sync must be a whole number (found nothing)")
    rows = rows.filter(pc.is_valid(rows["sync"])).sort_by([("run", "ascending"), ("sync", "ascending")])
    numbers = rows["run"].to_numpy()
    ends = np.searchsorted(numbers, np.arange(len(keys.runs)), side="right")
    start = 0
    for run, end in zip(keys.runs, ends.tolist(), strict=True):
        if end > start:
            _observe_run(run, rows.slice(start, end - start), mistakes)
        start = end


def _observe_run(run: Observed, rows: pa.Table, mistakes: Mistakes) -> None:
    row, sync = rows["row"].to_numpy(), rows["sync"].to_numpy()
    k = _read("k", run.facts.get("k"))
    steps = sync * k if isinstance(k, int) else sync
    if "learner_step" in rows.schema.names:
        steps = pc.coalesce(rows["learner_step"], pa.chunked_array([steps])).to_numpy()
    for place in np.flatnonzero(sync < 0)[:1].tolist():
        mistakes.note(f"row {row[place]}", f"sync must be at least 0 (found {sync[place]})")
    for place in np.flatnonzero(steps < 0)[:1].tolist():
        mistakes.note(f"row {row[place]}", f"learner_step must be at least 0 (found {steps[place]})")
    for place in (np.flatnonzero(np.diff(sync) == 0) + 1).tolist():
        first, second = sorted(row[place - 1 : place + 1].tolist())
        mistakes.note(f"row {second}", f"sync {sync[place]} of this run stands in row {first} already")
    for place in (np.flatnonzero((np.diff(steps) <= 0) & (np.diff(sync) > 0)) + 1).tolist():
        what = f"sync {sync[place]} is at learner step {steps[place]}, sync {sync[place - 1]} before it"
        mistakes.note(f"row {row[place]}", f"{what} (row {row[place - 1]}) at {steps[place - 1]}; steps must rise")
    run.sync_steps = steps.tolist()
    run.cycle = min([*np.diff(steps[-2:]).tolist(), k if isinstance(k, int) else 1])
    run.reward_steps, run.rewards = _measured(steps, rows, "reward")
    run.eval_steps, run.val_rewards = _measured(steps, rows, "val_reward")


def _measured(steps: Ints, rows: pa.Table, name: str) -> tuple[list[int], list[float]]:
    if name not in rows.schema.names:
        return [], []
    measured = pc.is_valid(rows[name]).to_numpy()
    return steps[measured].tolist(), rows[name].drop_null().to_pylist()


def _read(name: str, raw: Any) -> Any:
    """Read a fact so that 8 and 8.0 are the same; what cannot be read stays as it is, and is refused later."""
    read: Callable[[Any], Any] = READ.get(name, text)
    try:
        return read(raw)
    except ValueError:
        return raw
