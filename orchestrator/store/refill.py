"""Rows up to a checkpoint that the database lacks, stored again from what older attempts recorded.

A process that was taken for dead may save a checkpoint after a newer attempt has dropped the rows that lie past the
checkpoint before it. The attempt that resumes from the late checkpoint needs those rows again.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from orchestrator.store.attempts import Claim
from orchestrator.store.ingest import upsert
from orchestrator.store.models import Attempt, Evaluation, RunRow, SyncMetric
from orchestrator.store.transactions import reads, writes


@reads
def lacks(connection: Connection, run_id: int, *, syncs: int, evals: int, learner_steps: int) -> bool:
    """Whether not all rows of a run are stored up to a place: so many syncs, and so many evaluations by a step."""
    stored_syncs = select(func.count()).where(SyncMetric.run_id == run_id, SyncMetric.sync < syncs)
    stored_evals = select(func.count()).where(Evaluation.run_id == run_id, Evaluation.learner_step <= learner_steps)
    return connection.scalar(stored_syncs) != syncs or connection.scalar(stored_evals) != evals


@writes
def refill(connection: Connection, claim: Claim, syncs: list[dict[str, Any]], evals: list[dict[str, Any]]) -> None:
    """Store those records of an attempt that are missing; nothing where the database does not know the attempt."""
    connection.execute(select(RunRow.id).where(RunRow.id == claim.run_id).with_for_update())
    its_row = (Attempt.run_id == claim.run_id, Attempt.number == claim.attempt)
    if connection.scalar(select(Attempt.number).where(*its_row)) is None:
        return
    upsert(connection, SyncMetric, claim, syncs, replace=False)
    upsert(connection, Evaluation, claim, evals, replace=False)
