"""The store: one identity per run, one writer per run, every number as it was measured."""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from grpo_worker.schema.records import FinishRecord, Outcome, StartRecord, SyncRecord
from orchestrator.base.errors import Fenced, SelectionError, StoreError, SweepConflict
from orchestrator.grid.sweep import Sweep, load_sweep
from orchestrator.store import attempts, fits, queries, registration, submissions
from orchestrator.store.attempts import Claim
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt, Evaluation, RunRow, SyncMetric
from orchestrator.store.outcomes import Outcome as HowItEnded
from orchestrator.store.session import create_engine_for, transaction
from tests.support.stores import ORIGIN, begin, config_of, eval_record, next_claim, sync_record, write

pytestmark = pytest.mark.services

Grid = Callable[..., Sweep]

OTHER = dataclasses.replace(ORIGIN, pid=ORIGIN.pid + 1)

FLOATS = (math.nan, math.inf, -math.inf, 5e-324, 1 / 3, 1.7976931348623157e308)


def rows(store: Store, model: Any, *columns: str) -> list[tuple[Any, ...]]:
    chosen = [getattr(model, column) for column in columns]
    with store.read() as connection:
        return [tuple(row) for row in connection.execute(select(*chosen).order_by(*chosen))]


def state(store: Store, run_id: int) -> tuple[str, str | None]:
    with store.read() as connection:
        found = connection.execute(select(RunRow.state, RunRow.failure).where(RunRow.id == run_id)).one()
    return found.state, found.failure


def same(left: object, right: object) -> bool:
    return repr(left) == repr(right)  # tells NaN from None, and holds every bit


# Sweeps


def test_registering_twice_changes_nothing(store: Store, grid: Grid) -> None:
    sweep = grid(eta=[1e-4, 1e-3])
    sweep_id = registration.register(store, sweep)
    before = rows(store, RunRow, "id", "cell_id", "seed", "config_digest", "updated_at")
    assert registration.register(store, sweep) == sweep_id == queries.sweep_id(store, "demo")
    assert rows(store, RunRow, "id", "cell_id", "seed", "config_digest", "updated_at") == before
    assert queries.unfinished_runs(store, sweep_id) == [row[0] for row in before]


def test_a_run_is_stored_whole(store: Store, grid: Grid) -> None:
    sweep = grid(eta=[1e-4], clip_eps=[0.2, 1.0])
    runs = queries.unfinished_runs(store, registration.register(store, sweep))
    assert [config_of(store, run) for run in runs] == [run.config for run in sweep.runs]
    digests = dict(rows(store, RunRow, "id", "config_digest"))
    assert [digests[run] for run in runs] == [run.config.digest for run in sweep.runs]
    progress = queries.progress(store, 1)
    assert [(p.model, p.k, p.eta, p.seed) for p in progress] == [
        (run.cell.model, run.cell.k, run.cell.eta, run.seed) for run in sweep.runs
    ]
    assert [p.axes for p in progress] == [dict(run.cell.axes) for run in sweep.runs]
    assert {p.axes["clip_eps"] for p in progress} == {0.2, 1.0}


def test_an_edited_grid_is_refused_with_its_difference(store: Store, grid: Grid) -> None:
    registration.register(store, grid())
    with pytest.raises(SweepConflict, match="stored with another grid") as caught:
        registration.register(store, grid(eta=[2e-3]))
    assert "-  eta: [0.001]\n+  eta: [0.002]" in str(caught.value)
    assert len(rows(store, RunRow, "id")) == 4


