"""Job arrays in the store: written before they are submitted, and right whoever is killed in between."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from orchestrator.base.errors import Fenced, StoreError
from orchestrator.grid.sweep import Resources, Sweep
from orchestrator.jobs.slurm import arrays, client, dispatch
from orchestrator.jobs.slurm.standing import Standing
from orchestrator.jobs.slurm.survey import Survey, survey
from orchestrator.store import attempts, endings, registration, submissions
from orchestrator.store.attempts import Claim
from orchestrator.store.database import Store
from orchestrator.store.endings import Ending
from orchestrator.store.models import Attempt, RunRow, Submission
from orchestrator.store.submissions import Place
from tests.support import children
from tests.support.jobs import killed_at
from tests.support.lives import launched, trained
from tests.support.stand_in import StandIn
from tests.support.stores import ORIGIN, begin, eval_record, next_claim, write

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("runs_folder")]

Grid = Callable[..., Sweep]


@pytest.fixture
def sweep_id(store: Store, grid: Grid) -> int:
    """Four runs, 1 to 4."""
    return registration.register(store, grid())


def opened(store: Store, sweep_id: int, *shares: list[int], token: str = "ab12") -> None:
    submissions.open_submission(store,
        sweep_id, token=token, job_name=f"stalesweep-demo-{token}", folder=f"/runs/jobs/{token}", resources={"cpus": 2},
        shares=shares,
    )  # fmt: skip


def placed(store: Store, sweep_id: int) -> dict[int, Place]:
    return {place.run_id: place for place in submissions.places(store, sweep_id)}


def where(store: Store, sweep_id: int) -> list[tuple[int, str, int | None, int | None]]:
    return [(one.run_id, one.state, one.submission_id, one.task) for one in submissions.places(store, sweep_id)]


def test_a_submission_is_opened_and_answered(store: Store, sweep_id: int) -> None:
    opened(store, sweep_id, [1, 3], [2])
    assert where(store, sweep_id) == [(1, "queued", 1, 0), (2, "queued", 1, 1), (3, "queued", 1, 0),
                                      (4, "pending", None, None)]  # fmt: skip
    (found,) = submissions.of_sweep(store, sweep_id)
    assert (found.token, found.job_name, found.folder) == ("ab12", "stalesweep-demo-ab12", "/runs/jobs/ab12")
    assert (found.resources, found.tasks, found.job_id) == ({"cpus": 2}, 2, None)
    assert -0.01 <= found.age_s < 60
    submissions.answer(store, "ab12", "1234")
    assert submissions.of_sweep(store, sweep_id)[0].job_id == "1234"
    opened(store, sweep_id, [4], token="cd34")
    assert [one.token for one in submissions.of_sweep(store, sweep_id)] == ["ab12", "cd34"], "oldest first"
    with pytest.raises(StoreError, match="token"):
        opened(store, sweep_id, [4], token="cd34")
    assert where(store, sweep_id)[3] == (4, "queued", 2, 0)


def test_only_submissions_of_unfinished_runs_are_listed(store: Store, sweep_id: int) -> None:
    directories = launched(store, sweep_id)
    opened(store, sweep_id, [1, 2], token="old")
    opened(store, sweep_id, [2, 3], token="new")
    trained(store, directories[1])
    assert [one.token for one in submissions.of_sweep(store, sweep_id)] == ["new"], (
        "2 was submitted again, and 1 is done"
    )
    trained(store, directories[2])
    assert [one.token for one in submissions.of_sweep(store, sweep_id)] == ["new"]
    trained(store, directories[3])
    assert submissions.of_sweep(store, sweep_id) == []
    assert [place.run_id for place in submissions.places(store, sweep_id)] == [4]


def test_runs_that_run_or_are_done_are_not_queued(store: Store, sweep_id: int) -> None:
    directories = launched(store, sweep_id)
    trained(store, directories[1])
    begin(store, 2)
    opened(store, sweep_id, [1], [2], [3])
    assert where(store, sweep_id) == [(2, "running", None, None), (3, "queued", 1, 2), (4, "pending", None, None)]


def test_a_submission_is_withdrawn(store: Store, sweep_id: int) -> None:
    opened(store, sweep_id, [1], [2], token="other")
    opened(store, sweep_id, [2], [3])
    begin(store, 3)
    submissions.withdraw(store, "ab12")
    assert where(store, sweep_id) == [(1, "queued", 1, 0), (2, "pending", None, None), (3, "running", None, None),
                                      (4, "pending", None, None)]  # fmt: skip
    submissions.withdraw(store, "nobody's")
    assert [one.token for one in submissions.of_sweep(store, sweep_id)] == ["other"]


def test_a_place_says_who_has_the_run(store: Store, sweep_id: int) -> None:
    opened(store, sweep_id, [1], [2])
    claim = begin(store, 1)
    place = placed(store, sweep_id)[1]
    assert (place.state, place.attempt, place.executor, place.job_id) == ("running", 1, ORIGIN.executor, ORIGIN.job_id)
    assert (place.host, place.pid, place.process_started_at) == (ORIGIN.host, ORIGIN.pid, ORIGIN.process_started_at)
    assert (place.ended, place.last_class, place.task) == (False, None, 0)
    assert place.heartbeat_age_s is not None
    assert -0.01 <= place.heartbeat_age_s < 60
    attempts.abort(store, claim, "MemoryError", "gpu_out_of_memory")
    place = placed(store, sweep_id)[1]
    assert (place.state, place.failure, place.failure_class) == ("failed", "MemoryError", "gpu_out_of_memory")
    assert (place.ended, place.last_class) == (True, "gpu_out_of_memory")
    assert placed(store, sweep_id)[2].attempt is None


def test_a_run_is_settled_only_as_it_was_seen(store: Store, sweep_id: int) -> None:
    opened(store, sweep_id, [1], [2], [3])
    seen = placed(store, sweep_id)
    begin(store, 2)
    opened(store, sweep_id, [3], token="again")
    assert submissions.settle(store, seen[1], "failed", "its job ended", "never_began")
    assert not submissions.settle(store, seen[2], "failed", "its job ended", "never_began"), "it has begun since"
    assert not submissions.settle(store, seen[3], "failed", "its job ended", "never_began"), (
        "it was submitted again since"
    )
    after = placed(store, sweep_id)
    assert [after[run_id].state for run_id in (1, 2, 3)] == ["failed", "running", "queued"]
    assert (after[1].failure, after[1].failure_class) == ("its job ended", "never_began")
    assert not submissions.settle(store, seen[1], "lost", "again", "lost")


def test_cancelling_fences_a_writer_off(store: Store, sweep_id: int) -> None:
    directories = launched(store, sweep_id)
    opened(store, sweep_id, [1], [2], [3])
    claim = begin(store, 1)
    trained(store, directories[3])
    endings.end_runs(store, {1: 2, 2: 1, 3: 2}, dict.fromkeys([1, 2, 3], Ending("cancelled", "cancelled by you")))
    assert [(run_id, state) for run_id, state, *_ in where(store, sweep_id)] == [
        (1, "cancelled"), (2, "cancelled"), (4, "pending"),
    ]  # fmt: skip
    for late in (lambda: attempts.followed_run(store, claim), lambda: attempts.abort(store, claim, "late")):
        with pytest.raises(Fenced):
            late()
    with store.read() as connection:
        row = connection.execute(select(Attempt.outcome, Attempt.failure_class).where(Attempt.run_id == 1)).one()
        assert tuple(row) == ("lost", "cancelled")
        assert connection.scalar(select(RunRow.fence).where(RunRow.id == 1)) == 2
        assert connection.scalar(select(RunRow.state).where(RunRow.id == 3)) == "stable", "it has a result"
    for run_id in (1, 2):
        assert not attempts.begin(
            store, next_claim(store, run_id), ORIGIN, resumed_from_sync=None, resumed_from_step=None
        )
    begin(store, 4)
    endings.end_runs(store, {4: 0}, {4: Ending("cancelled", "with a fence that is too low")})
    assert (placed(store, sweep_id)[4].state, placed(store, sweep_id)[4].ended) == ("running", False)
    submissions.set_pending(store, [1])
    begin(store, 1)


def test_why_a_run_was_ended_comes_back_from_its_journal() -> None:
    for ending in (Ending("cancelled", "cancelled by me"), Ending("decided", "cells nearby have collapsed")):
        record, fields = ending.as_entry()
        assert record == "cancel"
        assert Ending.of_entry({"record": record, "elapsed_s": 0.0, **fields}) == ending
    assert Ending.of_entry({"record": "cancel", "reason": "by an older version"}).why == "cancelled"


@pytest.mark.parametrize(("rewards", "alive"), [([0.5, 0.5, 0.01], 8), ([0.5], 0), ([0.0], None)])
def test_a_run_that_a_search_stops_keeps_the_last_step_at_which_it_was_alive(
    store: Store, sweep_id: int, rewards: list[float], alive: int | None
) -> None:
    write(store, begin(store, 1), *(eval_record(8 * place, reward) for place, reward in enumerate(rewards)))
    write(store, begin(store, 2), eval_record(0))
    endings.end_runs(store, {1: 2, 2: 2}, {1: Ending("decided", "enough"), 2: Ending("cancelled", "by me")})
    with store.read() as connection:
        kept = select(RunRow.collapse_step_lo).where(RunRow.id.in_([1, 2])).order_by(RunRow.id)
        assert connection.scalars(kept).all() == [alive, None]
        assert connection.scalars(select(Attempt.outcome).order_by(Attempt.run_id)).all() == ["interrupted", "lost"]


def failed_once(store: Store, run_id: int, failure_class: str, node: str | None = None) -> None:
    claim = next_claim(store, run_id)
    origin = type(ORIGIN)(**{**{name: getattr(ORIGIN, name) for name in ORIGIN.__slots__}, "node": node})
    submissions.set_pending(store, [run_id])
    assert attempts.begin(store, claim, origin, resumed_from_sync=None, resumed_from_step=None)
    attempts.lose(store, Claim(run_id, claim.attempt), "its job ended", failure_class)


def test_failures_are_counted_by_class_and_nodes_are_named(store: Store, sweep_id: int) -> None:
    for failure_class, node in [("node_failure", "node2"), ("node_failure", "node1"), ("killed", "node4")]:
        failed_once(store, 1, failure_class, node)
    failed_once(store, 3, "node_failure")
    begin(store, 4)
    assert submissions.attempts_by_class(store, [1, 2, 3, 4]) == {
        1: {"node_failure": 2, "killed": 1},
        3: {"node_failure": 1},
    }
    assert submissions.attempts_by_class(store, [3]) == {3: {"node_failure": 1}}
    assert submissions.failed_hosts(store, [1, 2, 3]) == {1: {"node1", "node2"}}
    assert submissions.failed_hosts(store, [3]) == {}
    assert submissions.attempts_by_class(store, []) == {}


def with_resources(store: Store, run_id: int, **resources: Any) -> None:
    with store.write() as connection:
        asked = Resources(**resources).model_dump(mode="json")
        connection.execute(update(RunRow).where(RunRow.id == run_id).values(resources=asked))


def test_what_runs_ask_for_after_failures(store: Store, sweep_id: int) -> None:
    with_resources(store, 1, mem_gb=4, slurm={"exclude": "node9,node2", "nice": 1})
    for node in ("node2", "node3"):
        failed_once(store, 1, "node_failure", node)
    for run_id in (1, 2, 2):
        failed_once(store, run_id, "out_of_memory")
    failed_once(store, 3, "gpu_out_of_memory")
    found = dispatch.needs(store, sweep_id, [4, 3, 2, 1])
    assert list(found) == [4, 3, 2, 1]
    assert (found[1].mem_gb, found[1].slurm) == (6.0, {"exclude": "node2,node3,node9", "nice": 1})
    assert found[2] == Resources(mem_gb=4.5)
    assert found[3] == found[4] == Resources()


def chosen(store: Store, sweep_id: int, standings: dict[int, Standing] | None = None) -> list[int]:
    places = placed(store, sweep_id)
    return dispatch.settle_and_choose(store, sweep_id, Survey(standings or {}, places, {}))


@pytest.mark.parametrize(
    ("failure_class", "tries"),
    [("node_failure", 5), ("out_of_memory", 2), ("killed", 1), ("lost", 3), ("exception", 0), ("never_began", 0)],
)
def test_a_run_is_tried_again_as_often_as_its_class_allows(
    store: Store, sweep_id: int, failure_class: str, tries: int
) -> None:
    assert 1 in chosen(store, sweep_id), "it is pending"
    for _ in range(tries):
        failed_once(store, 1, failure_class)
        assert 1 in chosen(store, sweep_id)
    failed_once(store, 1, failure_class)
    assert chosen(store, sweep_id) == [2, 3, 4]
    with_resources(store, 1, retries={failure_class: tries + 1})
    assert 1 in chosen(store, sweep_id), "the grid file says so"


def test_what_is_held_done_or_cancelled_is_not_tried_again(store: Store, sweep_id: int) -> None:
    directories = launched(store, sweep_id)
    trained(store, directories[1])
    endings.end_runs(store, {2: 1}, {2: Ending("cancelled", "cancelled by you")})
    for run_id in (3, 4):
        failed_once(store, run_id, "node_failure")
    held = Standing("unknown", held=None)
    assert chosen(store, sweep_id, {3: held}) == [4]


def test_what_is_over_is_stored_before_it_is_chosen(store: Store, sweep_id: int) -> None:
    opened(store, sweep_id, [1], [2], [3])
    begin(store, 1)
    standings = {
        1: Standing("lost", "its node failed", "node_failure", over=True),
        2: Standing("failed", "its job ended", "never_began", over=True),
        3: Standing("cancelled", "its task was cancelled", "cancelled", over=True),
    }
    assert chosen(store, sweep_id, standings) == [1, 4]
    after = placed(store, sweep_id)
    assert [(after[n].state, after[n].failure_class) for n in (1, 2, 3)] == [
        ("lost", "node_failure"), ("failed", "never_began"), ("cancelled", "cancelled"),
    ]  # fmt: skip


# A launcher that is killed


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn.make(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    return made


def test_a_launcher_killed_between_any_two_operations_submits_each_run_once(
    url: str, store: Store, grid: Grid, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: Counter[str] = Counter()
    kill_at, killed = 0, True
    while killed:
        kill_at += 1
        name = f"killed-{kill_at}"
        sweep_id = registration.register(store, grid(name, horizon=8))
        directories = launched(store, sweep_id)
        store.close()
        array = arrays.Array(Resources(), [[run_id] for run_id in directories])

        def submit() -> None:
            with Store(url) as own:
                arrays.submit(own, sweep_id, name, directories, array)  # noqa: B023

        killed, said = killed_at(kill_at, submit)
        before[said] += killed
        with monkeypatch.context() as patched:
            patched.setattr(client, "SUBMISSION_TIMEOUT_S", -10)  # one that is not found is not waited for
            dispatch.catch_up(store, sweep_id, lambda _: None)
        found = survey(store, sweep_id)
        pending = [run_id for run_id in directories if not (run_id in found.standings and found.standings[run_id].held)]
        assert pending in ([], list(directories)), "all or none"
        submitted = [one for one in stand_in.submitted if f"-{name}-" in one[1]]
        assert len(submitted) == (not pending)
        if pending:
            assert {one.state for one in submissions.places(store, sweep_id)} == {"pending"}
            arrays.submit(store, sweep_id, name, directories, array)
        (job_id, job_name, tasks) = next(one for one in stand_in.submitted if f"-{name}-" in one[1])
        (kept,) = submissions.of_sweep(store, sweep_id)
        assert (kept.job_id, kept.job_name, tasks) == (job_id, job_name, len(directories))
    with store.read() as connection:
        assert connection.execute(select(Submission.id).where(Submission.job_id.is_(None))).all() == []
    assert before["COMMIT"] >= 2
    assert before.total() > 10


@pytest.mark.parametrize("taken", [False, True])
def test_a_launcher_killed_while_it_submits(
    taken: bool, url: str, store: Store, sweep_id: int, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = launched(store, sweep_id)
    store.close()
    submit_tasks = arrays.Executor.submit_tasks

    def killed(executor: arrays.Executor, count: int) -> str:
        if taken:
            submit_tasks(executor, count)
        os.kill(os.getpid(), signal.SIGKILL)
        return ""

    def submit() -> None:
        with Store(url) as own, monkeypatch.context() as patched:
            patched.setattr(arrays.Executor, "submit_tasks", killed)
            arrays.submit(own, sweep_id, "demo", directories, arrays.Array(Resources(), [[1, 2], [3, 4]]))

    assert children.end(children.start(submit)) == -signal.SIGKILL
    assert {state for _, state, *_ in where(store, sweep_id)} == {"queued"}
    found = survey(store, sweep_id)
    assert {one.held for one in found.standings.values()} == {None}, "nobody knows yet"
    monkeypatch.setattr(client, "SUBMISSION_TIMEOUT_S", -10)  # one that is not found is not waited for
    said: list[str] = []
    found = dispatch.catch_up(store, sweep_id, said.append)
    assert {one.held for one in found.standings.values()} == ({True} if taken else set())
    assert {state for _, state, *_ in where(store, sweep_id)} == {"queued" if taken else "pending"}
    assert said == (["found array 1001, whose submission was interrupted"] if taken else [])
    assert len(stand_in.submitted) == taken
