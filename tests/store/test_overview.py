"""What a report reads of many runs, on both databases."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from grpo_worker.schema.records import FinishRecord, StartRecord
from orchestrator.grid.sweep import Sweep
from orchestrator.store import attempts, overview, queries, registration
from orchestrator.store.database import Store
from tests.support.stores import begin, sync_record, write

pytestmark = pytest.mark.services

Grid = Callable[..., Sweep]


def test_attempts_and_where_they_ran(store: Store, grid: Grid) -> None:
    done, failed, running, *_ = queries.unfinished_runs(store, registration.register(store, grid()))
    other, *_ = queries.unfinished_runs(store, registration.register(store, grid("other")))
    claim = begin(store, done)
    write(store, claim, StartRecord(None, None, 1, "cpu", {"torch": "2.13"}, 1, 0.1), sync_record(0))
    write(store, claim, FinishRecord("stable", 40, "half", None, None, None))
    attempts.abort(store, begin(store, failed), "OSError: no space")
    begin(store, running)
    begin(store, other)
    with store.read() as connection:
        found = overview.attempts(connection, ["demo"], None)
        assert overview.attempts(connection, ["demo"], "no such model") == []
        made_by = overview.provenance(connection, ["demo"], None)
        assert overview.versions(connection, ["demo", "other"], None) == [{"torch": "2.13"}]
        [(name, source, *_, text)] = overview.sweeps(connection, ["other"])
    assert sorted(str(row[1]) for row in found) == ["None", "failed", "stable"]
    assert all(executor == "local" and count == 1 and seconds >= 0 for executor, _, _, count, seconds in found)
    assert [row[-1] for row in made_by["code"]] == [3]
    assert sorted(map(str, (device for _, device, _ in made_by["hosts"]))) == ["None", "cpu"]
    assert (name, source) == ("other", "grid") and "other" in text
