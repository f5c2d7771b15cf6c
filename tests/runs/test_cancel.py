"""``cancel``: whoever trains a cancelled run stops; whoever is killed while cancelling is followed up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from typer.testing import CliRunner, Result

from orchestrator.base.errors import JournalError, UsageError
from orchestrator.cli.app import app
from orchestrator.rundir import journal
from orchestrator.rundir.writing import Journal
from orchestrator.runs import cancelling
from orchestrator.store import endings, queries, registration, submissions
from orchestrator.store.database import Store
from orchestrator.store.endings import Ending
from orchestrator.store.models import Attempt, SyncMetric
from orchestrator.store.selection import select_runs
from tests.support import children
from tests.support.jobs import CUT_OFF, Jobs, killed_at
from tests.support.stand_in import StandIn

pytestmark = pytest.mark.services

REASON = "cancelled by me"
WRITES = pytest.mark.parametrize("writes", ["database", "journal"])


MakeJobs = Callable[..., Jobs]


def cancel(made: Jobs, *run_ids: int) -> cancelling.Done:
    with Store(made.url) as store:
        with store.read() as connection:
            runs = select_runs(connection, [str(run_id) for run_id in run_ids])
        return cancelling.cancel(store, runs, REASON)


def goes_on(made: Jobs, *run_ids: int) -> None:
    """Launched again, runs end with the rows of one that was never interrupted."""
    directories = made.submit(*run_ids)
    children.run(lambda: made.train(*directories))
    made.collect()
    for run_id in run_ids:
        assert made.rows(run_id) == made.expected


@WRITES
def test_a_job_leaves_a_cancelled_run_and_takes_the_next(jobs: MakeJobs, writes: str) -> None:
    made = jobs(3, horizon=60, writes=writes)
    directories = made.submit(1, 2, 3)
    child = made.training(*directories)
    made.collect()
    assert cancel(made, 1, 3).runs == [1, 3]
    assert children.end(child) == 0
    made.collect()
    assert made.states() == ["cancelled", "collapsed", "cancelled"]
    assert list(directories[0].glob("checkpoint-*.pt")), "it stays"
    assert not list(directories[2].glob("checkpoint-*.pt")), "never begun"
    [attempt] = made.attempts(1)
    assert (attempt["outcome"], attempt["failure"], attempt["failure_class"]) == ("lost", REASON, "cancelled")
    goes_on(made, 1, 3)
    assert made.attempts(1)[-1]["resumed_from_step"] > 0


@WRITES
@pytest.mark.parametrize("restarts", ["0", "1"])
def test_a_job_of_before_may_not_take_it(
    jobs: MakeJobs, writes: str, restarts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = jobs(writes=writes)
    directories = made.submit(1)
    cancel(made, 1)
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    children.run(lambda: made.train(*directories))
    made.collect()
    assert made.states() == ["cancelled"]
    assert made.attempts(1) == []
    assert journal.numbers(directories[0]) == [1], "the word of the cancellation, and nothing after it"
    goes_on(made, 1)


def test_a_job_that_has_no_database_may_not_take_it(jobs: MakeJobs) -> None:
    made = jobs()
    directories = made.submit(1)
    cancel(made, 1)
    away = "postgresql://nobody@127.0.0.1:1/gone"
    children.run(lambda: made.train(*directories, pace=CUT_OFF, url=away))
    made.collect()
    assert made.states() == ["cancelled"]
    assert made.attempts(1) == []


def test_what_an_attempt_wrote_last_is_brought_after_it(jobs: MakeJobs) -> None:
    made = jobs(horizon=60)
    directories = made.submit(1)
    child = made.training(*directories)
    os.kill(child, 9)
    children.end(child)
    with Store(made.url) as store:
        endings.end_runs(store, {1: 2}, {1: Ending("cancelled", REASON)})
        with store.write() as connection:  # as where the database had been away
            connection.execute(delete(SyncMetric))
            connection.execute(update(Attempt).values(journal_bytes=0))
    found = made.collect()
    assert found.notes == []
    assert found.records > 3
    assert len(made.rows(1)["syncs"]) >= 1
    assert made.states() == ["cancelled"]
    goes_on(made, 1)


def test_what_the_database_has_not_heard_of_comes_before_it(jobs: MakeJobs) -> None:
    made = jobs(3, horizon=60, writes="journal")
    made.end_one_and_kill_one()
    assert cancel(made, 1, 2, 3).runs == [2, 3]
    assert made.states() == ["collapsed", "cancelled", "cancelled"]
    assert made.rows(1) == made.expected
    assert len(made.rows(2)["syncs"]) >= 1
    [attempt] = made.attempts(2)
    assert (attempt["outcome"], attempt["failure_class"]) == ("lost", "cancelled")
    goes_on(made, 2, 3)


def test_killed_in_between_who_collects_finishes_it(jobs: MakeJobs) -> None:
    made = jobs(2, horizon=60)
    made.submit(1, 2)
    with Store(made.url) as store:
        for folder in queries.run_folders(store, made.sweep_id):
            cancelling._write(folder, Ending("cancelled", REASON), [])
    assert made.states() == ["queued", "queued"]
    assert made.collect().records == 2
    assert made.states() == ["cancelled", "cancelled"]
    assert made.collect().records == 0
    goes_on(made, 1, 2)


def test_killed_at_every_operation(jobs: MakeJobs) -> None:
    made = jobs(horizon=10)
    kill_at, killed = 0, True
    before: set[str] = set()
    while killed:
        kill_at += 1
        made.submit(1)
        killed, what = killed_at(kill_at, lambda: cancel(made, 1))
        before.add(what.split(" ")[0])
        made.collect()
        assert made.states()[0] in ("queued", "cancelled")
    assert kill_at > 5
    assert {"write", "fsync", "COMMIT"} <= before
    assert made.states() == ["cancelled"]
    goes_on(made, 1)


def test_runs_without_a_directory(jobs: MakeJobs) -> None:
    made = jobs(2)
    with Store(made.url) as store:
        registration.set_directories(store, {1: str(made.folder / "gone")})
    assert cancel(made, 1, 2).runs == [1, 2]
    assert made.states() == ["cancelled", "cancelled"]
    assert not (made.folder / "gone").exists()
    with Store(made.url) as store:
        registration.set_directories(store, {1: str(made.directory(1))})
    goes_on(made, 1, 2)


def test_one_that_begins_meanwhile_is_cancelled_too(jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    made = jobs(horizon=60)
    directories = made.submit(1)
    child = 0
    reserve = Journal.reserve

    def slowly(directory: Path, after: int) -> Journal:
        nonlocal child
        reserved = reserve(directory, after)
        if not child:
            child = -1  # in the child too, whose number is larger than the one just reserved
            child = made.training(*directories)
        return reserved

    monkeypatch.setattr(cancelling.Journal, "reserve", slowly)
    done = cancel(made, 1)
    assert (done.runs, children.end(child)) == ([1], 0)
    assert made.states() == ["cancelled"]
    monkeypatch.undo()


def test_a_full_disk_does_not_keep_a_run_from_being_cancelled(jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    made = jobs(horizon=60)
    child = made.training(*made.submit(1))

    def full(*_: object) -> None:
        raise JournalError("cannot write: no space")

    monkeypatch.setattr(cancelling.Journal, "append", full)
    done = cancel(made, 1)
    assert done.runs == [1]
    assert "no space" in done.notes[0]
    assert children.end(child) == 0, "the database refuses it"
    assert made.states() == ["cancelled"]
    monkeypatch.undo()
    goes_on(made, 1)


def test_one_that_cannot_be_caught_is_named(jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    made = jobs()
    made.submit(1)
    monkeypatch.setattr(cancelling, "_say_so", lambda *_: None)
    with pytest.raises(UsageError, match="runs 1 began anew meanwhile: cancel them again"):
        cancel(made, 1)


# The tasks of Slurm


@pytest.fixture
def cluster(jobs: MakeJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Jobs, StandIn]:
    """Runs 1 and 2 in task 0 of array 1001, run 3 in its task 1; squeue says that both wait."""
    stand_in = StandIn.make(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{stand_in.folder}:{os.environ['PATH']}")
    made = jobs(3)
    made.submit(1, 2, 3)
    with Store(made.url) as store:
        submissions.open_submission(
            store, made.sweep_id, token="ab12", job_name="demo-ab12", folder="/x", resources={}, shares=[[1, 2], [3]]
        )
        submissions.answer(store, "ab12", "1001")
    (stand_in.folder / "submitted").write_text("1001|demo-ab12|2\n")
    return made, stand_in


def cancelled(stand_in: StandIn) -> list[str]:
    path = stand_in.folder / "cancelled"
    return path.read_text().splitlines() if path.exists() else []


def test_a_task_is_cancelled_with_the_last_of_its_runs(cluster: tuple[Jobs, StandIn]) -> None:
    made, stand_in = cluster
    assert cancel(made, 1).tasks == 0, "run 2 is to go on"
    assert cancelled(stand_in) == []
    assert cancel(made, 3).tasks == 1
    assert cancelled(stand_in) == ["--quiet 1001_[1]"]
    assert cancel(made, 2).tasks == 1
    assert cancelled(stand_in)[1:] == ["--quiet 1001_[0]"]


def test_a_job_id_that_slurm_gave_to_another_job_is_left_alone(cluster: tuple[Jobs, StandIn]) -> None:
    made, stand_in = cluster
    squeue = stand_in.folder / "squeue"
    squeue.write_text("#!/bin/sh\necho '1001|0|of-somebody-else|RUNNING|node1|None'\n")
    assert cancel(made, 1, 2, 3).tasks == 0
    assert cancelled(stand_in) == []


# The command


def stalesweep(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=answer)


def texts(outcomes: Iterable[Result]) -> list[tuple[int, str]]:
    return [(one.exit_code, one.stderr + one.stdout) for one in outcomes]


def test_the_command(jobs: MakeJobs) -> None:
    made = jobs(12)
    made.submit(*range(1, 13))
    with Store(made.url) as store:
        submissions.set_pending(store, [3])
    asked = stalesweep("cancel", "demo")
    assert asked.exit_code == 2
    assert "Cancel 12 runs? This is not a terminal, so nobody can be asked: say --yes" in asked.stderr
    done = [
        stalesweep("cancel", "1", "2"),
        stalesweep("cancel", "demo", "-s", "pending"),
        stalesweep("cancel", "3"),
        stalesweep("cancel", "demo", "-s", "running"),
        stalesweep("cancel", "nosuch"),
        stalesweep("cancel", "demo", "-y"),
    ]
    assert texts(done) == [
        (0, "cancelled 2 runs\n"),
        (0, "cancelled 1 run\n"),
        (3, "nothing to cancel: these runs have ended\n"),
        (3, "no run in state running\n"),
        (2, "error: no sweep named 'nosuch'; stored sweeps: demo\n"),
        (0, "cancelled 9 runs\n"),
    ]
    assert made.states() == ["cancelled"] * 12
    shown = stalesweep("status", "demo", "--format", "json")
    assert (shown.exit_code, '"cancelled": 12' in shown.stdout) == (0, True)


def test_a_bar_on_a_terminal_and_one_line_at_the_end(jobs: MakeJobs) -> None:
    made = jobs(3)
    made.submit(1, 2, 3)
    leader, terminal = os.openpty()
    command = [sys.executable, "-m", "orchestrator.cli.app", "cancel", "demo"]
    environment = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=terminal, timeout=60, check=True)
    os.close(terminal)
    assert done.stdout == b"cancelled 3 runs\n"
    assert b"cancelling" in os.read(leader, 1 << 20)
    os.close(leader)


def test_runs_that_have_ended_stay_as_they_are(jobs: MakeJobs) -> None:
    made = jobs(2)
    [first, _] = made.submit(1, 2)
    children.run(lambda: made.train(first))
    assert stalesweep("cancel", "demo").stdout == "cancelled 1 run\n"
    assert made.states() == ["collapsed", "cancelled"]
