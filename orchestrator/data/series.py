"""A few columns of weight syncs and validations of runs that are over, read fast: a store may hold millions of them.

`orchestrator.data.frames` reads everything with the types of the export, which takes many times as long. Here only a
reward keeps NaN and missing apart, as ``double[pyarrow]``; every other metric is a plain float, NaN where it
is missing too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Double, Select, case, select, type_coerce

from orchestrator.store.models import Base, Cell, Evaluation, Run, Sweep, SyncMetric
from orchestrator.store.queries import DECIDED
from orchestrator.store.store import Store

REWARDS = ("reward", "val_reward")
"""A missing reward says nothing; one that was measured and is not a number is as bad as can be."""

MOST_IDS = 10_000
"""Most numbers that a statement is given at once."""

BATCH_ROWS = 20_000
"""Rows that a server sends at a time."""


def syncs(
    store: Store, sweeps: Sequence[str], metrics: Sequence[str], *, model: str | None = None, until: int | None = None
) -> pd.DataFrame:
    """Read metrics of weight syncs.

    Args:
        store: The store.
        sweeps: Names of sweeps.
        metrics: Names of metrics.
        model: Only of this model.
        until: Only weight syncs up to this learner step.

    Returns:
        ``run``, ``learner_step`` and the metrics, by run and sync.
    """
    return _read(store, SyncMetric, sweeps, metrics, model=model, until=until)


def early(store: Store, run_ids: Iterable[int], metrics: Sequence[str], until: int) -> pd.DataFrame:
    """As `syncs`, of some runs, whatever their state, up to a learner step."""
    wanted = sorted(run_ids)
    parts = [wanted[at : at + MOST_IDS] for at in range(0, len(wanted), MOST_IDS)]
    read = [_columns(store, SyncMetric, select(Run.id).where(Run.id.in_(part)), metrics, until) for part in parts]
    return pd.concat(read, ignore_index=True) if read else pd.DataFrame(columns=["run", "learner_step", *metrics])


def evals(store: Store, sweeps: Sequence[str], *, model: str | None = None) -> pd.DataFrame:
    """Read validations: ``run``, ``learner_step`` and ``val_reward``, by run and learner step."""
    return _read(store, Evaluation, sweeps, ("val_reward",), model=model)


def _read(
    store: Store,
    source: type[Base],
    sweeps: Sequence[str],
    metrics: Sequence[str],
    *,
    model: str | None = None,
    until: int | None = None,
) -> pd.DataFrame:
    runs = select(Run.id).join(Cell).join(Sweep).where(Sweep.name.in_(list(sweeps)), DECIDED)
    if model is not None:
        runs = runs.where(Cell.model == model)
    return _columns(store, source, runs, metrics, until)


def _columns(
    store: Store, source: type[Base], runs: Select[int], metrics: Sequence[str], until: int | None
) -> pd.DataFrame:
    of: Any = source
    selected = [_nan_as_infinity(getattr(of, name)) if name in REWARDS else getattr(of, name) for name in metrics]
    query = select(of.run_id, of.learner_step, *selected).where(of.run_id.in_(runs))
    if until is not None:
        query = query.where(of.learner_step <= until)
    query = query.order_by(*of.__table__.primary_key.columns)
    with store.read() as connection:
        if connection.dialect.name == "sqlite":
            # The driver's own rows: one of SQLAlchemy's takes longer to make than to read.
            rows: Iterable[Any] = connection.execute(query).cursor  # type: ignore[assignment]
        else:
            rows = connection.execute(query.execution_options(yield_per=BATCH_ROWS))
        # NumPy takes None, and SQLite's text for NaN, as NaN.
        flat = np.fromiter(itertools.chain.from_iterable(rows), dtype=np.float64)
    table = flat.reshape(-1, 2 + len(metrics))
    steps = {name: table[:, place].astype(np.int64) for place, name in enumerate(("run", "learner_step"))}
    columns = {name: table[:, place].copy() for place, name in enumerate(metrics, 2)}
    return pd.DataFrame(steps | {name: _reward(c) if name in REWARDS else c for name, c in columns.items()})


def _nan_as_infinity(column: Any) -> Any:
    return type_coerce(case((column == math.nan, -math.inf), else_=column), Double())


def _reward(values: NDArray[np.float64]) -> pd.arrays.ArrowExtensionArray:
    missing = np.isnan(values)
    values[np.isneginf(values)] = np.nan
    return pd.arrays.ArrowExtensionArray(pa.array(values, mask=missing, from_pandas=False))
