"""All that the database holds of one run, except its metrics."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Double, and_, cast, func, inspect, select

from orchestrator.base.errors import SelectionError
from orchestrator.store import places
from orchestrator.store.models import Attempt, CellRow, Evaluation, RunRow, SweepRow, SyncMetric
from orchestrator.store.queries import LATEST
from orchestrator.store.types import now, seconds_between

_HEARD_OF = func.coalesce(Attempt.ended_at, Attempt.heartbeat_at)


def run(connection: Connection, run_id: int) -> dict[str, Any]:
    """Read a run with its cell and sweep: the columns of ``run``, and beside them what stands in other tables.

    Raises:
        SelectionError: There is no such run.
    """
    found = connection.execute(
        select(
            *inspect(RunRow).columns,
            *(SweepRow.name.label("sweep"), SweepRow.source, SweepRow.grid_text),
            *(CellRow.model, CellRow.k, CellRow.eta, CellRow.axes),
            *(latest.label(latest_name) for latest_name, latest in LATEST.items()),
        )
        .join(CellRow, CellRow.id == RunRow.cell_id)
        .join(SweepRow)
        .where(RunRow.id == run_id)
    )
    row = found.mappings().one_or_none()
    if row is None:
        raise SelectionError(f"no run {run_id}")
    path = places.of_run(connection, row["directory"], row["sweep"], row["config_digest"])
    return {**row, "axes": json.loads(row["axes"]), "directory": path}


def attempts(connection: Connection, run_id: int) -> list[dict[str, Any]]:
    """Read a run's attempts, oldest first: the columns of ``attempt``, how long they took, and what they stored."""
    syncs, evaluations = (
        select(func.count())
        .where(and_(table.run_id == Attempt.run_id, table.attempt == Attempt.number))
        .scalar_subquery()
        for table in (SyncMetric, Evaluation)
    )
    rows = connection.execute(
        select(
            *inspect(Attempt).columns,
            cast(seconds_between(Attempt.started_at, _HEARD_OF), Double).label("duration_s"),
            cast(seconds_between(Attempt.heartbeat_at, now()), Double).label("heartbeat_age_s"),
            syncs.label("syncs"),
            evaluations.label("evaluations"),
        )
        .where(Attempt.run_id == run_id)
        .order_by(Attempt.number)
    ).mappings()
    return [dict(row) for row in rows]
