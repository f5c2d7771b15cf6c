"""Storing runs made elsewhere: cells, runs, attempts and metrics of one import, in one transaction."""

from __future__ import annotations

import functools
import json
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Dialect, bindparam, insert, select, update

from grpo_worker.schema.config import content_digest
from orchestrator.base.errors import GridError, NothingToDo, SweepConflict
from orchestrator.base.settings import code_version
from orchestrator.base.states import AttemptOutcome, FailureClass
from orchestrator.data.importing.read import Import
from orchestrator.data.importing.rows import ImportedAttempt, ImportedRun
from orchestrator.store.database import writes
from orchestrator.store.models import Attempt, Base, Evaluation, RunRow, SweepRow, SyncMetric
from orchestrator.store.registration import insert_cells, stored_runs
from orchestrator.store.types import NanFloat, now

SOURCE = "import"  # in `SweepRow.source`
INSERTED_ROWS = 5_000  # held as Python objects at a time


@writes
def store_import(connection: Connection, found: Import, name: str, *, append: bool = False) -> int:
    """Store an import as a sweep: all of it, or nothing; returns the sweep's id.

    With ``append``, the runs may join those that were imported under this name before.

    Raises:
        NothingToDo: The same was imported under this name before.
        SweepConflict: The name stands for something else.
        GridError: The sweep has some of the runs already.
    """
    sweep_id = _sweep_id(connection, found, name, append=append)
    run_ids = _insert_runs(connection, sweep_id, found, name)
    _insert_attempts(connection, found.runs, run_ids)
    _insert_rows(connection, SyncMetric, found.syncs, run_ids)
    _insert_rows(connection, Evaluation, found.evals, run_ids)
    return sweep_id


def _sweep_id(connection: Connection, found: Import, name: str, *, append: bool) -> int:
    """Find or make the sweep; what joins it is added to its description."""
    columns = SweepRow.id, SweepRow.digest, SweepRow.source, SweepRow.grid_text
    stored = connection.execute(select(*columns).where(SweepRow.name == name).with_for_update()).one_or_none()
    own, written = found.described(), functools.partial(json.dumps, indent=2, ensure_ascii=False)
    if stored is None:
        values = {"name": name, "digest": found.digest, "grid_text": written(own), "source": SOURCE}
        made = connection.execute(insert(SweepRow).values(**values, created_at=now()).returning(SweepRow.id))
        return int(made.scalar_one())
    if stored.source != SOURCE:
        raise SweepConflict(f"sweep {name!r} is a grid's: import under another name with --sweep")
    described = json.loads(stored.grid_text)
    if found.digest in (stored.digest, *(one["digest"] for one in described.get("appended", []))):
        raise NothingToDo(f"sweep {name!r} holds this import already; nothing was changed")
    if not append:
        raise SweepConflict(
            f"sweep {name!r} holds another import: add this one's runs to it with --append, or give this one another "
            f"name with --sweep\nstored:\n{stored.grid_text}\nthis one:\n{written(own)}"
        )
    described["appended"] = [*described.get("appended", []), {**own, "digest": found.digest}]
    connection.execute(update(SweepRow).where(SweepRow.id == stored.id).values(grid_text=written(described)))
    return int(stored.id)


def _insert_runs(connection: Connection, sweep_id: int, found: Import, name: str) -> list[int]:
    """Add the cells that the sweep lacks, and the runs; returns the runs' numbers."""
    joined = stored_runs(connection, sweep_id, RunRow.id)
    if twice := [run for run in found.runs if (run.cell, run.seed) in joined]:
        raise GridError([f"{found.source}: sweep {name!r} has a run with {run.described()} already" for run in twice])
    keys = dict.fromkeys([*(cell for cell, _ in joined), *(run.cell for run in found.runs)])
    cells = insert_cells(connection, sweep_id, keys)
    # The runs of an export get numbers in the order of those they had; the cells keep the order of the file.
    runs = sorted(found.runs, key=lambda run: int(run.label or 0)) if found.format == "export" else found.runs
    values = [_run_values(run, cells[run.cell]) for run in runs]
    connection.execute(insert(RunRow).values(updated_at=now()), values)
    numbers = stored_runs(connection, sweep_id, RunRow.id)
    return [numbers[run.cell, run.seed] for run in found.runs]


