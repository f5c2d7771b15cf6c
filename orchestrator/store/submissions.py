"""Job arrays, stored before they are submitted, and the place of each run in them.

Each submission has a token, which is part of its jobs' name. If Slurm's answer to it is lost, the next launch asks
Slurm for the jobs with that token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, insert, or_, select, update

from orchestrator.base.states import WITHOUT_RESULT, FailureClass, RunState
from orchestrator.store import notices
from orchestrator.store.database import reads, writes
from orchestrator.store.models import Attempt, CellRow, RunRow, Submission
from orchestrator.store.queries import UNFINISHED
from orchestrator.store.types import now, seconds_between

RESETTABLE = or_(*(RunRow.state == state for state in (RunState.PENDING, RunState.QUEUED, *WITHOUT_RESULT)))
"""SQL condition: the run neither runs nor has a result, so a user may have it trained again."""

LAUNCHED = and_(RESETTABLE, RunRow.state != RunState.CANCELLED)
"""SQL condition: as `RESETTABLE`, and nobody has cancelled it since a user asked for it to be trained."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job array."""

    submission_id: int
    token: str  # a text that only this submission has; part of its jobs' name
    job_name: str
    folder: str  # where its jobs find their shares and write their logs, absolute
    resources: dict[str, Any]  # what its jobs ask for, as orchestrator.grid.sweep.Resources
    tasks: int  # how many it has
    job_id: str | None  # Slurm's id of it; None if Slurm's answer is not known
    age_s: float  # seconds since just before it was submitted, by the database's clock


@dataclass(frozen=True, slots=True)
class Place:
    """An unfinished run, and the job and attempt that have it as far as the database knows."""

    run_id: int
    state: str  # of RunState
    failure: str | None  # why it has no result, for people
    failure_class: str | None  # of FailureClass
    submission_id: int | None  # the job array that it was submitted in last; None = in none
    task: int | None  # its task there
    attempt: int | None  # number of its newest attempt; None before the first
    executor: str | None  # of that attempt, as all that follows: local, slurm or debug
    job_id: str | None
    task_id: str | None  # within an array
    host: str | None
    pid: int | None
    process_started_at: float | None
    ended: bool
    last_class: str | None  # the failure class of its end
    heartbeat_age_s: float | None  # seconds since its last heartbeat, by the database's clock


@writes
def open_submission(
    connection: Connection,
    sweep_id: int,
    *,
    token: str,
    job_name: str,
    folder: str,
    resources: Mapping[str, Any],
    shares: Sequence[Sequence[int]],
) -> None:
    """Write down a job array before it is submitted, see `Submitted`, and queue its runs: ``shares``, by task."""
    names = {"token": token, "job_name": job_name, "folder": folder}
    asked = {"resources": dict(resources), "tasks": len(shares), "submitted_at": now()}
    submission_id = connection.scalar(
        insert(Submission).values(sweep_id=sweep_id, **names, **asked).returning(Submission.id)
    )
    rows = [{"run": run_id, "place": task} for task, share in enumerate(shares) for run_id in share]
    placed: dict[str, Any] = {"submission_id": submission_id, "task": bindparam("place")}
    connection.execute(
        update(RunRow)
        .where(RunRow.id == bindparam("run"), LAUNCHED)
        .values(state=RunState.QUEUED, failure=None, failure_class=None, updated_at=now(), **placed),
        rows,
    )


@writes
def answer(connection: Connection, token: str, job_id: str) -> None:
    """Store under which id the cluster has taken a submission."""
    connection.execute(update(Submission).where(Submission.token == token).values(job_id=job_id))


@writes
def withdraw(connection: Connection, token: str) -> None:
    """Take back a submission that the cluster has not taken: its queued runs are pending."""
    submission_id = connection.scalar(select(Submission.id).where(Submission.token == token))
    of_it = RunRow.submission_id == submission_id
    connection.execute(
        update(RunRow).where(of_it, RunRow.state == RunState.QUEUED).values(state=RunState.PENDING, updated_at=now())
    )
    connection.execute(update(RunRow).where(of_it).values(submission_id=None, task=None))
    connection.execute(delete(Submission).where(Submission.id == submission_id))


@reads
def of_sweep(connection: Connection, sweep_id: int) -> list[Submitted]:
    """List the job arrays that unfinished runs of a sweep were submitted in last, oldest first."""
    of_unfinished = select(RunRow.submission_id).where(RunRow.submission_id.is_not(None), UNFINISHED)
    return _submitted(connection, Submission.sweep_id == sweep_id, Submission.id.in_(of_unfinished))


@reads
def find(
    connection: Connection, sweep_id: int, *, submission_id: int | None = None, job_id: str | None = None
) -> Submitted | None:
    """Find a job array of a sweep by its number here, or the newest that the cluster has given a job id."""
    wanted = Submission.job_id == job_id if submission_id is None else Submission.id == submission_id
    return next(reversed(_submitted(connection, Submission.sweep_id == sweep_id, wanted)), None)


