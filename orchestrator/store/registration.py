"""Register a sweep: store its cells and runs once. A name stands for one grid only."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from grpo_worker.schema.config import WorkerConfig, content_digest
from orchestrator.base.errors import SweepConflict
from orchestrator.base.provenance import checkout
from orchestrator.base.settings import code_version
from orchestrator.base.states import RunState
from orchestrator.grid.sweep import Cell, Run, Sweep
from orchestrator.store import places
from orchestrator.store.database import writes
from orchestrator.store.models import CellRow, RunRow, SweepRow
from orchestrator.store.queries import UNFINISHED
from orchestrator.store.types import now

CellKey = tuple[str, int, float, str]
RunKey = tuple[CellKey, int]


@writes
def register(connection: Connection, sweep: Sweep, *, extend: bool = False) -> int:
    """Store a sweep's cells and runs; what is stored already stays as it is.

    With ``extend`` a grid with other content may add cells and runs to the sweep of its name. Returns the sweep's id.

    Raises:
        SweepConflict: The name is taken by another grid, or the new one removes or changes stored runs.
    """
    new = _insert_sweep(connection, sweep, "grid")
    stored = _stored_sweep(connection, sweep)
    if stored.digest != sweep.digest:
        difference = _difference(stored.grid_text, sweep)
        if not extend:
            raise SweepConflict(
                f"sweep {sweep.name!r} is stored with another grid: give this one another name, or add cells "
                f"to it with --extend\n{difference}"
            )
        _refuse_changes(connection, stored.id, sweep, difference)
    elif stored.grid_text == sweep.text and new is None:
        return int(stored.id)
    _update_sweep(connection, stored.id, sweep, "grid")
    cells = insert_cells(connection, stored.id, map(cell_key, sweep.cells))
    _insert_runs(connection, stored.id, cells, sweep)
    if new is None:
        _update_resources(connection, cells, sweep)
    return int(stored.id)


@writes
def begin(connection: Connection, sweep: Sweep) -> int:
    """Store a sweep whose runs are chosen one after the other, without any; a stored one keeps its runs.

    ``sweep`` has all runs that may be chosen. Returns the sweep's id.

    Raises:
        SweepConflict: The name is taken by runs that are not among these, or are of another config.
    """
    _insert_sweep(connection, sweep, "search")
    stored = _stored_sweep(connection, sweep)
    if stored.digest != sweep.digest:
        _refuse_changes(connection, stored.id, sweep, _difference(stored.grid_text, sweep))
    _update_sweep(connection, stored.id, sweep, "search")
    return int(stored.id)


@writes
def grow(connection: Connection, sweep_id: int, sweep: Sweep, chosen: Collection[Run]) -> list[int]:
    """Add some runs of a sweep that `begin` has stored; returns their numbers, also of those that it had already."""
    keys = {_run_key(run) for run in chosen}
    wanted = keys | stored_runs(connection, sweep_id, RunRow.id).keys()
    part = replace(sweep, runs=tuple(run for run in sweep.runs if _run_key(run) in wanted))
    _insert_runs(connection, sweep_id, insert_cells(connection, sweep_id, map(cell_key, part.cells)), part)
    return [run_id for key, run_id in stored_runs(connection, sweep_id, RunRow.id).items() if key in keys]


@writes
def set_directories(connection: Connection, directories: Mapping[int, str]) -> None:
    """Store where runs keep their files, as absolute paths by run number."""
    _set(connection, "directory", {run: places.to_store(connection, Path(path)) for run, path in directories.items()})


@writes
def set_folder_ids(connection: Connection, folder_ids: Mapping[int, str]) -> None:
    """Store what the run.json of runs call their folders, by run number."""
    _set(connection, "folder_id", folder_ids)


def _set(connection: Connection, column: str, values: Mapping[int, str]) -> None:
    rows = [{"run": run_id, "value": value} for run_id, value in values.items()]
    if rows:
        connection.execute(
            update(RunRow).where(RunRow.id == bindparam("run")).values({column: bindparam("value")}), rows
        )


def _insert_sweep(connection: Connection, sweep: Sweep, source: str) -> int | None:
    """The sweep's id; None where its name is stored already."""
    new: int | None = connection.execute(
        _inserting(connection)(SweepRow)
        .values(name=sweep.name, source=source, digest=sweep.digest, grid_text=sweep.text, created_at=now())
        .on_conflict_do_nothing()
        .returning(SweepRow.id)
    ).scalar()
    return new


def _update_sweep(connection: Connection, sweep_id: int, sweep: Sweep, source: str) -> None:
    values = {"source": source, "digest": sweep.digest, "grid_text": sweep.text}
    connection.execute(update(SweepRow).where(SweepRow.id == sweep_id).values(values))


