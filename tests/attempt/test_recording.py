"""What an attempt records arrives once and whole, whoever else writes, and whatever becomes of disk and database."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from sqlalchemy import select

from grpo_worker.schema.records import EvalRecord
from orchestrator.attempt.job import run_share
from orchestrator.attempt.recording import Pace, Recording
from orchestrator.base.errors import Fenced, StoreError, StoreUnavailable
from orchestrator.grid.sweep import load_sweep
from orchestrator.rundir import journal
from orchestrator.rundir.folder import RunFile, prepare
from orchestrator.rundir.writing import Journal
from orchestrator.store import attempts, queries, registration, schema, session, sqlite_files
from orchestrator.store.attempts import Claim
from orchestrator.store.database import Store
from orchestrator.store.models import RunRow
from tests.support import children, fake_worker
from tests.support.jobs import CUT_OFF, QUICK, Jobs
from tests.support.stores import begin, sync_record
from tests.support.waiting import wait_for

pytestmark = pytest.mark.services

MakeJobs = Callable[..., Jobs]


@pytest.fixture
def make_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeJobs:
    monkeypatch.setenv("STALESWEEP_RUNS", "")  # put back afterwards

    def make(url: str, runs: int = 1, horizon: int = 10, writes: str = "database") -> Jobs:
        return Jobs(url, tmp_path, runs, horizon, writes)

    return make


@pytest.fixture
def sqlite(new_database: Callable[[str], str]) -> str:
    return new_database("sqlite")


def recorded(jobs: Jobs, attempt: int = 1, run_id: int = 1) -> int:
    """Weight syncs that a journal holds."""
    path = journal.path_of(jobs.directory(run_id), attempt)
    return sum(entry["record"] == "sync" for entry in journal.read(path).entries) if path.exists() else 0


def dying(at_step: int) -> Any:
    """A worker whose process dies after so many learner steps, and the checkpoint that follows them."""

    def run(*arguments: Any, should_stop: Callable[[], bool], **options: Any) -> Any:
        asked: list[None] = []

        def stop() -> bool:
            asked.append(None)
            if len(asked) > at_step:
                os.kill(os.getpid(), signal.SIGKILL)
            return should_stop()

        return fake_worker.run(*arguments, should_stop=stop, **options)

    return SimpleNamespace(run=run, latest_checkpoint=fake_worker.latest_checkpoint)


def die(jobs: Jobs, at_step: int, **options: Any) -> None:
    """Let an attempt of run 1 die after so many learner steps of its own."""
    jobs.worker = dying(at_step)
    directories = jobs.submit(1)
    assert children.end(children.start(lambda: jobs.train(*directories, **options))) == -signal.SIGKILL
    jobs.worker = fake_worker


# Two attempts at once


@pytest.mark.parametrize("writes", ["database", "journal"])
def test_a_requeued_job_takes_over_from_one_that_was_only_frozen(
    url: str, make_jobs: MakeJobs, writes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(url, horizon=60, writes=writes)
    monkeypatch.setattr(fake_worker, "STEP_S", 0.005)
    monkeypatch.setattr(session, "IDLE_S", 1)  # it may be frozen in the midst of writing to the database
    monkeypatch.setattr(sqlite_files, "BUSY_TIMEOUT_S", 0.5)
    directories = jobs.submit(1)
    outcomes = jobs.folder / "outcomes"

    def older() -> None:
        outcomes.write_text(str(jobs.train(*directories)))

    def newer() -> None:
        os.environ["SLURM_RESTART_COUNT"] = "1"
        assert jobs.train(*directories, pace=Pace(patience_s=3.0)) == {1: "collapsed"}

    old = children.start(older)
    wait_for(lambda: recorded(jobs) >= 8, "eight weight syncs")
    os.kill(old, signal.SIGSTOP)
    new = children.start(newer)
    wait_for(lambda: recorded(jobs, attempt=2) >= 1, "the newer attempt")
    os.kill(old, signal.SIGCONT)
    assert children.end(old) == 0
    assert outcomes.read_text() == "{1: 'fenced'}"
    assert children.end(new) == 0
    jobs.collect()
    first, second = jobs.attempts(1)
    assert (first["outcome"], first["failure"]) == ("lost", "attempt 2 took over")
    assert second["resumed_from_step"] >= 15, "it went on from a checkpoint of the first"
    assert jobs.rows(1) == jobs.expected
    assert recorded(jobs) <= 25, "the older one has ended itself"


def test_an_older_attempt_on_another_disk_is_refused_by_the_database(store: Store, grid: Any, tmp_path: Path) -> None:
    run_id = queries.unfinished_runs(store, registration.register(store, grid()))[0]
    old = begin(store, run_id)
    with pytest.raises(Fenced, match="a newer one took over"), recording(store, old, tmp_path / "other") as mine:
        mine.emit(sync_record(0))
        wait_for(lambda: queries.progress(store, 1)[0].sync == 0, "the first weight sync in the database")
        new = begin(store, run_id, take_over=True)
        for sync in range(1, 1000):
            mine.emit(sync_record(sync))
            time.sleep(0.01)
    assert queries.progress(store, 1)[0].sync is None
    assert sync < 500
    with store.read() as connection:
        assert connection.execute(select(RunRow.state, RunRow.fence).where(RunRow.id == run_id)).one() == (
            "running",
            new.attempt,
        )


def test_who_is_frozen_in_the_midst_of_writing_holds_up_nobody_for_long(
    new_database: Callable[[str], str], make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "IDLE_S", 1)
    jobs = make_jobs(new_database("postgresql"))
    directories = jobs.submit(1)
    holding = jobs.folder / "holding"

    def freeze() -> None:
        with Store(jobs.url) as store, store.write() as connection:
            connection.exec_driver_sql("UPDATE run SET learner_steps = 1")
            holding.touch()
            os.kill(os.getpid(), signal.SIGSTOP)

    frozen = children.start(freeze)
    wait_for(holding.exists, "the lock")
    started = time.monotonic()
    children.run(lambda: jobs.train(*directories))
    assert time.monotonic() - started < 8
    os.kill(frozen, signal.SIGKILL)
    children.end(frozen)
    jobs.check(1)


def test_a_lock_that_is_not_given_back_ends_no_training(
    new_database: Callable[[str], str], make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOCK_S", 1)
    jobs = make_jobs(new_database("postgresql"))
    directories = jobs.submit(1)
    with psycopg.connect(jobs.url) as other:
        other.execute("UPDATE run SET learner_steps = 1")
        children.run(lambda: jobs.train(*directories, pace=Pace(patience_s=1.5, longest_pause_s=0.1)))
        other.rollback()
    assert recorded(jobs) == 5
    assert jobs.collect().notes == []
    jobs.check(1)


def recording(store: Store, claim: Claim, directory: Path, pace: Pace = QUICK, own: type[Store] = Store) -> Recording:
    """A recording of a begun attempt, in a run directory of its own."""
    run = queries.run_folder(store, claim.run_id)
    assert run is not None
    config = queries.run_configs(store, [run.run_id])[run.run_id]
    prepare(directory, RunFile(run.run_id, run.sweep, run.config_digest, config, 0))
    mine = Journal.reserve(directory, claim.attempt - 1)
    mine.append("beat")
    return Recording(mine, claim, own(store.url), pace)


@pytest.mark.parametrize("writes", ["database", "journal"])
@pytest.mark.parametrize("dies_first", [False, True], ids=["goes on", "dies first"])
def test_a_checkpoint_that_an_older_process_saves_late(
    url: str, make_jobs: MakeJobs, writes: str, dies_first: bool
) -> None:
    jobs = make_jobs(url, writes=writes)
    die(jobs, 8)
    wait_for(lambda: recorded(jobs) == 4, "four weight syncs")
    (jobs.directory(1) / "checkpoint-00000006.pt").unlink()
    fake_worker.save(jobs.directory(1), 3)

    def run(*arguments: Any, run_dir: Path, **options: Any) -> Any:
        fake_worker.save(run_dir, 6)  # attempt 2 has begun from 3, and dropped what came after
        if dies_first:
            os.kill(os.getpid(), signal.SIGKILL)
        return fake_worker.run(*arguments, run_dir=run_dir, **options)

    jobs.worker = SimpleNamespace(run=run, latest_checkpoint=fake_worker.latest_checkpoint)
    directories = jobs.submit(1)
    child = children.start(lambda: jobs.train(*directories))
    assert children.end(child) == (-signal.SIGKILL if dies_first else 0)
    if dies_first:
        jobs.worker = fake_worker
        assert jobs.collect().notes == []
        assert not (writes == "database" and "'0x1.8" in str(jobs.rows(1)["syncs"][2:])), "its rows are gone"
        children.run(lambda: jobs.train(*jobs.submit(1)))
    assert jobs.collect().notes == []
    jobs.check(1)
    assert jobs.attempts(1)[-1]["resumed_from_step"] == 6


def test_who_reserved_first_has_the_run_where_only_directories_decide(sqlite: str, make_jobs: MakeJobs) -> None:
    jobs = make_jobs(sqlite, runs=6, writes="journal")
    directories = jobs.submit(*range(1, 7))
    for child in [children.start(lambda: jobs.train(*directories)) for _ in range(6)]:
        assert children.end(child) == 0
    assert jobs.collect().notes == []
    for run_id in range(1, 7):
        jobs.check(run_id)
        assert len(jobs.attempts(run_id)) == 1


def test_who_has_the_smaller_of_two_numbers_that_were_reserved_at_once(
    sqlite: str, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(sqlite, writes="journal")
    directories = jobs.submit(1)
    reserve = Journal.reserve

    def reserve_beside_another(directory: Path, after: int) -> Journal:
        mine = reserve(directory, after)
        Journal(journal.path_of(directory, mine.number + 1), mine.number + 1).close()
        return mine

    monkeypatch.setattr(Journal, "reserve", reserve_beside_another)
    children.run(lambda: jobs.train(*directories))
    jobs.collect()
    jobs.check(1)


def test_an_attempt_that_was_taken_over_saves_no_checkpoint_any_more(sqlite: str, make_jobs: MakeJobs) -> None:
    jobs = make_jobs(sqlite, writes="journal")

    def run(*arguments: Any, run_dir: Path, should_stop: Callable[[], bool], **options: Any) -> Any:
        asked: list[None] = []

        def stop() -> bool:
            asked.append(None)
            if len(asked) == 6:  # where a checkpoint is due
                newer = Journal.reserve(run_dir, 1)
                newer.append("beat")
                newer.close()
            return should_stop()

        return fake_worker.run(*arguments, run_dir=run_dir, should_stop=stop, **options)

    jobs.worker = SimpleNamespace(run=run, latest_checkpoint=fake_worker.latest_checkpoint)
    directories = jobs.submit(1)

    def train() -> None:
        assert jobs.train(*directories) == {1: "fenced"}

    children.run(train)
    found = fake_worker.latest_checkpoint(jobs.directory(1))
    assert found is not None
    assert found[1] == 3


# The database away


def test_an_answer_that_was_lost_is_asked_for_again(url: str, make_jobs: MakeJobs) -> None:
    jobs = make_jobs(url)
    directories = jobs.submit(1)

    def train() -> None:
        begin, lost = attempts.begin, [True]

        def heard_but_not_answered(*arguments: Any, **options: Any) -> bool:
            granted = begin(*arguments, **options)
            if lost:
                lost.clear()
                raise StoreUnavailable("the answer was lost")
            return granted

        attempts.begin = heard_but_not_answered
        assert jobs.train(*directories) == {1: "collapsed"}

    children.run(train)
    jobs.check(1)
    assert [attempt["number"] for attempt in jobs.attempts(1)] == [1]


def test_a_database_that_comes_back_hears_of_older_attempts_first(
    sqlite: str, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(sqlite, horizon=40)
    directories = jobs.submit(1)
    file = Path(sqlite.removeprefix("sqlite:///"))
    away = file.with_suffix(".away")
    file.rename(away)
    jobs.worker = dying(13)
    assert children.end(children.start(lambda: jobs.train(*directories, pace=CUT_OFF))) == -signal.SIGKILL
    jobs.worker = fake_worker
    monkeypatch.setattr(fake_worker, "STEP_S", 0.02)

    def requeued() -> None:
        os.environ["SLURM_RESTART_COUNT"] = "1"
        jobs.train(*directories, pace=Pace(patience_s=2.0, every_s=0.05, longest_pause_s=0.1))

    child = children.start(requeued)
    wait_for(lambda: recorded(jobs, attempt=2) >= 3, "three weight syncs of the second attempt")
    away.rename(file)
    assert children.end(child) == 0
    jobs.check(1)  # without a collector: the attempt itself has brought all
    assert len(jobs.attempts(1)) == 2


def test_a_database_that_was_put_back_from_a_copy_learns_all_anew(
    sqlite: str, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(sqlite, horizon=40)
    directories = jobs.submit(1)
    file = Path(sqlite.removeprefix("sqlite:///"))
    copy = file.with_suffix(".copy")
    shutil.copy(file, copy)
    monkeypatch.setattr(fake_worker, "STEP_S", 0.01)
    child = children.start(lambda: jobs.train(*directories))
    wait_for(lambda: len(jobs.rows(1)["syncs"]) >= 4, "four weight syncs in the database")
    for part in ("-wal", "-shm"):
        file.with_name(file.name + part).unlink(missing_ok=True)
    copy.rename(file)
    assert children.end(child) == 0
    jobs.check(1)


def test_another_database_in_its_place_is_left_alone(
    sqlite: str, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jobs = make_jobs(sqlite, horizon=40)
    directories = jobs.submit(1)
    file = Path(sqlite.removeprefix("sqlite:///"))
    other = tmp_path / "other.db"
    schema.upgrade(f"sqlite:///{other}")
    grid = tmp_path / "other.yaml"
    grid.write_text("name: other\ngrid: {model: [tiny], k: [4], eta: [1e-3], seed: [0]}\nfixed: {horizon: 80}\n")
    with Store(f"sqlite:///{other}") as theirs:
        registration.register(theirs, load_sweep(grid))
        begin(theirs, 1)
    for path in (file, other):  # a log of writes would be taken for the other file's
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    monkeypatch.setattr(fake_worker, "STEP_S", 0.01)
    quick = Pace(patience_s=0.3, every_s=0.05, longest_pause_s=0.05)
    child = children.start(lambda: jobs.train(*directories, pace=quick))
    wait_for(lambda: len(jobs.rows(1)["syncs"]) >= 4, "four weight syncs in the database")
    ours = file.with_suffix(".ours")
    ours.hardlink_to(file)
    other.rename(file)
    assert children.end(child) == 0, "training went on"
    with Store(sqlite) as theirs:
        assert (queries.progress(theirs, 1)[0].sync, queries.progress(theirs, 1)[0].state) == (None, "running")
    ours.rename(file)
    assert jobs.collect().notes == []
    jobs.check(1)


def test_training_goes_on_while_another_process_locks_the_sqlite_file(
    sqlite: str, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(sqlite, runs=4, horizon=30)
    directories = jobs.submit(1, 2, 3, 4)
    monkeypatch.setattr(sqlite_files, "BUSY_TIMEOUT_S", 0.2)
    locked = jobs.folder / "locked"

    def run(*arguments: Any, should_stop: Callable[[], bool], **options: Any) -> Any:
        asked: list[None] = []

        def stop() -> bool:
            asked.append(None)
            if len(asked) == 10:
                wait_for(locked.exists, "the lock")
            return should_stop()

        return fake_worker.run(*arguments, should_stop=stop, **options)

    jobs.worker = SimpleNamespace(run=run, latest_checkpoint=fake_worker.latest_checkpoint)
    pace = Pace(patience_s=0.5, every_s=0.05, longest_pause_s=0.1)
    writers = [children.start(lambda d=d: jobs.train(d, pace=pace)) for d in directories]  # type: ignore[misc]
    wait_for(lambda: all(jobs.rows(run_id)["syncs"] for run_id in range(1, 5)), "a weight sync of each run")
    with sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None, timeout=30) as other:
        other.execute("BEGIN EXCLUSIVE")
        locked.touch()
        for writer in writers:
            assert children.end(writer) == 0
        other.execute("ROLLBACK")
    other.close()
    for run_id in range(1, 5):
        assert recorded(jobs, run_id=run_id) == 15
        assert "another process has held its lock" in (jobs.directory(run_id) / "attempt-0001.log").read_text()
    assert jobs.collect().notes == []
    for run_id in range(1, 5):
        jobs.check(run_id)


def test_training_goes_on_where_the_sqlite_file_may_not_be_written(
    sqlite: str, make_jobs: MakeJobs, tmp_path: Path
) -> None:
    folder = tmp_path / "database"
    folder.mkdir()
    jobs = make_jobs(f"sqlite:///{folder}/stalesweep.db", horizon=30)
    directories = jobs.submit(1)

    def train() -> None:
        children.make_read_only(folder)
        assert jobs.train(*directories, pace=CUT_OFF) == {1: "collapsed"}

    children.run(train)
    assert "no permission" in (jobs.directory(1) / "attempt-0001.log").read_text()
    assert jobs.collect().notes == []
    jobs.check(1)


@pytest.mark.parametrize("when", ["while it trains", "while it waits"])
def test_who_is_asked_to_stop_does_not_wait_for_an_absent_database(sqlite: str, make_jobs: MakeJobs, when: str) -> None:
    jobs = make_jobs(sqlite)
    directories = jobs.submit(1)
    file = Path(sqlite.removeprefix("sqlite:///"))

    def run(*arguments: Any, **options: Any) -> Any:
        file.rename(file.with_suffix(".away"))
        if when == "while it trains":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
            signal.setitimer(signal.ITIMER_REAL, 1)
        return fake_worker.run(*arguments, **options)

    jobs.worker = SimpleNamespace(run=run, latest_checkpoint=fake_worker.latest_checkpoint)
    started = time.monotonic()
    children.run(lambda: jobs.train(*directories, pace=Pace(hurry_s=0.5)))
    assert time.monotonic() - started < 10
    file.with_suffix(".away").rename(file)
    jobs.collect()
    assert jobs.rows(1)["run"][0].startswith("['pending', 1," if when == "while it trains" else "['collapsed', 10")


# What ends an attempt


def test_a_resumed_attempt_counts_the_learner_steps_of_its_own(sqlite: str, make_jobs: MakeJobs) -> None:
    jobs = make_jobs(sqlite, horizon=10)
    die(jobs, 8)
    directories = jobs.submit(1)

    def train() -> None:
        sys.modules["grpo_worker.loop"] = fake_worker  # type: ignore[assignment]
        (ended,) = run_share(jobs.spec(directories), QUICK)
        assert (ended.outcome, ended.learner_steps, ended.sweep) == ("collapsed", 10 - 6, "demo")

    children.run(train)


def test_memory_that_a_gpu_lacks_is_a_failure_of_its_own_class(sqlite: str, make_jobs: MakeJobs) -> None:
    class OutOfMemoryError(RuntimeError):
        """As `torch.OutOfMemoryError`, which the control plane does not import."""

    def run(*_: Any, **__: Any) -> Any:
        raise OutOfMemoryError("CUDA out of memory")

    jobs = make_jobs(sqlite)
    jobs.worker = SimpleNamespace(run=run, latest_checkpoint=fake_worker.latest_checkpoint)
    children.run(lambda: jobs.train(*jobs.submit(1)))
    (attempt,) = jobs.attempts(1)
    assert (attempt["failure_class"], attempt["outcome"]) == ("gpu_out_of_memory", "failed")


def submit_on_a_full_disk(jobs: Jobs) -> tuple[list[Path], Path]:
    """Submit run 1 where its journal has hardly any space; also returns the file that may be deleted to make room."""
    (jobs.folder / "runs").mkdir()
    children.mount_small_disk(jobs.folder / "runs", "256k")
    directories = jobs.submit(1)
    ballast = jobs.folder / "runs" / "ballast"
    ballast.write_bytes(bytes(220 << 10))
    return directories, ballast


def test_a_full_disk_fails_the_run_and_it_goes_on_when_there_is_space(
    url: str, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.attempt.job.checkout", lambda: None)  # its diff may be as large as the disk
    jobs = make_jobs(url, horizon=60)

    def fill_and_go_on() -> None:
        directories, ballast = submit_on_a_full_disk(jobs)
        assert jobs.train(*directories) == {1: "failed"}
        (run,) = jobs.rows(1)["run"]
        assert run.startswith("['failed'")
        assert "No space left on device" in run
        assert "make room" in run
        assert "then `stalesweep launch` again" in run
        syncs = jobs.rows(1)["syncs"]
        assert 0 < len(syncs) < 30
        assert set(syncs) < set(jobs.expected["syncs"]), "what is stored stays valid"
        assert [attempt["outcome"] for attempt in jobs.attempts(1)] == ["failed"]

        ballast.unlink()
        assert jobs.train(*jobs.submit(1)) == {1: "collapsed"}
        assert jobs.rows(1) == jobs.expected
        first, second = jobs.attempts(1)
        assert second["resumed_from_step"] >= 3
        assert first["journal_bytes"] == journal.path_of(jobs.directory(1), 1).stat().st_size

    children.run(fill_and_go_on)


def test_a_full_disk_where_only_journals_are_written(sqlite: str, make_jobs: MakeJobs) -> None:
    jobs = make_jobs(sqlite, horizon=60, writes="journal")

    def fill_and_go_on() -> None:
        directories, ballast = submit_on_a_full_disk(jobs)

        def fail() -> None:
            assert jobs.train(*directories) == {1: "failed"}

        children.run(fail)
        ballast.unlink()
        assert jobs.train(*jobs.submit(1)) == {1: "collapsed"}
        assert jobs.collect().notes == []
        assert jobs.rows(1) == jobs.expected
        assert len(jobs.attempts(1)) == 2

    children.run(fill_and_go_on)


def test_a_disk_so_full_that_not_even_the_log_fits(sqlite: str, make_jobs: MakeJobs) -> None:
    jobs = make_jobs(sqlite)
    (jobs.folder / "runs").mkdir()

    def run(*_: Any, run_dir: Path, **__: Any) -> Any:
        with (run_dir / "ballast").open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    logging.getLogger("worker").error("x" * 9000)
                    raise

    def fill() -> None:
        children.mount_small_disk(jobs.folder / "runs", "256k")
        logging.raiseExceptions = False
        jobs.worker = SimpleNamespace(run=run, latest_checkpoint=fake_worker.latest_checkpoint)
        assert jobs.train(*jobs.submit(1)) == {1: "failed"}
        assert "make room on the disk of" in jobs.rows(1)["run"][0]

    children.run(fill)


def test_a_failure_in_words_that_databases_refuse(url: str, make_jobs: MakeJobs) -> None:
    def run(*_: Any, **__: Any) -> Any:
        raise ValueError("zero \x00 byte, half \udc80 of a character\nand a second line")

    jobs = make_jobs(url)
    jobs.worker = SimpleNamespace(run=run, latest_checkpoint=fake_worker.latest_checkpoint)
    children.run(lambda: jobs.train(*jobs.submit(1)))
    (attempt,) = jobs.attempts(1)
    assert attempt["failure"] == r"ValueError: zero \u0000 byte, half \udc80 of a character and a second line"
    jobs.worker = fake_worker
    children.run(lambda: jobs.train(*jobs.submit(1)))
    assert jobs.rows(1) == jobs.expected


def test_a_run_whose_directory_is_spoilt_does_not_stop_the_others(sqlite: str, make_jobs: MakeJobs) -> None:
    jobs = make_jobs(sqlite, runs=3)
    directories = jobs.submit(1, 2, 3)
    (directories[0] / "run.json").write_text("{")
    children.run(lambda: jobs.train(*directories))
    assert jobs.rows(1)["syncs"] == []
    jobs.check(2)
    jobs.check(3)


def test_a_server_that_is_silent_without_being_gone_holds_up_nothing(tmp_path: Path) -> None:
    silent = threading.Event()

    class Silent:
        def check(self) -> None:
            silent.wait(30)

        def close(self) -> None: ...

    mine = Journal.reserve(tmp_path, 0)
    mine.append("beat")
    pace = Pace(patience_s=0.2)
    started = time.monotonic()
    with Recording(mine, Claim(1, 1), Silent(), pace) as recording:  # type: ignore[arg-type]
        recording.emit(sync_record(0))
    assert time.monotonic() - started < 5
    silent.set()
    assert len(journal.read(mine.path).entries) == 2


def test_a_busy_writer_gives_its_connection_back_now_and_then(store: Store, grid: Any, tmp_path: Path) -> None:
    run_id = queries.unfinished_runs(store, registration.register(store, grid(horizon=4000)))[0]
    closed: list[None] = []

    class Counting(Store):
        def close(self) -> None:
            closed.append(None)
            super().close()

    pace = Pace(every_s=0.05, hold_s=0.1)
    with recording(store, begin(store, run_id), tmp_path / "run", pace, Counting) as mine:
        given_up_at = time.monotonic() + 60
        sync = 0
        while len(closed) < 3 and time.monotonic() < given_up_at:
            mine.emit(sync_record(sync))
            sync += 1
            time.sleep(0.002)
    assert len(closed) >= 3
    assert queries.progress(store, 1)[0].sync == sync - 1


def test_who_has_no_records_gives_its_connection_back_and_stays_alive(store: Store, grid: Any, tmp_path: Path) -> None:
    run_id = queries.unfinished_runs(store, registration.register(store, grid()))[0]
    connected: list[bool] = []

    class Watched(Store):
        def check(self) -> None:
            connected.append(True)
            super().check()

        def close(self) -> None:
            connected.append(False)
            super().close()

    def age_s() -> float:
        found = queries.progress(store, 1)[0].heartbeat_age_s
        assert found is not None
        return found

    pace = Pace(every_s=0.02, heartbeat_s=0.5, hold_s=1000.0)
    with recording(store, begin(store, run_id), tmp_path / "run", pace, Watched) as mine:
        mine.emit(sync_record(0))
        wait_for(lambda: queries.progress(store, 1)[0].sync == 0, "the first weight sync in the database")
        wait_for(lambda: connected != [] and not connected[-1], "the connection to be given back")
        (path,) = (tmp_path / "run").glob("*.journal")
        wait_for(lambda: journal.read(path).entries[-1]["record"] == "beat", "a heartbeat")
        wait_for(lambda: age_s() < 0.5, "the database to hear of it through the journal")
        wait_for(lambda: not connected[-1], "the connection to be given back again")


def test_a_record_that_the_database_refuses_ends_the_attempt(store: Store, grid: Any, tmp_path: Path) -> None:
    run_id = queries.unfinished_runs(store, registration.register(store, grid()))[0]
    claim = begin(store, run_id)
    with (
        pytest.raises(StoreError, match="ck_evaluation_val_n"),
        recording(store, claim, tmp_path / "a") as mine,
    ):
        mine.emit(EvalRecord(0, 0.5, val_n=0))
        for sync in range(1, 1000):
            time.sleep(0.01)
            try:
                mine.emit(sync_record(sync))
            except StoreError as error:
                mine.fail(str(error))
                raise
    assert queries.progress(store, 1)[0].state == "failed"
    assert sync < 500


def test_a_heartbeat_that_finds_no_space_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mine = Journal.reserve(tmp_path, 0)
    mine.append("fail", {"failure": "first"})
    pace = Pace(heartbeat_s=0.01, every_s=0.01)
    refused: list[None] = []

    def full(*_: object) -> int:
        refused.append(None)
        raise OSError(28, "No space left on device")

    with Recording(mine, Claim(1, 1), None, pace) as recording:
        with monkeypatch.context() as disk:
            disk.setattr(os, "write", full)
            wait_for(lambda: len(refused) >= 2, "two heartbeats")
        recording.emit(sync_record(0))
    assert [e["record"] for e in journal.read(mine.path).entries if e["record"] != "beat"] == ["fail", "sync"]
    assert caplog.messages[0].startswith(f"cannot write {mine.path}: No space left on device; ")
