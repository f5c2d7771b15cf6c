"""Cancelling runs in the database, as part of a transaction. `orchestrator.runs.cancelling` calls it.

A run's fence rises to a number that no attempt has, so that the database refuses what any attempt of the run still
writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Connection, bindparam, exists, select, update

from grpo_worker.schema.collapse import detect
from grpo_worker.schema.config import CollapseConfig
from orchestrator.base.states import EARLY_STOPS, AttemptOutcome, FailureClass, RunState
from orchestrator.store.database import writes
from orchestrator.store.models import Attempt, Evaluation, RunRow, SyncMetric
from orchestrator.store.queries import UNFINISHED
from orchestrator.store.types import now


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a run is cancelled."""

    why: str  # the run's failure class: cancelled by a user, or one of EARLY_STOPS by a search
    reason: str  # a sentence for people

    @property
    def outcome(self) -> AttemptOutcome:
        """The outcome of the run's attempt."""
        return AttemptOutcome.INTERRUPTED if self.why in EARLY_STOPS else AttemptOutcome.LOST

    def as_entry(self) -> tuple[str, dict[str, Any]]:
        """Give the journal entry that ends the run: its record and its fields."""
        return "cancel", {"why": self.why, "reason": self.reason}

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> Self:
        """Read such a journal entry; older versions wrote ``cancel`` without ``why``, and early stops as ``stop``."""
        return cls(entry.get("why", FailureClass.CANCELLED), entry["reason"])


@writes
def end_runs(connection: Connection, fences: Mapping[int, int], endings: Mapping[int, Ending]) -> None:
    """Cancel runs that have no result, and refuse from now on what their attempts write.

    ``fences`` are, by run, numbers that no earlier attempt had and no later one will have.
    """
    rows = [
        {"run": run_id, "least": fence, "why": one.why, "reason": one.reason, "ended_as": one.outcome}
        for run_id, fence in fences.items() for one in [endings[run_id]]
    ]  # fmt: skip
    if not rows:
        return
    values: dict[str, Any] = {"failure": bindparam("reason"), "failure_class": bindparam("why")}
    fenced: dict[str, Any] = {"fence": bindparam("least")}
    connection.execute(
        update(RunRow)
        .where(RunRow.id == bindparam("run"), UNFINISHED, RunRow.fence <= bindparam("least"))
        .values(state=RunState.CANCELLED, submission_id=None, task=None, updated_at=now(), **fenced, **values),
        rows,
    )
    is_ended = exists().where(
        RunRow.id == Attempt.run_id, RunRow.state == RunState.CANCELLED, RunRow.fence == bindparam("least")
    )
    connection.execute(
        update(Attempt)
        .where(Attempt.run_id == bindparam("run"), Attempt.ended_at.is_(None), is_ended)
        .values(outcome=bindparam("ended_as"), ended_at=Attempt.heartbeat_at, **values),
        rows,
    )
    _keep_last_alive(connection, [run_id for run_id in fences if endings[run_id].why in EARLY_STOPS])


def _keep_last_alive(connection: Connection, run_ids: Iterable[int]) -> None:
    """Store the learner step at which each stopped run was last seen alive: it may have been collapsing already."""
    for run_id in run_ids:
        config = connection.scalar(
            select(RunRow.config).where(RunRow.id == run_id, RunRow.failure_class.in_(EARLY_STOPS))
        )
        if config is None:
            continue
        detector = CollapseConfig.model_validate(config["collapse"])
        of, column = (Evaluation, "val_reward") if detector.detector == "half" else (SyncMetric, "reward")
        seen = select(of.learner_step, getattr(of, column)).where(of.run_id == run_id, getattr(of, column).is_not(None))
        observed = [tuple(row) for row in connection.execute(seen.order_by(of.learner_step))]
        alive = detect([step for step, _ in observed], [reward for _, reward in observed], detector).last_alive
        connection.execute(update(RunRow).where(RunRow.id == run_id).values(collapse_step_lo=alive))
