"""The one way from journals to tables: records of an attempt, in one transaction, each stored once.

An attempt's row says how many bytes of its journal are stored, and the transaction that stores records moves that
number on. So any process may bring a journal, several at once too: the attempt's own job does it about once a second,
`stalesweep status` does it for attempts that cannot.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic_core import to_json
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    MetaData,
    String,
    Table,
    bindparam,
    cast,
    column,
    delete,
    func,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from orchestrator.base.errors import Fenced, OutOfStep
from orchestrator.base.states import FailureClass
from orchestrator.rundir.journal import Chunk
from orchestrator.store import attempts
from orchestrator.store.attempts import Claim
from orchestrator.store.database import Store, reads
from orchestrator.store.models import Attempt, Base, Evaluation, RunRow, SyncMetric
from orchestrator.store.types import greatest, least, now, seconds_ago

Entries = list[dict[str, Any]]

_START = ("versions", "device", "parameters", "threads", "setup_s")

# Built once: building a statement takes longer than it runs, and other writers wait meanwhile.
_ITS_RUN = RunRow.id == bindparam("of_run")
_ITS_ATTEMPT = Attempt.run_id == bindparam("of_run"), Attempt.number == bindparam("of_attempt")
_HOLD = (
    update(RunRow)
    .where(_ITS_RUN, RunRow.fence == bindparam("of_attempt"))
    .values(updated_at=now(), learner_steps=greatest(RunRow.learner_steps, least(bindparam("reached"), RunRow.horizon)))
)
_MOVE_ON = (
    update(Attempt)
    .where(*_ITS_ATTEMPT, Attempt.journal_bytes == bindparam("start"))
    .values(journal_bytes=bindparam("end"), heartbeat_at=seconds_ago(bindparam("age_s")))
)


def ingest(store: Store, claim: Claim, chunk: Chunk, *, age_s: float = 0.0) -> None:
    """Store consecutive records of an attempt's journal, all or none.

    An attempt that the database does not know begins by its journal's first record. Of an attempt that a newer one has
    taken over, only what the newer one has not dropped is stored, and its end changes nothing. The last record, there
    is at least one, was written ``age_s`` ago.

    Raises:
        Fenced: The attempt was removed.
        OutOfStep: Not as much of the journal is stored as lies before the chunk; nothing was done.
    """
    by_record: dict[str, Entries] = {}
    for entry in chunk.entries:
        by_record.setdefault(entry["record"], []).append(entry)
    last_s: float = chunk.entries[-1]["elapsed_s"]

    def ago_s(entry: dict[str, Any]) -> float:
        elapsed_s: float = entry["elapsed_s"]
        return age_s + max(0.0, last_s - elapsed_s)

    measured = _Measured(claim, by_record.get("sync", []), by_record.get("eval", []))
    its_keys = {"of_run": claim.run_id, "of_attempt": claim.attempt}
    held = its_keys | {"reached": measured.reached}
    moved = its_keys | {"start": chunk.start, "end": chunk.end, "age_s": age_s}
    with store.write(before=measured.stage) as connection:
        newest = connection.execute(_HOLD, held).rowcount > 0
        if not newest and "begin" in by_record and _is_unknown(connection, claim):
            begin = by_record["begin"][0]
            resumed = {name: begin[name] for name in ("resumed_from_sync", "resumed_from_step")}
            attempts.start(connection, claim, {**begin["origin"], **resumed}, ago_s=ago_s(begin))
            newest = connection.execute(_HOLD, held).rowcount > 0
        if not connection.execute(_MOVE_ON, moved).rowcount:
            _refuse(connection, claim)
        for entry in by_record.get("start", []):
            started = {name: entry[name] for name in _START}
            attempts.change(connection, claim, ready_at=seconds_ago(ago_s(entry)), **started)
            # Its worker may have found another checkpoint than the one that the attempt began with.
            attempts.resume_from(connection, claim, entry, drop=newest)
        measured.move(connection, last={} if newest else _kept_of(connection, claim))
        if newest:
            for entry in by_record.get("finish", []):
                attempts.finish(connection, claim, entry, ago_s=ago_s(entry))
            for entry in by_record.get("fail", []):
                of_class = entry.get("failure_class", FailureClass.EXCEPTION)
                attempts.fail(connection, claim, entry["failure"], of_class, ago_s=ago_s(entry))


@reads
def lacks(connection: Connection, run_id: int, *, syncs: int, evals: int, learner_steps: int) -> bool:
    """Whether not all rows of a run are stored up to a place: so many syncs, and so many evaluations by a step."""
    stored_syncs = select(func.count()).where(SyncMetric.run_id == run_id, SyncMetric.sync < syncs)
    stored_evals = select(func.count()).where(Evaluation.run_id == run_id, Evaluation.learner_step <= learner_steps)
    return connection.scalar(stored_syncs) != syncs or connection.scalar(stored_evals) != evals


def restore(store: Store, claim: Claim, syncs: Entries, evals: Entries) -> None:
    """Store those records of an attempt that are missing; nothing where the database does not know the attempt.

    A process that was taken for dead may save a checkpoint after a newer attempt has dropped the rows that lie past
    the checkpoint before it. The attempt that resumes from the late checkpoint needs those rows again.
    """
    measured = _Measured(claim, syncs, evals)
    with store.write(before=measured.stage) as connection:
        connection.execute(select(RunRow.id).where(RunRow.id == claim.run_id).with_for_update())
        if _stored_bytes(connection, claim) is not None:
            measured.move(connection, replace=False)


_KEYS: dict[type[Base], str] = {SyncMetric: "sync", Evaluation: "learner_step"}
"""What numbers a run's rows of each table of measurements."""

