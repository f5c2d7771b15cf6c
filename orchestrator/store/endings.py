"""Ending runs from outside: taken back, or stopped early. Part of a transaction; who says so first writes it down.

The run's fence rises to a number that no attempt has: whoever still writes for one of them is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Connection, bindparam, exists, select, update

from grpo_worker.schema.collapse import detect
from grpo_worker.schema.config import CollapseConfig
from orchestrator.store.models import Attempt, Evaluation, Run, SyncMetric
from orchestrator.store.queries import UNFINISHED
from orchestrator.store.transactions import writes
from orchestrator.store.types import now

CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run is ended from outside.

    Attributes:
        why: The failure class; ``cancelled`` takes the run back, any other one stops it early.
        reason: Why, a sentence for people.
    """

    why: str
    reason: str

    @property
    def state(self) -> str:
        """The state that the run is then in."""
        return "cancelled" if self.why == CANCELLED else "stopped"

    @property
    def outcome(self) -> str:
        """How its attempt has ended."""
        return "lost" if self.why == CANCELLED else "interrupted"

    def as_entry(self) -> tuple[str, dict[str, Any]]:
        """What the word in the run directory is to hold: its record and its fields."""
        if self.why == CANCELLED:
            return "cancel", {"reason": self.reason}
        return "stop", {"why": self.why, "reason": self.reason}

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> Self:
        """What a word in a run directory says."""
        return cls(entry.get("why", CANCELLED), entry["reason"])


@writes
def end_runs(connection: Connection, fences: Mapping[int, int], endings: Mapping[int, Ending]) -> None:
    """End runs that have no result from outside, and refuse from now on what attempts of theirs write.

    Args:
        connection: The database, or a transaction of it.
        fences: By run, a number that no later attempt will have, and no earlier one had.
        endings: How and why, by run.
    """
    rows = [
        {"run": run_id, "least": fence, "new_state": one.state, "why": one.why, "reason": one.reason,
         "ended_as": one.outcome}
        for run_id, fence in fences.items() for one in [endings[run_id]]
    ]  # fmt: skip
    if not rows:
        return
    values: dict[str, Any] = {
        "state": bindparam("new_state"),
        "failure": bindparam("reason"),
        "failure_class": bindparam("why"),
        "fence": bindparam("least"),
    }
    values |= {"submission_id": None, "task": None, "updated_at": now()}
    connection.execute(
        update(Run).where(Run.id == bindparam("run"), UNFINISHED, Run.fence <= bindparam("least")).values(**values),
        rows,
    )
    is_ended = exists().where(
        Run.id == Attempt.run_id, Run.state == bindparam("new_state"), Run.fence == bindparam("least")
    )
    connection.execute(
        update(Attempt)
        .where(Attempt.run_id == bindparam("run"), Attempt.ended_at.is_(None), is_ended)
        .values(
            outcome=bindparam("ended_as"),
            ended_at=Attempt.heartbeat_at,
            failure=bindparam("reason"),
            failure_class=bindparam("why"),
        ),
        rows,
    )
    _keep_last_alive(connection, [run_id for run_id in fences if endings[run_id].state == "stopped"])


def _keep_last_alive(connection: Connection, run_ids: Iterable[int]) -> None:
    """Write down where stopped runs were seen alive last: who foresees a collapse may stop a run amid it."""
    for run_id in run_ids:
        config = connection.scalar(select(Run.config).where(Run.id == run_id, Run.state == "stopped"))
        if config is None:
            continue
        detector = CollapseConfig.model_validate(config["collapse"])
        of, column = (Evaluation, "val_reward") if detector.detector == "half" else (SyncMetric, "reward")
        seen = select(of.learner_step, getattr(of, column)).where(of.run_id == run_id, getattr(of, column).is_not(None))
        observed = [tuple(row) for row in connection.execute(seen.order_by(of.learner_step))]
        alive = detect([step for step, _ in observed], [reward for _, reward in observed], detector).last_alive
        connection.execute(update(Run).where(Run.id == run_id).values(collapse_step_lo=alive))
