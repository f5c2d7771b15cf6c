"""Which sweeps have ended, and whether that was told. Each function is part of a transaction."""

from __future__ import annotations

from sqlalchemy import Connection, exists, func, select, update

from orchestrator.base.states import GOING, RunState
from orchestrator.store.models import Cell, Run, Sweep
from orchestrator.store.types import now


def claim(connection: Connection, sweep: str, *, searched: bool) -> dict[str, int] | None:
    """Claim to tell a sweep's end, see `orchestrator.store.attempt_store.AttemptStore.claim_end`."""
    going = exists().where(Cell.sweep_id == Sweep.id, Run.cell_id == Cell.id, Run.state.in_(GOING))
    # All runs of a search may have ended, and the next be chosen yet.
    told = ("grid", "search") if searched else ("grid",)
    untold = Sweep.name == sweep, Sweep.source.in_(told), Sweep.notified_at.is_(None)
    claimed = connection.execute(update(Sweep).where(*untold, ~going).values(notified_at=now()))
    if not claimed.rowcount:
        return None
    rows = connection.execute(
        select(Run.state, func.count().label("runs"))
        .join(Cell)
        .join(Sweep)
        .where(Sweep.name == sweep)
        .group_by(Run.state)
    )
    counts = {row.state: int(row.runs) for row in rows}
    return {state: counts[state] for state in RunState if state in counts}


def is_untold(connection: Connection, sweep: str) -> bool:
    """Whether a sweep's end was not told, if it has ended at all."""
    return connection.scalar(select(Sweep.id).where(Sweep.name == sweep, Sweep.notified_at.is_(None))) is not None


def unclaim(connection: Connection, sweep: str) -> None:
    """Give a claim back: it could not be told."""
    connection.execute(update(Sweep).where(Sweep.name == sweep).values(notified_at=None))


def expect(connection: Connection, run_id: int) -> None:
    """Expect the end of a run's sweep anew."""
    of_run = select(Cell.sweep_id).join(Run).where(Run.id == run_id).scalar_subquery()
    connection.execute(update(Sweep).where(Sweep.id == of_run, Sweep.notified_at.is_not(None)).values(notified_at=None))
