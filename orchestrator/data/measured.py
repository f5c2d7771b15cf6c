"""What runs measured: a few columns of weight syncs and validations, read fast, for there may be millions of them.

`orchestrator.data.frames` reads every column with the types of the export, which takes many times as long. Here only
rewards keep NaN and missing apart, as ``double[pyarrow]``. Any other metric is a plain float, NaN where it is missing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Double, Select, case, func, select, type_coerce

from orchestrator.store.database import Store
from orchestrator.store.models import Base, CellRow, Evaluation, RunRow, SweepRow, SyncMetric
from orchestrator.store.queries import DECIDED

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]

REWARDS = ("reward", "val_reward")
"""A missing reward was not measured; one that is NaN was, and is as bad as can be."""

MOST_IDS = 10_000
"""Most run numbers that a statement is given at once."""

BATCH_ROWS = 20_000
"""Rows that a server sends at a time."""


def syncs(
    store: Store, sweeps: Sequence[str], metrics: Sequence[str], *, model: str | None = None, until: int | None = None
) -> pd.DataFrame:
    """Read ``run``, ``learner_step`` and metrics of the weight syncs of finished and stopped runs, by run and sync.

    If asked for, only those of one model, and up to the learner step ``until``.
    """
    return _read(store, _columns(SyncMetric, metrics, until).where(SyncMetric.run_id.in_(_decided(sweeps, model))))


def evals(store: Store, sweeps: Sequence[str], *, model: str | None = None) -> pd.DataFrame:
    """Read validations of such runs: ``run``, ``learner_step`` and ``val_reward``, by run and learner step."""
    return _read(store, _columns(Evaluation, ("val_reward",)).where(Evaluation.run_id.in_(_decided(sweeps, model))))


def evals_of(store: Store, run_ids: Iterable[int]) -> pd.DataFrame:
    """As `evals`, of runs by number, whatever their state."""
    query = _columns(Evaluation, ("val_reward",))
    parts = [_read(store, query.where(Evaluation.run_id.in_(part))) for part in _parts(run_ids)]
    return _concat(parts, ["val_reward"])


def thinned_syncs(store: Store, run_ids: Iterable[int], metrics: Sequence[str], most: int) -> pd.DataFrame:
    """As `syncs`, of runs by number, but of a run with more than about ``most`` weight syncs every n-th only.

    ``end_step`` is the learner step of the run's next weight sync, read or not; NaN for the last.
    """
    last = select(SyncMetric.run_id, func.max(SyncMetric.sync)).group_by(SyncMetric.run_id)
    by_stride: dict[int, list[int]] = {}
    with store.read() as connection:
        for part in _parts(run_ids):
            for run_id, sync in connection.execute(last.where(SyncMetric.run_id.in_(part))):
                by_stride.setdefault(sync // most + 1, []).append(run_id)
    names = ["sync", *metrics]
    parts = []
    for stride, members in by_stride.items():
        wanted = SyncMetric.run_id.in_(members), SyncMetric.sync % stride <= 1
        read = _read(store, _columns(SyncMetric, names).where(*wanted))
        is_next = (read["run"] == read["run"].shift(-1)) & (read["sync"] + 1 == read["sync"].shift(-1))
        read["end_step"] = read["learner_step"].shift(-1).where(is_next)
        parts.append(read[read["sync"] % stride == 0].drop(columns="sync"))
    return _concat(parts, [*metrics, "end_step"]).sort_values(["run", "learner_step"], ignore_index=True)


def _decided(sweeps: Sequence[str], model: str | None) -> Select[int]:
    runs = select(RunRow.id).join(CellRow).join(SweepRow).where(SweepRow.name.in_(list(sweeps)), DECIDED)
    return runs if model is None else runs.where(CellRow.model == model)


def _parts(run_ids: Iterable[int]) -> list[list[int]]:
    wanted = sorted(run_ids)
    return [wanted[at : at + MOST_IDS] for at in range(0, len(wanted), MOST_IDS)]


def _concat(parts: list[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", "learner_step", *names])


def _columns(source: type[Base], names: Sequence[str], until: int | None = None) -> Query:
    of: Any = source
    selected = [_nan_as_infinity(getattr(of, name)) if name in REWARDS else getattr(of, name) for name in names]
    query = select(of.run_id, of.learner_step, *selected).order_by(*of.__table__.primary_key.columns)
    return query if until is None else query.where(of.learner_step <= until)


def _read(store: Store, query: Query) -> pd.DataFrame:
    """Read rows whose columns are all numbers."""
    with store.read() as connection:
        if connection.dialect.name == "sqlite":
            # The driver's own rows: one of SQLAlchemy's takes longer to make than to read.
            rows: Iterable[Any] = connection.execute(query).cursor  # type: ignore[assignment]
        else:
            rows = connection.execute(query.execution_options(yield_per=BATCH_ROWS))
        # NumPy takes None, and SQLite's text for NaN, as NaN.
        flat = np.fromiter(itertools.chain.from_iterable(rows), dtype=np.float64)
    _, step, *names = (column.name for column in query.selected_columns)
    table = flat.reshape(-1, 2 + len(names))
    steps = {name: table[:, place].astype(np.int64) for place, name in enumerate(("run", step))}
    columns = {name: table[:, place].copy() for place, name in enumerate(names, 2)}
    return pd.DataFrame(steps | {name: _reward(c) if name in REWARDS else c for name, c in columns.items()})


def _reward(values: NDArray[np.float64]) -> pd.arrays.ArrowExtensionArray:
    missing = np.isnan(values)
    values[np.isneginf(values)] = np.nan
    return pd.arrays.ArrowExtensionArray(pa.array(values, mask=missing, from_pandas=False))


def _nan_as_infinity(column: Any) -> Any:
    return type_coerce(case((column == math.nan, -math.inf), else_=column), Double()).label(column.name)