_STAGED = {
    table: Table(
        f"staged_{table.__tablename__}",
        MetaData(),
        *(Column(one.name, one.type) for one in inspect(table).columns),
        prefixes=["TEMPORARY"],
    )
    for table in _KEYS
}


class _Measured:
    """What an attempt has measured, on its way into the tables.

    All that takes time is done before other writers have to wait: on SQLite the rows are put into temporary tables of
    the connection, and one statement moves them under the file's only lock. On Postgres they are one value.
    With a set of values a row, rows would be sent one by one, and a process that is frozen between two of them would
    keep its locks: no time limit applies while the server waits for more.

    Attributes:
        reached: The learner step that the run has reached with them.
    """

    def __init__(self, claim: Claim, syncs: Entries, evals: Entries) -> None:
        reached: list[int] = [entry["learner_step"] + claim.steps_per_sync for entry in syncs]
        reached += [entry["learner_step"] for entry in evals]
        self.reached = max(reached, default=0)
        self._rows: dict[type[Base], Entries] = {}
        self._as_json: dict[type[Base], str] = {}
        its_keys = {"run_id": claim.run_id, "attempt": claim.attempt}
        for (table, key), entries in zip(_KEYS.items(), (syncs, evals), strict=True):
            if entries:  # what an entry lacks was not measured
                names = inspect(table).columns.keys()
                last = {entry[key]: entry for entry in entries}.values()
                self._rows[table] = [{name: entry.get(name) for name in names} | its_keys for entry in last]

    def stage(self, connection: Connection) -> None:
        """Bring the rows to the connection, before its write transaction begins."""
        for table, rows in self._rows.items():
            if connection.dialect.name == "postgresql":
                self._as_json[table] = to_json(rows, inf_nan_mode="strings").decode()
                continue
            connection.execute(CreateTable(_STAGED[table], if_not_exists=True))
            connection.execute(delete(_STAGED[table]))
            connection.execute(_STAGED[table].insert(), rows)

    def move(self, connection: Connection, *, replace: bool = True, last: Mapping[str, int] | None = None) -> None:
        """Insert the rows, up to the ``last`` of each key; replace those that are there already, or keep them."""
        for table in self._rows:
            values: dict[str, Any] = {"last": (last or {}).get(_KEYS[table], 2**63 - 1)}
            if table in self._as_json:
                values["rows"] = self._as_json[table]
            connection.execute(_insert(table, connection.dialect.name, replace), values)


@functools.cache
def _insert(table: type[Base], kind: str, replace: bool) -> Any:
    columns = inspect(table).columns
    source: Any = _STAGED[table]
    insert: Any = sqlite.insert(table)
    if kind == "postgresql":
        rows = func.json_to_recordset(cast(bindparam("rows", type_=String), JSON))
        typed = rows.table_valued(*(column(one.name, one.type) for one in columns))
        source, insert = typed.render_derived(with_types=True), postgresql.insert(table)
    wanted = select(source).where(source.c[_KEYS[table]] <= bindparam("last"))
    insert = insert.from_select(columns.keys(), wanted)
    keys = [one.name for one in inspect(table).primary_key]
    if not replace:
        return insert.on_conflict_do_nothing(index_elements=keys)
    replaced = {one.name: one for one in insert.excluded if one.name not in keys}
    return insert.on_conflict_do_update(index_elements=keys, set_=replaced)


def _is_unknown(connection: Connection, claim: Claim) -> bool:
    fence = connection.scalar(select(RunRow.fence).where(RunRow.id == claim.run_id).with_for_update())
    return fence is not None and claim.attempt > fence


def _stored_bytes(connection: Connection, claim: Claim) -> int | None:
    its_keys = {"of_run": claim.run_id, "of_attempt": claim.attempt}
    return connection.scalar(select(Attempt.journal_bytes).where(*_ITS_ATTEMPT), its_keys)


def _refuse(connection: Connection, claim: Claim) -> NoReturn:
    stored = _stored_bytes(connection, claim)
    if stored is None:
        raise Fenced(f"attempt {claim.attempt} of run {claim.run_id} is not known any more: a newer one took over")
    raise OutOfStep(stored)


def _kept_of(connection: Connection, claim: Claim) -> dict[str, int]:
    """The last sync and learner step of an older attempt that the newer ones have not dropped, as far as they did."""
    sync, step = connection.execute(
        select(
            func.min(func.coalesce(Attempt.resumed_from_sync, -1)),
            func.min(func.coalesce(Attempt.resumed_from_step, -1)),
        ).where(Attempt.run_id == claim.run_id, Attempt.number > claim.attempt)
    ).one()
    return {} if sync is None else {"sync": sync, "learner_step": step}  # else the run was cancelled, nothing resumed
