"""The short way of one weight sync into the database: as exact as the long one, also where the server crashes."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from grpo_worker.schema.records import FinishRecord
from orchestrator.attempt.recording import as_entry
from orchestrator.base.errors import OutOfStep, StoreError, StoreUnavailable
from orchestrator.grid.sweep import Sweep
from orchestrator.rundir.journal import Chunk, Journal
from orchestrator.store import fits, queries, registration, schema
from orchestrator.store.models import Attempt, Fit, Run, SyncMetric
from orchestrator.store.session import create_engine_for, driver_connection, transaction
from orchestrator.store.sqlite_lock import begin_writing
from orchestrator.store.store import Claim, Store
from tests.support.servers import PASSWORD, Server, own_server
from tests.support.stores import ORIGIN, begin, sync_record

pytestmark = pytest.mark.services

SPECIAL = {
    "reward": math.nan,
    "reward_std": math.inf,
    "ratio_max": -math.inf,
    "val_reward": None,
    "kl_behavior": 5e-324,
}


@pytest.fixture
def run_id(store: Store, grid: Callable[..., Sweep]) -> int:
    return queries.unfinished_runs(store, registration.register(store, grid(k=[2], seed=[0])))[0]


def entry(sync: int, **values: Any) -> dict[str, Any]:
    kind, fields = as_entry(sync_record(sync, **values))
    return {"record": kind, "elapsed_s": 1.0, **fields}


def everything(store: Store) -> list[str]:
    with store.read() as connection:
        return [
            repr(row) for table in (Run, Attempt, SyncMetric) for row in connection.execute(select(table.__table__))
        ]


@pytest.mark.parametrize("syncs", [1, 3])
def test_one_row_and_several_are_stored_alike(store: Store, run_id: int, syncs: int) -> None:
    entries = [entry(sync, **SPECIAL, lag_max=2**40) for sync in range(syncs)]
    store.ingest(begin(store, run_id), Chunk(entries, 0, 100, []))
    with store.read() as connection:
        rows = connection.execute(select(SyncMetric.__table__).order_by(SyncMetric.sync)).mappings().all()
        attempt, run = connection.execute(select(Attempt.journal_bytes, Run.learner_steps).join(Run)).one()
    assert (attempt, run, len(rows)) == (100, 2 * syncs, syncs)
    for row, written in zip(rows, entries, strict=True):
        assert {name: repr(value) for name, value in row.items() if name not in ("run_id", "attempt")} == {
            name: repr(value) for name, value in written.items() if name not in ("record", "elapsed_s")
        }


@pytest.mark.parametrize("syncs", [1, 3])
def test_a_metric_that_an_older_version_did_not_record_is_missing(store: Store, run_id: int, syncs: int) -> None:
    entries = [entry(sync) for sync in range(syncs)]
    del entries[0]["ess_token"]
    store.ingest(begin(store, run_id), Chunk(entries, 0, 100, []))
    with store.read() as connection:
        stored = connection.scalars(select(SyncMetric.ess_token).order_by(SyncMetric.sync)).all()
    assert stored == [None, 0.5, 0.5][:syncs]


@pytest.mark.parametrize("syncs", [1, 2])
def test_what_is_out_of_step_changes_nothing(store: Store, run_id: int, syncs: int) -> None:
    claim = begin(store, run_id)
    store.ingest(claim, Chunk([entry(0)], 0, 100, []))
    before = everything(store)
    with pytest.raises(OutOfStep) as caught:
        store.ingest(claim, Chunk([entry(sync) for sync in range(1, 1 + syncs)], 150, 200, []))
    assert caught.value.stored == 100
    assert everything(store) == before


def test_what_a_constraint_refuses_changes_nothing_and_the_next_is_stored(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    before = everything(store)
    with pytest.raises(StoreError, match="learner_step"):
        store.ingest(claim, Chunk([entry(0, learner_step=-1)], 0, 100, []))
    assert everything(store) == before
    store.ingest(claim, Chunk([entry(0)], 0, 100, []))


def test_a_body_that_fails_leaves_neither_a_transaction_nor_a_mode_behind(url: str) -> None:
    schema.upgrade(url)
    engine = create_engine_for(url)
    with pytest.raises(ZeroDivisionError), driver_connection(engine) as driver:
        driver.execute("BEGIN" if engine.dialect.name == "postgresql" else "BEGIN IMMEDIATE")
        _ = 1 / 0
    with Store(url) as other:  # would wait for a lock that was left behind
        fits.save(other, sweeps=[], run_ids=[], detector="none", result={})
    with pytest.raises(ZeroDivisionError), transaction(engine, write=True) as connection:
        connection.execute(delete(Fit))
        _ = 1 / 0
    with transaction(engine, write=False) as connection:
        assert connection.scalar(select(func.count()).select_from(Fit)) == 1
    engine.dispose()


# SQLite

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[float], Path]]:
    """Another process holds a file's write lock, and is killed or ends with it."""
    processes: list[subprocess.Popen[str]] = []

    def hold(seconds: float) -> Path:
        path = tmp_path / "held.db"
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=-1, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return path

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def test_a_writer_takes_the_lock_soon_after_another_has_let_go(holder: Callable[[float], Path]) -> None:
    with closing(sqlite3.connect(holder(0.5), isolation_level=None, timeout=7.0)) as connection:
        started = time.monotonic()
        begin_writing(connection)
        assert connection.in_transaction
        assert 0.2 < time.monotonic() - started < 5.0
        connection.execute("ROLLBACK")


