"""Stored rows as tidy tables: Arrow batches, pandas frames made from them, and the export's files.

NaN and missing stay apart: a metric that was measured and is not a number is NaN, one that was not measured
is missing. In Arrow that is a NaN and a null. In a frame, a column that may be missing has a nullable type:
``Int64`` for whole numbers and ``double[pyarrow]`` for floats (pandas' ``Float64`` takes NaN for missing);
a column that is never missing is plain ``int64`` or ``float64``. Text that is missing is None or NaN, a time
that is missing NaT; times are in UTC.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

from orchestrator.base.errors import UsageError
from orchestrator.base.files import whole
from orchestrator.base.safe_text import as_cell
from orchestrator.store import queries
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt, CellRow, Evaluation, Fit, RunRow, SweepRow, SyncMetric
from orchestrator.store.types import NanFloat, UtcDateTime, seconds_between

if TYPE_CHECKING:
    Query = sa.Select[*tuple[Any, ...]]

BATCH_ROWS = 20_000
"""Rows held as Python objects at a time."""


def load(table: str, store: Store, sweeps: Sequence[str] | None = None) -> pd.DataFrame:
    """Load one of the `TABLES` as a frame, of sweeps by name or of all.

    Raises:
        SelectionError: There is no sweep of such a name.
    """
    for name in sweeps or ():
        queries.sweep_id(store, name)
    with store.read() as connection:
        loaded = pa.Table.from_batches(batches(connection, table, sweeps), schema=schema(table))
    return pd.DataFrame({field.name: _series(field, loaded[field.name]) for field in loaded.schema})


sweeps = partial(load, "sweeps")
"""Load sweeps: name, digest, time of registration, number of runs, the grid file's text."""

runs = partial(load, "runs")
"""Load runs, in grid order; ``wall_s`` sums its attempts, ``gpu_s`` is that times the GPUs asked for."""

attempts = partial(load, "attempts")
"""Load attempts, by run and number."""

syncs = partial(load, "syncs")
"""Load weight syncs with all metrics of `grpo_worker.schema.records.SyncRecord`, by run and sync."""

evals = partial(load, "evals")
"""Load validations, by run and learner step."""

fits = partial(load, "fits")
"""Load stored fits; of some sweeps, those that any of them entered."""


def schema(table: str) -> pa.Schema:
    """Describe the columns of one of the `TABLES`: name, Arrow type, whether a value can be missing."""
    columns = TABLES[table](None).selected_columns
    # A renamed or computed column does not say whether it can be missing; none of those here can.
    return pa.schema([pa.field(c.name, _arrow_type(c.type), getattr(c, "nullable", False)) for c in columns])


def batches(connection: sa.Connection, table: str, sweeps: Sequence[str] | None = None) -> Generator[pa.RecordBatch]:
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


def export(store: Store, sweeps: Sequence[str] | None, out: Path, format: Literal["csv", "parquet"]) -> list[Path]:
    """Write every table of the `TABLES`, all as of one moment, and return the files.

    CSV has missing as nothing, NaN as ``NaN`` and infinities as ``inf``. The folder is created if missing; a file there
    takes its new content at once, when it is complete.

    Raises:
        SelectionError: There is no sweep of such a name.
        UsageError: The folder cannot be written to.
    """
    for name in sweeps or ():
        queries.sweep_id(store, name)
    write = {"csv": _write_csv, "parquet": _write_parquet}[format]
    paths = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        with store.read() as connection:
            for table in TABLES:
                path = out / f"{table}.{format}"
                with closing(batches(connection, table, sweeps)) as rows, whole(path) as aside:
                    write(aside, schema(table), rows)
                paths.append(path)
    except OSError as error:
        raise UsageError(f"cannot export to {out}: {error.strerror or error}") from error
    return paths