def test_extending_adds_runs_in_grid_order_and_keeps_the_others(store: Store, grid: Grid) -> None:
    sweep_id = registration.register(store, grid(k=[2, 32]))
    begin(store, 1)
    wider = grid(k=[2, 8, 32], seed=[0, 1, 2])
    assert registration.register(store, wider, extend=True) == sweep_id
    progress = queries.progress(store, sweep_id)
    assert sorted((p.k, p.seed) for p in progress) == sorted((run.cell.k, run.seed) for run in wider.runs)
    assert [p.k for p in progress] == [2, 2, 2, 8, 8, 8, 32, 32, 32]
    assert [p.run_id for p in progress if p.run_id <= 4] == [1, 2, 3, 4]
    assert state(store, 1) == ("running", None)
    assert registration.register(store, wider) == sweep_id, "the wider grid is now the sweep's"


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"k": [2]}, "removes 2 and changes 0"),
        ({"seed": [0]}, "removes 2 and changes 0"),
        ({"horizon": 80}, "removes 0 and changes 4"),
        ({"clip_eps": [0.2]}, "removes 4 and changes 0"),
    ],
)
def test_extending_may_not_remove_or_change(store: Store, grid: Grid, axes: dict[str, Any], message: str) -> None:
    registration.register(store, grid())
    with pytest.raises(SweepConflict, match=message):
        registration.register(store, grid(**{"eta": [1e-3, 2e-3], **axes}), extend=True)
    assert len(rows(store, RunRow, "id")) == 4


def test_ten_thousand_runs_register_in_seconds(store: Store, grid: Grid) -> None:
    sweep = grid(k=list(range(1, 101)), eta=[1e-4 * i for i in range(1, 11)], seed=list(range(10)))
    start = time.perf_counter()
    sweep_id = registration.register(store, sweep)
    assert time.perf_counter() - start < 20, "a few seconds on an idle machine"
    assert len(queries.unfinished_runs(store, sweep_id)) == 10_000
    submissions.set_queued(store, queries.unfinished_runs(store, sweep_id))
    assert {p.state for p in queries.progress(store, sweep_id)} == {"queued"}


def test_names_that_are_not_there(store: Store, grid: Grid) -> None:
    with pytest.raises(SelectionError, match="no sweep named 'demo'; the database holds none yet"):
        queries.sweep_id(store, "demo")
    for name in ("quickstart", "replicates"):
        registration.register(store, grid(name))
    assert queries.sweep_names(store) == ["quickstart", "replicates"]
    with pytest.raises(SelectionError, match=r"no sweep named 'quickstrat'; did you mean 'quickstart'\?"):
        queries.sweep_id(store, "quickstrat")
    with pytest.raises(SelectionError, match="stored sweeps: quickstart, replicates"):
        queries.sweep_id(store, "xyz")
    with pytest.raises(SelectionError, match="no run 99"):
        attempts.begin(store, Claim(99, 1), ORIGIN, resumed_from_sync=None, resumed_from_step=None)


# Attempts


@pytest.fixture
def run_id(store: Store, grid: Grid) -> int:
    return queries.unfinished_runs(store, registration.register(store, grid()))[0]


def finish_record(outcome: Outcome, **values: Any) -> FinishRecord:
    return FinishRecord(outcome, learner_steps=40, detector="half", **values)


def test_one_attempt_at_a_time(store: Store, run_id: int) -> None:
    begin(store, run_id)
    assert not attempts.begin(store, next_claim(store, run_id), OTHER, resumed_from_sync=None, resumed_from_step=None)
    assert begin(store, run_id, take_over=True) == Claim(run_id, 2)
    first, second = rows(store, Attempt, "number", "outcome", "failure")
    assert first == (1, "lost", "attempt 2 took over")
    assert second == (2, None, None)