def test_waiting_ends(holder: Callable[[float], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.store.sqlite_lock.BUSY_TIMEOUT_S", 0.3)
    with closing(sqlite3.connect(holder(60.0), isolation_level=None)) as connection:
        started = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            begin_writing(connection)
        assert 0.3 <= time.monotonic() - started < 5.0
        assert not connection.in_transaction
        # Other statements wait as before, as SQLite does it.
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (300,)


# Postgres


@pytest.fixture
def server() -> Iterator[Server]:
    # It writes its log to disk only when a transaction waits for it: all others are lost in a crash.
    with own_server(wal_writer_delay="10s", checkpoint_timeout="1h", fsync="on") as server:
        yield server


def test_only_a_connection_that_has_rested_is_asked_whether_it_serves(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine_for(server.url(password=PASSWORD))

    def ask() -> None:
        with transaction(engine, write=True) as connection:
            connection.exec_driver_sql("SELECT 1")

    for rest_s, after_a_restart in ((0.0, nullcontext()), (1000.0, pytest.raises(StoreUnavailable))):
        monkeypatch.setattr("orchestrator.store.session._REST_S", rest_s)
        ask()
        server.stop()
        server.start()
        with after_a_restart:
            ask()
        ask()
    engine.dispose()


def bring(store: Store, claim: Claim, journal: Journal, start: int) -> int:
    """As a recording does: what the journal holds beyond what is stored."""
    while (chunk := journal.read(start)).entries:
        try:
            store.ingest(claim, chunk)
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
        run_id = queries.unfinished_runs(store, registration.register(store, grid(k=[2], seed=[0])))[0]
        claim = begin(store, run_id)
        journal = Journal.reserve(tmp_path, 0)
        stored = 0
        for sync in range(10):
            journal.append(*as_entry(sync_record(sync)))
            stored = bring(store, claim, journal, stored)
        server.stop("immediate")
        server.start()
        with Store(url) as other, other.read() as connection:
            survived = connection.scalars(select(SyncMetric.sync)).all()
            assert connection.execute(select(Attempt.host)).scalars().all() == [ORIGIN.host]  # what began it is there
        assert len(survived) < 10  # else the writer waited for the disk at each sync

        journal.append(*as_entry(FinishRecord("stable", 40, "none")))
        stored = bring(store, claim, journal, stored)
        server.stop("immediate")
        server.start()
    with Store(url) as other, other.read() as connection:
        assert connection.scalars(select(SyncMetric.sync).order_by(SyncMetric.sync)).all() == list(range(10))
        assert connection.execute(select(Run.state, Attempt.outcome, Attempt.journal_bytes).join(Run)).one() == (
            "stable", "stable", stored,
        )  # fmt: skip