def _write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    with pq.ParquetWriter(path, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_csv(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(schema.names)
        for batch in batches:
            columns = [map(_cell, column.to_pylist()) for column in batch.columns]
            writer.writerows(zip(*columns, strict=True))


def _cell(value: Any) -> Any:
    # The csv module writes floats as their shortest exact form, but NaN in lower case, unlike most readers.
    if isinstance(value, str):
        return as_cell(value)
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def _series(field: pa.Field, column: pa.ChunkedArray) -> pd.Series[Any]:
    types = {pa.int64(): pd.Int64Dtype(), pa.float64(): pd.ArrowDtype(pa.float64())} if field.nullable else {}
    series: pd.Series[Any] = column.to_pandas(types_mapper=types.get)
    return series


def _arrow_type(sql_type: TypeEngine[Any]) -> pa.DataType:
    match sql_type:
        case UtcDateTime():
            return pa.timestamp("us", tz="UTC")
        case NanFloat() | sa.Double():
            return pa.float64()
        case sa.BigInteger() | sa.Integer():
            return pa.int64()
        case _:
            return pa.string()


def _sweeps(names: Sequence[str] | None) -> Query:
    runs = sa.select(sa.func.count()).select_from(RunRow).join(CellRow).where(CellRow.sweep_id == SweepRow.id)
    count = runs.scalar_subquery().label("runs")
    query = sa.select(SweepRow.name.label("sweep"), SweepRow.digest, SweepRow.created_at, count, SweepRow.grid_text)
    return _of_sweeps(query, names).order_by(SweepRow.id)


def _runs(names: Sequence[str] | None) -> Query:
    # A running attempt counts up to when it was last heard of.
    end = sa.func.coalesce(Attempt.ended_at, Attempt.heartbeat_at)
    total = sa.func.sum(seconds_between(Attempt.started_at, end), type_=sa.Double())
    in_run = sa.select(total).where(Attempt.run_id == RunRow.id).scalar_subquery()
    wall_s = sa.func.coalesce(in_run, 0.0, type_=sa.Double())
    gpus = RunRow.resources["gpus"].as_integer()
    columns: tuple[Any, ...] = (
        RunRow.id.label("run"), SweepRow.name.label("sweep"), CellRow.model, CellRow.k, CellRow.eta, RunRow.seed,
        CellRow.axes, RunRow.state, RunRow.horizon, RunRow.learner_steps, RunRow.collapse_step,
        RunRow.collapse_step_lo, RunRow.collapse_sync, RunRow.collapse_detector, RunRow.failure,
        sa.type_coerce(wall_s * gpus, sa.Double()).label("gpu_s"), wall_s.label("wall_s"), RunRow.code_version,
        RunRow.config_digest, RunRow.failure_class,
    )  # fmt: skip
    query = sa.select(*columns).join_from(RunRow, CellRow).join(SweepRow)
    return _of_sweeps(query, names).order_by(SweepRow.id, CellRow.position, RunRow.id)


def _attempts(names: Sequence[str] | None) -> Query:
    columns: tuple[Any, ...] = (
        Attempt.run_id.label("run"), Attempt.number.label("attempt"), Attempt.executor, Attempt.job_id,
        Attempt.task_id, Attempt.restart_count, Attempt.host, Attempt.started_at, Attempt.ended_at, Attempt.outcome,
        Attempt.resumed_from_sync, Attempt.failure_class, Attempt.node,
    )  # fmt: skip
    return _of_run(sa.select(*columns), Attempt.run_id, names).order_by(Attempt.run_id, Attempt.number)


def _syncs(names: Sequence[str] | None) -> Query:
    _, *metrics = sa.inspect(SyncMetric).columns
    query = sa.select(SyncMetric.run_id.label("run"), *metrics)
    return _of_run(query, SyncMetric.run_id, names).order_by(SyncMetric.run_id, SyncMetric.sync)


def _evals(names: Sequence[str] | None) -> Query:
    columns = (Evaluation.attempt, Evaluation.learner_step, Evaluation.val_reward, Evaluation.val_n)
    query = sa.select(Evaluation.run_id.label("run"), *columns)
    return _of_run(query, Evaluation.run_id, names).order_by(Evaluation.run_id, Evaluation.learner_step)


def _fits(names: Sequence[str] | None) -> Query:
    asked = sa.cast(Fit.sweeps, sa.Text)
    columns: tuple[Any, ...] = (
        Fit.id.label("fit"), Fit.created_at, asked.label("sweeps"), sa.cast(Fit.run_ids, sa.Text).label("run_ids"),
        Fit.code_version, Fit.detector, sa.cast(Fit.result, sa.Text).label("result"),
    )  # fmt: skip
    query: Query = sa.select(*columns).order_by(Fit.id)
    if names is None:
        return query
    return query.where(sa.or_(sa.false(), *(asked.contains(f'"{name}"', autoescape=True) for name in names)))


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