def _stored_sweep(connection: Connection, sweep: Sweep) -> Any:
    """The sweep of a name. Other processes that register it wait until this transaction has ended."""
    stored = connection.execute(
        select(SweepRow.id, SweepRow.digest, SweepRow.grid_text, SweepRow.source)
        .where(SweepRow.name == sweep.name)
        .with_for_update()
    ).one()
    if stored.source == "import":
        raise SweepConflict(
            f"sweep {sweep.name!r} holds imported runs, which cannot be trained: give this grid another name"
        )
    return stored


def cell_key(cell: Cell) -> CellKey:
    """Reduce a cell to what identifies it within its sweep; further axes as JSON with sorted keys."""
    return cell.model, cell.k, cell.eta, cell.axes_text


def _difference(stored_text: str, sweep: Sweep) -> str:
    lines = difflib.unified_diff(stored_text.splitlines(), sweep.text.splitlines(), "stored", "this file", lineterm="")
    return "\n".join(lines)


def _inserting(connection: Connection) -> Any:
    """The database's own insert, which knows what to do with rows that are there already."""
    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert


def _run_key(run: Run) -> RunKey:
    return cell_key(run.cell), run.seed


def stored_runs(connection: Connection, sweep_id: int, column: Any) -> dict[RunKey, Any]:
    """Read one column of a sweep's runs, in the order of their cells."""
    columns = (CellRow.model, CellRow.k, CellRow.eta, CellRow.axes, RunRow.seed, column)
    of_sweep = select(*columns).join(RunRow, RunRow.cell_id == CellRow.id).where(CellRow.sweep_id == sweep_id)
    rows = connection.execute(of_sweep.order_by(CellRow.position, RunRow.id))
    return {((model, k, eta, axes), seed): value for model, k, eta, axes, seed, value in rows}


def _refuse_changes(connection: Connection, sweep_id: int, sweep: Sweep, difference: str) -> None:
    configs = {_run_key(run): run.config for run in sweep.runs}
    removed = changed = 0
    for key, config in stored_runs(connection, sweep_id, RunRow.config).items():
        found = configs.get(key)
        removed += found is None
        # Validated anew, so that a field added to the worker since then is not taken for a change.
        changed += found is not None and found != WorkerConfig.model_validate(config)
    if removed or changed:
        raise SweepConflict(
            f"sweep {sweep.name!r} can only grow, but this grid removes {removed} and changes {changed} of "
            f"its stored runs: give it another name\n{difference}"
        )


def insert_cells(connection: Connection, sweep_id: int, keys: Iterable[CellKey]) -> dict[CellKey, int]:
    """Insert the cells that are new, move the others to their place, and return the number of each."""
    names = ("model", "k", "eta", "axes")
    placed = enumerate(keys)
    rows = [{"sweep_id": sweep_id, "position": place, **dict(zip(names, key, strict=True))} for place, key in placed]
    if rows:
        new = _inserting(connection)(CellRow)
        place = {"position": new.excluded.position}
        connection.execute(new.on_conflict_do_update(index_elements=["sweep_id", *names], set_=place), rows)
    stored = select(CellRow.model, CellRow.k, CellRow.eta, CellRow.axes, CellRow.id).where(CellRow.sweep_id == sweep_id)
    return {(model, k, eta, axes): cell_id for model, k, eta, axes, cell_id in connection.execute(stored)}


def _insert_runs(connection: Connection, sweep_id: int, cells: dict[CellKey, int], sweep: Sweep) -> None:
    stored = stored_runs(connection, sweep_id, RunRow.id)
    rows = [_row(run, cells) for run in sweep.runs if _run_key(run) not in stored]
    if rows:
        tree = checkout()
        code = {"code_version": code_version(), "git_commit": str(tree) if tree else None}
        new = {"state": RunState.PENDING, "learner_steps": 0, "fence": 0, "updated_at": now()}
        connection.execute(insert(RunRow).values(**new, **code), rows)


def _row(run: Run, cells: dict[CellKey, int]) -> dict[str, Any]:
    config = run.config.model_dump(mode="json")
    return {
        "cell_id": cells[cell_key(run.cell)], "seed": run.seed, "config": config,
        "config_digest": content_digest(config), "resources": run.resources.model_dump(mode="json"),
        "horizon": run.config.horizon,
    }  # fmt: skip


def _update_resources(connection: Connection, cells: dict[CellKey, int], sweep: Sweep) -> None:
    # What a run asks for may change from launch to launch; what a finished one has used may not.
    connection.execute(
        update(RunRow)
        .where(RunRow.cell_id == bindparam("cell"), RunRow.seed == bindparam("of_seed"), UNFINISHED)
        .values(resources=bindparam("needs")),
        [
            {"cell": cells[cell_key(run.cell)], "of_seed": run.seed, "needs": run.resources.model_dump(mode="json")}
            for run in sweep.runs
        ],
    )
