"""Removing runs: their attempts and what these measured are deleted; the run and its config stay, to be trained again.

A removed run is ``cancelled``. Its fence rises above the numbers of all its attempts, so that the database refuses
what an old process still writes. Its next attempt works in a directory of another name, away from the old files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, not_, select, update

from orchestrator.base.states import FailureClass, RunState
from orchestrator.rundir.folder import name_of
from orchestrator.store import places
from orchestrator.store.database import writes
from orchestrator.store.models import Attempt, CellRow, Evaluation, RunRow, SweepRow, SyncMetric
from orchestrator.store.types import now

T = TypeVar("T")

BATCH = 200
"""How many runs one transaction removes, so that other processes do not wait long for the database."""

_IS_REMOVED: ColumnElement[bool] = func.coalesce(RunRow.failure_class, "") == FailureClass.REMOVED


@dataclass(frozen=True, slots=True)
class Leaving:
    """A run that is to be removed."""

    run_id: int
    folder: Path | None  # where its directory lies; None for an imported run
    newest: int  # the largest number of a journal there, 0 for none


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows runs have."""

    attempts: int
    syncs: int
    evaluations: int


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split runs into batches that one statement can hold."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def count(connection: Connection, run_ids: Sequence[int]) -> Rows:
    """Count the rows of runs."""
    totals = [0, 0, 0]
    for batch in batches(run_ids):
        for place, of_run in enumerate((Attempt.run_id, SyncMetric.run_id, Evaluation.run_id)):
            totals[place] += connection.scalar(select(func.count()).where(of_run.in_(batch))) or 0
    return Rows(*totals)


@writes
def remove_runs(connection: Connection, leaving: Iterable[Leaving]) -> list[int]:
    """Delete the attempts of runs and all that they measured; the runs stay, ``cancelled``, to be trained again.

    Returns:
        The runs that are running. They are left as they are.
    """
    by_id = {run.run_id: run for run in leaving}
    rows = connection.execute(
        select(RunRow.id, RunRow.state, RunRow.fence, _IS_REMOVED.label("is_removed"))
        .where(RunRow.id.in_(by_id))
        .order_by(RunRow.id)
        .with_for_update()
    ).all()
    going = [row for row in rows if row.state != RunState.RUNNING and not row.is_removed]
    if going:
        for table in (SyncMetric, Evaluation, Attempt):
            connection.execute(delete(table).where(table.run_id.in_([row.id for row in going])))
        results = ("collapse_step", "collapse_step_lo", "collapse_sync", "collapse_detector", "folder_id")
        values: dict[str, Any] = dict.fromkeys((*results, "submission_id", "task"))
        values |= {"state": RunState.CANCELLED, "learner_steps": 0, "updated_at": now()}
        values |= {"failure": "removed by `stalesweep rm`", "failure_class": FailureClass.REMOVED}
        values |= {"fence": bindparam("next_fence"), "directory": bindparam("next_directory")}
        connection.execute(
            update(RunRow).where(RunRow.id == bindparam("run")).values(values),
            [_next_life(connection, by_id[row.id], row.fence) for row in going],
        )
    return [row.id for row in rows if row.state == RunState.RUNNING]


@writes
def remove_imports(connection: Connection, sweep_ids: Iterable[int]) -> list[str]:
    """Delete those of some sweeps that are imports and whose runs were all removed; returns their names."""
    names = []
    for sweep_id in sweep_ids:
        cells = select(CellRow.id).where(CellRow.sweep_id == sweep_id)
        left = exists().where(RunRow.cell_id.in_(cells), not_(_IS_REMOVED))
        empty = select(SweepRow.name).where(SweepRow.id == sweep_id, SweepRow.source == "import", ~left)
        name = connection.scalar(empty.with_for_update())
        if name is not None:
            connection.execute(delete(RunRow).where(RunRow.cell_id.in_(cells)))
            connection.execute(delete(CellRow).where(CellRow.sweep_id == sweep_id))
            connection.execute(delete(SweepRow).where(SweepRow.id == sweep_id))
            names.append(name)
    return names


def stored_journals(connection: Connection, run_ids: Sequence[int]) -> dict[int, dict[int, int]]:
    """Say how many bytes of each attempt's journal are stored, by run and attempt."""
    found: dict[int, dict[int, int]] = {}
    for batch in batches(run_ids):
        rows = connection.execute(
            select(Attempt.run_id, Attempt.number, Attempt.journal_bytes).where(Attempt.run_id.in_(batch))
        )
        for run_id, number, stored in rows:
            found.setdefault(run_id, {})[number] = stored
    return found


def free_bytes(connection: Connection) -> int:
    """Bytes of a SQLite file that hold nothing; Postgres frees space by itself."""
    if connection.dialect.name != "sqlite":
        return 0
    pages: int = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    size: int = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    return pages * size


def _next_life(connection: Connection, run: Leaving, fence: int) -> dict[str, Any]:
    fence = max(fence, run.newest) + 1
    name = name_of(run.run_id, after=fence)
    directory = None if run.folder is None else places.to_store(connection, run.folder / name)
    return {"run": run.run_id, "next_fence": fence, "next_directory": directory}
