"""Rows that a run ought to have up to its checkpoint, and has not: brought back from what older attempts recorded.

A process that was taken for dead may save a checkpoint after a newer attempt has dropped what lies past the one before.
Whoever resumes from it needs those rows again.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, inspect, select
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store.attempts import Claim
from orchestrator.store.models import Attempt, Base, Evaluation, Run, SyncMetric


def lacks(connection: Connection, run_id: int, *, syncs: int, evals: int, learner_steps: int) -> bool:
    """Whether rows are missing, see `orchestrator.store.store.Store.lacks`."""
    stored_syncs = select(func.count()).where(SyncMetric.run_id == run_id, SyncMetric.sync < syncs)
    stored_evals = select(func.count()).where(Evaluation.run_id == run_id, Evaluation.learner_step <= learner_steps)
    return connection.scalar(stored_syncs) != syncs or connection.scalar(stored_evals) != evals


def refill(connection: Connection, claim: Claim, syncs: list[dict[str, Any]], evals: list[dict[str, Any]]) -> None:
    """Store missing rows, see `orchestrator.store.store.Store.refill`."""
    connection.execute(select(Run.id).where(Run.id == claim.run_id).with_for_update())
    its_row = (Attempt.run_id == claim.run_id, Attempt.number == claim.attempt)
    if connection.scalar(select(Attempt.number).where(*its_row)) is None:
        return
    _add(connection, SyncMetric, claim, syncs)
    _add(connection, Evaluation, claim, evals)


def _add(connection: Connection, table: type[Base], claim: Claim, entries: list[dict[str, Any]]) -> None:
    names = [column.name for column in inspect(table).columns]
    keys = {"run_id": claim.run_id, "attempt": claim.attempt}
    rows = [{name: (entry | keys).get(name) for name in names} for entry in entries]
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    if rows:
        connection.execute(insert(table).on_conflict_do_nothing(), rows)
