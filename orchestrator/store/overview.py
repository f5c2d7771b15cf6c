"""What a report tells of many runs: a few metrics of some of them, how attempts ended, and what they ran on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Double, Select, and_, distinct, func, select
from sqlalchemy.orm import aliased

from orchestrator.store.models import Attempt, Cell, Evaluation, Run, Sweep, SyncMetric
from orchestrator.store.types import seconds_between

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]

Row = tuple[Any, ...]

_SECONDS = func.sum(seconds_between(Attempt.started_at, func.coalesce(Attempt.ended_at, Attempt.heartbeat_at)))


def sync_metrics(connection: Connection, runs: Iterable[int], columns: Sequence[str], most: int) -> list[Row]:
    """Read metrics of runs, by run and sync.

    Args:
        connection: From `Store.read`.
        runs: Numbers of the runs.
        columns: Names of metrics.
        most: Syncs to read of a run, about; of one that has more, every n-th is read.

    Returns:
        Per sync, the run, the learner step, that of the next sync, and the metrics; None where there is none.
    """
    of_runs = SyncMetric.run_id.in_(list(runs))
    last = connection.execute(
        select(SyncMetric.run_id, func.max(SyncMetric.sync)).where(of_runs).group_by(SyncMetric.run_id)
    )
    by_stride: dict[int, list[int]] = {}
    for run_id, sync in last:
        by_stride.setdefault(sync // most + 1, []).append(run_id)
    following = aliased(SyncMetric)
    is_next = and_(following.run_id == SyncMetric.run_id, following.sync == SyncMetric.sync + 1)
    metrics = [getattr(SyncMetric, column) for column in columns]
    query = select(SyncMetric.run_id, SyncMetric.learner_step, following.learner_step, *metrics)
    query = query.join(following, is_next, isouter=True)
    rows: list[Row] = []
    for stride, members in by_stride.items():
        chosen = SyncMetric.run_id.in_(members), SyncMetric.sync % stride == 0
        rows += map(tuple, connection.execute(query.where(*chosen)))
    return sorted(rows, key=lambda row: row[:2])


def validations(connection: Connection, runs: Iterable[int]) -> list[Row]:
    """Read the validations of runs: run, learner step, validation reward, by run and step."""
    query = select(Evaluation.run_id, Evaluation.learner_step, Evaluation.val_reward)
    order = Evaluation.run_id, Evaluation.learner_step
    return [tuple(row) for row in connection.execute(query.where(Evaluation.run_id.in_(list(runs))).order_by(*order))]


def sweeps(connection: Connection, names: Sequence[str]) -> list[Row]:
    """Read sweeps, oldest first: name, source, when it was registered, digest, the text of the grid file or import."""
    query = select(Sweep.name, Sweep.source, Sweep.created_at, Sweep.digest, Sweep.grid_text)
    return [tuple(row) for row in connection.execute(query.where(Sweep.name.in_(names)).order_by(Sweep.id))]


def attempts(connection: Connection, sweeps: Sequence[str], model: str | None) -> list[Row]:
    """Count attempts: executor, outcome, failure class (each may be None), how many, their seconds in all."""
    kinds = Attempt.executor, Attempt.outcome, Attempt.failure_class
    query = select(*kinds, func.count(), func.coalesce(_SECONDS, 0.0, type_=Double())).group_by(*kinds)
    return _of(connection, query, sweeps, model)


def provenance(connection: Connection, sweeps: Sequence[str], model: str | None) -> dict[str, list[Row]]:
    """Say which code and which machines made the attempts, each with the number of runs.

    Returns:
        ``code``: version, commit (may be None), whether the tree was dirty (may be None), runs. ``hosts``: host,
        device (may be None), runs.
    """
    runs = func.count(distinct(Attempt.run_id))
    code = Attempt.code_version, Attempt.git_commit, Attempt.git_dirty
    machine = Attempt.host, Attempt.device
    return {
        "code": _of(connection, select(*code, runs).group_by(*code), sweeps, model),
        "hosts": _of(connection, select(*machine, runs).group_by(*machine), sweeps, model),
    }


def versions(connection: Connection, sweeps: Sequence[str], model: str | None) -> list[dict[str, Any]]:
    """List the versions of libraries that attempts told of, without repetition."""
    found: list[dict[str, Any]] = []
    for (told,) in _of(connection, select(Attempt.versions), sweeps, model, ordered=False):
        if told and told not in found:
            found.append(told)
    return found


def _of(
    connection: Connection, query: Query, sweeps: Sequence[str], model: str | None, *, ordered: bool = True
) -> list[Row]:
    query = query.select_from(Attempt).join(Run, Run.id == Attempt.run_id).join(Cell).join(Sweep)
    query = query.where(Sweep.name.in_(sweeps))
    if model is not None:
        query = query.where(Cell.model == model)
    rows = [tuple(row) for row in connection.execute(query)]
    return sorted(rows, key=lambda row: (-row[-1], str(row))) if ordered else rows
