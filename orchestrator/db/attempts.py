"""Attempts: beginning one, writing its records, ending it. Every function is one part of one transaction.

Who may write a run's rows is decided by its fence, the number of its newest attempt. Beginning an attempt
raises it; from then on every write of an older attempt is refused. Each function locks the run's row first,
so that two attempts of a run come one after the other.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, inspect, select, update
from sqlalchemy.dialects import postgresql, sqlite

from grpo_worker.config import WorkerConfig
from grpo_worker.records import EvalRecord, FinishRecord, StartRecord, SyncRecord
from orchestrator.db.models import Attempt, Base, Evaluation, Run, SyncMetric
from orchestrator.db.queries import DIVERGED, UNFINISHED
from orchestrator.db.types import greatest, least, now
from orchestrator.errors import Fenced, SelectionError, StoreError


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write a run's rows, until a newer attempt takes over.

    Attributes:
        run_id: The run.
        attempt: Its attempt's number, from 1: the fencing number.
        steps_per_sync: Learner steps of the run's rollout cycles.
    """

    run_id: int
    attempt: int
    steps_per_sync: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class AttemptOrigin:
    """What executes an attempt.

    Attributes:
        executor: ``local``, ``slurm`` or ``debug``.
        job_id: The executor's job id.
        task_id: Its task id within an array.
        restart_count: How often the executor has requeued that job.
        host: Where the process runs.
        pid: The process there.
        process_started_at: When it began, to tell recycled pids apart; only ever compared with itself.
        code_version: The package's version in that process.
    """

    executor: str
    job_id: str | None
    task_id: str | None
    restart_count: int
    host: str
    pid: int
    process_started_at: float
    code_version: str


def begin(
    connection: Connection,
    run_id: int,
    origin: AttemptOrigin,
    *,
    resumed_from_sync: int | None,
    resumed_from_step: int | None,
    take_over: bool,
) -> Claim | None:
    """Start an attempt, see `orchestrator.db.store.Store.begin_attempt`."""
    run = connection.execute(
        select(Run.state, Run.fence, Run.config, UNFINISHED.label("unfinished"))
        .where(Run.id == run_id)
        .with_for_update()
    ).one_or_none()
    if run is None:
        raise SelectionError(f"no run {run_id}")
    if not run.unfinished or (run.state == "running" and not take_over):
        return None
    claim = Claim(run_id, run.fence + 1, WorkerConfig.model_validate(run.config).steps_per_sync)
    _end_unseen(connection, claim)
    _drop_rows(connection, run_id, after_sync=resumed_from_sync, after_step=resumed_from_step)
    connection.execute(
        insert(Attempt).values(
            run_id=run_id,
            number=claim.attempt,
            resumed_from_sync=resumed_from_sync,
            resumed_from_step=resumed_from_step,
            started_at=now(),
            heartbeat_at=now(),
            **dataclasses.asdict(origin),
        )
    )
    run_values = {"state": "running", "failure": None, "learner_steps": resumed_from_step or 0}
    connection.execute(update(Run).where(Run.id == run_id).values(fence=claim.attempt, updated_at=now(), **run_values))
    return claim


def write(connection: Connection, claim: Claim, record: StartRecord | EvalRecord | SyncRecord) -> None:
    """Store one record, see `orchestrator.db.store.Store.write`."""
    match record:
        case StartRecord():
            start = dataclasses.asdict(record)
            resumed_from_step = start.pop("resumed_from_step")
            del start["resumed_from_sync"]  # follows from the step
            hold(connection, claim, attempt={**start, "ready_at": now()})
            _refuse_other_start(connection, claim, resumed_from_step)
        case EvalRecord():
            hold(connection, claim, run={"learner_steps": greatest(Run.learner_steps, record.learner_step)})
            _upsert(connection, Evaluation, claim, record)
        case SyncRecord():
            cycle_end = least(record.learner_step + claim.steps_per_sync, Run.horizon)
            hold(connection, claim, run={"learner_steps": greatest(Run.learner_steps, cycle_end)})
            _upsert(connection, SyncMetric, claim, record)


