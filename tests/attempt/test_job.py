"""What a job does with its share, and what it says of each attempt."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.attempt import claim
from orchestrator.attempt import job as job_module
from orchestrator.attempt.job import Ended, job_spec, journals_only, run_share
from orchestrator.attempt.recording import Pace
from orchestrator.attempt.share import Share
from orchestrator.attempt.stop import Stop
from orchestrator.base.processes import started_at, this_host
from orchestrator.base.provenance import Checkout
from orchestrator.rundir import folder, journal
from tests.support import fake_worker
from tests.support.jobs import CUT_OFF, QUICK, Jobs
from tests.support.waiting import wait_for


@pytest.fixture
def made(
    new_database: Callable[..., str], jobs: Callable[..., Jobs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Jobs:
    """Three runs whose jobs are this process."""
    monkeypatch.setitem(sys.modules, "grpo_worker.loop", fake_worker)
    code = Checkout("c" * 40, dirty=True, diff=b"diff of a file")
    for module in (job_module, claim):
        monkeypatch.setattr(module, "checkout", lambda: code)
    return jobs(3)


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


def train(made: Jobs, *directories: Path, stop: Stop | None = None, pace: Pace = QUICK, **changes: Any) -> list[Ended]:
    return run_share(replace(made.spec(list(directories)), **changes), pace, stop)


def worker(monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    module = SimpleNamespace(run=run, latest_checkpoint=fake_worker.latest_checkpoint)
    monkeypatch.setitem(sys.modules, "grpo_worker.loop", module)


def test_each_attempt_says_who_trained_what_where_and_with_which_code(made: Jobs) -> None:
    directories = made.submit(1, 2)
    assert train(made, *directories, executor="debug") == [
        Ended(1, "collapsed", 10, "demo"), Ended(2, "collapsed", 10, "demo"),
    ]  # fmt: skip
    for run_id, directory in enumerate(directories, 1):
        made.check(run_id)
        path = journal.path_of(directory, 1)
        first = journal.read(path).entries[0]
        run = folder.load(directory)
        said = {"run": run_id, "sweep": "demo", "config_digest": run.config_digest, "attempt": 1}
        assert said.items() <= first.items()
        assert (first["record"], first["resumed_from_sync"], first["resumed_from_step"]) == ("begin", None, None)
        (stored,) = made.attempts(run_id)
        here = {
            "executor": "debug", "host": this_host(), "pid": os.getpid(), "process_started_at": started_at(os.getpid()),
            "git_commit": "c" * 40, "git_dirty": True,
        }  # fmt: skip
        assert here.items() <= first["origin"].items()
        assert here.items() <= dict(stored).items()
        assert path.with_suffix(".diff").read_bytes() == b"diff of a file"
        log = folder.log_of(directory, 1).read_text(encoding="utf-8")
        assert f"run {run_id}, attempt 1 on {this_host()}: k = 2, eta = 0.001, seed {run_id - 1}\n" in log
        assert "INFO orchestrator.attempt.job: ended: collapsed after 10 learner steps\n" in log


def test_a_run_that_is_done_taken_or_gone_is_not_trained_again(made: Jobs, tmp_path: Path) -> None:
    first, second = made.submit(1, 2)
    train(made, first)
    assert train(made, first, tmp_path / "run-000009", second) == [Ended(2, "collapsed", 10, "demo")]
    assert journal.numbers(first) == [1]


def test_a_worker_that_fails_is_recorded_and_the_next_run_begins(made: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(config: Any, *arguments: Any, **options: Any) -> Any:
        if config.seed == 0:
            raise ValueError("a tab\tand a\nsecond line")
        return fake_worker.run(config, *arguments, **options)

    worker(monkeypatch, run)
    before = logging.getLogger().handlers[:]
    first, second = made.submit(1, 2)
    assert train(made, first, second) == [Ended(1, "failed", None, "demo"), Ended(2, "collapsed", 10, "demo")]
    assert logging.getLogger().handlers == before
    assert made.states() == ["failed", "collapsed", "pending"]
    (attempt,) = made.attempts(1)
    assert attempt["failure"] == "ValueError: a tab and a second line"
    assert attempt["failure_class"] == "exception"
    log = folder.log_of(first, 1).read_text()
    assert "the attempt failed" in log
    assert 'raise ValueError("a tab' in log
    assert "seed 1" not in log, "the next run has a log of its own"


def test_a_record_that_the_database_refuses_ends_the_attempt_and_not_the_job(
    made: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(config: Any, emit: Callable[[Any], None], **options: Any) -> Any:
        if config.seed == 0:
            emit(replace(fake_worker.evaluation(0), val_n=-1))
            wait_for(lambda: emit(fake_worker.evaluation(1)), "the database's refusal")
        return fake_worker.run(config, emit, **options)

    worker(monkeypatch, run)
    directories = made.submit(1, 2)
    assert train(made, *directories) == [Ended(1, "failed", None, "demo"), Ended(2, "collapsed", 10, "demo")]
    assert "CHECK constraint failed: ck_evaluation_val_n" in folder.log_of(directories[0], 1).read_text()
    assert made.states() == ["failed", "collapsed", "pending"]


def test_a_job_that_is_asked_to_stop_begins_no_further_run_and_says_why(
    made: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()

    def run(config: Any, emit: Any, **options: Any) -> Any:
        def emit_and_stop(record: Any) -> None:
            emit(record)
            stop.request("preempted")

        return fake_worker.run(config, emit_and_stop, **options)

    worker(monkeypatch, run)
    directories = made.submit(1, 2)
    assert train(made, *directories, stop=stop) == [Ended(1, "interrupted", 1, "demo")]
    assert made.states() == ["pending", "queued", "pending"]
    (attempt,) = made.attempts(1)
    assert (attempt["outcome"], attempt["failure_class"]) == ("interrupted", "preempted")
    assert fake_worker.latest_checkpoint(directories[0]) is not None
    monkeypatch.setitem(sys.modules, "grpo_worker.loop", fake_worker)
    assert train(made, *made.submit(1)) == [Ended(1, "collapsed", 9, "demo")]
    first = journal.read(journal.path_of(directories[0], 2)).entries[0]
    assert (first["resumed_from_step"], first["resumed_from_sync"]) == (1, None)


def test_a_job_trains_what_its_launcher_adds(made: Jobs, tmp_path: Path) -> None:
    directories = made.submit(1, 2, 3)
    with Share(tmp_path / "share") as share:
        share.add(directories[1:])
        share.close()
        ended = train(made, directories[0], more=share.path)
    assert [one.run_id for one in ended] == [1, 2, 3]


def test_a_job_that_writes_journals_leaves_the_database_to_status(made: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = made.submit(1)
    assert train(made, *directories, writes="journal") == [Ended(1, "collapsed", 10, "demo")]
    assert made.attempts(1) == []
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert train(made, *directories, writes="journal") == [], "a requeued job sees in the journal that the run is done"
    assert made.collect().notes == []
    made.check(1)


def test_what_a_locked_database_lacks_at_the_end_is_said_and_brought_by_status(
    made: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = sqlite3.connect(made.url.removeprefix("sqlite:///"), isolation_level=None)

    def run(*arguments: Any, **options: Any) -> Any:
        locked.execute("BEGIN IMMEDIATE")
        return fake_worker.run(*arguments, **options)

    worker(monkeypatch, run)
    (directory,) = made.submit(1)
    assert train(made, directory, pace=replace(CUT_OFF, patience_s=0.1)) == [Ended(1, "collapsed", 10, "demo")]
    assert made.rows(1) != made.expected
    locked.close()
    log = folder.log_of(directory, 1).read_text(encoding="utf-8")
    assert ": the database does not have all records yet; `stalesweep status` brings them from the journal\n" in log
    assert made.collect().notes == []
    made.check(1)


@pytest.mark.parametrize(
    ("url", "writes", "host", "reason"),
    [
        ("sqlite:////tmp/x.db", "auto", None, None),
        ("sqlite:////tmp/x.db", "auto", "login-node", "the SQLite file was made on another host, login-node"),
        ("sqlite:////tmp/x.db", "database", "login-node", None),
        ("sqlite:////tmp/x.db", "journal", None, "STALESWEEP_JOBS_WRITE says so"),
        ("postgresql://db/x", "auto", "login-node", None),
        ("postgresql://db/x", "journal", None, "STALESWEEP_JOBS_WRITE says so"),
    ],
)
def test_where_jobs_leave_the_database_to_the_command_line(
    url: str, writes: str, host: str | None, reason: str | None
) -> None:
    assert journals_only(url, writes, host or this_host()) == reason


def test_a_share_says_all_that_a_job_needs_to_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STALESWEEP_CACHE", str(tmp_path / "policies"))
    monkeypatch.setenv("STALESWEEP_JOBS_WRITE", "journal")
    spec = job_spec("the database", iter([tmp_path / "run-000001"]), "slurm")
    assert json.loads(json.dumps(asdict(spec), default=str)) == {
        "directories": [str(tmp_path / "run-000001")], "cache_dir": str(tmp_path / "policies"),
        "database": "the database", "executor": "slurm", "launched_from": this_host(), "writes": "journal",
        "more": None,
    }  # fmt: skip
