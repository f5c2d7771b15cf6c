"""Which sweeps have ended, and whether the webhook was notified."""

from __future__ import annotations

from sqlalchemy import Connection, exists, func, select, update

from orchestrator.base.states import GOING, RunState
from orchestrator.store.database import Database
from orchestrator.store.models import Cell, Run, Sweep
from orchestrator.store.transactions import reads, writes
from orchestrator.store.types import now


def claim_end(database: Database, sweep: str, *, searched: bool = False) -> dict[str, int] | None:
    """Claim to notify people that a sweep has ended: one process gets it, once until runs of it are launched again.

    Args:
        database: The database.
        sweep: Its name.
        searched: Whether a search asks, which has ended; nothing else notifies of the end of its sweep.

    Returns:
        How many runs are in which state; None where some have yet to end, or another process has claimed it.
    """
    # Most ask in vain, and need not write for it.
    return claim(database, sweep, searched=searched) if is_untold(database, sweep) else None


@writes
def claim(connection: Connection, sweep: str, *, searched: bool) -> dict[str, int] | None:
    """As `claim_end`, without looking before."""
    going = exists().where(Cell.sweep_id == Sweep.id, Run.cell_id == Cell.id, Run.state.in_(GOING))
    # Of a search all runs may have ended before the next ones are chosen.
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


@reads
def is_untold(connection: Connection, sweep: str) -> bool:
    """Whether the webhook was not notified of a sweep's end; it may not have ended."""
    return connection.scalar(select(Sweep.id).where(Sweep.name == sweep, Sweep.notified_at.is_(None))) is not None


@writes
def unclaim(connection: Connection, sweep: str) -> None:
    """Give a claim back, because the webhook could not be notified."""
    connection.execute(update(Sweep).where(Sweep.name == sweep).values(notified_at=None))


def expect(connection: Connection, run_id: int) -> None:
    """Let the end of a run's sweep be notified once more, because the run goes on."""
    of_run = select(Cell.sweep_id).join(Run).where(Run.id == run_id).scalar_subquery()
    connection.execute(update(Sweep).where(Sweep.id == of_run, Sweep.notified_at.is_not(None)).values(notified_at=None))