def _submitted(connection: Connection, *conditions: ColumnElement[bool]) -> list[Submitted]:
    rows: Any = connection.execute(  # in the order of the fields of `Submitted`
        select(
            *(Submission.id, Submission.token, Submission.job_name, Submission.folder, Submission.resources),
            *(Submission.tasks, Submission.job_id, seconds_between(Submission.submitted_at, now())),
        )
        .where(*conditions)
        .order_by(Submission.id)
    )
    return [Submitted(*row) for row in rows]


@reads
def places(connection: Connection, sweep_id: int) -> list[Place]:
    """Say of the unfinished runs of a sweep, in grid order, who has them as far as the database knows."""
    rows: Any = connection.execute(  # in the order of the fields of `Place`
        select(
            *(RunRow.id, RunRow.state, RunRow.failure, RunRow.failure_class, RunRow.submission_id, RunRow.task),
            *(Attempt.number, Attempt.executor, Attempt.job_id, Attempt.task_id, Attempt.host, Attempt.pid),
            *(Attempt.process_started_at, Attempt.ended_at.is_not(None), Attempt.failure_class),
            seconds_between(Attempt.heartbeat_at, now()),
        )
        .join(CellRow, CellRow.id == RunRow.cell_id)
        .outerjoin(Attempt, and_(Attempt.run_id == RunRow.id, Attempt.number == RunRow.fence))
        .where(CellRow.sweep_id == sweep_id, UNFINISHED)
        .order_by(CellRow.position, RunRow.id)
    )
    return [Place(*row) for row in rows]


@writes
def settle(connection: Connection, place: Place, state: str, failure: str, failure_class: str) -> bool:
    """Store what has become of a queued run whose job is gone; returns whether it was still as it was seen."""
    changed = connection.execute(
        update(RunRow)
        .where(RunRow.id == place.run_id, RunRow.state == place.state, RunRow.submission_id == place.submission_id)
        .values(state=state, failure=failure, failure_class=failure_class, updated_at=now())
    )
    return changed.rowcount > 0


@reads
def failed_hosts(connection: Connection, run_ids: Iterable[int]) -> dict[int, set[str]]:
    """List the nodes that failed under attempts of runs, as Slurm names them, by run."""
    wanted = set(run_ids)
    found: dict[int, set[str]] = {}
    on_failed_nodes = Attempt.failure_class == FailureClass.NODE_FAILURE
    rows = connection.execute(select(Attempt.run_id, Attempt.node).where(on_failed_nodes))
    for run_id, node in rows:
        if run_id in wanted and node is not None:
            found.setdefault(run_id, set()).add(node)
    return found


@reads
def attempts_by_class(connection: Connection, run_ids: Iterable[int]) -> dict[int, dict[str, int]]:
    """Count the attempts of runs that ended early, by run and failure class."""
    wanted = set(run_ids)
    found: dict[int, dict[str, int]] = {}
    if not wanted:
        return found
    rows = connection.execute(
        select(Attempt.run_id, Attempt.failure_class, func.count())
        .where(Attempt.run_id.between(min(wanted), max(wanted)), Attempt.failure_class.is_not(None))
        .group_by(Attempt.run_id, Attempt.failure_class)
    )
    for run_id, failure_class, count in rows:
        if run_id in wanted and failure_class is not None:
            found.setdefault(run_id, {})[failure_class] = count
    return found


@writes
def set_queued(connection: Connection, run_ids: Iterable[int]) -> None:
    """Mark runs of a sweep as submitted; those that run, are cancelled or have a result stay as they are."""
    _reset(connection, run_ids, RunState.QUEUED, LAUNCHED)


@writes
def set_pending(connection: Connection, run_ids: Iterable[int], *, even_cancelled: bool = True) -> None:
    """Mark runs of a sweep as to be submitted; those that are running or have a result stay as they are.

    Cancelled ones are marked when a user asks for it. What follows from that later passes ``even_cancelled`` False, so
    that a cancel wins over a launch that began before it.
    """
    _reset(connection, run_ids, RunState.PENDING, RESETTABLE if even_cancelled else LAUNCHED)


def _reset(connection: Connection, run_ids: Iterable[int], state: str, which: ColumnElement[bool]) -> None:
    rows = [{"run": run_id} for run_id in run_ids]
    if not rows:
        return
    cleared: dict[str, Any] = dict.fromkeys(("failure", "failure_class", "collapse_step_lo"))
    notices.expect(connection, rows[0]["run"])
    # One by one, by primary key: a statement cannot hold 100,000 ids everywhere.
    connection.execute(
        update(RunRow)
        .where(RunRow.id == bindparam("run"), which)
        .values(state=state, submission_id=None, task=None, updated_at=now(), **cleared),
        rows,
    )