@pytest.mark.parametrize(
    ("record", "state_after", "finished"),
    [
        (
            finish_record("collapsed", collapse_step=16, collapse_step_lo=8, collapse_sync=8),
            ("collapsed", None),
            True,
        ),
        (finish_record("degraded"), ("degraded", None), True),
        (finish_record("stable"), ("stable", None), True),
        (finish_record("diverged", detail="loss is not finite"), ("failed", "diverged: loss is not finite"), True),
        (finish_record("interrupted"), ("pending", None), False),
    ],
)
def test_outcomes(
    store: Store, run_id: int, record: FinishRecord, state_after: tuple[str, str | None], finished: bool
) -> None:
    write(store, begin(store, run_id), record)
    assert state(store, run_id) == state_after
    assert rows(store, Attempt, "outcome", "failure") == [(record.outcome, state_after[1])]
    assert (run_id not in queries.unfinished_runs(store, 1)) == finished
    assert queries.progress(store, 1)[0].collapse_step == record.collapse_step
    result = rows(store, RunRow, "collapse_step", "collapse_step_lo", "collapse_sync", "learner_steps", "id")
    expected = (record.collapse_step, record.collapse_step_lo, record.collapse_sync, 40, run_id)
    assert expected in result
    again = next_claim(store, run_id)
    assert finished != attempts.begin(
        store, again, ORIGIN, resumed_from_sync=None, resumed_from_step=None, take_over=True
    )


