"""Many rows at once: as exact as one by one, whether or not they are there already."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from orchestrator.attempt.recording import as_entry
from orchestrator.base.errors import StoreError
from orchestrator.grid.sweep import Sweep
from orchestrator.rundir.journal import Chunk
from orchestrator.store import queries, registration
from orchestrator.store.models import SyncMetric
from orchestrator.store.prepared import upsert_all
from orchestrator.store.store import Store
from tests.support.stores import begin, sync_record

pytestmark = pytest.mark.services

MANY = 120
SPECIAL = {"reward": math.nan, "reward_std": math.inf, "ratio_max": -math.inf, "val_reward": None, "lag_max": 2**40}


@pytest.fixture
def run_id(store: Store, grid: Callable[..., Sweep]) -> int:
    return queries.unfinished_runs(store, registration.register(store, grid(k=[2], seed=[0])))[0]


def entries(first: int, last: int, **values: Any) -> list[dict[str, Any]]:
    found = [as_entry(sync_record(sync, **values)) for sync in range(first, last)]
    return [{"record": kind, "elapsed_s": 1.0, **fields} for kind, fields in found]


def rows(store: Store) -> list[str]:
    with store.read() as connection:
        return [repr(row) for row in connection.execute(select(SyncMetric.__table__).order_by(SyncMetric.sync))]


def test_many_rows_are_those_of_one_by_one(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    for place, entry in enumerate(entries(0, MANY, **SPECIAL)):
        store.ingest(claim, Chunk([entry], place, place + 1, []))
    one_by_one = rows(store)
    assert len(one_by_one) == MANY
    with store.write() as connection:
        connection.exec_driver_sql("DELETE FROM sync_metric")
    store.ingest(claim, Chunk(entries(0, MANY, **SPECIAL), MANY, MANY + 1, []))
    assert rows(store) == one_by_one


def test_rows_that_are_there_are_replaced(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    store.ingest(claim, Chunk(entries(MANY - 1, MANY, reward=0.25), 0, 1, []))
    store.ingest(claim, Chunk(entries(0, MANY, reward=0.75), 1, 2, []))
    with store.read() as connection:
        assert set(connection.scalars(select(SyncMetric.reward))) == {0.75}
        assert len(connection.scalars(select(SyncMetric.sync)).all()) == MANY


def test_of_rows_that_are_refused_none_is_stored(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    with pytest.raises(StoreError, match=r"ck_sync_metric_learner_step"), store.write() as connection:
        keys = {"run_id": run_id, "attempt": claim.attempt}
        upsert_all(connection, SyncMetric, keys, [*entries(0, MANY), *entries(MANY, MANY + 1, learner_step=-1)])
    assert rows(store) == []
