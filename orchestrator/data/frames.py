"""Stored rows as tidy tables with the export's columns: Arrow batches, and pandas frames made from them.

NaN and missing stay apart: a metric that was measured and is not a number is NaN, one that was not measured
is missing. In Arrow that is a NaN and a null. In a frame, a column that may be missing has a nullable type:
``Int64`` for whole numbers and ``double[pyarrow]`` for floats (pandas' ``Float64`` takes NaN for missing);
a column that is never missing is plain ``int64`` or ``float64``. Text that is missing is None or NaN, a time
that is missing NaT; times are in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    Connection,
    Double,
    Integer,
    Select,
    Text,
    cast,
    false,
    func,
    inspect,
    or_,
    select,
    type_coerce,
)  # fmt: skip
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

from orchestrator.store import queries
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt, CellRow, Evaluation, Fit, RunRow, SweepRow, SyncMetric
from orchestrator.store.types import NanFloat, UtcDateTime, seconds_between

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]

BATCH_ROWS = 20_000
"""Rows held as Python objects at a time."""


def sweeps(store: Store, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Load sweeps: name, digest, time of registration, number of runs, the grid file's text."""
    return _frame(store, "sweeps", names)


def runs(store: Store, sweeps: Sequence[str] | None = None) -> pd.DataFrame:
    """Load runs, in grid order; ``wall_s`` sums its attempts, ``gpu_s`` is that times the GPUs asked for.

    This and the other frames are of sweeps by name, or of all. They raise SelectionError for an unknown name.
    """
    return _frame(store, "runs", sweeps)


def attempts(store: Store, sweeps: Sequence[str] | None = None) -> pd.DataFrame:
    """Load attempts, by run and number."""
    return _frame(store, "attempts", sweeps)


def syncs(store: Store, sweeps: Sequence[str] | None = None) -> pd.DataFrame:
    """Load weight syncs with all metrics of `grpo_worker.schema.records.SyncRecord`, by run and sync."""
    return _frame(store, "syncs", sweeps)


def evals(store: Store, sweeps: Sequence[str] | None = None) -> pd.DataFrame:
    """Load validations, by run and learner step."""
    return _frame(store, "evals", sweeps)


def fits(store: Store, sweeps: Sequence[str] | None = None) -> pd.DataFrame:
    """Load stored fits; of some sweeps, those that any of them entered."""
    return _frame(store, "fits", sweeps)


def schema(table: str) -> pa.Schema:
    """Describe the columns of one of the `TABLES`: name, Arrow type, whether a value can be missing."""
    columns = TABLES[table](None).selected_columns
    # A renamed or computed column does not say whether it can be missing; none of those here can.
    return pa.schema([pa.field(c.name, _arrow_type(c.type), getattr(c, "nullable", False)) for c in columns])


def batches(connection: Connection, table: str, sweeps: Sequence[str] | None = None) -> Generator[pa.RecordBatch]:
    """Stream one of the `TABLES` without holding more than a batch of it. Close it if it is not read to its end.

    Tables that are read in one transaction of `Store.read` belong together.
    """
    columns = schema(table)
    query = TABLES[table](sweeps).execution_options(yield_per=BATCH_ROWS)
    with connection.execute(query) as result:
        for rows in result.partitions():
            values = zip(columns, zip(*rows, strict=True), strict=True)
            arrays = [pa.array(column, type=field.type, from_pandas=False) for field, column in values]
            yield pa.record_batch(arrays, schema=columns)


def _frame(store: Store, table: str, sweeps: Sequence[str] | None) -> pd.DataFrame:
    for name in sweeps or ():
        queries.sweep_id(store, name)
    with store.read() as connection:
        loaded = pa.Table.from_batches(batches(connection, table, sweeps), schema=schema(table))
    return pd.DataFrame({field.name: _series(field, loaded[field.name]) for field in loaded.schema})


def _series(field: pa.Field, column: pa.ChunkedArray) -> pd.Series[Any]:
    types = {pa.int64(): pd.Int64Dtype(), pa.float64(): pd.ArrowDtype(pa.float64())} if field.nullable else {}
    series: pd.Series[Any] = column.to_pandas(types_mapper=types.get)
    return series


def _arrow_type(sql_type: TypeEngine[Any]) -> pa.DataType:
    match sql_type:
        case UtcDateTime():
            return pa.timestamp("us", tz="UTC")
        case NanFloat() | Double():
            return pa.float64()
        case BigInteger() | Integer():
            return pa.int64()
        case _:
            return pa.string()


