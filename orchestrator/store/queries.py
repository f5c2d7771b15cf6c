"""The store's reads: which runs are unfinished, who is running, how far everything is."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, and_, cast, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from orchestrator.base.errors import SelectionError
from orchestrator.base.states import EARLY_STOPS, FINAL, RESULTS, RunState
from orchestrator.grid.sweep import Cell, Resources
from orchestrator.store import places
from orchestrator.store.database import reads
from orchestrator.store.models import Attempt, CellRow, Evaluation, RunRow, SweepRow, SyncMetric
from orchestrator.store.types import now, seconds_between

UNFINISHED: ColumnElement[bool] = and_(  # a row of `executemany` cannot bind the list of an IN
    *(RunRow.state != state for state in RESULTS),
    *(func.coalesce(RunRow.failure_class, "") != failure_class for failure_class in FINAL),
)
"""SQL condition: the run has no result, and `launch` may train it."""

DECIDED: ColumnElement[bool] = or_(RunRow.state.in_(RESULTS), RunRow.failure_class.in_(EARLY_STOPS))
"""SQL condition: the run has its result, or a search stopped it. What it has measured is then complete."""

_STEPS = RunRow.learner_steps - func.coalesce(Attempt.resumed_from_step, 0)
_SECONDS = seconds_between(Attempt.ready_at, Attempt.heartbeat_at)
_RATE = func.nullif(cast(_STEPS, Double), 0.0) / func.nullif(_SECONDS, 0.0)


def _latest(
    column: InstrumentedAttribute[Any], run: InstrumentedAttribute[int], order: InstrumentedAttribute[int]
) -> ColumnElement[Any]:
    # A subquery per column: each reads one end of the primary key, where a join would read the whole run.
    return select(column).where(run == RunRow.id).order_by(order.desc()).limit(1).scalar_subquery()


LATEST = {
    "sync": _latest(SyncMetric.sync, SyncMetric.run_id, SyncMetric.sync),
    "reward": _latest(SyncMetric.reward, SyncMetric.run_id, SyncMetric.sync),
    "val_reward": _latest(Evaluation.val_reward, Evaluation.run_id, Evaluation.learner_step),
}
"""SQL: what was measured last in a run."""


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """The newest attempt of a run in state ``running``."""

    run_id: int
    attempt: int  # its number
    executor: str  # local, slurm or debug
    job_id: str | None
    task_id: str | None  # within an array
    host: str
    pid: int
    process_started_at: float  # when that process began, as the attempt itself recorded it
    heartbeat_age_s: float  # seconds since it was last heard of, by the database's clock


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run that is not finished, and what is stored of its journals."""

    run_id: int
    sweep: str  # its name
    config_digest: str
    directory: str | None  # where it keeps its files; None before its first launch
    fence: int  # number of its newest attempt, 0 for none
    stored: dict[int, int]  # bytes of the journal that are stored, by attempt


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far one run is."""

    run_id: int
    position: int  # of its cell in the grid
    model: str
    k: int
    eta: float
    axes: dict[str, Any]  # further axes by name
    seed: int
    state: str  # of RunState
    horizon: int  # learner steps it is to train
    learner_steps: int  # learner steps known to be applied
    sync: int | None  # latest weight sync whose cycle is over
    reward: float | None  # training reward at that sync
    val_reward: float | None  # latest validation reward
    collapse_step: int | None  # T*, when it collapsed
    failure: str | None  # a sentence for people
    failure_class: str | None  # of FailureClass
    attempts: int  # how many attempts it has had; a removal, a cancellation or a stop counts as one
    started_age_s: float | None  # seconds since the newest attempt began
    heartbeat_age_s: float | None  # seconds since the newest attempt was last heard of
    steps_per_s: float | None  # learner steps a second of the newest attempt, set-up left out; None before its first
    detail: str = ""  # what is known besides, for people: what a waiting job waits for
    job: str | None = None  # its job, as the cluster's commands name it
    needs_help: bool = False  # whether it waits for something that does not happen by itself

    @property
    def cell(self) -> Cell:
        """Its cell, as a grid has it."""
        return Cell(self.model, self.k, self.eta, tuple(self.axes.items()))


@reads
def sweep_names(connection: Connection) -> list[str]:
    """List the sweeps, oldest first."""
    return list(connection.scalars(select(SweepRow.name).order_by(SweepRow.id)))


@reads
def sweep_id(connection: Connection, name: str) -> int:
    """Find a sweep by name.

    Raises:
        SelectionError: There is none; the message offers the nearest name, or all.
    """
    found = connection.scalar(select(SweepRow.id).where(SweepRow.name == name))
    if found is not None:
        return found
    names = sweep_names(connection)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"stored sweeps: {', '.join(names)}" if names else "the database holds none yet"
    raise SelectionError(f"no sweep named {name!r}; {hint}")


@reads
def run_states(connection: Connection, sweep_ids: Iterable[int]) -> dict[int, str]:
    """Say in which state each run of some sweeps is."""
    rows = connection.execute(
        select(RunRow.id, RunRow.state).join(CellRow).where(CellRow.sweep_id.in_(list(sweep_ids)))
    )
    return {row.id: row.state for row in rows}


@reads
def run_configs(connection: Connection, run_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Read the configs of runs as they are stored, as JSON, by run number."""
    wanted = set(run_ids)
    rows = connection.execute(select(RunRow.id, RunRow.config).where(RunRow.id.between(min(wanted), max(wanted))))
    return {run_id: config for run_id, config in rows if run_id in wanted}


@reads
def run_resources(connection: Connection, sweep_id: int) -> dict[int, Resources]:
    """Read what each run of a sweep asks of a cluster, by run number."""
    rows = connection.execute(select(RunRow.id, RunRow.resources).join(CellRow).where(CellRow.sweep_id == sweep_id))
    return {run_id: Resources.model_validate(resources) for run_id, resources in rows}


