"""Named reads and writes, field by field and in the order that they promise. On SQLite, where they take no time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from grpo_worker.schema.records import FinishRecord, StartRecord
from orchestrator.base.errors import SelectionError
from orchestrator.grid.sweep import Sweep
from orchestrator.rundir.journal import Chunk
from orchestrator.store import attempts, endings, queries, registration, submissions
from orchestrator.store.attempts import Claim
from orchestrator.store.database import Store
from orchestrator.store.endings import Ending
from orchestrator.store.ingest import Entries, ingest, lacks, restore
from orchestrator.store.models import Attempt, Evaluation, RunRow, SyncMetric
from orchestrator.store.selection import select_runs
from orchestrator.store.types import now, seconds_ago, seconds_between
from tests.support.stores import ORIGIN, begin, eval_record, sync_record, write

Grid = Callable[..., Sweep]


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


@pytest.fixture
def run_id(store: Store, grid: Grid) -> int:
    return queries.unfinished_runs(store, registration.register(store, grid()))[0]


def entries(*records: Any) -> Entries:
    return [{"elapsed_s": 1.0, **dataclasses.asdict(record)} for record in records]


def of_attempt(store: Store, run_id: int, *names: str) -> tuple[Any, ...]:
    columns = [getattr(Attempt, name) for name in names]
    newest = select(*columns).where(Attempt.run_id == run_id).order_by(Attempt.number.desc()).limit(1)
    with store.read() as connection:
        return tuple(connection.execute(newest).one())


def of_run(store: Store, run_id: int, *names: str) -> tuple[Any, ...]:
    columns = [getattr(RunRow, name) for name in names]
    with store.read() as connection:
        return tuple(connection.execute(select(*columns).where(RunRow.id == run_id)).one())


def measured(store: Store, run_id: int) -> list[list[tuple[Any, ...]]]:
    """Syncs and evaluations of a run: their number, who measured them, and their reward."""
    columns = (
        (SyncMetric.sync, SyncMetric.attempt, SyncMetric.reward),
        (Evaluation.learner_step, Evaluation.attempt, Evaluation.val_reward),
    )
    with store.read() as connection:
        return [
            [tuple(row) for row in connection.execute(select(*those).where(those[0].class_.run_id == run_id))]
            for those in columns
        ]


def test_runs_come_in_the_order_of_sweeps_and_grids_not_of_their_numbers(store: Store, grid: Grid) -> None:
    first = registration.register(store, grid("first"))
    second = registration.register(store, grid("second", k=[2]))
    registration.register(store, grid("first", seed=[0, 1, 2]), extend=True)
    in_grid_order = [1, 2, 7, 3, 4, 8]
    with store.read() as connection:
        selected = [run.run_id for run in select_runs(connection, [])]
    assert selected == [run.run_id for run in queries.run_folders(store)] == [*in_grid_order, 5, 6]
    assert queries.sweep_names(store) == ["first", "second"]
    assert queries.unfinished_runs(store, first) == in_grid_order
    assert [run.run_id for run in queries.run_folders(store, first)] == in_grid_order
    assert [run.run_id for run in queries.progress(store, first)] == in_grid_order
    assert [place.run_id for place in submissions.places(store, first)] == in_grid_order
    for run in (8, 7, 5, 3):
        begin(store, run)
    assert [one.run_id for one in queries.running_attempts(store, first)] == [7, 3, 8]
    assert [one.run_id for one in queries.running_attempts(store, second)] == [5]
    states = queries.run_states(store, [second])
    assert states == {5: "running", 6: "pending"}
    assert queries.run_states(store, [first, second]) == states | {
        **dict.fromkeys((3, 7, 8), "running"), **dict.fromkeys((1, 2, 4), "pending"),
    }  # fmt: skip


def test_what_a_running_attempt_and_its_place_say(store: Store, run_id: int) -> None:
    slurm = dataclasses.replace(ORIGIN, executor="slurm", job_id="12", task_id="3", node="n1")
    asked = {"resumed_from_sync": None, "resumed_from_step": None}
    assert attempts.begin(store, Claim(run_id, 1), slurm, **asked)
    (running,) = queries.running_attempts(store, 1)
    assert 0 <= running.heartbeat_age_s < 60
    assert dataclasses.replace(running, heartbeat_age_s=0.0) == queries.RunningAttempt(
        run_id, 1, "slurm", "12", "3", "node1", 4242, 1.5, 0.0
    )
    place = submissions.places(store, 1)[0]
    assert place.heartbeat_age_s is not None
    assert dataclasses.replace(place, heartbeat_age_s=0.0) == submissions.Place(
        run_id, "running", None, None, None, None, 1, "slurm", "12", "3", "node1", 4242, 1.5, False, None, 0.0
    )
    attempts.lose(store, Claim(run_id, 1), "gone", "node_failure")
    lost = submissions.places(store, 1)[0]
    assert (lost.state, lost.failure, lost.failure_class) == ("lost", "gone", "node_failure")
    assert (lost.ended, lost.last_class) == (True, "node_failure")
    assert queries.running_attempts(store, 1) == []


def test_a_new_attempt_starts_at_its_checkpoint_and_clears_why_the_one_before_ended(store: Store, run_id: int) -> None:
    first = begin(store, run_id)
    assert of_run(store, run_id, "state", "learner_steps", "fence") == ("running", 0, 1)
    write(store, first, sync_record(0), sync_record(1))
    assert of_run(store, run_id, "learner_steps") == (4,)
    attempts.lose(store, first, "its node failed", "node_failure")
    assert of_run(store, run_id, "state", "failure", "failure_class") == ("lost", "its node failed", "node_failure")
    assert of_attempt(store, run_id, "outcome", "failure_class") == ("lost", "node_failure")
    begin(store, run_id, sync=0, step=3)
    assert of_run(store, run_id, "state", "failure", "failure_class") == ("running", None, None)
    assert of_run(store, run_id, "learner_steps", "fence") == (3, 2)
    assert of_attempt(store, run_id, "resumed_from_sync", "resumed_from_step") == (0, 3)
    begin(store, run_id, take_over=True)
    assert of_run(store, run_id, "learner_steps", "fence") == (0, 3)
    with store.read() as connection:
        taken = select(Attempt.failure, Attempt.failure_class).where(Attempt.number == 2)
        assert connection.execute(taken).one() == ("attempt 3 took over", "lost")
    with pytest.raises(SelectionError, match="no run 99"):
        begun = {"resumed_from_sync": None, "resumed_from_step": None}
        attempts.begin(store, Claim(99, 1), ORIGIN, **begun)


@pytest.mark.parametrize(
    ("values", "state", "failure", "run_class", "attempt_class"),
    [
        ({"outcome": "interrupted", "why": "preempted"}, "pending", None, None, "preempted"),
        ({"outcome": "interrupted"}, "pending", None, None, "stopped"),
        ({"outcome": "diverged", "detail": None}, "failed", "diverged", "diverged", "diverged"),
        ({"outcome": "diverged", "detail": "nan"}, "failed", "diverged: nan", "diverged", "diverged"),
        ({"outcome": "stable"}, "stable", None, None, None),
        ({"outcome": "collapsed", "collapse_step": 24, "collapse_step_lo": 16, "collapse_sync": 12},
         "collapsed", None, None, None),
    ],
)  # fmt: skip
def test_the_end_of_an_attempt_is_that_of_its_run(
    store: Store,
    run_id: int,
    values: dict[str, Any],
    state: str,
    failure: str | None,
    run_class: str | None,
    attempt_class: str | None,
) -> None:
    claim = begin(store, run_id)
    collapse = dict.fromkeys(("collapse_step", "collapse_step_lo", "collapse_sync"))
    finish = {"record": "finish", "elapsed_s": 9.0, "learner_steps": 32, "detector": "half", "detail": None, **collapse}
    ingest(store, claim, Chunk([{**finish, **values}], 0, 50, []), age_s=100.0)
    assert of_run(store, run_id, "state", "failure", "failure_class", "learner_steps") == (
        state, failure, run_class, 32,
    )  # fmt: skip
    assert of_run(store, run_id, *collapse) == tuple({**collapse, **values}[name] for name in collapse)
    assert of_run(store, run_id, "collapse_detector") == ("half" if state in ("stable", "collapsed") else None,)
    assert of_attempt(store, run_id, "outcome", "failure", "failure_class", "journal_bytes") == (
        values["outcome"], failure, attempt_class, 50,
    )  # fmt: skip
    ended_at, heartbeat_at, started_at = of_attempt(store, run_id, "ended_at", "heartbeat_at", "started_at")
    assert ended_at == heartbeat_at
    assert 99 < (started_at - ended_at).total_seconds() <= 100, "it ended before the database heard of it"


@pytest.mark.parametrize("values", [{}, {"failure_class": "out_of_memory"}])
def test_the_failure_that_a_journal_holds(store: Store, run_id: int, values: dict[str, str]) -> None:
    claim = begin(store, run_id)
    entry = {"record": "fail", "elapsed_s": 9.0, "failure": "MemoryError: much", **values}
    ingest(store, claim, Chunk([entry], 0, 50, []))
    expected = ("MemoryError: much", values.get("failure_class", "exception"))
    assert of_run(store, run_id, "state", "failure", "failure_class") == ("failed", *expected)
    assert of_attempt(store, run_id, "outcome", "failure", "failure_class") == ("failed", *expected)


def test_a_worker_that_resumed_elsewhere_corrects_its_own_attempt_only(store: Store, run_id: int) -> None:
    for run in (run_id, run_id + 1):
        begin(store, run)
        write(store, begin(store, run, sync=3, step=8, take_over=True), sync_record(4), eval_record(10))
    start = StartRecord(1, 5, parameters=1, device="cpu", versions={}, threads=1, setup_s=0.5)
    write(store, Claim(run_id, 2, 2), start)
    with store.read() as connection:
        resumed = select(Attempt.run_id, Attempt.number, Attempt.resumed_from_sync, Attempt.resumed_from_step)
        assert [tuple(row) for row in connection.execute(resumed.order_by(Attempt.run_id, Attempt.number))] == [
            (run_id, 1, None, None), (run_id, 2, 1, 5), (run_id + 1, 1, None, None), (run_id + 1, 2, 3, 8),
        ]  # fmt: skip
    assert measured(store, run_id) == [[], []]
    assert [len(rows) for rows in measured(store, run_id + 1)] == [1, 1]


def test_ending_runs_leaves_those_that_have_a_result_as_they_are(store: Store, run_id: int) -> None:
    finish = FinishRecord("collapsed", 30, "half", collapse_step=24, collapse_step_lo=16, collapse_sync=12)
    write(store, begin(store, run_id), eval_record(0), finish)
    write(store, begin(store, run_id + 1), eval_record(0), eval_record(8))
    names = ("state", "failure", "failure_class", "fence", "collapse_step_lo")
    for why in ("decided", "cancelled"):
        both = (run_id, run_id + 1)
        endings.end_runs(store, dict.fromkeys(both, 2), dict.fromkeys(both, Ending(why, "since it is enough")))
        assert of_run(store, run_id, *names) == ("collapsed", None, None, 1, 16)
        assert of_run(store, run_id + 1, *names) == ("cancelled", "since it is enough", "decided", 2, 8)
    assert of_attempt(store, run_id, "outcome", "failure") == ("collapsed", None)
    ended = of_attempt(store, run_id + 1, "outcome", "failure", "failure_class")
    assert ended == ("interrupted", "since it is enough", "decided")
    endings.end_runs(store, {}, {})


@pytest.mark.parametrize("state", ["pending", "queued", "cancelled"])
def test_a_run_that_was_given_another_state_meanwhile_keeps_it(store: Store, run_id: int, state: str) -> None:
    claim = begin(store, run_id)
    with store.write() as connection:
        connection.execute(update(RunRow).where(RunRow.id == run_id).values(state=state))
    attempts.abort(store, claim, "OSError: late")
    assert of_run(store, run_id, "state") == (state,)
    assert of_attempt(store, run_id, "outcome", "failure") == ("failed", "OSError: late")


def test_an_attempt_that_the_database_has_not_heard_of_begins_by_its_journal(store: Store, run_id: int) -> None:
    origin = dataclasses.asdict(dataclasses.replace(ORIGIN, executor="slurm", git_commit="c" * 40, git_dirty=True))
    start = StartRecord(3, 8, parameters=7, device="cpu", versions={"python": "3.11"}, threads=2, setup_s=0.5)
    chunk = [
        {"record": "begin", "elapsed_s": 0.0, "origin": origin, "resumed_from_sync": 3, "resumed_from_step": 8},
        {"record": "start", "elapsed_s": 2.0, **dataclasses.asdict(start)},
        {"record": "sync", "elapsed_s": 10.0, **dataclasses.asdict(sync_record(4))},
    ]
    ingest(store, Claim(run_id, 5, 2), Chunk(chunk, 0, 80, []), age_s=30.0)
    assert of_run(store, run_id, "state", "fence", "learner_steps") == ("running", 5, 10)
    assert of_attempt(store, run_id, "number", "journal_bytes", *origin) == (5, 80, *origin.values())
    assert of_attempt(store, run_id, "resumed_from_sync", "resumed_from_step", "threads", "parameters") == (3, 8, 2, 7)
    began, ready, heard = of_attempt(store, run_id, "started_at", "ready_at", "heartbeat_at")
    assert (ready - began).total_seconds() == pytest.approx(2, abs=0.5)
    assert (heard - began).total_seconds() == pytest.approx(10, abs=0.5)
    with store.read() as connection:
        (age,) = connection.execute(select(seconds_between(Attempt.heartbeat_at, now()))).scalars()
    assert 30 <= age < 40


def test_what_is_restored_leaves_what_is_there(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    write(store, claim, sync_record(0, reward=0.1), sync_record(2, reward=0.1), eval_record(0, 0.1))
    everything = (
        entries(*(sync_record(sync, reward=0.9) for sync in range(4))),
        entries(*(eval_record(step, 0.9) for step in (0, 4))),
    )
    restore(store, Claim(run_id, 7, 2), *everything)
    assert len(measured(store, run_id)[0]) == 2, "an attempt that the database does not know brings nothing"
    restore(store, claim, *everything)
    assert measured(store, run_id) == [
        [(0, 1, 0.1), (1, 1, 0.9), (2, 1, 0.1), (3, 1, 0.9)], [(0, 1, 0.1), (4, 1, 0.9)],
    ]  # fmt: skip
    assert of_attempt(store, run_id, "journal_bytes") == (1,)


def test_whether_rows_are_missing_up_to_a_place(store: Store, run_id: int) -> None:
    claim = begin(store, run_id)
    write(store, claim, *(sync_record(sync) for sync in (0, 1, 2)), eval_record(0), eval_record(4))
    write(store, begin(store, run_id + 1), *(sync_record(sync) for sync in range(9)))
    assert not lacks(store, run_id, syncs=3, evals=2, learner_steps=4)
    assert not lacks(store, run_id, syncs=2, evals=1, learner_steps=3), "later rows do not count"
    assert lacks(store, run_id, syncs=4, evals=2, learner_steps=4)
    assert lacks(store, run_id, syncs=3, evals=2, learner_steps=3)
    assert lacks(store, run_id, syncs=3, evals=3, learner_steps=9)


def test_seconds_a_learner_step_of_finished_runs_by_model(store: Store, run_id: int) -> None:
    begin(store, run_id, sync=1, step=4)
    assert queries.step_times(store, ["tiny"]) == {}
    with store.write() as connection:
        connection.execute(update(Attempt).values(ready_at=seconds_ago(60.0), heartbeat_at=now()))
        connection.execute(update(RunRow).where(RunRow.id == run_id).values(state="stable", learner_steps=24))
    assert queries.step_times(store, ["tiny"])["tiny"] == [pytest.approx(60 / 20, rel=0.01)]
    assert queries.step_times(store, ["large"]) == {}
    assert queries.progress(store, 1)[0].steps_per_s == pytest.approx(20 / 60, rel=0.01)
