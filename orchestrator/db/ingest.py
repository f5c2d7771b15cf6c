"""From journal to tables: records of an attempt, in one transaction, each once however often they are brought.

How much of an attempt's journal is stored stands in its row, in bytes, and moves in the transaction that stores the
records: the attempt itself brings them as they come, and whoever asks for a status brings those that it could not.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, inspect, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.db import attempts
from orchestrator.db.attempts import Claim
from orchestrator.db.models import Attempt, Base, Evaluation, Run, SyncMetric
from orchestrator.db.types import greatest, least, now, seconds_ago
from orchestrator.errors import Fenced, OutOfStep, Unheard
from orchestrator.journal import Chunk

_START = ("versions", "device", "parameters", "threads", "setup_s")


def ingest(connection: Connection, claim: Claim, chunk: Chunk, *, age_s: float, live: bool) -> None:
    """Store records, see `orchestrator.db.store.Store.ingest`."""
    by_record: dict[str, list[dict[str, Any]]] = {}
    for entry in chunk.entries:
        by_record.setdefault(entry["record"], []).append(entry)
    last_s: float = chunk.entries[-1]["elapsed_s"]

    def ago_s(entry: dict[str, Any]) -> float:
        elapsed_s: float = entry["elapsed_s"]
        return age_s + max(0.0, last_s - elapsed_s)

    syncs, evals = by_record.get("sync", []), by_record.get("eval", [])
    newest = attempts.hold(connection, claim, **_learner_steps(claim, syncs, evals))
    if not newest and not live and _begins(connection, claim, by_record.get("begin", [])):
        attempts.start(connection, claim, _origin(by_record["begin"][0]), ago_s=ago_s(by_record["begin"][0]))
        newest = attempts.hold(connection, claim, **_learner_steps(claim, syncs, evals))
    if live:
        attempts.refuse_older(connection, claim, newest)
    _move_on(connection, claim, chunk, 0.0 if live else age_s)
    for entry in by_record.get("start", []):
        _check_start(connection, claim, entry, live=live, newest=newest)
        attempts.change(connection, claim, ready_at=seconds_ago(ago_s(entry)), **{name: entry[name] for name in _START})
    if not newest:
        syncs, evals = _not_dropped(connection, claim, syncs, evals)
    _upsert(connection, SyncMetric, claim, syncs)
    _upsert(connection, Evaluation, claim, evals)
    if newest:
        for entry in by_record.get("finish", []):
            attempts.finish(connection, claim, entry, ago_s=ago_s(entry))
        for entry in by_record.get("fail", []):
            attempts.fail(connection, claim, entry["failure"], ago_s=ago_s(entry))


def _learner_steps(claim: Claim, syncs: list[dict[str, Any]], evals: list[dict[str, Any]]) -> dict[str, Any]:
    reached = [entry["learner_step"] + claim.steps_per_sync for entry in syncs]
    reached += [entry["learner_step"] for entry in evals]
    if not reached:
        return {}
    return {"learner_steps": greatest(Run.learner_steps, least(max(reached), Run.horizon))}


def _begins(connection: Connection, claim: Claim, begin: list[dict[str, Any]]) -> bool:
    # An attempt that the database has not heard of: it began while the database was away.
    fence = connection.scalar(select(Run.fence).where(Run.id == claim.run_id).with_for_update())
    return fence is not None and claim.attempt > fence and bool(begin)


def _origin(begin: dict[str, Any]) -> dict[str, Any]:
    return {**begin["origin"], **{name: begin[name] for name in ("resumed_from_sync", "resumed_from_step")}}


def _move_on(connection: Connection, claim: Claim, chunk: Chunk, age_s: float) -> None:
    its_row = (Attempt.run_id == claim.run_id, Attempt.number == claim.attempt)
    moved = connection.execute(
        update(Attempt)
        .where(*its_row, Attempt.journal_bytes == chunk.start)
        .values(journal_bytes=chunk.end, heartbeat_at=now() if age_s == 0.0 else seconds_ago(age_s))
    )
    if moved.rowcount:
        return
    stored = connection.scalar(select(Attempt.journal_bytes).where(*its_row))
    if stored is None:
        raise Fenced(f"attempt {claim.attempt} of run {claim.run_id} is not known any more: a newer one took over")
    raise OutOfStep(stored)


def _not_dropped(
    connection: Connection, claim: Claim, syncs: list[dict[str, Any]], evals: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    # What lies past the checkpoint that a newer attempt has resumed from was dropped, and stays so.
    sync, step = connection.execute(
        select(
            func.min(func.coalesce(Attempt.resumed_from_sync, -1)),
            func.min(func.coalesce(Attempt.resumed_from_step, -1)),
        ).where(Attempt.run_id == claim.run_id, Attempt.number > claim.attempt)
    ).one()
    return [entry for entry in syncs if entry["sync"] <= sync], [e for e in evals if e["learner_step"] <= step]


def _check_start(connection: Connection, claim: Claim, entry: dict[str, Any], *, live: bool, newest: bool) -> None:
    # Rows were kept up to one checkpoint; going on from another would leave a gap or count steps twice.
    begun = connection.scalar(
        select(Attempt.resumed_from_step).where(Attempt.run_id == claim.run_id, Attempt.number == claim.attempt)
    )
    if entry["resumed_from_step"] == begun:
        return
    if live:
        raise Unheard(
            f"attempt {claim.attempt} of run {claim.run_id} was begun to resume from learner step {begun}, but its "
            f"worker resumed from learner step {entry['resumed_from_step']}"
        )
    attempts.resume_from(connection, claim, entry, drop=newest)


def _upsert(connection: Connection, table: type[Base], claim: Claim, entries: Iterable[dict[str, Any]]) -> None:
    columns = _metrics(table)
    rows = []
    for entry in entries:
        row = {name: entry.get(name) for name in columns}
        row["run_id"], row["attempt"] = claim.run_id, claim.attempt
        rows.append(row)
    if rows:
        connection.execute(_upsert_into(table, connection.dialect.name), rows)


@functools.cache
def _metrics(table: type[Base]) -> tuple[str, ...]:
    return tuple(column.name for column in inspect(table).columns if column.name not in ("run_id", "attempt"))


@functools.cache
def _upsert_into(table: type[Base], dialect: str) -> Any:
    statement = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    keys = [column.name for column in inspect(table).primary_key]
    replaced = {column.name: column for column in statement.excluded if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=replaced)
