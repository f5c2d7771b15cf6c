"""What a job does with its share, and what it says of each attempt."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grpo_worker.schema.records import FinishRecord
from orchestrator.attempt import claim
from orchestrator.attempt import job as job_module
from orchestrator.attempt.job import Ended, job_spec, journals_only, run_share
from orchestrator.attempt.recording import Pace
from orchestrator.attempt.share import Share
from orchestrator.attempt.stop import USUAL, Stop
from orchestrator.base.errors import StoreError
from orchestrator.base.processes import started_at, this_host
from orchestrator.base.provenance import Checkout
from orchestrator.rundir import folder, journal, writing
from tests.support import children, fake_worker
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
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STALESWEEP_CACHE", "policies")
    monkeypatch.setenv("STALESWEEP_JOBS_WRITE", "journal")
    spec = job_spec("the database", iter([tmp_path / "run-000001"]), "slurm")
    assert json.loads(json.dumps(asdict(spec), default=str)) == {
        "directories": [str(tmp_path / "run-000001")], "cache_dir": str(tmp_path / "policies"),
        "database": "the database", "executor": "slurm", "launched_from": this_host(), "writes": "journal",
        "more": None,
    }  # fmt: skip


def test_the_worker_is_given_the_runs_config_and_where_to_keep_things(
    made: Jobs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: dict[str, Any] = {}

    def run(config: Any, emit: Any, **options: Any) -> Any:
        given.update(options, config=config, asked=options["should_stop"]())
        return fake_worker.run(config, emit, **options)

    worker(monkeypatch, run)
    (directory,) = made.submit(2)
    train(made, directory, cache_dir=tmp_path / "policies")
    del given["should_stop"]
    assert given == {
        "config": folder.load(directory).worker_config(), "cache_dir": tmp_path / "policies", "run_dir": directory,
        "asked": False,
    }  # fmt: skip


def test_code_without_changes_leaves_no_difference_behind(made: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (None, Checkout("c" * 40, dirty=False, diff=b"none")):
        monkeypatch.setattr(job_module, "checkout", lambda code=code: code)
        (directory,) = made.submit(1 if code is None else 2)
        train(made, directory)
        assert not journal.path_of(directory, 1).with_suffix(".diff").exists()


def test_a_job_goes_by_the_pace_that_it_is_given(made: Jobs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    directories = made.submit(1, 2)

    def run(*arguments: Any, run_dir: Path, **options: Any) -> Any:
        path = journal.path_of(run_dir, 1)
        wait_for(lambda: journal.read(path).entries[-1]["record"] == "beat", "a heartbeat", 10)
        return fake_worker.run(*arguments, run_dir=run_dir, **options)

    worker(monkeypatch, run)
    absent = f"sqlite:///{tmp_path}/none/x.db"
    began = time.monotonic()
    ended = train(made, *directories, pace=CUT_OFF, database=absent)
    assert ended == [Ended(run_id, "collapsed", 10, "demo") for run_id in (1, 2)], "the directories decide"
    assert time.monotonic() - began < 10


def test_a_job_that_is_asked_to_stop_while_it_waits_for_the_database_begins_nothing(
    made: Jobs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Soon(Stop):
        def wait(self, timeout_s: float) -> bool:
            self.request("stopped")
            return super().wait(timeout_s)

    directories = made.submit(1, 2)
    pace = replace(QUICK, patience_s=60.0)
    assert train(made, *directories, pace=pace, stop=Soon(), database=f"sqlite:///{tmp_path}/none/x.db") == []
    assert {message.partition(":")[0] for message in caplog.messages} == {"run 1 has to wait"}
    assert journal.numbers(directories[0]) == []


def test_a_run_that_cannot_be_trained_is_said_and_the_next_one_begins(
    made: Jobs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = made.submit(1, 2)
    (first / "run.json").write_text("{")
    gone = tmp_path / "run-000009"
    assert train(made, gone, first, second) == [Ended(2, "collapsed", 10, "demo")]
    said = [record.getMessage() for record in caplog.records if record.name == "orchestrator.attempt.job"]
    assert said[0] == f"{gone} is gone: its run was removed"
    assert said[1].startswith(f"run-000001: not trained: {first / 'run.json'}")


def test_a_job_whose_database_cannot_be_used_ends(made: Jobs) -> None:
    first, second = made.submit(1, 2)
    content = json.loads((first / "run.json").read_text())
    (first / "run.json").write_text(json.dumps({**content, "sweep": "other"}))
    with pytest.raises(StoreError, match="run 1 of this database is another one"):
        train(made, first, second)
    assert journal.numbers(second) == []


def test_an_attempt_that_is_overtaken_says_so_in_its_log_and_the_next_run_begins(
    made: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(config: Any, emit: Any, *, run_dir: Path, **options: Any) -> Any:
        if config.seed == 0:
            newer = writing.Journal.reserve(run_dir, 1)
            newer.append("beat")
            newer.close()
        return fake_worker.run(config, emit, run_dir=run_dir, **options)

    worker(monkeypatch, run)
    first, second = made.submit(1, 2)
    ended = train(made, first, second, writes="journal")
    assert ended == [Ended(1, "fenced", None, "demo"), Ended(2, "collapsed", 10, "demo")]
    log = folder.log_of(first, 1).read_text()
    assert log.endswith(
        " WARNING orchestrator.attempt.job: attempt 1 of run 1 ends: a newer one took over, or the run was removed\n"
    )
    assert "failed" not in log


def test_a_refusal_of_the_database_is_in_the_log_of_the_attempt_and_ends_it(
    made: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(config: Any, emit: Callable[[Any], None], **options: Any) -> Any:
        emit(replace(fake_worker.evaluation(0), val_n=-1))
        return FinishRecord("stable", 10, "half")

    worker(monkeypatch, run)
    (directory,) = made.submit(1)
    assert train(made, directory) == [Ended(1, "failed", None, "demo")]
    assert "ERROR orchestrator.attempt.job: the database refuses this attempt\nTraceback" in (
        folder.log_of(directory, 1).read_text()
    )


def test_the_log_of_an_attempt_takes_all_from_info_on_and_any_character(
    made: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[int] = []

    def run(*arguments: Any, **options: Any) -> Any:
        levels.append(logging.getLogger().level)
        logging.getLogger("worker").info("half \udc80, η")
        logging.getLogger("worker").debug("too much")
        return fake_worker.run(*arguments, **options)

    worker(monkeypatch, run)
    (directory,) = made.submit(1)

    def job() -> None:  # in a child: what is logged here travels between the processes of pytest, as UTF-8
        before = logging.getLogger().level
        train(made, directory)
        assert (logging.getLogger().level, levels) == (before, [logging.INFO])

    children.run(job)
    log = folder.log_of(directory, 1).read_text(encoding="utf-8")
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO worker: half \\udc80, η$", log, re.MULTILINE)
    assert "too much" not in log


class OutOfMemoryError(RuntimeError):
    """As `torch.OutOfMemoryError`."""


@pytest.mark.parametrize(
    ("error", "failure_class", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left"), "exception", True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "exception", True),
        (OSError(errno.EACCES, "no"), "exception", False),
        (ValueError(errno.ENOSPC), "exception", False),
        (OutOfMemoryError("CUDA"), "gpu_out_of_memory", False),
        (RuntimeError("postgresql://me:pass@host/db is away"), "exception", False),
    ],
)
def test_how_a_failure_is_classed_and_what_to_do_about_it(
    made: Jobs, monkeypatch: pytest.MonkeyPatch, error: Exception, failure_class: str, advice: bool
) -> None:
    def run(*_: Any, **__: Any) -> Any:
        raise error

    worker(monkeypatch, run)
    (directory,) = made.submit(1)
    assert train(made, directory, writes="journal") == [Ended(1, "failed", None, "demo")]
    last = journal.last(journal.path_of(directory, 1))
    assert last is not None
    assert last["failure_class"] == failure_class
    text = "; make room on the disk of " + f"{directory}, then `stalesweep launch` again"
    assert last["failure"].endswith(text) == ("make room" in last["failure"]) == advice
    assert last["failure"].partition(":")[0].endswith(type(error).__name__)
    assert "pass" not in last["failure"]


def test_without_a_stop_of_its_callers_a_job_handles_signals_while_it_trains(
    made: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = [signal.getsignal(number) for number in USUAL]

    def run(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return fake_worker.run(*arguments, **options)

    worker(monkeypatch, run)
    assert train(made, *made.submit(1, 2)) == [Ended(1, "interrupted", 1, "demo")]
    assert made.attempts(1)[0]["failure_class"] == "stopped"
    assert [signal.getsignal(number) for number in USUAL] == handlers


def test_a_sqlite_file_on_a_network_file_system_is_left_to_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "network_filesystem", {Path("/tmp/x.db"): "nfs4"}.get)
    said = "the SQLite file lies on a network file system (nfs4)"
    assert journals_only("sqlite:////tmp/x.db", "auto", "login-node") == said
    assert journals_only("sqlite:////tmp/y.db", "auto", this_host()) is None