def test_who_asks_twice_has_begun_once(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    begin(store, run_id + 1)  # of another run, with the same number and in the same process
    assert attempts.begin(store, claim, ORIGIN, resumed_from_sync=None, resumed_from_step=None)
    assert not attempts.begin(store, claim, OTHER, resumed_from_sync=None, resumed_from_step=None, take_over=True)
    assert rows(store, Attempt, "run_id", "number") == [(run_id, 1), (run_id + 1, 1)]


def test_failed_lost_and_retried(store: Store, run_id: int) -> None:
    attempts.abort(store, begin(store, run_id), "CheckpointError: damaged")
    assert state(store, run_id) == ("failed", "CheckpointError: damaged")
    assert run_id in queries.unfinished_runs(store, 1)

    again = next_claim(store, run_id)
    requeued = attempts.begin(store, again, OTHER, resumed_from_sync=None, resumed_from_step=None, take_over=True)
    assert not requeued, "what failed is not tried again before somebody launches it"
    submissions.set_queued(store, [run_id])
    assert state(store, run_id) == ("queued", None)
    claim = begin(store, run_id)
    attempts.lose(store, claim, "process 4242 is gone")
    assert state(store, run_id) == ("lost", "process 4242 is gone")
    attempts.lose(store, claim, "seen again")
    assert state(store, run_id) == ("lost", "process 4242 is gone")

    submissions.set_pending(store, [run_id])
    assert state(store, run_id) == ("pending", None)
    assert rows(store, Attempt, "number", "outcome", "failure") == [
        (1, "failed", "CheckpointError: damaged"),
        (2, "lost", "process 4242 is gone"),
    ]


def test_losing_does_not_touch_what_has_ended_or_goes_on(store: Store, run_id: int) -> None:
    old = begin(store, run_id)
    new = begin(store, run_id, take_over=True)
    attempts.lose(store, old, "gone")
    assert state(store, run_id) == ("running", None)
    write(store, new, finish_record("stable"))
    attempts.lose(store, new, "gone")
    assert state(store, run_id) == ("stable", None)


def test_running_and_finished_runs_are_not_reset(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    submissions.set_queued(store, [run_id])
    assert state(store, run_id) == ("running", None)
    write(store, claim, finish_record("stable"))
    submissions.set_pending(store, [run_id])
    assert state(store, run_id) == ("stable", None)


def test_an_older_attempt_leaves_no_rows_and_changes_no_state(store: Store, run_id: int) -> None:
    old = begin(store, run_id)
    write(store, old, sync_record(0))
    new = begin(store, run_id, take_over=True)
    for record in (sync_record(1), eval_record(2), finish_record("stable")):
        write(store, old, record)
    for refused in (lambda: attempts.followed_run(store, old), lambda: attempts.abort(store, old, "error")):
        with pytest.raises(Fenced, match=f"attempt 1 of run {run_id} may not write any more"):
            refused()
    assert rows(store, SyncMetric, "sync") == rows(store, Evaluation, "learner_step") == []
    write(store, new, sync_record(0))
    assert rows(store, SyncMetric, "sync", "attempt") == [(0, 2)]
    assert state(store, run_id) == ("running", None)
    assert rows(store, Attempt, "number", "outcome") == [(1, "lost"), (2, None)]


def test_what_a_newer_attempt_goes_on_from_is_stored_when_an_older_journal_is_brought_late(
    store: Store, run_id: int
) -> None:
    old = begin(store, run_id)
    begin(store, run_id, sync=2, step=6, take_over=True)
    write(store, old, *(sync_record(sync) for sync in range(5)), *(eval_record(step) for step in (0, 4, 6, 7, 8)))
    assert rows(store, SyncMetric, "sync", "attempt") == [(0, 1), (1, 1), (2, 1)]
    assert rows(store, Evaluation, "learner_step") == [(0,), (4,), (6,)]
    begin(store, run_id, sync=0, step=3, take_over=True)
    write(store, old, sync_record(1), eval_record(4), eval_record(2))
    assert rows(store, SyncMetric, "sync") == [(0,)]
    assert rows(store, Evaluation, "learner_step") == [(0,), (2,)]
    begin(store, run_id, take_over=True)
    write(store, old, sync_record(0), eval_record(0))
    assert rows(store, SyncMetric, "sync") == rows(store, Evaluation, "learner_step") == []


def test_an_attempt_that_was_taken_over_ended_when_it_was_last_seen(store: Store, run_id: int) -> None:
    begin(store, run_id)
    time.sleep(0.05)
    begin(store, run_id, take_over=True)
    old, new = rows(store, Attempt, "number", "heartbeat_at", "ended_at", "outcome")
    assert old == (1, old[1], old[1], "lost")
    assert (new[1] - old[1]).total_seconds() >= 0.05


def test_resuming_drops_what_lies_past_the_checkpoint(store: Store, run_id: int) -> None:
    first = begin(store, run_id)
    for sync in range(6):
        write(store, first, sync_record(sync))
        write(store, first, eval_record(2 * sync))
    other = begin(store, run_id + 1)
    write(store, other, sync_record(9))

    second = begin(store, run_id, sync=3, step=8, take_over=True)
    assert rows(store, SyncMetric, "run_id", "sync") == [
        *((run_id, sync) for sync in range(4)),
        (run_id + 1, 9),
    ]
    assert rows(store, Evaluation, "learner_step") == [(0,), (2,), (4,), (6,), (8,)]
    assert queries.progress(store, 1)[0].learner_steps == 8
    write(store, second, sync_record(4))
    assert rows(store, SyncMetric, "sync", "attempt")[3:5] == [(3, 1), (4, 2)]

    begin(store, run_id, take_over=True)
    assert rows(store, SyncMetric, "run_id") == [(run_id + 1,)]
    assert rows(store, Evaluation, "run_id") == []


def test_the_start_of_an_attempt(store: Store, run_id: int) -> None:
    start = StartRecord(None, None, parameters=1, device="cpu", versions={"python": "3.11"}, threads=1, setup_s=0.5)
    write(store, begin(store, run_id), start)
    assert rows(store, Attempt, "parameters", "device", "setup_s") == [(1, "cpu", 0.5)]
    with store.read() as connection:
        assert connection.scalar(select(Attempt.versions)) == {"python": "3.11"}


def test_a_worker_that_resumed_from_an_older_checkpoint_than_its_attempt_drops_what_lies_past_it(
    store: Store, run_id: int
) -> None:
    first = begin(store, run_id)
    write(store, first, *(sync_record(sync) for sync in range(4)), *(eval_record(step) for step in (0, 4, 8)))
    second = begin(store, run_id, sync=3, step=8, take_over=True)
    assert len(rows(store, SyncMetric, "sync")) == 4
    write(store, second, StartRecord(1, 5, parameters=1, device="cpu", versions={}, threads=1, setup_s=0.5))
    resumed = rows(store, Attempt, "number", "resumed_from_sync", "resumed_from_step")
    assert resumed == [(1, None, None), (2, 1, 5)]
    assert rows(store, SyncMetric, "sync") == [(0,), (1,)]
    assert rows(store, Evaluation, "learner_step") == [(0,), (4,)]


def test_writing_again_replaces(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    for reward in (0.1, 0.2):
        write(store, claim, sync_record(0, reward=reward))
        write(store, claim, eval_record(0, reward))
    assert rows(store, SyncMetric, "sync", "reward") == [(0, 0.2)]
    assert rows(store, Evaluation, "learner_step", "val_reward") == [(0, 0.2)]


@pytest.mark.parametrize("value", [*FLOATS, None])
def test_every_float_comes_back_as_it_was(store: Store, run_id: int, value: float | None) -> None:
    claim = begin(store, run_id)
    record = sync_record(0, val_reward=value, reward=0.0 if value is None else value)
    write(store, claim, record)
    with store.read() as connection:
        columns = [getattr(SyncMetric, field.name) for field in dataclasses.fields(SyncRecord)]
        stored = SyncRecord(*connection.execute(select(*columns)).one())
        missing = connection.scalar(select(SyncMetric.val_reward.is_(None)))
    assert same(stored, record)
    assert missing == (value is None)


def test_progress(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    waiting = queries.progress(store, 1)[0]
    assert (waiting.state, waiting.learner_steps, waiting.sync, waiting.steps_per_s) == ("running", 0, None, None)
    write(store, claim, StartRecord(None, None, 1, "cpu", {}, 1, 0.1))
    write(store, claim, eval_record(0, 0.9))
    write(store, claim, sync_record(0, reward=0.3))
    time.sleep(0.05)
    write(store, claim, sync_record(1, reward=0.4))
    write(store, claim, eval_record(4, 0.8))
    write(store, claim, sync_record(0, reward=0.3))
    seen = queries.progress(store, 1)[0]
    assert (seen.sync, seen.reward, seen.val_reward, seen.learner_steps) == (1, 0.4, 0.8, 4)
    assert isinstance(seen.steps_per_s, float)
    assert 4 / 5 < seen.steps_per_s <= 4 / 0.05
    assert seen.started_age_s is not None
    assert seen.heartbeat_age_s is not None
    assert 0 <= seen.heartbeat_age_s <= seen.started_age_s < 60
    assert queries.progress(store, 1)[1].started_age_s is None
    (running,) = queries.running_attempts(store, 1)
    assert (running.run_id, running.attempt, running.host, running.pid) == (run_id, 1, "node1", 4242)
    assert running.process_started_at == ORIGIN.process_started_at


def test_the_last_cycle_ends_at_the_horizon(store: Store, grid: Grid) -> None:
    run = queries.unfinished_runs(store, registration.register(store, grid(k=[32])))[0]
    claim = begin(store, run)
    write(store, claim, sync_record(1, k=32))
    assert queries.progress(store, 1)[0].learner_steps == 40


def test_what_cannot_be_is_refused(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    for record in (
        finish_record("collapsed"),
        finish_record("collapsed", collapse_step=41),
        finish_record("stable", collapse_step=8),
        finish_record("collapsed", collapse_step=8, collapse_step_lo=8),
    ):
        with pytest.raises(StoreError, match=r"(?i)check"):
            write(store, claim, record)
    with pytest.raises(StoreError, match=r"(?i)null"):
        write(store, claim, dataclasses.replace(eval_record(0), val_reward=None))  # type: ignore[arg-type]
    engine = create_engine_for(store.url)
    with pytest.raises(StoreError, match=r"(?i)foreign key"), transaction(engine, write=True) as connection:
        connection.execute(text("DELETE FROM run"))
    with pytest.raises(StoreError, match=r"(?i)check"), transaction(engine, write=True) as connection:
        connection.execute(update(RunRow).values(state="unknown"))
    engine.dispose()
    assert state(store, run_id) == ("running", None)


def write_syncs(url: str, run_id: int, count: int) -> None:
    with Store(url) as store:
        claim = begin(store, run_id)
        for sync in range(count):
            write(store, claim, sync_record(sync, reward=run_id + sync))


def test_writers_at_once(url: str, store: Store, grid: Grid) -> None:
    runs = queries.unfinished_runs(store, registration.register(store, grid(horizon=1000)))
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_syncs, args=(url, run, 100)) for run in runs]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert rows(store, SyncMetric, "run_id", "sync", "reward") == [
        (run, sync, run + sync) for run in sorted(runs) for sync in range(100)
    ]


def begin_once(url: str, run_id: int) -> bool:
    with Store(url) as store:
        own = dataclasses.replace(ORIGIN, pid=os.getpid(), process_started_at=random.random())
        return attempts.begin(store, Claim(run_id, 1), own, resumed_from_sync=None, resumed_from_step=None)


def register(url: str, sweep: Sweep) -> int:
    with Store(url) as store:
        return registration.register(store, sweep)


def test_of_many_that_come_together_one_registers_and_one_begins(url: str, store: Store, grid: Grid) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        assert pool.starmap(register, [(url, grid())] * 8, chunksize=1) == [1] * 8
        assert sum(pool.starmap(begin_once, [(url, 1)] * 8, chunksize=1)) == 1
    assert len(rows(store, RunRow, "id")) == 4


def test_fits(store: Store) -> None:
    assert fits.save(store, sweeps=["demo"], run_ids=[1, 2], detector="half", result={"a": None}) == 1
    with pytest.raises(ValueError, match="not JSON compliant"):
        fits.save(store, sweeps=["demo"], run_ids=[], detector="half", result={"a": math.nan})


def test_resources_may_change_between_launches(store: Store, grid: Grid, tmp_path: Path) -> None:
    sweep_id = registration.register(store, grid())
    path = tmp_path / "demo.yaml"
    path.write_text(path.read_text() + "resources: {gpus: 2, time_min: 600}\n")
    assert registration.register(store, load_sweep(path)) == sweep_id
    needs = queries.run_resources(store, sweep_id)
    assert list(needs) == [run_id for (run_id,) in rows(store, RunRow, "id")]
    assert {(need.gpus, need.time_min) for need in needs.values()} == {(2, 600)}


def test_resources_of_a_model_change_for_its_own_runs(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "demo.yaml"
    for gpus in (1, 2):
        path.write_text(
            "grid: {model: [big, tiny], k: [2, 8], eta: [1e-3], seed: [0]}\nresources: {cpus: 3}\n"
            f"models: {{big: {{path: /models/big, resources: {{gpus: {gpus}}}}}}}\n"
        )
        sweep_id = registration.register(store, load_sweep(path))
    needs = queries.run_resources(store, sweep_id).values()
    assert [(need.gpus, need.cpus) for need in needs] == [(2, 3), (2, 3), (0, 3), (0, 3)]


@pytest.mark.parametrize(
    ("trained", "collapse_step", "collapsed"),
    [(40, 39, True), (40, 40, True), (39, 39, True), (60, 41, False), (39, None, None), (40, None, False)],
)
def test_whether_a_run_collapsed_within_forty_steps(
    trained: int, collapse_step: int | None, collapsed: bool | None
) -> None:
    outcome = HowItEnded("tiny", "{}", 2, 1e-3, 0, trained, collapse_step, {})
    assert outcome.collapsed_by(40) is collapsed


def test_setting_no_runs_at_all_is_fine(store: Store, grid: Grid) -> None:
    registration.register(store, grid())
    submissions.set_queued(store, [])
    submissions.set_pending(store, iter(()))
    assert {state for (state,) in rows(store, RunRow, "state")} == {"pending"}