@reads
def seeds(connection: Connection, sweep_id: int) -> set[tuple[tuple[str, str], tuple[int, float], int]]:
    """List the runs of a sweep by (model, axes as JSON), (k, η) and seed."""
    columns = (CellRow.model, CellRow.axes, CellRow.k, CellRow.eta, RunRow.seed)
    rows = connection.execute(
        select(*columns).join(RunRow, RunRow.cell_id == CellRow.id).where(CellRow.sweep_id == sweep_id)
    )
    return {((model, axes), (k, eta), seed) for model, axes, k, eta, seed in rows}


@reads
def unfinished_runs(connection: Connection, sweep_id: int) -> list[int]:
    """List the runs that have something to do, in grid order; not one that diverged, or was ended early."""
    runs = select(RunRow.id).join(CellRow).where(CellRow.sweep_id == sweep_id, UNFINISHED)
    return list(connection.scalars(runs.order_by(CellRow.position, RunRow.id)))


@reads
def running_attempts(connection: Connection, sweep_id: int) -> list[RunningAttempt]:
    """List the newest attempt of every run in state ``running``, in grid order."""
    rows = connection.execute(  # in the order of the fields of `RunningAttempt`
        select(
            *(Attempt.run_id, Attempt.number, Attempt.executor, Attempt.job_id, Attempt.task_id),
            *(Attempt.host, Attempt.pid, Attempt.process_started_at, seconds_between(Attempt.heartbeat_at, now())),
        )
        .join(RunRow, and_(RunRow.id == Attempt.run_id, RunRow.fence == Attempt.number))
        .join(CellRow)
        .where(CellRow.sweep_id == sweep_id, RunRow.state == RunState.RUNNING)
        .order_by(CellRow.position, RunRow.id)
    )
    return [RunningAttempt(*row) for row in rows]


@reads
def run_folders(connection: Connection, sweep_id: int | None = None) -> list[RunFolder]:
    """List the runs of one sweep, or of all, that are not finished, in order, and what is stored of their journals."""
    return _run_folders(connection, *([] if sweep_id is None else [CellRow.sweep_id == sweep_id]))


@reads
def run_folder(connection: Connection, run_id: int) -> RunFolder | None:
    """As `run_folders`, of one run; None when it is finished.

    Raises:
        SelectionError: There is no such run.
    """
    found = find_folder(connection, run_id)
    if found is None and connection.scalar(select(RunRow.id).where(RunRow.id == run_id)) is None:
        raise SelectionError(f"no run {run_id}")
    return found


def find_folder(connection: Connection, run_id: int) -> RunFolder | None:
    """As `run_folder`; None also where there is no such run."""
    return next(iter(_run_folders(connection, RunRow.id == run_id)), None)


def _run_folders(connection: Connection, *conditions: ColumnElement[bool]) -> list[RunFolder]:
    rows = connection.execute(
        select(
            *(RunRow.id, SweepRow.name, RunRow.config_digest, RunRow.directory, RunRow.fence),
            *(Attempt.number, Attempt.journal_bytes),
        )
        .join(CellRow, CellRow.id == RunRow.cell_id)
        .join(SweepRow)
        .outerjoin(Attempt, Attempt.run_id == RunRow.id)
        .where(SweepRow.source != "import", UNFINISHED, *conditions)
        .order_by(SweepRow.id, CellRow.position, RunRow.id, Attempt.number)
    )
    found: dict[int, RunFolder] = {}
    for run_id, sweep, digest, directory, fence, number, stored in rows:
        if run_id not in found:
            path = places.of_run(connection, directory, sweep, digest)
            found[run_id] = RunFolder(run_id, sweep, digest, path, fence, {})
        folder = found[run_id]
        if number is not None:
            folder.stored[number] = stored
    return list(found.values())


@reads
def progress(connection: Connection, sweep_id: int) -> list[RunProgress]:
    """Say how far every run is, in grid order."""
    rows: Any = connection.execute(  # in the order of the fields of `RunProgress`
        select(
            RunRow.id,
            *(CellRow.position, CellRow.model, CellRow.k, CellRow.eta, CellRow.axes),
            *(RunRow.seed, RunRow.state, RunRow.horizon, RunRow.learner_steps),
            *LATEST.values(),
            *(RunRow.collapse_step, RunRow.failure, RunRow.failure_class, RunRow.fence),
            seconds_between(Attempt.started_at, now()),
            seconds_between(Attempt.heartbeat_at, now()),
            _RATE,
        )
        .join(CellRow)
        .outerjoin(Attempt, and_(Attempt.run_id == RunRow.id, Attempt.number == RunRow.fence))
        .where(CellRow.sweep_id == sweep_id)
        .order_by(CellRow.position, RunRow.id)
    )
    axes = functools.cache(json.loads)  # one text a cell
    return [RunProgress(*(*row[:5], axes(row[5]), *row[6:])) for row in rows]


@reads
def step_times(connection: Connection, models: Iterable[str]) -> dict[str, list[float]]:
    """List, by model, how many seconds a learner step took in each finished run of any sweep, set-up left out."""
    found: dict[str, list[float]] = {}
    rows = connection.execute(
        select(CellRow.model, cast(1.0 / _RATE, Double))
        .join(RunRow, RunRow.cell_id == CellRow.id)
        .join(Attempt, and_(Attempt.run_id == RunRow.id, Attempt.number == RunRow.fence))
        .where(CellRow.model.in_(list(models)), RunRow.state.in_(RESULTS), _RATE > 0)
    )
    for model, step_s in rows:
        found.setdefault(model, []).append(step_s)
    return found
