"""Runs that a search ends early: their job leaves them, no command launches them again, and they never collapsed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from grpo_worker.schema.records import FinishRecord
from orchestrator.base.errors import Fenced, JournalError
from orchestrator.base.states import RunState
from orchestrator.cli.app import app
from orchestrator.data import frames
from orchestrator.grid.sweep import Sweep
from orchestrator.report import page
from orchestrator.rundir import journal
from orchestrator.rundir.writing import Journal
from orchestrator.runs import cancelling
from orchestrator.search.driver import DECIDED, end_early
from orchestrator.store import attempts, notices, queries, registration, submissions
from orchestrator.store.attempts import Claim
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress
from tests.support import children, fake_worker
from tests.support.jobs import Jobs, killed_at
from tests.support.stores import begin, eval_record, sync_record, write

pytestmark = pytest.mark.services

WRITES = pytest.mark.parametrize("writes", ["database", "journal"])

MakeJobs = Callable[..., Jobs]


def stop(made: Jobs, *run_ids: int) -> list[int]:
    with Store(made.url) as store:
        return end_early(store, made.sweep_id, run_ids)


def runs_of(made: Jobs) -> list[RunProgress]:
    with Store(made.url) as store:
        return queries.progress(store, made.sweep_id)


def begun(made: Jobs, run_id: int = 1) -> Claim:
    """A run that has an attempt, whose process is of no matter."""
    made.submit(run_id)
    with Store(made.url) as store:
        return begin(store, run_id)


@WRITES
def test_a_job_leaves_a_stopped_run_and_takes_the_next(jobs: MakeJobs, writes: str) -> None:
    made = jobs(3, horizon=100, writes=writes)
    directories = made.submit(1, 2, 3)
    child = made.training(*directories, step_s=0.02)
    assert stop(made, 1) == [1]
    first = runs_of(made)[0]
    assert (first.state, first.failure, first.failure_class) == ("cancelled", DECIDED.reason, DECIDED.why)
    assert 0 < first.learner_steps < 100
    assert children.end(child) == 0
    made.collect()
    assert made.states() == ["cancelled", "collapsed", "collapsed"]
    [attempt] = made.attempts(1)
    assert (attempt["outcome"], attempt["failure"], attempt["failure_class"]) == (
        "interrupted", DECIDED.reason, DECIDED.why,
    )  # fmt: skip
    assert attempt["ended_at"] == attempt["heartbeat_at"]
    assert runs_of(made)[0].learner_steps == first.learner_steps, "nothing of it is written any more"

    assert made.submit(1) == [], "nor is it launched again"
    children.run(lambda: made.train(directories[0]))
    made.collect()
    assert (made.states()[0], len(made.attempts(1))) == ("cancelled", 1)
    assert stop(made, 1) == []
    with Store(made.url) as store:
        assert notices.claim_end(store, "demo") == {"collapsed": 2, "cancelled": 1}


@WRITES
def test_a_run_that_has_not_begun_is_ended_too(jobs: MakeJobs, writes: str) -> None:
    made = jobs(2, horizon=20, writes=writes)
    directories = made.submit(1, 2)
    assert stop(made, 2) == [2]
    children.run(lambda: made.train(*directories))
    made.collect()
    assert made.states() == ["collapsed", "cancelled"]
    assert (runs_of(made)[1].learner_steps, made.submit(2)) == (0, [])


def test_its_attempt_may_not_write_any_more(jobs: MakeJobs) -> None:
    made = jobs(horizon=40)
    claim = begun(made)
    with Store(made.url) as store:
        write(store, claim, eval_record(0), sync_record(0))
        assert stop(made, 1) == [1]
        with pytest.raises(Fenced):
            attempts.followed_run(store, claim)
        write(store, claim, FinishRecord("collapsed", 40, "half", 16, 8, 8))
    assert made.states() == ["cancelled"]


def test_where_it_was_seen_alive_last_is_kept(jobs: MakeJobs) -> None:
    made = jobs(2, horizon=40)
    amid, early = begun(made, 1), begun(made, 2)
    with Store(made.url) as store:
        for step, reward in ((0, 0.5), (4, 0.5), (8, 0.2), (12, 0.2)):
            write(store, amid, eval_record(step, reward))
        write(store, early, sync_record(0, learner_step=0))
    assert stop(made, 1, 2) == [1, 2]
    with Store(made.url) as store:
        found = frames.runs(store).set_index("run")
    assert found["learner_steps"].tolist() == [12, 2]
    assert found.loc[1, "collapse_step_lo"] == 4
    assert found["collapse_step_lo"].isna().tolist() == [False, True], "no validation was seen yet"
    assert found["collapse_step"].isna().all()


def test_what_the_database_has_not_heard_of_comes_before_it(jobs: MakeJobs) -> None:
    made = jobs(3, horizon=60, writes="journal")
    made.end_one_and_kill_one()
    assert stop(made, 1, 2, 3) == [2, 3]
    assert made.states() == ["collapsed", "cancelled", "cancelled"]
    assert made.rows(1) == made.expected
    assert runs_of(made)[1].learner_steps >= 2
    assert len(made.rows(2)["syncs"]) >= 1


@WRITES
def test_a_run_that_finishes_meanwhile_keeps_its_result(
    jobs: MakeJobs, writes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = jobs(horizon=40, writes=writes)
    child = made.training(*made.submit(1), step_s=0.02)
    reserve = Journal.reserve

    def slowly(directory: Path, after: int) -> Journal:
        assert children.end(child) == 0
        return reserve(directory, after)

    monkeypatch.setattr(cancelling.Journal, "reserve", slowly)
    assert stop(made, 1) == []
    assert made.rows(1) == made.expected
    made.collect()
    assert made.rows(1) == made.expected


def test_a_full_disk_does_not_keep_a_run_from_being_stopped(
    jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = jobs()
    begun(made)

    def full(*_: object) -> None:
        raise JournalError("no space")

    monkeypatch.setattr(cancelling.Journal, "append", full)
    assert stop(made, 1) == [1]
    assert "an attempt that writes its journal only goes on: no space" in caplog.text


def test_killed_in_between_who_collects_finishes_it(jobs: MakeJobs) -> None:
    made = jobs()
    begun(made)
    with Store(made.url) as store:
        for folder in queries.run_folders(store, made.sweep_id):
            cancelling._write(folder, DECIDED, [])
    assert made.states() == ["running"]
    assert made.collect().records == 1
    [run] = runs_of(made)
    assert (run.state, run.failure, run.failure_class) == ("cancelled", DECIDED.reason, DECIDED.why)
    assert made.collect().records == 0


def test_killed_at_every_operation(jobs: MakeJobs) -> None:
    made = jobs()
    kill_at, killed = 0, True
    before: set[str] = set()
    while killed:
        kill_at += 1
        with Store(made.url) as store:
            submissions.set_pending(store, [1])
        begun(made)
        killed, what = killed_at(kill_at, lambda: stop(made, 1))
        before.add(what.split(" ")[0])
        made.collect()
        assert made.states()[0] in ("running", "cancelled")
        if made.states() == ["running"]:
            assert stop(made, 1) == [1]
    assert {"write", "fsync", "COMMIT"} <= before
    assert made.states() == ["cancelled"]


# The commands


def stalesweep(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_the_commands(jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpo_worker.loop", fake_worker)
    made = jobs(2)
    [first, _] = made.submit(1, 2)
    children.run(lambda: made.train(first))
    with Store(made.url) as store:
        write(store, begin(store, 2), eval_record(0), eval_record(4))
    assert stop(made, 2) == [2]

    status = stalesweep("status", "demo")
    assert "run 2 (tiny, k = 2, η = 0.001, seed 1) stopped early (decided):" in status.stdout
    assert DECIDED.reason in " ".join(status.stdout.split())
    assert "1 of 2 runs done, 1 cancelled · 100 % of 20 learner steps" in " ".join(status.stdout.split())
    [content] = json.loads(stalesweep("status", "demo", "--format", "json").stdout)
    assert content["runs"] == {"collapsed": 1, "cancelled": 1}
    [[_, shown]] = [cell["runs"] for cell in content["cells"]]
    assert (shown["state"], shown["failure"]) == ("cancelled", DECIDED.reason)
    shown = stalesweep("show", "2")
    assert shown.exit_code == 0, shown.output
    text = " ".join(shown.stdout.split())
    assert f"cancelled, stopped early by a search (decided): {DECIDED.reason}, last seen alive" in text

    ended = stalesweep("cancel", "demo")
    assert (ended.exit_code, ended.stderr) == (3, "nothing to cancel: these runs have ended\n")
    launched = stalesweep("launch", str(made.folder / "grid.yaml"), "--executor", "debug")
    assert (launched.exit_code, "every run of this sweep is done" in launched.stderr) == (3, True)
    left = stalesweep("retry", "demo", "--executor", "debug")
    assert left.exit_code == 3
    assert "1 run stopped early by a search: left alone; -s cancelled trains on\n1 run finished" in left.stderr
    again = stalesweep("retry", "demo", "-s", "cancelled", "--executor", "debug")
    assert again.exit_code == 0, again.stderr
    assert made.rows(2) == made.expected


def test_every_state_has_its_column_on_the_report_page() -> None:
    assert sorted(page._STATES) == sorted(RunState)


def test_an_export_is_imported_as_it_was(
    store: Store,
    url: str,
    grid: Callable[..., Sweep],
    tmp_path: Path,
    new_database: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STALESWEEP_DB", url)
    sweep_id = registration.register(store, grid())
    for run_id in (1, 2):
        write(store, begin(store, run_id), eval_record(0), eval_record(8), eval_record(16, 0.1))
    assert end_early(store, sweep_id, [1, 2]) == [1, 2]
    out = tmp_path / "out"
    exported = stalesweep("export", "--out", str(out), "--format", "csv")
    assert exported.exit_code == 0, exported.output
    other = new_database(url.partition(":")[0])
    monkeypatch.setenv("STALESWEEP_DB", other)
    imported = stalesweep("import", str(out), "--sweep", "copy")
    assert imported.exit_code == 0, imported.output
    columns: list[Any] = ["state", "failure", "failure_class", "learner_steps", "collapse_step_lo"]
    with Store(other) as theirs:
        found, attempts = frames.runs(theirs)[columns], frames.attempts(theirs)
    pd.testing.assert_frame_equal(found, frames.runs(store)[columns])
    assert found["failure_class"].tolist()[:2] == ["decided"] * 2
    assert attempts["outcome"].tolist() == ["interrupted"] * 2
    assert attempts["failure_class"].tolist() == ["decided"] * 2

    text = (out / "runs.csv").read_text().replace(",16,,8,", ",16,,17,", 1)
    (tmp_path / "wrong.csv").write_text(text)
    wrong = stalesweep("import", str(tmp_path / "wrong.csv"), "--sweep", "wrong")
    assert "collapse_step_lo must lie in 0 to 16 (found 17)" in wrong.stderr


def test_the_archive_of_one_may_go(jobs: MakeJobs) -> None:
    made = jobs(horizon=100)
    directories = made.submit(1)
    child = made.training(*directories, step_s=0.02)
    assert stop(made, 1) == [1]
    children.end(child)
    assert journal.numbers(directories[0]) == [1, 2]
    cleaned = stalesweep("gc", "demo", "--all", "-y")
    assert cleaned.exit_code == 0, cleaned.output
    assert not directories[0].exists()
