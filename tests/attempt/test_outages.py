"""A Postgres that stops, is killed, is away or full while runs write: nothing lost, nothing twice, no run failed."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from orchestrator.attempt.recording import Pace
from orchestrator.rundir import journal
from tests.support import children, fake_worker
from tests.support.jobs import CUT_OFF, Jobs
from tests.support.servers import PASSWORD, Server, own_server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.services

MakeJobs = Callable[..., Jobs]
_names = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_server(max_connections=20, superuser_reserved_connections=3) as server:
        yield server


@pytest.fixture
def make_jobs(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeJobs:
    monkeypatch.setenv("STALESWEEP_RUNS", "")  # put back afterwards

    def make(runs: int, horizon: int) -> Jobs:
        name = f"outage{next(_names)}"
        server.execute(f"CREATE DATABASE {name} OWNER me")
        return Jobs(server.url("me", PASSWORD, name), tmp_path, runs, horizon)

    return make


def syncs(jobs: Jobs) -> list[int]:
    """How many weight syncs are stored, run by run."""
    return [len(jobs.rows(run_id)["syncs"]) for run_id in range(1, len(jobs.sweep.runs) + 1)]


def recorded(jobs: Jobs) -> list[int]:
    """How many records the journals hold, run by run."""
    paths = (journal.path_of(jobs.directory(run_id), 1) for run_id in range(1, len(jobs.sweep.runs) + 1))
    return [len(journal.read(path).entries) for path in paths]


def submit_all(jobs: Jobs) -> list[Path]:
    return jobs.submit(*range(1, len(jobs.sweep.runs) + 1))


def write_all(jobs: Jobs, directories: list[Path], pace: Pace) -> list[int]:
    """A process for each run."""
    return [children.start(lambda d=d: jobs.train(d, pace=pace)) for d in directories]  # type: ignore[misc]


@pytest.mark.slow
def test_a_server_that_is_stopped_while_eight_runs_write(
    server: Server, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(runs=8, horizon=80)
    monkeypatch.setattr(fake_worker, "STEP_S", 0.1)
    writers = write_all(jobs, submit_all(jobs), Pace())
    wait_for(lambda: min(syncs(jobs)) >= 5, "five weight syncs of each run")
    before = syncs(jobs)
    server.stop()
    wait_for(lambda: min(recorded(jobs)) > max(before) + 20, "training to go on")
    server.start()
    assert [children.end(writer) for writer in writers] == [0] * 8
    for run_id in range(1, 9):  # without a collector
        jobs.check(run_id)
        assert len(jobs.attempts(run_id)) == 1
        log = (jobs.directory(run_id) / "attempt-0001.log").read_text()
        assert "training goes on, and the journal keeps what it measures" in log
        assert "the database answers again" in log


@pytest.mark.slow
def test_a_server_that_is_killed_forgets_what_it_had_not_written_and_is_told_again(
    server: Server, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(runs=8, horizon=60)
    server.execute("ALTER SYSTEM SET wal_writer_delay = '10s'", "SELECT pg_reload_conf()")
    monkeypatch.setattr(fake_worker, "STEP_S", 0.05)
    writers = write_all(jobs, submit_all(jobs), Pace(longest_pause_s=0.5))
    wait_for(lambda: min(syncs(jobs)) >= 5, "five weight syncs of each run")
    for writer in writers:  # to see what the server has forgotten before it is told again
        os.kill(writer, signal.SIGSTOP)
    before = sum(syncs(jobs))
    server.kill()
    server.start()
    after = sum(syncs(jobs))
    for writer in writers:
        os.kill(writer, signal.SIGCONT)
    assert after <= before
    assert [children.end(writer) for writer in writers] == [0] * 8
    print(f"\n{before} weight syncs were stored, {after} after the crash")
    for run_id in range(1, 9):
        jobs.check(run_id)


@pytest.mark.slow
def test_a_server_that_crashes_again_and_again(
    server: Server, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(runs=8, horizon=120)
    monkeypatch.setattr(fake_worker, "STEP_S", 0.05)
    writers = write_all(jobs, submit_all(jobs), Pace(longest_pause_s=0.5))
    for _ in range(3):
        before = syncs(jobs)
        wait_for(lambda: sum(syncs(jobs)) > sum(before), "more weight syncs")  # noqa: B023
        server.kill()
        server.start()
    assert [children.end(writer) for writer in writers] == [0] * 8
    for run_id in range(1, 9):
        jobs.check(run_id)
        assert len(jobs.attempts(run_id)) == 1


def test_a_server_that_is_away_when_an_attempt_begins_and_ends(server: Server, make_jobs: MakeJobs) -> None:
    jobs = make_jobs(runs=2, horizon=10)
    directories = jobs.submit(1, 2)
    server.stop()
    children.run(lambda: jobs.train(*directories, pace=CUT_OFF))
    server.start()
    assert syncs(jobs) == [0, 0]
    log = (jobs.directory(1) / "attempt-0001.log").read_text()
    assert "the server cannot be reached: is it running" in log
    assert "`stalesweep status` brings them from the journal" in log
    found = jobs.collect()
    entries = [e for run in (1, 2) for e in journal.read(journal.path_of(jobs.directory(run), 1)).entries]
    slow = sum(entry["record"] == "beat" for entry in entries)  # of attempts that waited for long
    assert (found.records - slow, found.runs, found.notes) == (24, 2, [])
    for run_id in (1, 2):
        jobs.check(run_id)


def test_a_server_that_goes_away_before_an_attempt_ends(
    server: Server, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(runs=1, horizon=60)
    monkeypatch.setattr(fake_worker, "STEP_S", 0.02)
    (writer,) = write_all(jobs, submit_all(jobs), Pace(patience_s=0.2, longest_pause_s=0.1))
    wait_for(lambda: syncs(jobs)[0] >= 3, "three weight syncs")
    server.stop()
    assert children.end(writer) == 0
    server.start()
    assert 3 <= syncs(jobs)[0] < 30
    assert jobs.submit(1) == [], "the next launch finds it done"
    jobs.check(1)


@pytest.mark.slow
def test_sixty_four_writers_where_twenty_may_connect(
    server: Server, make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(runs=64, horizon=20)
    monkeypatch.setattr(fake_worker, "STEP_S", 0.05)
    most = 0
    connected = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stalesweep'"
    with psycopg.connect(server.url("postgres"), autocommit=True) as watching:  # while it still can
        directories = submit_all(jobs)
        with every_connection(server):  # however slowly the writers begin
            writers = write_all(jobs, directories, Pace(patience_s=5.0, every_s=0.2, hold_s=1.0, longest_pause_s=1.0))
            wait_for(lambda: met(jobs) > 0, "a writer to meet the limit")
        while any(map(lives, writers)):
            (count,) = watching.execute(connected).fetchone() or (0,)
            most = max(most, count)
            time.sleep(0.1)
    assert [children.end(writer) for writer in writers] == [0] * 64
    print(f"\n{most} connections at most were seen; {met(jobs)} of 64 runs met the limit")
    found = jobs.collect()
    assert found.notes == []
    print(f"{64 * 22 - found.records} of {64 * 22} records were stored by the runs themselves")
    for run_id in range(1, 65):
        jobs.check(run_id)
        assert len(jobs.attempts(run_id)) == 1


@contextmanager
def every_connection(server: Server) -> Iterator[None]:
    """Take all that an ordinary user may have."""
    with contextlib.ExitStack() as taken:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                taken.enter_context(psycopg.connect(server.url("me", PASSWORD)))
        yield


def met(jobs: Jobs) -> int:
    """How many runs met the limit of connections, by their logs."""
    logs = (jobs.folder / "runs").glob("*/attempt-*.log")
    return sum("connection limit" in log.read_text() for log in logs)


def lives(child: int) -> bool:
    """Whether a child still runs; it is not waited for."""
    return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
