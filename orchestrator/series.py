"""A few columns of weight syncs and validations of finished runs, read fast: a store may hold millions of them.

`orchestrator.frames` reads everything with the types of the export, at a cost of seconds for each million rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Double, Select, select, type_coerce

from orchestrator.db.models import RESULT_STATES, Base, Cell, Evaluation, Run, Sweep, SyncMetric
from orchestrator.db.store import Store

BATCH_ROWS = 50_000


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
        ``run``, ``learner_step`` and the metrics, by run and sync; types are those of `orchestrator.frames`.
    """
    return _read(store, SyncMetric, sweeps, metrics, model=model, until=until)


def evals(store: Store, sweeps: Sequence[str], *, model: str | None = None) -> pd.DataFrame:
    """Read validations: ``run``, ``learner_step`` and ``val_reward``, by run and learner step."""
    return _read(store, Evaluation, sweeps, ("val_reward",), model=model)


def _read(
    store: Store,
    table: type[Base],
    sweeps: Sequence[str],
    metrics: Sequence[str],
    *,
    model: str | None = None,
    until: int | None = None,
) -> pd.DataFrame:
    of: Any = table
    # Without the type's own processing, which is a call of Python for each value.
    columns: list[Any] = [type_coerce(getattr(of, name), Double()).label(name) for name in metrics]
    query: Select[*tuple[Any, ...]] = select(of.run_id.label("run"), of.learner_step, *columns)
    query = query.join(Run, Run.id == of.run_id).join(Cell).join(Sweep)
    query = query.where(Sweep.name.in_(list(sweeps)), Run.state.in_(RESULT_STATES))
    if model is not None:
        query = query.where(Cell.model == model)
    if until is not None:
        query = query.where(of.learner_step <= until)
    query = query.order_by(*of.__table__.primary_key.columns)
    steps: list[np.ndarray[Any, Any]] = [np.empty((2, 0), np.int64)]
    values: list[list[pa.Array]] = [[] for _ in metrics]
    with store.read() as connection, connection.execute(query.execution_options(yield_per=BATCH_ROWS)) as result:
        for rows in result.partitions():
            run, step, *measured = zip(*rows, strict=True)
            steps.append(np.array([run, step], dtype=np.int64))
            for parts, column in zip(values, measured, strict=True):
                parts.append(_floats(column))
    run_and_step = dict(zip(("run", "learner_step"), np.concatenate(steps, axis=1), strict=True))
    return pd.DataFrame(run_and_step | {name: _series(parts) for name, parts in zip(metrics, values, strict=True)})


def _floats(values: tuple[Any, ...]) -> pa.Array:
    try:
        return pa.array(values, type=pa.float64(), from_pandas=False)
    except pa.ArrowInvalid:  # SQLite holds a NaN as text
        return pa.array([math.nan if value == "NaN" else value for value in values], pa.float64(), from_pandas=False)


def _series(parts: list[pa.Array]) -> pd.Series[Any]:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array(parts, type=pa.float64())))
