"""The way of records into the database: exact to the bit, all or none, also where the server crashes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from grpo_worker.schema.records import FinishRecord
from orchestrator.attempt.recording import as_entry
from orchestrator.base.errors import OutOfStep, StoreError, StoreUnavailable
from orchestrator.grid.sweep import Sweep
from orchestrator.rundir import journal
from orchestrator.rundir.journal import Chunk
from orchestrator.rundir.writing import Journal
from orchestrator.store import fits, queries, registration, schema
from orchestrator.store.attempts import Claim
from orchestrator.store.database import Store
from orchestrator.store.ingest import ingest
from orchestrator.store.models import Attempt, Fit, RunRow, SyncMetric
from orchestrator.store.session import create_engine_for, transaction
from tests.support.servers import PASSWORD, Server, own_server
from tests.support.stores import ORIGIN, begin, sync_record

pytestmark = pytest.mark.services

SPECIAL = {
    "reward": math.nan,
    "reward_std": math.inf,
    "ratio_max": -math.inf,
    "val_reward": None,
    "kl_behavior": 5e-324,
    "lag_max": 2**40,
}


@pytest.fixture
def run_id(store: Store, grid: Callable[..., Sweep]) -> int:
    return a_run(store, grid)


def a_run(store: Store, grid: Callable[..., Sweep]) -> int:
    return queries.unfinished_runs(store, registration.register(store, grid(k=[2], seed=[0])))[0]


def entry(sync: int, **values: Any) -> dict[str, Any]:
    kind, fields = as_entry(sync_record(sync, **values))
    return {"record": kind, "elapsed_s": 1.0, **fields}


def everything(store: Store) -> list[str]:
    with store.read() as connection:
        return [
            repr(row) for table in (RunRow, Attempt, SyncMetric) for row in connection.execute(select(table.__table__))
        ]


@pytest.mark.parametrize("syncs", [1, 3, 120])
def test_rows_are_what_the_journal_holds(store: Store, run_id: int, syncs: int) -> None:
    entries = [entry(sync, **SPECIAL) for sync in range(syncs)]
    ingest(store, begin(store, run_id), Chunk(entries, 0, 100, []))
    with store.read() as connection:
        rows = connection.execute(select(SyncMetric.__table__).order_by(SyncMetric.sync)).mappings().all()
        attempt, run, horizon = connection.execute(
            select(Attempt.journal_bytes, RunRow.learner_steps, RunRow.horizon).join(RunRow)
        ).one()
    assert (attempt, run, len(rows)) == (100, min(2 * syncs, horizon), syncs)
    for row, written in zip(rows, entries, strict=True):
        assert {name: repr(value) for name, value in row.items() if name not in ("run_id", "attempt")} == {
            name: repr(value) for name, value in written.items() if name not in ("record", "elapsed_s")
        }


def test_a_metric_that_an_older_version_did_not_record_is_missing(store: Store, run_id: int) -> None:
    entries = [entry(sync) for sync in range(3)]
    del entries[0]["ess_token"]
    ingest(store, begin(store, run_id), Chunk(entries, 0, 100, []))
    with store.read() as connection:
        stored = connection.scalars(select(SyncMetric.ess_token).order_by(SyncMetric.sync)).all()
    assert stored == [None, 0.5, 0.5]


def test_rows_that_are_there_are_replaced(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    ingest(store, claim, Chunk([entry(119, reward=0.25)], 0, 1, []))
    ingest(store, claim, Chunk([entry(sync, reward=0.75) for sync in range(120)], 1, 2, []))
    with store.read() as connection:
        assert connection.scalars(select(SyncMetric.reward)).all() == [0.75] * 120


@pytest.mark.parametrize("syncs", [1, 2])
def test_what_is_out_of_step_changes_nothing(store: Store, run_id: int, syncs: int) -> None:
    claim = begin(store, run_id)
    ingest(store, claim, Chunk([entry(0)], 0, 100, []))
    before = everything(store)
    with pytest.raises(OutOfStep) as caught:
        ingest(store, claim, Chunk([entry(sync) for sync in range(1, 1 + syncs)], 150, 200, []))
    assert caught.value.stored == 100
    assert everything(store) == before


@pytest.mark.parametrize("before_it", [0, 120])
def test_of_rows_of_which_a_constraint_refuses_one_none_is_stored(store: Store, run_id: int, before_it: int) -> None:
    claim = begin(store, run_id)
    before = everything(store)
    entries = [*(entry(sync) for sync in range(before_it)), entry(before_it, learner_step=-1)]
    with pytest.raises(StoreError, match="ck_sync_metric_learner_step"):
        ingest(store, claim, Chunk(entries, 0, 100, []))
    assert everything(store) == before
    ingest(store, claim, Chunk([entry(0)], 0, 100, []))


def test_a_transaction_that_fails_leaves_no_lock_and_no_change(url: str) -> None:
    schema.upgrade(url)
    with Store(url) as store, Store(url) as other:
        fits.save(store, sweeps=[], run_ids=[], detector="none", result={})
        with pytest.raises(ZeroDivisionError), store.write() as connection:
            connection.execute(delete(Fit))
            _ = 1 / 0
        with other.write() as connection:  # would wait for a lock that was left behind
            assert connection.scalar(select(func.count()).select_from(Fit)) == 1


# Postgres


@pytest.fixture
def server() -> Iterator[Server]:
    # It writes its log to disk only when a transaction waits for it: all others would be lost in a crash.
    with own_server(wal_writer_delay="10s", checkpoint_timeout="1h", fsync="on") as server:
        yield server


def test_a_server_that_restarts_gets_a_new_connection(server: Server) -> None:
    engine = create_engine_for(server.url(password=PASSWORD))
    for _ in range(2):
        with transaction(engine, write=True) as connection:
            connection.exec_driver_sql("SELECT 1")
        server.stop()
        server.start()
    with transaction(engine, write=False) as connection:
        connection.exec_driver_sql("SELECT 1")
    engine.dispose()


def bring(store: Store, claim: Claim, path: Path, start: int) -> int:
    """Store what a journal holds beyond what is stored."""
    while (chunk := journal.read(path, start)).entries:
        try:
            ingest(store, claim, chunk)
            start = chunk.end
        except OutOfStep as other:
            start = other.stored
        except StoreUnavailable:
            time.sleep(0.05)
    return start


def test_a_server_that_crashes_loses_nothing(server: Server, grid: Callable[..., Sweep], tmp_path: Path) -> None:
    url = server.url(password=PASSWORD)
    schema.upgrade(url)
    with Store(url) as store:
        claim = begin(store, a_run(store, grid))
        mine = Journal.reserve(tmp_path, 0)
        stored = 0
        for sync in range(10):
            mine.append(*as_entry(sync_record(sync)))
            stored = bring(store, claim, mine.path, stored)
        server.stop("immediate")
        server.start()
        with Store(url) as other, other.read() as connection:
            assert len(connection.scalars(select(SyncMetric.sync)).all()) == 10
            assert connection.execute(select(Attempt.host)).scalars().all() == [ORIGIN.host]

        mine.append(*as_entry(FinishRecord("stable", 40, "none")))
        stored = bring(store, claim, mine.path, stored)
        server.stop("immediate")
        server.start()
        mine.close()
    with Store(url) as other, other.read() as connection:
        assert connection.scalars(select(SyncMetric.sync).order_by(SyncMetric.sync)).all() == list(range(10))
        assert connection.execute(select(RunRow.state, Attempt.outcome, Attempt.journal_bytes).join(RunRow)).one() == (
            "stable", "stable", stored,
        )  # fmt: skip
