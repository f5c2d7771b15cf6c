"""Attempts: beginning one, following it, ending it.

A run's fence is the number of its newest attempt, the only one that may write the run's rows. Beginning an attempt
raises the fence, and from then on older attempts are refused. Each function that writes locks the run's row first, so
that two attempts of a run come one after the other. What an attempt records comes in through
`orchestrator.store.ingest`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, delete, insert, or_, select, update

from orchestrator.base.errors import Fenced, SelectionError, StoreUnavailable
from orchestrator.base.states import AttemptOutcome, FailureClass, RunState
from orchestrator.store import queries
from orchestrator.store.database import reads, writes
from orchestrator.store.models import Attempt, Evaluation, RunRow, SyncMetric
from orchestrator.store.queries import UNFINISHED, RunFolder
from orchestrator.store.types import now, seconds_ago


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write a run's rows, until a newer attempt takes over."""

    run_id: int
    attempt: int  # its number, from 1: the fencing number
    steps_per_sync: int = field(default=1, compare=False)  # learner steps of a rollout cycle
    # None = not known. Tells the run from another one of its number, in another database.
    config_digest: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AttemptOrigin:
    """What executes an attempt, and with which code."""

    executor: str  # local, slurm or debug; import for a run that was trained elsewhere
    job_id: str | None
    task_id: str | None  # its task id within an array
    restart_count: int  # how often the executor has requeued that job
    host: str  # where the process runs
    pid: int  # the process there
    process_started_at: float  # when it began, to tell recycled pids apart; only ever compared with itself
    code_version: str  # the package's version in that process
    git_commit: str | None = None  # the checkout's commit, if the package runs from one
    git_dirty: bool | None = None  # whether its tracked files differed from that commit
    node: str | None = None  # the node's name in Slurm, which need not be the host's


@writes
def begin(
    connection: Connection,
    claim: Claim,
    origin: AttemptOrigin,
    *,
    resumed_from_sync: int | None,
    resumed_from_step: int | None,
    take_over: bool = False,
) -> bool:
    """Start a new attempt and drop, in the same transaction, what lies past its checkpoint.

    Args:
        connection: The database, or a transaction of it.
        claim: The run and the number that the attempt wants, larger than any before.
        origin: What executes the attempt. The same process may ask again.
        resumed_from_sync: The last weight sync that the checkpoint holds; later ones are dropped, all if None.
        resumed_from_step: Learner steps that the checkpoint holds; evaluations after them are dropped, all if None.
        take_over: Whether to fence off an attempt that is still running.

    Returns:
        Whether it has begun: not when the run has its result, or is running and not to be taken over, or another
        attempt came first.

    Raises:
        SelectionError: There is no such run.
    """
    run = connection.execute(
        select(RunRow.state, RunRow.fence, UNFINISHED.label("unfinished"))
        .where(RunRow.id == claim.run_id)
        .with_for_update()
    ).one_or_none()
    if run is None:
        raise SelectionError(f"no run {claim.run_id}")
    if claim.attempt <= run.fence:
        return _begun_by(connection, claim, origin)
    # One that failed or was cancelled waits for the launch that makes it pending; a job that is there may not take it.
    if (
        not run.unfinished
        or run.state in (RunState.FAILED, RunState.CANCELLED)
        or (run.state == RunState.RUNNING and not take_over)
    ):
        return False
    start(
        connection,
        claim,
        {**dataclasses.asdict(origin), "resumed_from_sync": resumed_from_sync, "resumed_from_step": resumed_from_step},
    )
    return True


def start(connection: Connection, claim: Claim, values: Mapping[str, Any], *, ago_s: float = 0.0) -> None:
    """Record a new attempt, fence off the older ones, and drop what lies past its checkpoint.

    The transaction has locked the run, and the attempt's number is larger than the run's fence. ``values`` are columns
    of the attempt: its origin and what it resumed from.
    """
    # Nobody saw the unended ones end. They count, in time spent, up to when they were last heard of.
    connection.execute(
        update(Attempt)
        .where(Attempt.run_id == claim.run_id, Attempt.ended_at.is_(None))
        .values(
            ended_at=Attempt.heartbeat_at,
            outcome=AttemptOutcome.LOST,
            failure=f"attempt {claim.attempt} took over",
            failure_class=FailureClass.LOST,
        )
    )
    _drop_rows(connection, claim.run_id, values["resumed_from_sync"], values["resumed_from_step"])
    times = dict.fromkeys(("started_at", "heartbeat_at"), seconds_ago(ago_s))
    connection.execute(insert(Attempt).values(run_id=claim.run_id, number=claim.attempt, **times, **values))
    run = {"state": RunState.RUNNING, "fence": claim.attempt, "learner_steps": values["resumed_from_step"] or 0}
    of_run = update(RunRow).where(RunRow.id == claim.run_id)
    connection.execute(of_run.values(**run, failure=None, failure_class=None, updated_at=now()))


def change(connection: Connection, claim: Claim, **values: Any) -> bool:
    """Update columns of the attempt; returns whether there is such an attempt."""
    return connection.execute(update(Attempt).where(*_its_row(claim)).values(**values)).rowcount > 0


@reads
def followed_run(connection: Connection, claim: Claim) -> RunFolder | None:
    """Find the run of an attempt that goes on, and how much of its journals is stored; None if it is finished.

    Raises:
        StoreUnavailable: The run that has its number here is another one, because the database was replaced.
        Fenced: A newer attempt has taken over, or the run was removed.
    """
    folder = queries.find_folder(connection, claim.run_id)
    run = (
        folder
        or connection.execute(select(RunRow.fence, RunRow.config_digest).where(RunRow.id == claim.run_id)).one_or_none()
    )
    if run is None or run.config_digest != (claim.config_digest or run.config_digest):
        raise StoreUnavailable(
            f"the database's run {claim.run_id} is not the one that is trained here: was the database replaced? Put it "
            "back, or `stalesweep launch` into the new one"
        )
    _refuse_older(claim, run.fence)
    return folder


