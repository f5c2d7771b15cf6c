"""Storing runs made elsewhere: cells, runs, attempts and metrics of one import, in one transaction."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, insert, select

from grpo_worker.schema.config import content_digest
from orchestrator.base.errors import NothingToDo, SweepConflict, UsageError
from orchestrator.base.settings import code_version
from orchestrator.base.states import AttemptOutcome, FailureClass
from orchestrator.store.models import Attempt, Base, Cell, Evaluation, Run, Sweep, SyncMetric
from orchestrator.store.transactions import writes
from orchestrator.store.types import now

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "import"
"""What `orchestrator.store.models.Sweep.source` says of an import."""

Batches = Callable[[], Iterator["pa.RecordBatch"]]
"""Rows with ``run`` (place in the sweep's runs), ``attempt`` and columns of a table; can be read again."""


@dataclass(frozen=True, slots=True)
class ImportedAttempt:
    """An attempt of an export; field names are those of its ``attempts``."""

    attempt: int
    executor: str
    job_id: str | None
    task_id: str | None
    restart_count: int
    host: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    resumed_from_sync: int | None
    failure_class: str | None = None
    node: str | None = None


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """A run made elsewhere; field names are those of an export's ``runs``.

    Attributes:
        axes: Further axes as JSON with sorted keys.
        gpus: GPUs that it used.
        code_version: What trained it; None = not known.
        config_digest: Digest of its config; None = not known.
        label: What the file calls it, if anything.
        attempts: Its attempts; None = not known, and one is made up: the import.
    """

    model: str
    k: int
    eta: float
    axes: str
    seed: int
    state: str
    horizon: int
    learner_steps: int
    collapse_step: int | None = None
    collapse_step_lo: int | None = None
    collapse_sync: int | None = None
    collapse_detector: str | None = None
    failure: str | None = None
    wall_s: float = 0.0
    gpus: int = 0
    code_version: str | None = None
    config_digest: str | None = None
    failure_class: str | None = None
    label: str | None = None
    attempts: tuple[ImportedAttempt, ...] | None = None

    @property
    def cell(self) -> tuple[str, int, float, str]:
        """What identifies its cell."""
        return self.model, self.k, self.eta, self.axes

    @property
    def known(self) -> dict[str, Any]:
        """What is known in the place of a config. No worker can be started from it."""
        known = {"source": SOURCE, "model": self.model, "k": self.k, "eta": self.eta, "seed": self.seed}
        return {**known, "horizon": self.horizon, "axes": json.loads(self.axes), "label": self.label}


@dataclass(frozen=True, slots=True)
class ImportedSweep:
    """What an import stores.

    Attributes:
        name: The sweep's name.
        digest: Of the files' content and of how they were read.
        text: For people: what was imported.
        runs: The runs; cells are numbered as they first appear.
        order: Places in ``runs`` in the order in which run numbers are given.
        syncs: Rows of weight syncs.
        evals: Rows of validations.
    """

    name: str
    digest: str
    text: str
    runs: Sequence[ImportedRun]
    order: Sequence[int]
    syncs: Batches = field(repr=False)
    evals: Batches = field(repr=False)


def refuse_imported(run_id: int, config: Mapping[str, Any]) -> None:
    """Make sure that a stored config is a worker's.

    Raises:
        UsageError: It is what is known of an imported run.
    """
    if config.get("source") == SOURCE:
        raise UsageError(
            f"run {run_id} was imported, so there is no config to train it by; launch a grid with its axes "
            "under another name"
        )


def refuse_taken(connection: Connection, name: str, digest: str, text: str) -> None:
    """Make sure that a name is free for an import.

    Raises:
        NothingToDo: The same was imported under it before.
        SweepConflict: It stands for something else.
    """
    stored = connection.execute(
        select(Sweep.digest, Sweep.source, Sweep.grid_text).where(Sweep.name == name).with_for_update()
    ).one_or_none()
    if stored is None:
        return
    if stored.source != SOURCE:
        raise SweepConflict(f"sweep {name!r} is a grid's: import under another name with --sweep")
    if stored.digest == digest:
        raise NothingToDo(f"sweep {name!r} holds this import already; nothing was changed")
    raise SweepConflict(
        f"sweep {name!r} holds another import: give this one another name with --sweep\n"
        f"stored:\n{stored.grid_text}\nthis one:\n{text}"
    )


@writes
def import_sweep(connection: Connection, sweep: ImportedSweep) -> int:
    """Store runs made elsewhere, with what they measured: all or nothing.

    Args:
        connection: The database, or a transaction of it.
        sweep: The runs, checked.

    Returns:
        The sweep's id.

    Raises:
        NothingToDo: The same was imported under this name before.
        SweepConflict: The name stands for something else.
    """
    refuse_taken(connection, sweep.name, sweep.digest, sweep.text)
    values = {"name": sweep.name, "digest": sweep.digest, "grid_text": sweep.text, "source": SOURCE}
    sweep_id = connection.execute(insert(Sweep).values(**values, created_at=now()).returning(Sweep.id)).scalar_one()
    cells = _insert_cells(connection, sweep_id, sweep.runs)
    run_ids = _insert_runs(connection, sweep_id, cells, sweep)
    _insert_attempts(connection, sweep.runs, run_ids)
    _insert_rows(connection, SyncMetric, sweep.syncs, run_ids)
    _insert_rows(connection, Evaluation, sweep.evals, run_ids)
    return int(sweep_id)


def _insert_cells(
    connection: Connection, sweep_id: int, runs: Sequence[ImportedRun]
) -> dict[tuple[str, int, float, str], int]:
    keys = dict.fromkeys(run.cell for run in runs)
    names = ("model", "k", "eta", "axes")
    rows = [{"position": place, **dict(zip(names, key, strict=True))} for place, key in enumerate(keys)]
    connection.execute(insert(Cell).values(sweep_id=sweep_id), rows)
    stored = select(Cell.model, Cell.k, Cell.eta, Cell.axes, Cell.id).where(Cell.sweep_id == sweep_id)
    return {(model, k, eta, axes): cell_id for model, k, eta, axes, cell_id in connection.execute(stored)}


def _insert_runs(
    connection: Connection, sweep_id: int, cells: dict[tuple[str, int, float, str], int], sweep: ImportedSweep
) -> list[int]:
    rows = []
    for place in sweep.order:
        run = sweep.runs[place]
        copied = (
            "seed", "state", "horizon", "learner_steps", "collapse_step", "collapse_step_lo", "collapse_sync",
            "collapse_detector", "failure", "failure_class",
        )  # fmt: skip
        rows.append(
            {name: getattr(run, name) for name in copied}
            | {"cell_id": cells[run.cell], "config": run.known, "resources": {"gpus": run.gpus}}
            | {"config_digest": run.config_digest or content_digest(run.known)}
            | {"code_version": run.code_version or code_version(), "fence": _fence(run)}
        )
    connection.execute(insert(Run).values(updated_at=now()), rows)
    stored = select(Run.cell_id, Run.seed, Run.id).join(Cell).where(Cell.sweep_id == sweep_id)
    numbers = {(cell_id, seed): run_id for cell_id, seed, run_id in connection.execute(stored)}
    return [numbers[cells[run.cell], run.seed] for run in sweep.runs]


def _fence(run: ImportedRun) -> int:
    if run.attempts is None:
        return 1
    return max((attempt.attempt for attempt in run.attempts), default=0)


def _insert_attempts(connection: Connection, runs: Sequence[ImportedRun], run_ids: Sequence[int]) -> None:
    imported_at = connection.execute(select(now())).scalar_one()
    rows = []
    for run, run_id in zip(runs, run_ids, strict=True):
        common = {"run_id": run_id, "code_version": run.code_version or code_version(), "process_started_at": 0.0}
        if run.attempts is None:
            rows.append(common | _made_up(run, imported_at))
        for attempt in run.attempts or ():
            values = {name: getattr(attempt, name) for name in ImportedAttempt.__slots__ if name != "attempt"}
            last_seen = _last_seen(run, attempt)
            end = {"ended_at": last_seen, "outcome": attempt.outcome or AttemptOutcome.LOST, "heartbeat_at": last_seen}
            end["failure_class"] = attempt.failure_class if attempt.outcome else FailureClass.LOST
            rows.append({**common, **values, **end, "number": attempt.attempt, "pid": 0})
    if rows:
        connection.execute(insert(Attempt), rows)


def _made_up(run: ImportedRun, imported_at: datetime) -> dict[str, Any]:
    outcome = run.state if run.state in list(AttemptOutcome) else AttemptOutcome.INTERRUPTED
    return {
        "number": 1, "executor": "import", "job_id": None, "task_id": None, "restart_count": 0,
        "host": socket.gethostname(), "pid": os.getpid(), "started_at": imported_at - timedelta(seconds=run.wall_s),
        "ended_at": imported_at, "heartbeat_at": imported_at, "outcome": outcome, "resumed_from_sync": None,
        "failure_class": run.failure_class, "node": None,
    }  # fmt: skip


def _last_seen(run: ImportedRun, attempt: ImportedAttempt) -> datetime:
    """When an attempt ended; one that had not was last heard of when the run's time was used up."""
    if attempt.ended_at is not None:
        return attempt.ended_at
    others = [one for one in run.attempts or () if one.ended_at is not None]
    spent = sum((one.ended_at - one.started_at).total_seconds() for one in others if one.ended_at is not None)
    return attempt.started_at + timedelta(seconds=max(0.0, run.wall_s - spent))


def _insert_rows(connection: Connection, table: type[Base], batches: Batches, run_ids: Sequence[int]) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    for batch in batches():
        if not batch.num_rows:
            continue
        names = [name if name != "run" else "run_id" for name in batch.schema.names]
        columns = [_values(column, nan_as_text=is_sqlite) for column in batch.columns]
        columns[names.index("run_id")] = [run_ids[place] for place in columns[names.index("run_id")]]
        # As the driver takes it: the types' own processing, value by value, would take most of the time.
        statement = insert(table).values({name: bindparam(name) for name in names}).compile(dialect=connection.dialect)
        by_place = statement.positiontup
        rows = zip(*(columns[names.index(name)] for name in by_place or names), strict=True)
        parameters: Any = list(rows) if by_place else [dict(zip(names, row, strict=True)) for row in rows]
        connection.exec_driver_sql(str(statement), parameters)


def _values(column: pa.Array, *, nan_as_text: bool) -> list[Any]:
    values: list[Any] = column.to_pylist()
    import pyarrow as pa
    import pyarrow.compute as pc  # a quarter of a second that every command would take

    if nan_as_text and pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        # As `orchestrator.store.types.NanFloat` stores it.
        return ["NaN" if value is not None and math.isnan(value) else value for value in values]
    return values
