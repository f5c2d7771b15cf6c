"""Runs are placed, prepared and given to jobs; those that are added meanwhile too."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.base.errors import NothingToDo, SlurmUnavailable, StoreUnavailable, UsageError
from orchestrator.base.states import RunState
from orchestrator.grid.sweep import Sweep
from orchestrator.jobs import training as launching
from orchestrator.jobs.slurm import dispatch
from orchestrator.jobs.slurm.standing import Standing
from orchestrator.jobs.slurm.survey import Survey, survey
from orchestrator.jobs.training import Training, place, prepare
from orchestrator.rundir import folder, writing
from orchestrator.store import queries, registration, submissions
from orchestrator.store.database import Store
from orchestrator.store.models import RunRow
from orchestrator.store.queries import RunProgress
from tests.support import fake_worker
from tests.support.stores import begin


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


@pytest.fixture
def sweep_id(store: Store, grid: Callable[..., Sweep], runs_folder: Path) -> int:
    return registration.register(store, grid())


@pytest.fixture
def training(store: Store, sweep_id: int, monkeypatch: pytest.MonkeyPatch) -> Training:
    """On a machine without Slurm."""
    monkeypatch.setenv("PATH", "/nowhere")
    return Training(store, sweep_id, "demo", print)


def directories(store: Store, sweep_id: int) -> list[str | None]:
    return [run.directory for run in queries.run_folders(store, sweep_id)]


def states(store: Store, sweep_id: int) -> list[str]:
    return [run.state for run in queries.progress(store, sweep_id)]


def set_state(store: Store, state: str, *run_ids: int) -> None:
    with store.write() as connection:
        connection.execute(update(RunRow).where(RunRow.id.in_(run_ids)).values(state=state))


def test_runs_are_placed_once_and_those_that_are_gone_anew_under_their_name(
    store: Store, sweep_id: int, runs_folder: Path, tmp_path: Path
) -> None:
    place(store, sweep_id)
    names = [f"run-{run_id:06d}" for run_id in (1, 2, 3, 4)]
    assert directories(store, sweep_id) == [str(runs_folder / name) for name in names]
    elsewhere = tmp_path / "elsewhere" / "run-000001"
    elsewhere.mkdir(parents=True)
    registration.set_directories(store, {1: str(elsewhere), 2: str(tmp_path / "moved" / "my-run")})
    place(store, sweep_id)
    assert directories(store, sweep_id)[:2] == [str(elsewhere), str(runs_folder / "my-run")]


def test_a_run_without_a_place_is_prepared_in_the_run_folder(store: Store, sweep_id: int, runs_folder: Path) -> None:
    set_state(store, "failed", 2, 3)
    found = prepare(store, sweep_id, [3, 1])
    assert found == {3: runs_folder / "run-000003", 1: runs_folder / "run-000001"}
    assert list(found) == [3, 1]
    configs = queries.run_configs(store, [1, 3])
    for run_id, directory in found.items():
        run = folder.load(directory)
        assert (run.run_id, run.sweep, run.config, run.fence) == (run_id, "demo", configs[run_id], 0)
    assert states(store, sweep_id) == ["pending", "failed", "pending", "pending"]


def test_numbers_that_were_given_and_led_to_nothing_are_not_used_again(
    store: Store, sweep_id: int, runs_folder: Path
) -> None:
    for _ in range(2):
        begin(store, 1, take_over=True)
    directory = runs_folder / "run-000001"

    def fence() -> int:
        return folder.load(prepare(store, sweep_id, [1])[1]).fence

    assert fence() == 2, "what the database has given"
    writing.Journal.reserve(directory, 2).close()
    assert fence() == 3, "a process was killed before it began"
    begun = writing.Journal.reserve(directory, 5)
    begun.append("beat")
    begun.close()
    assert fence() == 3, "this one may be alive"


def test_runs_that_are_added_are_prepared_unless_a_job_has_them(
    store: Store, training: Training, sweep_id: int, grid: Callable[..., Sweep], runs_folder: Path
) -> None:
    set_state(store, "queued", 4)
    asked: list[list[str]] = []

    other = registration.register(store, grid("other"))

    def refill(progress: list[RunProgress]) -> bool:
        asked.append([run.state for run in progress])
        if len(asked) > 1:
            return False
        set_state(store, "pending", 4)
        return True

    before = queries.progress(store, sweep_id)
    assert training._further(refill, before, {1, 2}) == {
        3: runs_folder / "run-000003", 4: runs_folder / "run-000004",
    }  # fmt: skip
    assert folder.load(runs_folder / "run-000004").run_id == 4
    assert directories(store, sweep_id)[3] == str(runs_folder / "run-000004")
    assert training._further(refill, before, {1, 2}) == {3: runs_folder / "run-000003"}, "none was added"
    assert training._further(refill, before, {1, 2, 3}) == {}
    assert asked == [["pending", "pending", "pending", "queued"]] * 3
    assert directories(store, other) == [None] * 4, "another sweep is left alone"


def test_what_there_is_to_do(store: Store, training: Training, sweep_id: int) -> None:
    assert training.runs() == [1, 2, 3, 4]
    begin(store, 2)
    with store.write() as connection:
        connection.execute(update(RunRow).where(RunRow.id == 3).values(state="stable", learner_steps=40))
    assert training.runs() == [1, 4]
    held = {1: Standing(RunState.QUEUED, held=True), 4: Standing(RunState.PENDING, held=False)}
    assert launching.pending_runs(store, sweep_id, Survey(held, {}, {})) == [4]
    held[4] = Standing("unknown", held=None)
    with pytest.raises(NothingToDo) as told:
        launching.pending_runs(store, sweep_id, Survey(held, {}, {}))
    assert str(told.value) == "the 3 unfinished runs are in the hands of jobs"
    with store.write() as connection:
        connection.execute(update(RunRow).values(state="stable", learner_steps=40))
    with pytest.raises(NothingToDo) as told:
        training.runs()
    assert str(told.value) == "every run of this sweep is done"


def test_debug_trains_in_this_process(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpo_worker.loop", fake_worker)
    status = training.train([2], "debug", lambda _: None)
    assert (status.name, [run.state for run in status.runs]) == ("demo", ["pending", "collapsed", "pending", "pending"])


def test_local_jobs_are_given_what_was_asked_for(
    training: Training, store: Store, sweep_id: int, monkeypatch: pytest.MonkeyPatch, runs_folder: Path
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(launching, "run_local", lambda *arguments: given.append(arguments))

    def on_poll(_: object) -> None: ...

    training.train([1], "local", on_poll, max_parallel=3, gpus=2)
    training.train([2], "local", on_poll, refill=lambda _: False)
    first, second = given
    assert first == (store, sweep_id, {1: runs_folder / "run-000001"}, 3, 2, on_poll, None)
    assert second[:-1] == (store, sweep_id, {2: runs_folder / "run-000002"}, None, 0, on_poll)
    assert set(second[-1](queries.progress(store, sweep_id), {1, 2})) == {3, 4}


@pytest.mark.parametrize("error", [NothingToDo("the queue is full"), SlurmUnavailable("the queue is full")])
def test_what_keeps_runs_from_slurm_is_said_once_and_passes(
    store: Store, sweep_id: int, monkeypatch: pytest.MonkeyPatch, error: UsageError
) -> None:
    said: list[str] = []
    training = Training(store, sweep_id, "demo", said.append)
    errors = [error, error, type(error)("and now this"), None]

    def lost_answers(*_: object) -> None:
        if one := errors.pop(0):
            raise one

    monkeypatch.setattr(dispatch, "find_lost_answers", lost_answers)
    monkeypatch.setattr(dispatch, "settle_and_choose", lambda *_: [])
    assert [training._tend(None, None, Survey({}, {}, {})) for _ in range(4)] == [True, True, True, False]
    assert said == ["the queue is full", "and now this"]


@pytest.mark.parametrize(
    ("only", "added", "submitted", "said", "more"),
    [
        (None, False, [[1, 2]], ["2 runs are tried again"], True),
        ({2, 9}, False, [[2]], ["1 run is tried again"], True),
        (set(), False, [], [], False),
        (set(), True, [[1, 2]], [], True),
        ({1}, True, [[1], [1, 2]], ["1 run is tried again"], True),
    ],
)
def test_which_runs_are_given_to_slurm_again(
    store: Store, sweep_id: int, grid: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, only: set[int] | None,
    added: bool, submitted: list[list[int]], said: list[str], more: bool,
) -> None:  # fmt: skip
    heard: list[str] = []
    other = registration.register(store, grid("other"))
    given: list[tuple[str, list[int]]] = []
    found = Survey({}, {}, {})

    def choose(its_store: Store, its_id: int, its_survey: Survey) -> list[int]:
        assert (its_store, its_id, its_survey) == (store, sweep_id, found)
        return [1, 2]

    monkeypatch.setattr(dispatch, "find_lost_answers", lambda *_: None)
    monkeypatch.setattr(dispatch, "settle_and_choose", choose)
    monkeypatch.setattr(dispatch, "submit", lambda *a: given.append((a[2], list(a[3]))) or a[4]("submitted"))
    training = Training(store, sweep_id, "demo", heard.append)
    assert training._tend(only, lambda progress: added and len(progress) == 4, found) == more
    assert given == [("demo", runs) for runs in submitted]
    assert [one for one in heard if one != "submitted"] == said
    placed = [one is not None for one in directories(store, sweep_id)]
    assert placed == [added] * 4
    assert directories(store, other) == [None] * 4, "another sweep is left alone"


def test_watching_goes_on_after_an_outage(
    store: Store, sweep_id: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(launching, "_POLL_S", 0.0)
    submissions.set_queued(store, [1])
    waited: list[str] = []
    monkeypatch.setattr(launching, "wait_for_database", lambda _, error: waited.append(str(error)))
    answers = iter([StoreUnavailable("away"), None, StoreUnavailable("again"), None, None])
    asked: list[set[str]] = []

    def collect_aloud(its_store: Store, its_id: int, noted: set[str]) -> None:
        assert (its_store, its_id) == (store, sweep_id)
        noted.add("a note")
        asked.append(set(noted))
        if error := next(answers):
            raise error

    monkeypatch.setattr(launching, "collect_aloud", collect_aloud)
    shown: list[list[str]] = []

    def on_poll(progress: list[RunProgress]) -> None:
        shown.append([run.state for run in progress])
        if len(shown) == 2:
            set_state(store, "pending", 1)

    launching.watch(store, sweep_id, on_poll)
    assert waited == ["away", "again"]
    assert shown == [["queued", *["pending"] * 3]] * 2 + [["pending"] * 4]


@pytest.mark.parametrize("state", ["queued", "running", "unknown"])
def test_what_is_watched_for(store: Store, sweep_id: int, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    monkeypatch.setattr(launching, "_POLL_S", 0.0)
    monkeypatch.setattr(launching, "_SURVEY_S", -1.0)
    found = survey(store, sweep_id)
    surveys = iter([Survey({1: Standing(state, held=None)}, {1: None}, {}), found])  # type: ignore[dict-item]
    monkeypatch.setattr(launching, "survey", lambda *_: next(surveys))
    monkeypatch.setattr(Survey, "job_of", lambda *_: None)
    shown: list[str] = []
    launching.watch(store, sweep_id, lambda progress: shown.append(progress[0].state))
    assert shown == [state, "pending"]


def test_postgres_serves_jobs_on_all_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STALESWEEP_JOBS_WRITE", raising=False)
    store = Store("postgresql://nobody@/nothing?host=/nowhere", check_schema=False)
    assert launching.why_journals_only(store, "slurm") is None