def hold(
    connection: Connection,
    claim: Claim,
    *,
    run: dict[str, Any] | None = None,
    attempt: dict[str, Any] | None = None,
) -> None:
    """Lock the run for this attempt, say that it is alive, and update columns of both.

    Raises:
        Fenced: A newer attempt has taken over.
    """
    held = connection.execute(
        update(Run).where(Run.id == claim.run_id, Run.fence == claim.attempt).values(updated_at=now(), **(run or {}))
    )
    if held.rowcount == 0:
        raise Fenced(f"attempt {claim.attempt} of run {claim.run_id} may not write any more: a newer one took over")
    connection.execute(
        update(Attempt)
        .where(Attempt.run_id == claim.run_id, Attempt.number == claim.attempt)
        .values(heartbeat_at=now(), **(attempt or {}))
    )


def finish(connection: Connection, claim: Claim, record: FinishRecord) -> None:
    """Store how the attempt ended, see `orchestrator.db.store.Store.finish`."""
    run: dict[str, Any] = {"learner_steps": record.learner_steps}
    match record.outcome:
        case "interrupted":
            run["state"] = "pending"
        case "diverged":
            run["state"] = "failed"
            run["failure"] = f"{DIVERGED}: {record.detail}" if record.detail else DIVERGED
        case result:
            run["state"] = result
            run["collapse_detector"] = record.detector
            for column in ("collapse_step", "collapse_step_lo", "collapse_sync"):
                run[column] = getattr(record, column)
    end(connection, claim, record.outcome, run)


def end(connection: Connection, claim: Claim, outcome: str, run: dict[str, Any]) -> None:
    """End the attempt and bring its run into the state that follows.

    Args:
        connection: An open write transaction.
        claim: The attempt's claim.
        outcome: One of `orchestrator.db.models.OUTCOMES`.
        run: Columns of the run; its ``failure`` is the attempt's too.

    Raises:
        Fenced: A newer attempt has taken over.
    """
    failure = run.setdefault("failure", None)
    hold(connection, claim, run=run, attempt={"outcome": outcome, "ended_at": now(), "failure": failure})


def lose(connection: Connection, claim: Claim, failure: str) -> None:
    """Store that the attempt's process is gone, see `orchestrator.db.store.Store.lose`."""
    state = connection.scalar(
        select(Run.state).where(Run.id == claim.run_id, Run.fence == claim.attempt).with_for_update()
    )
    if state == "running":
        end(connection, claim, "lost", {"state": "lost", "failure": failure})


def _end_unseen(connection: Connection, claim: Claim) -> None:
    # Nobody saw these end. They count, in time spent, up to when they were last heard of.
    connection.execute(
        update(Attempt)
        .where(Attempt.run_id == claim.run_id, Attempt.ended_at.is_(None))
        .values(ended_at=Attempt.heartbeat_at, outcome="lost", failure=f"attempt {claim.attempt} took over")
    )


def _drop_rows(connection: Connection, run_id: int, *, after_sync: int | None, after_step: int | None) -> None:
    last_sync = -1 if after_sync is None else after_sync
    last_step = -1 if after_step is None else after_step
    connection.execute(delete(SyncMetric).where(SyncMetric.run_id == run_id, SyncMetric.sync > last_sync))
    connection.execute(delete(Evaluation).where(Evaluation.run_id == run_id, Evaluation.learner_step > last_step))


def _refuse_other_start(connection: Connection, claim: Claim, resumed_from_step: int | None) -> None:
    # Its rows were kept up to one checkpoint; going on from another would leave a gap or count steps twice.
    begun = connection.scalar(
        select(Attempt.resumed_from_step).where(Attempt.run_id == claim.run_id, Attempt.number == claim.attempt)
    )
    if resumed_from_step != begun:
        raise StoreError(
            f"attempt {claim.attempt} of run {claim.run_id} was begun to resume from learner step {begun}, but its "
            f"worker resumed from learner step {resumed_from_step}"
        )


def _upsert(connection: Connection, table: type[Base], claim: Claim, record: EvalRecord | SyncRecord) -> None:
    values = {"run_id": claim.run_id, "attempt": claim.attempt, **dataclasses.asdict(record)}
    connection.execute(_upsert_into(table, connection.dialect.name), values)


@functools.cache
def _upsert_into(table: type[Base], dialect: str) -> Any:
    statement = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    keys = [column.name for column in inspect(table).primary_key]
    replaced = {column.name: column for column in statement.excluded if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=replaced)
