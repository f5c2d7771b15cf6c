"""Which runs a command acts on. ``SEL``, names of sweeps and numbers of runs, is read here and nowhere else."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, or_, select

from orchestrator.base.errors import SelectionError
from orchestrator.base.states import RunState
from orchestrator.store import places, queries
from orchestrator.store.models import CellRow, RunRow, SweepRow
from orchestrator.store.queries import UNFINISHED


@dataclass(frozen=True, slots=True)
class SelectedRun:
    """A run that was asked for."""

    run_id: int
    sweep_id: int
    sweep: str  # its name
    source: str  # of its sweep: grid, search or import
    state: str  # of RunState
    failure_class: str | None  # of FailureClass
    finished: bool  # whether launch leaves it as it is
    config_digest: str
    directory: str | None  # its run directory, absolute; None before its first launch
    folder_id: str | None  # what the directory's run.json calls it; None where an older version made it


def select_runs(connection: Connection, words: Sequence[str], states: Iterable[str] = ()) -> list[SelectedRun]:
    """Find the runs that a user names, each once, in the order of their sweeps and grids.

    Args:
        connection: A transaction.
        words: Names of sweeps and numbers of runs. If a number is a name too, it must be written as ``run:7`` or
            ``sweep:7``. None at all = every run.
        states: Only runs in one of these states; none = in any.

    Raises:
        SelectionError: A name, number or state does not exist; the message lists all of these, each with the nearest
            that does.
    """
    states = list(states)
    mistakes = [_unknown_state(state) for state in states if state not in list(RunState)]
    sweep_ids, run_ids = set[int](), set[int]()
    for word in words:
        try:
            _resolve(connection, word, sweep_ids, run_ids)
        except SelectionError as error:
            mistakes.append(str(error))
    if mistakes:
        raise SelectionError("\n".join(mistakes))
    query = (
        select(
            *(RunRow.id, SweepRow.id, SweepRow.name, SweepRow.source, RunRow.state, RunRow.failure_class, ~UNFINISHED),
            *(RunRow.config_digest, RunRow.directory, RunRow.folder_id),
        )
        .join(CellRow, CellRow.id == RunRow.cell_id)
        .join(SweepRow)
        .order_by(SweepRow.id, CellRow.position, RunRow.id)
    )
    if words:
        query = query.where(or_(SweepRow.id.in_(sweep_ids), RunRow.id.in_(run_ids)))
    if states:
        query = query.where(RunRow.state.in_(states))
    rows: Any = connection.execute(query)  # in the order of the fields of `SelectedRun`
    found = [SelectedRun(*row) for row in rows]
    where = functools.partial(places.of_run, connection)
    return [replace(run, directory=where(run.directory, run.sweep, run.config_digest)) for run in found]


def _resolve(connection: Connection, word: str, sweep_ids: set[int], run_ids: set[int]) -> None:
    kind, _, name = word.rpartition(":")
    if kind not in ("", "run", "sweep"):
        raise SelectionError(f"{word!r}: write a sweep's name, a run's number, run:NUMBER or sweep:NAME")
    is_sweep = kind != "run" and connection.scalar(select(SweepRow.id).where(SweepRow.name == name)) is not None
    is_run = kind != "sweep" and name.isdecimal() and _is_run(connection, int(name))
    if is_run and is_sweep:
        raise SelectionError(f"{word!r} is a run and the name of a sweep: write run:{name} or sweep:{name}")
    if is_run:
        run_ids.add(int(name))
    elif not is_sweep and (kind == "run" or (name.isdecimal() and not kind)):
        raise SelectionError(_unknown_run(connection, name))
    else:
        sweep_ids.add(queries.sweep_id(connection, name))


def _is_run(connection: Connection, number: int) -> bool:
    return number < 2**63 and connection.scalar(select(RunRow.id).where(RunRow.id == number)) is not None


def _unknown_run(connection: Connection, found: str) -> str:
    first, last = connection.execute(select(func.min(RunRow.id), func.max(RunRow.id))).one()
    hint = "the database holds none yet" if first is None else f"they are numbered from {first} to {last}"
    return f"no run {found}; {hint}"


def _unknown_state(state: str) -> str:
    if state == "stopped":
        return "--state: since schema 0006 runs that a search stopped early are 'cancelled', there is no 'stopped'"
    near = difflib.get_close_matches(state, list(RunState), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(RunState)}"
    return f"--state: no state {state!r}; {hint}"
