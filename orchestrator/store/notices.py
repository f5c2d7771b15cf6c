"""Which sweeps have ended, and whether the webhook was notified."""

from __future__ import annotations

from sqlalchemy import Connection, exists, func, select, update

from orchestrator.base.states import GOING, RunState
from orchestrator.store.database import Store, reads, writes
from orchestrator.store.models import CellRow, RunRow, SweepRow
from orchestrator.store.types import now


def claim_end(database: Store, sweep: str, *, searched: bool = False) -> dict[str, int] | None:
    """Claim to notify people that a sweep has ended: one process gets it, once until runs of it are launched again.

    With ``searched`` a search asks, which has ended; nothing else notifies of the end of its sweep. Returns how many
    runs are in which state; None where some have yet to end, or another process has claimed it.
    """
    # Most ask in vain, and need not write for it.
    return claim(database, sweep, searched=searched) if is_untold(database, sweep) else None


@writes
def claim(connection: Connection, sweep: str, *, searched: bool) -> dict[str, int] | None:
    """As `claim_end`, without looking before."""
    going = exists().where(CellRow.sweep_id == SweepRow.id, RunRow.cell_id == CellRow.id, RunRow.state.in_(GOING))
    # Of a search all runs may have ended before the next ones are chosen.
    told = ("grid", "search") if searched else ("grid",)
    untold = SweepRow.name == sweep, SweepRow.source.in_(told), SweepRow.notified_at.is_(None)
    claimed = connection.execute(update(SweepRow).where(*untold, ~going).values(notified_at=now()))
    if not claimed.rowcount:
        return None
    states = select(RunRow.state, func.count()).join(CellRow).join(SweepRow).where(SweepRow.name == sweep)
    counts = {state: int(count) for state, count in connection.execute(states.group_by(RunRow.state))}
    return {state: counts[state] for state in RunState if state in counts}


@reads
def is_untold(connection: Connection, sweep: str) -> bool:
    """Whether the webhook was not notified of a sweep's end; it may not have ended."""
    return (
        connection.scalar(select(SweepRow.id).where(SweepRow.name == sweep, SweepRow.notified_at.is_(None))) is not None
    )


@writes
def unclaim(connection: Connection, sweep: str) -> None:
    """Give a claim back, because the webhook could not be notified."""
    connection.execute(update(SweepRow).where(SweepRow.name == sweep).values(notified_at=None))


def expect(connection: Connection, run_id: int) -> None:
    """Let the end of a run's sweep be notified once more, because the run goes on."""
    of_run = select(CellRow.sweep_id).join(RunRow).where(RunRow.id == run_id).scalar_subquery()
    connection.execute(
        update(SweepRow).where(SweepRow.id == of_run, SweepRow.notified_at.is_not(None)).values(notified_at=None)
    )