def _run_values(run: ImportedRun, cell_id: int) -> dict[str, Any]:
    # In the place of a config stands what is known of the run. No worker can be started from it.
    known = {"source": SOURCE, **run.model_dump(include={"model", "k", "eta", "seed", "horizon", "label"})}
    known["axes"] = json.loads(run.axes)
    return run.model_dump(include={*RunRow.__table__.columns.keys()}) | {
        "cell_id": cell_id,
        "config": known,
        "resources": {"gpus": run.gpus},
        "config_digest": run.config_digest or content_digest(known),
        "code_version": run.code_version or code_version(),
        "fence": 1 if run.attempts is None else max((one.attempt for one in run.attempts), default=0),
    }


def _insert_attempts(connection: Connection, runs: Sequence[ImportedRun], run_ids: Sequence[int]) -> None:
    imported_at = connection.execute(select(now())).scalar_one()
    rows = []
    for run, run_id in zip(runs, run_ids, strict=True):
        for attempt in (_the_import(run, imported_at),) if run.attempts is None else run.attempts:
            ended_at = attempt.ended_at or _last_seen(run, attempt)
            lost = {} if attempt.outcome else {"outcome": AttemptOutcome.LOST, "failure_class": FailureClass.LOST}
            rows.append(attempt.model_dump(exclude={"run", "attempt"}) | lost | {
                "run_id": run_id, "number": attempt.attempt, "ended_at": ended_at, "heartbeat_at": ended_at,
                "code_version": run.code_version or code_version(), "process_started_at": 0.0, "pid": 0,
            })  # fmt: skip
    if rows:
        connection.execute(insert(Attempt), rows)


def _the_import(run: ImportedRun, imported_at: datetime) -> ImportedAttempt:
    """The import itself, as the only attempt of a run whose attempts are not known."""
    ended_as = {str(one): one for one in AttemptOutcome}.get(str(run.state), AttemptOutcome.INTERRUPTED)
    started_at = imported_at - timedelta(seconds=run.wall_s)
    return ImportedAttempt(
        attempt=1, executor="import", restart_count=0, host=socket.gethostname(), started_at=started_at,
        ended_at=imported_at, outcome=ended_as, failure_class=run.failure_class,
    )  # fmt: skip


def _last_seen(run: ImportedRun, attempt: ImportedAttempt) -> datetime:
    """When an open attempt was last heard of: when the run's time was used up."""
    others = [one.ended_at - one.started_at for one in run.attempts or () if one.ended_at is not None]
    return attempt.started_at + max(timedelta(0), timedelta(seconds=run.wall_s) - sum(others, timedelta(0)))


def _insert_rows(connection: Connection, table: type[Base], rows: pa.Table, run_ids: Sequence[int]) -> None:
    if not len(rows):
        return
    rows = rows.append_column("run_id", pa.array(run_ids, pa.int64()).take(rows["run"]))
    if "attempt" not in rows.column_names:
        rows = rows.append_column("attempt", pa.repeat(1, len(rows)))
    names = [column.name for column in table.__table__.columns if column.name in rows.column_names]
    # As the driver takes it: the types' own processing, value by value, would take most of the time.
    statement = insert(table).values({name: bindparam(name) for name in names}).compile(dialect=connection.dialect)
    order = statement.positiontup
    for batch in rows.select(order or names).to_batches(max_chunksize=INSERTED_ROWS):
        values = zip(*(_values(column, connection.dialect) for column in batch.columns), strict=True)
        parameters: Any = list(values) if order else [dict(zip(names, row, strict=True)) for row in values]
        connection.exec_driver_sql(str(statement), parameters)


def _values(column: pa.Array, dialect: Dialect) -> list[Any]:
    values: list[Any] = column.to_pylist()
    as_stored = NanFloat().bind_processor(dialect)
    has_nan = pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py()
    return [as_stored(value) for value in values] if as_stored and has_nan else values
