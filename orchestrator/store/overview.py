"""What a report says about the attempts of sweeps: how they ended, and with which code and machines they ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Double, Select, distinct, func, select

from orchestrator.store.models import Attempt, CellRow, RunRow, SweepRow
from orchestrator.store.types import seconds_between

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]

Row = tuple[Any, ...]

_SECONDS = func.sum(seconds_between(Attempt.started_at, func.coalesce(Attempt.ended_at, Attempt.heartbeat_at)))


def sweeps(connection: Connection, names: Sequence[str]) -> list[Row]:
    """Read sweeps, oldest first: name, source, when it was registered, digest, the text of the grid file or import."""
    query = select(SweepRow.name, SweepRow.source, SweepRow.created_at, SweepRow.digest, SweepRow.grid_text)
    return [tuple(row) for row in connection.execute(query.where(SweepRow.name.in_(names)).order_by(SweepRow.id))]


def attempts(connection: Connection, sweeps: Sequence[str], model: str | None) -> list[Row]:
    """Count attempts: executor, outcome, failure class (each may be None), how many, their seconds in all."""
    kinds = Attempt.executor, Attempt.outcome, Attempt.failure_class
    query = select(*kinds, func.count(), func.coalesce(_SECONDS, 0.0, type_=Double())).group_by(*kinds)
    return _of(connection, query, sweeps, model)


def provenance(connection: Connection, sweeps: Sequence[str], model: str | None) -> dict[str, list[Row]]:
    """Say which code and which machines made the attempts, each with the number of runs.

    Returns:
        ``code``: version, commit (may be None), whether the tree was dirty (may be None), runs. ``hosts``: host,
        device (may be None), runs.
    """
    runs = func.count(distinct(Attempt.run_id))
    code = Attempt.code_version, Attempt.git_commit, Attempt.git_dirty
    machine = Attempt.host, Attempt.device
    return {
        "code": _of(connection, select(*code, runs).group_by(*code), sweeps, model),
        "hosts": _of(connection, select(*machine, runs).group_by(*machine), sweeps, model),
    }


def versions(connection: Connection, sweeps: Sequence[str], model: str | None) -> list[dict[str, Any]]:
    """List the versions of libraries that attempts recorded, each set of versions once."""
    found: list[dict[str, Any]] = []
    for (recorded,) in _of(connection, select(Attempt.versions), sweeps, model, ordered=False):
        if recorded and recorded not in found:
            found.append(recorded)
    return found


def _of(
    connection: Connection, query: Query, sweeps: Sequence[str], model: str | None, *, ordered: bool = True
) -> list[Row]:
    query = query.select_from(Attempt).join(RunRow, RunRow.id == Attempt.run_id).join(CellRow).join(SweepRow)
    query = query.where(SweepRow.name.in_(sweeps))
    if model is not None:
        query = query.where(CellRow.model == model)
    rows = [tuple(row) for row in connection.execute(query)]
    return sorted(rows, key=lambda row: (-row[-1], str(row))) if ordered else rows
