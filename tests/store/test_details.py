"""What people are shown of runs, how runs of all sweeps ended, and room in the file. On SQLite."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from grpo_worker.schema.records import FinishRecord
from orchestrator.attempt.recording import as_entry
from orchestrator.base.errors import SelectionError
from orchestrator.grid.sweep import Sweep
from orchestrator.store import attempts, details, fits, notices, outcomes, overview, queries, registration, removal
from orchestrator.store.attempts import Claim
from orchestrator.store.collect import Collected, collect
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt, RunRow, SyncMetric
from orchestrator.store.types import now, seconds_ago
from tests.support.lives import begun, launched
from tests.support.stores import ORIGIN, begin, eval_record, sync_record, write

Grid = Callable[..., Sweep]

NEVER_SAVED = {"resumed_from_sync": None, "resumed_from_step": None}


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


@pytest.fixture
def lived(store: Store, grid: Grid) -> Store:
    """Of four runs, run 1 in its second attempt, run 2 collapsed, run 3 begun."""
    registration.register(store, grid())
    write(store, begin(store, 1), *(sync_record(sync, reward=0.25) for sync in range(3)), eval_record(0, 0.75))
    write(store, begin(store, 1, sync=1, step=4, take_over=True), sync_record(2, reward=0.5))
    write(store, begin(store, 2), FinishRecord("collapsed", 30, "half", collapse_step=24, collapse_step_lo=16))
    begin(store, 3)
    return store


def test_a_run_with_its_cell_sweep_and_latest_measurements(lived: Store) -> None:
    with lived.read() as connection:
        found = details.run(connection, 1)
        expected = {
            "id": 1, "sweep": "demo", "source": "grid", "model": "tiny", "k": 2, "eta": 1e-3, "axes": {}, "seed": 0,
            "state": "running", "learner_steps": 6, "fence": 2, "horizon": 40, "sync": 2, "reward": 0.5,
            "val_reward": 0.75,
        }  # fmt: skip
        assert {name: found[name] for name in expected} == expected
        assert found["grid_text"].startswith("name: demo\n")
        waiting = details.run(connection, 4)
        assert [waiting[name] for name in ("state", "sync", "reward", "val_reward")] == ["pending", None, None, None]
        with pytest.raises(SelectionError, match="no run 9"):
            details.run(connection, 9)


def test_attempts_oldest_first_with_how_long_they_took_and_what_they_stored(lived: Store) -> None:
    with lived.write() as connection:
        times = {"started_at": seconds_ago(90.0), "heartbeat_at": seconds_ago(60.0)}
        connection.execute(update(Attempt).values(times))
        connection.execute(update(Attempt).where(Attempt.run_id == 1, Attempt.number == 1).values(ended_at=now()))
    with lived.read() as connection:
        first, second = details.attempts(connection, 1)
        assert details.attempts(connection, 4) == []
    assert [first[name] for name in ("number", "syncs", "evaluations", "outcome")] == [1, 2, 1, "lost"]
    assert [second[name] for name in ("number", "syncs", "evaluations", "outcome")] == [2, 1, 0, None]
    assert (first["host"], second["resumed_from_step"]) == ("node1", 4)
    assert first["duration_s"] == pytest.approx(90, abs=1), "to its end"
    assert second["duration_s"] == pytest.approx(30, abs=1), "to where it was last heard of"
    assert second["heartbeat_age_s"] == pytest.approx(60, abs=5)


def test_who_has_begun_is_one_process_of_one_run(lived: Store) -> None:
    """Other runs have an attempt of the same number, by the process that asks."""
    for changed in ({"pid": 1}, {"host": "node2"}, {"process_started_at": 2.5}):
        assert not attempts.begin(lived, Claim(3, 1), dataclasses.replace(ORIGIN, **changed), **NEVER_SAVED)  # type: ignore[arg-type]
    assert attempts.begin(lived, Claim(3, 1), ORIGIN, **NEVER_SAVED)
    assert not attempts.begin(lived, Claim(2, 1), ORIGIN, **NEVER_SAVED), "it has ended"
    assert not attempts.begin(lived, Claim(1, 1), ORIGIN, **NEVER_SAVED), "it was taken over"


def test_rows_are_counted_and_removed_in_batches_and_leave_room(lived: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "BATCH", 2)
    assert list(removal.batches([1, 2, 3])) == [[1, 2], [3]]
    with lived.read() as connection:
        assert removal.count(connection, [1, 2, 3]) == removal.Rows(attempts=4, syncs=3, evaluations=1)
        assert removal.count(connection, []) == removal.Rows(0, 0, 0)
        stored = removal.stored_journals(connection, [1, 2, 3, 4])
        assert stored == {1: {1: 1, 2: 1}, 2: {1: 1}, 3: {1: 0}}
        free = removal.free_bytes(connection)
    columns = {column.name: 0.0 for column in SyncMetric.__table__.columns}
    with lived.write() as connection:
        many = [columns | {"run_id": 2, "attempt": 1, "sync": sync, "learner_step": 2 * sync} for sync in range(2000)]
        connection.execute(insert(SyncMetric), many)
    leaving = [removal.Leaving(run_id, None, newest) for run_id, newest in ((2, 7), (3, 0), (4, 0))]
    assert removal.remove_runs(lived, leaving) == [3], "it is running"
    with lived.read() as connection:
        assert removal.free_bytes(connection) > free + 10 * 4096
        assert removal.count(connection, [2, 3, 4]) == removal.Rows(1, 0, 0)
        kept = [details.run(connection, run_id) for run_id in (2, 3, 4)]
    assert [run["fence"] for run in kept] == [8, 1, 1]
    assert [run["state"] for run in kept] == ["cancelled", "running", "cancelled"]
    assert removal.remove_runs(lived, leaving) == [3]
    with lived.read() as connection:
        assert details.run(connection, 2)["fence"] == 8, "it was removed before"


def test_how_runs_ended_in_any_sweep(lived: Store, grid: Grid) -> None:
    with lived.write() as connection:
        connection.execute(update(RunRow).where(RunRow.id == 4).values(state="cancelled", failure_class="decided"))
    ended = outcomes.outcomes(lived, ["tiny"])
    assert outcomes.outcomes(lived, ["large"]) == []
    ended.sort(key=lambda one: one.k)
    config = queries.run_configs(lived, [2])[2]
    assert ended[0] == outcomes.Outcome("tiny", "{}", 2, 1e-3, 1, 30, 24, config)
    assert (ended[1].k, ended[1].seed, ended[1].learner_steps, ended[1].collapse_step) == (8, 1, 0, None)
    assert len(ended) == 2
    assert queries.seeds(lived, 1) == {(("tiny", "{}"), (k, 1e-3), seed) for k in (2, 8) for seed in (0, 1)}
    assert set(queries.run_configs(lived, [2, 4])) == {2, 4}
    assert queries.run_resources(lived, 1).keys() == {1, 2, 3, 4}
    assert fits.detector_settings(lived, ["demo"]) == [
        {"fraction": config["collapse"]["fraction"], "min_evals": config["collapse"]["min_evals"]}
    ]
    assert fits.detector_settings(lived, ["other"]) == []


def test_an_overview_is_of_some_sweeps_and_one_model(lived: Store, grid: Grid) -> None:
    registration.register(lived, grid("second"))
    begin(lived, 5)
    with lived.write() as connection:
        connection.execute(update(Attempt).values(versions={"python": "3.11"}))
    with lived.read() as connection:
        assert [row[:2] for row in overview.sweeps(connection, ["second", "demo"])] == [
            ("demo", "grid"), ("second", "grid"),
        ]  # fmt: skip
        for names, model, runs in ((["demo"], None, 3), (["demo", "second"], "tiny", 4), (["demo"], "large", 0)):
            found = overview.provenance(connection, names, model)
            assert found["code"] == ([("0.1.0", None, None, runs)] if runs else [])
            assert found["hosts"] == ([("node1", None, runs)] if runs else [])
            assert overview.versions(connection, names, model) == ([{"python": "3.11"}] if runs else [])
        rows = overview.attempts(connection, ["demo"], "tiny")
    assert {row[:4] for row in rows} == {
        ("local", None, None, 2), ("local", "lost", "lost", 1), ("local", "collapsed", None, 1),
    }  # fmt: skip


def test_the_end_of_a_sweep_is_claimed_once(lived: Store) -> None:
    assert notices.claim_end(lived, "demo") is None, "two runs go on and one waits"
    with lived.write() as connection:
        connection.execute(update(RunRow).where(RunRow.id != 2).values(state="failed"))
    assert notices.claim_end(lived, "other") is None
    assert notices.claim_end(lived, "demo") == {"collapsed": 1, "failed": 3}
    assert notices.claim_end(lived, "demo") is None
    notices.unclaim(lived, "other")
    assert not notices.is_untold(lived, "demo")
    notices.unclaim(lived, "demo")
    assert notices.claim_end(lived, "demo", searched=True) == {"collapsed": 1, "failed": 3}


def test_journals_of_one_sweep_or_of_all_are_collected(store: Store, grid: Grid, runs_folder: Path) -> None:
    sweep_ids = [registration.register(store, grid(name)) for name in ("demo", "second")]
    for sweep_id in sweep_ids:
        for directory in launched(store, sweep_id).values():
            attempt = begun(None, directory)
            attempt.journal.append(*as_entry(eval_record(0)))
            attempt.journal.close()
    assert collect(store, sweep_ids[1]) == Collected(records=8, runs=4, notes=[])
    assert {run.state for run in queries.progress(store, sweep_ids[0])} == {"pending"}
    assert {run.state for run in queries.progress(store, sweep_ids[1])} == {"running"}
    assert collect(store) == Collected(records=8, runs=4, notes=[])
    assert collect(store) == Collected()