def _refuse_older(claim: Claim, fence: int | None) -> None:
    if fence is None or fence > claim.attempt:
        raise Fenced(f"attempt {claim.attempt} of run {claim.run_id} may not write any more: a newer one took over")


def resume_from(connection: Connection, claim: Claim, resumed: Mapping[str, Any], *, drop: bool) -> None:
    """Correct from where an attempt resumed: an older process saved, or removed, a checkpoint after it began."""
    columns = (Attempt.resumed_from_sync, Attempt.resumed_from_step)
    corrected = connection.execute(
        update(Attempt)
        .where(*_its_row(claim), or_(*(column.is_distinct_from(resumed[column.key]) for column in columns)))
        .values({column: resumed[column.key] for column in columns})
    )
    if corrected.rowcount and drop:
        _drop_rows(connection, claim.run_id, resumed["resumed_from_sync"], resumed["resumed_from_step"])


def finish(connection: Connection, claim: Claim, result: Mapping[str, Any], *, ago_s: float = 0.0) -> None:
    """End the newest attempt as its worker says, and bring its run, which is locked, into the state that follows.

    ``result`` has the fields of a `grpo_worker.schema.records.FinishRecord`, and ``why`` an attempt was interrupted.
    """
    run: dict[str, Any] = {"learner_steps": result["learner_steps"]}
    failure_class = None
    match result["outcome"]:
        case AttemptOutcome.INTERRUPTED:
            run["state"] = _from_running(RunState.PENDING)
            failure_class = result.get("why", FailureClass.STOPPED)
        case AttemptOutcome.DIVERGED:
            run["state"] = RunState.FAILED
            run["failure"] = f"diverged: {result['detail']}" if result["detail"] else "diverged"
            run["failure_class"] = failure_class = FailureClass.DIVERGED
        case state:
            run["state"] = state
            run["collapse_detector"] = result["detector"]
            for column in ("collapse_step", "collapse_step_lo", "collapse_sync"):
                run[column] = result[column]
    _end(connection, claim, result["outcome"], run, failure_class, ago_s)


def fail(
    connection: Connection,
    claim: Claim,
    failure: str,
    failure_class: str = FailureClass.EXCEPTION,
    *,
    ago_s: float = 0.0,
) -> None:
    """End the newest attempt as its journal's ``fail`` record says, or as `abort`."""
    run = {"state": _from_running(RunState.FAILED), "failure": failure, "failure_class": failure_class}
    _end(connection, claim, AttemptOutcome.FAILED, run, failure_class, ago_s)


@writes
def abort(connection: Connection, claim: Claim, failure: str, failure_class: str = FailureClass.EXCEPTION) -> None:
    """Store that an exception ended the attempt, where its journal cannot say so.

    Raises:
        Fenced: A newer attempt has taken over, or the run was removed; nothing is stored.
    """
    _refuse_older(claim, connection.scalar(select(RunRow.fence).where(RunRow.id == claim.run_id).with_for_update()))
    fail(connection, claim, failure, failure_class)


@writes
def lose(
    connection: Connection,
    claim: Claim,
    failure: str,
    failure_class: str = FailureClass.LOST,
    state: str = RunState.LOST,
) -> None:
    """Store that the attempt's process is gone; nothing if it has ended or is fenced off.

    The run is then ``lost``, ``failed`` or ``cancelled``, as ``state`` says.
    """
    found = connection.scalar(
        select(RunRow.state).where(RunRow.id == claim.run_id, RunRow.fence == claim.attempt).with_for_update()
    )
    if found == RunState.RUNNING:
        run = {"state": state, "failure": failure, "failure_class": failure_class}
        _end(connection, claim, AttemptOutcome.LOST, run, failure_class, 0.0)


def _end(
    connection: Connection, claim: Claim, outcome: str, run: dict[str, Any], failure_class: str | None, ago_s: float
) -> None:
    run = {"failure": None, "failure_class": None, "updated_at": now()} | run
    connection.execute(update(RunRow).where(RunRow.id == claim.run_id, RunRow.fence == claim.attempt).values(run))
    times = dict.fromkeys(("ended_at", "heartbeat_at"), seconds_ago(ago_s))
    change(connection, claim, outcome=outcome, failure=run["failure"], failure_class=failure_class, **times)


def _its_row(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return Attempt.run_id == claim.run_id, Attempt.number == claim.attempt


def _from_running(state: str) -> Any:
    # A run that has been submitted anew or cancelled since then stays so.
    return case((RunRow.state.in_((RunState.RUNNING, RunState.LOST)), state), else_=RunRow.state)


def _begun_by(connection: Connection, claim: Claim, origin: AttemptOrigin) -> bool:
    # The same process, whose question was heard though the answer was lost on its way.
    found = connection.execute(
        select(Attempt.host, Attempt.pid, Attempt.process_started_at).where(
            *_its_row(claim), Attempt.ended_at.is_(None)
        )
    ).one_or_none()
    return found is not None and tuple(found) == (origin.host, origin.pid, origin.process_started_at)


def _drop_rows(connection: Connection, run_id: int, after_sync: int | None, after_step: int | None) -> None:
    last_sync = -1 if after_sync is None else after_sync
    last_step = -1 if after_step is None else after_step
    connection.execute(delete(SyncMetric).where(SyncMetric.run_id == run_id, SyncMetric.sync > last_sync))
    connection.execute(delete(Evaluation).where(Evaluation.run_id == run_id, Evaluation.learner_step > last_step))
