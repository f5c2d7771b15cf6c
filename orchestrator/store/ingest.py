"""From journal to tables: records of an attempt, in one transaction, each once however often they are brought.

How much of an attempt's journal is stored stands in its row, in bytes, and moves in the transaction that stores the
records: the attempt itself brings them as they come, and whoever asks for a status brings those that it could not.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from orchestrator.base.errors import Fenced, OutOfStep, Unheard
from orchestrator.base.states import FailureClass
from orchestrator.rundir.journal import Chunk
from orchestrator.store import attempts, prepared
from orchestrator.store.attempts import Claim
from orchestrator.store.models import Attempt, Evaluation, Run, SyncMetric
from orchestrator.store.sqlite_lock import begin_writing
from orchestrator.store.types import seconds_ago

_START = ("versions", "device", "parameters", "threads", "setup_s")


def add_one(connection: Any, kind: str, claim: Claim, chunk: Chunk) -> bool:
    """Store one weight sync of the newest attempt, where that is all there is to store, in the least possible time.

    Args:
        connection: The driver's, see `orchestrator.store.session.driver_connection`.
        kind: The database's, ``sqlite`` or ``postgresql``.
        claim: The attempt.
        chunk: What its journal holds next.

    Returns:
        Whether it is stored. If not, nothing is, and `ingest` does it or says why not.
    """
    entry = chunk.entries[0]
    if len(chunk.entries) > 1 or entry["record"] != "sync":
        return False
    values = {**entry, **_place(claim, chunk, 0.0), "reached": _reached(claim, [entry], [])}
    if kind == "postgresql":
        add = prepared.add_sync()
        return bool(connection.execute(add.sql, prepared.row(add, kind, values)).rowcount)
    upsert = prepared.upsert(SyncMetric, kind)
    row = prepared.row(upsert, kind, values)
    begin_writing(connection)
    stored = all(step(kind).changes(connection.execute, values) for step in (prepared.hold, prepared.move))
    if stored:
        connection.execute(upsert.sql, row)
    connection.execute("COMMIT" if stored else "ROLLBACK")
    return stored


def ingest(connection: Connection, claim: Claim, chunk: Chunk, *, age_s: float, live: bool) -> None:
    """Store records, see `orchestrator.store.store.Store.ingest`."""
    by_record: dict[str, list[dict[str, Any]]] = {}
    for entry in chunk.entries:
        by_record.setdefault(entry["record"], []).append(entry)
    last_s: float = chunk.entries[-1]["elapsed_s"]

    def ago_s(entry: dict[str, Any]) -> float:
        elapsed_s: float = entry["elapsed_s"]
        return age_s + max(0.0, last_s - elapsed_s)

    syncs, evals = by_record.get("sync", []), by_record.get("eval", [])
    newest = _hold(connection, claim, syncs, evals)
    if not newest and not live and _begins(connection, claim, by_record.get("begin", [])):
        attempts.start(connection, claim, _origin(by_record["begin"][0]), ago_s=ago_s(by_record["begin"][0]))
        newest = _hold(connection, claim, syncs, evals)
    if live:
        attempts.refuse_older(connection, claim, newest)
    _move_on(connection, claim, chunk, 0.0 if live else age_s)
    for entry in by_record.get("start", []):
        _check_start(connection, claim, entry, live=live, newest=newest)
        attempts.change(connection, claim, ready_at=seconds_ago(ago_s(entry)), **{name: entry[name] for name in _START})
    if not newest:
        syncs, evals = _not_dropped(connection, claim, syncs, evals)
    keys = {"run_id": claim.run_id, "attempt": claim.attempt}
    prepared.upsert_all(connection, SyncMetric, keys, syncs)
    prepared.upsert_all(connection, Evaluation, keys, evals)
    if newest:
        for entry in by_record.get("finish", []):
            attempts.finish(connection, claim, entry, ago_s=ago_s(entry))
        for entry in by_record.get("fail", []):
            of_class = entry.get("failure_class", FailureClass.EXCEPTION)
            attempts.fail(connection, claim, entry["failure"], of_class, ago_s=ago_s(entry))


def _hold(connection: Connection, claim: Claim, syncs: list[dict[str, Any]], evals: list[dict[str, Any]]) -> bool:
    values = {"run_id": claim.run_id, "attempt": claim.attempt, "reached": _reached(claim, syncs, evals)}
    return prepared.hold(connection.dialect.name).changes(connection.exec_driver_sql, values)


def _reached(claim: Claim, syncs: list[dict[str, Any]], evals: list[dict[str, Any]]) -> int:
    reached: list[int] = [entry["learner_step"] + claim.steps_per_sync for entry in syncs]
    reached += [entry["learner_step"] for entry in evals]
    return max(reached, default=0)


def _place(claim: Claim, chunk: Chunk, age_s: float) -> dict[str, Any]:
    return {
        "run_id": claim.run_id, "attempt": claim.attempt, "start": chunk.start, "end": chunk.end, "age_s": age_s,
    }  # fmt: skip


def _begins(connection: Connection, claim: Claim, begin: list[dict[str, Any]]) -> bool:
    # An attempt that the database has not heard of: it began while the database was away.
    fence = connection.scalar(select(Run.fence).where(Run.id == claim.run_id).with_for_update())
    return fence is not None and claim.attempt > fence and bool(begin)


def _origin(begin: dict[str, Any]) -> dict[str, Any]:
    return {**begin["origin"], **{name: begin[name] for name in ("resumed_from_sync", "resumed_from_step")}}


def _move_on(connection: Connection, claim: Claim, chunk: Chunk, age_s: float) -> None:
    move = prepared.move(connection.dialect.name)
    if move.changes(connection.exec_driver_sql, _place(claim, chunk, age_s)):
        return
    its_row = (Attempt.run_id == claim.run_id, Attempt.number == claim.attempt)
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
    if sync is None:  # it was cancelled, and nothing has resumed since
        return syncs, evals
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
