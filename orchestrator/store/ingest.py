"""The one way from journals to tables: records of an attempt, in one transaction, each stored once.

An attempt's row says how many bytes of its journal are stored, and the transaction that stores records moves that
number on. So any process may bring a journal, several at once too: the attempt's own job does it about once a second,
`stalesweep status` does it for attempts that cannot.
"""

from __future__ import annotations

import functools
from typing import Any

from pydantic_core import to_json
from sqlalchemy import JSON, Connection, String, bindparam, cast, column, func, inspect, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.base.errors import Fenced, OutOfStep
from orchestrator.base.states import FailureClass
from orchestrator.rundir.journal import Chunk
from orchestrator.store import attempts
from orchestrator.store.attempts import Claim
from orchestrator.store.models import Attempt, Base, Evaluation, RunRow, SyncMetric
from orchestrator.store.transactions import writes
from orchestrator.store.types import greatest, least, seconds_ago

_START = ("versions", "device", "parameters", "threads", "setup_s")


@writes
def ingest(connection: Connection, claim: Claim, chunk: Chunk, *, age_s: float = 0.0) -> None:
    """Store consecutive records of an attempt's journal, all or none.

    An attempt that the database does not know begins by its journal's first record. Of an attempt that a newer one has
    taken over, only what the newer one has not dropped is stored, and its end changes nothing.

    Args:
        connection: An open write transaction.
        claim: The attempt.
        chunk: The records, at least one.
        age_s: How long ago the last of them was written.

    Raises:
        Fenced: The attempt was removed.
        OutOfStep: Not as much of the journal is stored as lies before the chunk; nothing was done.
    """
    by_record: dict[str, list[dict[str, Any]]] = {}
    for entry in chunk.entries:
        by_record.setdefault(entry["record"], []).append(entry)
    last_s: float = chunk.entries[-1]["elapsed_s"]

    def ago_s(entry: dict[str, Any]) -> float:
        elapsed_s: float = entry["elapsed_s"]
        return age_s + max(0.0, last_s - elapsed_s)

    syncs, evals = by_record.get("sync", []), by_record.get("eval", [])
    newest = _hold(connection, claim, syncs, evals)
    if not newest and "begin" in by_record and _is_unknown(connection, claim):
        begin = by_record["begin"][0]
        attempts.start(connection, claim, _origin(begin), ago_s=ago_s(begin))
        newest = _hold(connection, claim, syncs, evals)
    _move_on(connection, claim, chunk, age_s)
    for entry in by_record.get("start", []):
        attempts.change(connection, claim, ready_at=seconds_ago(ago_s(entry)), **{name: entry[name] for name in _START})
        # Its worker may have found another checkpoint than the one that the attempt began with.
        attempts.resume_from(connection, claim, entry, drop=newest)
    if not newest:
        syncs, evals = _not_dropped(connection, claim, syncs, evals)
    upsert(connection, SyncMetric, claim, syncs)
    upsert(connection, Evaluation, claim, evals)
    if newest:
        for entry in by_record.get("finish", []):
            attempts.finish(connection, claim, entry, ago_s=ago_s(entry))
        for entry in by_record.get("fail", []):
            of_class = entry.get("failure_class", FailureClass.EXCEPTION)
            attempts.fail(connection, claim, entry["failure"], of_class, ago_s=ago_s(entry))


def upsert(
    connection: Connection, table: type[Base], claim: Claim, entries: list[dict[str, Any]], *, replace: bool = True
) -> None:
    """Insert measurements of an attempt into a table.

    Args:
        connection: An open write transaction.
        table: `SyncMetric` or `Evaluation`.
        claim: The attempt.
        entries: The columns by name; what an entry lacks was not measured.
        replace: Whether to replace rows that are there already, or to keep them.
    """
    if not entries:
        return
    kind = connection.dialect.name
    names = [column.name for column in inspect(table).columns]
    key = "sync" if table is SyncMetric else "learner_step"
    keys = {"run_id": claim.run_id, "attempt": claim.attempt}
    rows = [{name: entry.get(name) for name in names} | keys for entry in {e[key]: e for e in entries}.values()]
    as_json = to_json(rows, inf_nan_mode="strings").decode() if kind == "postgresql" else None
    connection.execute(_upsert(table, kind, replace), rows if as_json is None else {"rows": as_json})


@functools.cache
def _upsert(table: type[Base], kind: str, replace: bool) -> Any:
    columns = inspect(table).columns
    insert: Any = sqlite.insert(table)
    if kind == "postgresql":
        # All rows are one value. With a set of values a row, rows would be sent one by one, and a process that is
        # frozen between two of them would keep its locks: no time limit applies while the server waits for more.
        rows = func.json_to_recordset(cast(bindparam("rows", type_=String), JSON))
        typed = rows.table_valued(*(column(one.name, one.type) for one in columns))
        selected = select(typed.render_derived(with_types=True))
        insert = postgresql.insert(table).from_select([one.name for one in columns], selected)
    keys = [one.name for one in inspect(table).primary_key]
    if not replace:
        return insert.on_conflict_do_nothing(index_elements=keys)
    replaced = {one.name: one for one in insert.excluded if one.name not in keys}
    return insert.on_conflict_do_update(index_elements=keys, set_=replaced)


def _hold(connection: Connection, claim: Claim, syncs: list[dict[str, Any]], evals: list[dict[str, Any]]) -> bool:
    reached: list[int] = [entry["learner_step"] + claim.steps_per_sync for entry in syncs]
    reached += [entry["learner_step"] for entry in evals]
    most = least(max(reached, default=0), RunRow.horizon)
    return attempts.hold(connection, claim, learner_steps=greatest(RunRow.learner_steps, most))


def _is_unknown(connection: Connection, claim: Claim) -> bool:
    fence = connection.scalar(select(RunRow.fence).where(RunRow.id == claim.run_id).with_for_update())
    return fence is not None and claim.attempt > fence


def _origin(begin: dict[str, Any]) -> dict[str, Any]:
    return {**begin["origin"], **{name: begin[name] for name in ("resumed_from_sync", "resumed_from_step")}}


def _move_on(connection: Connection, claim: Claim, chunk: Chunk, age_s: float) -> None:
    its_row = (Attempt.run_id == claim.run_id, Attempt.number == claim.attempt)
    moved = connection.execute(
        update(Attempt)
        .where(*its_row, Attempt.journal_bytes == chunk.start)
        .values(journal_bytes=chunk.end, heartbeat_at=seconds_ago(age_s))
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
    # A newer attempt has dropped what lies past the checkpoint that it resumed from, and those rows must not come back.
    sync, step = connection.execute(
        select(
            func.min(func.coalesce(Attempt.resumed_from_sync, -1)),
            func.min(func.coalesce(Attempt.resumed_from_step, -1)),
        ).where(Attempt.run_id == claim.run_id, Attempt.number > claim.attempt)
    ).one()
    if sync is None:  # the run was cancelled, and nothing has resumed since
        return syncs, evals
    return [entry for entry in syncs if entry["sync"] <= sync], [e for e in evals if e["learner_step"] <= step]
