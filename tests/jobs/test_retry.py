"""``retry``: the runs that are named, and no others, through the code of ``launch``."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.grid.sweep import Resources
from orchestrator.jobs.slurm import dispatch
from orchestrator.store import attempts, endings, queries, submissions
from orchestrator.store.attempts import Claim
from orchestrator.store.database import Store
from orchestrator.store.endings import Ending
from tests.support import children, fake_worker
from tests.support.jobs import Jobs
from tests.support.stores import begin

pytestmark = pytest.mark.services

MakeJobs = Callable[[int], Jobs]


def retry(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["retry", *arguments, "--executor", "debug"])


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpo_worker.loop", fake_worker)


def states(made: Jobs) -> list[str]:
    with Store(made.url) as store:
        return [run.state for run in queries.progress(store, made.sweep_id)]


def ended_in_every_way(made: Jobs) -> None:
    """Runs 1 to 6: with a result, failed, lost, cancelled, left over, and in the hands of a process."""
    directories = made.submit(1, 2, 3, 4, 5, 6)
    children.run(lambda: made.train(directories[0]))
    with Store(made.url) as store:
        for run_id in (2, 3, 6):
            begin(store, run_id)
        attempts.abort(store, Claim(2, 1), "ValueError: no", "exception")
        attempts.lose(store, Claim(3, 1), "gone")
        endings.end_runs(store, {4: 1}, {4: Ending("cancelled", "by me")})
        submissions.set_pending(store, [5])
    assert states(made) == ["collapsed", "failed", "lost", "cancelled", "pending", "running"]


def test_only_what_is_named(jobs: MakeJobs) -> None:
    made = jobs(6)
    ended_in_every_way(made)
    failed = retry("demo", "-s", "failed")
    assert (failed.exit_code, "finished" in failed.stderr) == (0, False)
    assert states(made) == ["collapsed", "collapsed", "lost", "cancelled", "pending", "running"]
    some = retry("1", "3", "5")
    assert (some.exit_code, "1 run finished: nothing to try again\n" in some.stderr) == (0, True)
    assert states(made) == ["collapsed", "collapsed", "collapsed", "cancelled", "collapsed", "running"]
    rest = retry("demo")
    assert "4 runs finished: nothing to try again\n1 run in the hands of jobs: left alone\n" in rest.stderr
    assert states(made) == ["collapsed"] * 5 + ["running"]
    for run_id in range(1, 6):
        assert made.rows(run_id) == made.expected


def test_nothing_to_do(jobs: MakeJobs) -> None:
    made = jobs(2)
    [first, _] = made.submit(1, 2)
    children.run(lambda: made.train(first))
    with Store(made.url) as store:
        begin(store, 2)
    for words, said in (
        (["1"], "1 run finished: nothing to try again\nnothing to try again\n"),
        (["2"], "1 run in the hands of jobs: left alone\nnothing to try again\n"),
        (["demo", "-s", "lost"], "no run in state lost\n"),
    ):
        done = retry(*words)
        assert (done.exit_code, done.stderr) == (3, said)


def test_it_asks_above_ten(jobs: MakeJobs) -> None:
    made = jobs(11)
    made.submit(*range(1, 12))
    with Store(made.url) as store:
        submissions.set_pending(store, range(1, 12))
    asked = retry("demo")
    assert asked.exit_code == 2
    assert "Train 11 runs again on debug? This is not a terminal" in asked.stderr
    assert states(made) == ["pending"] * 11
    assert retry("demo", "-y").exit_code == 0
    assert states(made) == ["collapsed"] * 11


def test_a_run_that_fails_again_is_told_by_the_exit_code(jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    made = jobs(1)
    made.submit(1)
    with Store(made.url) as store:
        submissions.set_pending(store, [1])

    def fails(*_: object, **__: object) -> None:
        raise ValueError("again")

    monkeypatch.setattr(fake_worker, "run", fails)
    assert retry("1").exit_code == 1
    assert states(made) == ["failed"]


def test_more_memory_is_said() -> None:
    said: list[str] = []
    asked = {1: Resources(mem_gb=2), 2: Resources(mem_gb=2), 3: Resources(mem_gb=4)}
    dispatch._say_more_memory({**asked, 1: Resources(mem_gb=3), 3: Resources(mem_gb=9)}, asked, said.append)
    dispatch._say_more_memory(asked, asked, said.append)
    assert said == ["more memory than the grid says, 9 GB at most, for 2 runs that had too little"]