def _sweeps(names: Sequence[str] | None) -> Query:
    runs = select(func.count()).select_from(RunRow).join(CellRow).where(CellRow.sweep_id == SweepRow.id)
    count = runs.scalar_subquery().label("runs")
    query = select(SweepRow.name.label("sweep"), SweepRow.digest, SweepRow.created_at, count, SweepRow.grid_text)
    return _of_sweeps(query, names).order_by(SweepRow.id)


def _runs(names: Sequence[str] | None) -> Query:
    # A running attempt counts up to when it was last heard of.
    end = func.coalesce(Attempt.ended_at, Attempt.heartbeat_at)
    total = func.sum(seconds_between(Attempt.started_at, end), type_=Double())
    in_run = select(total).where(Attempt.run_id == RunRow.id).scalar_subquery()
    wall_s = func.coalesce(in_run, 0.0, type_=Double())
    gpus = RunRow.resources["gpus"].as_integer()
    columns: tuple[Any, ...] = (
        RunRow.id.label("run"), SweepRow.name.label("sweep"), CellRow.model, CellRow.k, CellRow.eta, RunRow.seed,
        CellRow.axes, RunRow.state, RunRow.horizon, RunRow.learner_steps, RunRow.collapse_step,
        RunRow.collapse_step_lo, RunRow.collapse_sync, RunRow.collapse_detector, RunRow.failure,
        type_coerce(wall_s * gpus, Double()).label("gpu_s"), wall_s.label("wall_s"), RunRow.code_version,
        RunRow.config_digest, RunRow.failure_class,
    )  # fmt: skip
    query = select(*columns).join_from(RunRow, CellRow).join(SweepRow)
    return _of_sweeps(query, names).order_by(SweepRow.id, CellRow.position, RunRow.id)


def _attempts(names: Sequence[str] | None) -> Query:
    columns: tuple[Any, ...] = (
        Attempt.run_id.label("run"), Attempt.number.label("attempt"), Attempt.executor, Attempt.job_id,
        Attempt.task_id, Attempt.restart_count, Attempt.host, Attempt.started_at, Attempt.ended_at, Attempt.outcome,
        Attempt.resumed_from_sync, Attempt.failure_class, Attempt.node,
    )  # fmt: skip
    return _of_run(select(*columns), Attempt.run_id, names).order_by(Attempt.run_id, Attempt.number)


def _syncs(names: Sequence[str] | None) -> Query:
    _, *metrics = inspect(SyncMetric).columns
    query = select(SyncMetric.run_id.label("run"), *metrics)
    return _of_run(query, SyncMetric.run_id, names).order_by(SyncMetric.run_id, SyncMetric.sync)


def _evals(names: Sequence[str] | None) -> Query:
    columns = (Evaluation.attempt, Evaluation.learner_step, Evaluation.val_reward, Evaluation.val_n)
    query = select(Evaluation.run_id.label("run"), *columns)
    return _of_run(query, Evaluation.run_id, names).order_by(Evaluation.run_id, Evaluation.learner_step)


def _fits(names: Sequence[str] | None) -> Query:
    asked = cast(Fit.sweeps, Text)
    columns: tuple[Any, ...] = (
        Fit.id.label("fit"), Fit.created_at, asked.label("sweeps"), cast(Fit.run_ids, Text).label("run_ids"),
        Fit.code_version, Fit.detector, cast(Fit.result, Text).label("result"),
    )  # fmt: skip
    query: Query = select(*columns).order_by(Fit.id)
    if names is None:
        return query
    return query.where(or_(false(), *(asked.contains(f'"{name}"', autoescape=True) for name in names)))


def _of_run(query: Query, run_id: InstrumentedAttribute[int], names: Sequence[str] | None) -> Query:
    if names is None:
        return query
    return _of_sweeps(query.join(RunRow, RunRow.id == run_id).join(CellRow).join(SweepRow), names)


def _of_sweeps(query: Query, names: Sequence[str] | None) -> Query:
    return query if names is None else query.where(SweepRow.name.in_(names))


TABLES: dict[str, Callable[[Sequence[str] | None], Query]] = {
    "sweeps": _sweeps, "runs": _runs, "attempts": _attempts, "syncs": _syncs, "evals": _evals, "fits": _fits,
}  # fmt: skip
"""Every exported table and the query behind it, given the names of sweeps or None for all."""
