"""A Postgres server that is stopped, killed or full while many runs write: no run fails, no row is lost or doubled."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.recording import Pace
from tests import children, fake_worker
from tests.jobs import Jobs
from tests.servers import PASSWORD, Server, own_server

PACE = Pace(heartbeat_s=5.0, patience_s=30.0, idle_s=0.05, hold_s=0.5, longest_pause_s=0.5)


@pytest.fixture
def server() -> Iterator[Server]:
    with own_server(fsync="on", max_connections=20, superuser_reserved_connections=3) as server:
        server.execute("CREATE DATABASE sweeps OWNER me")
        yield server


def start_writing(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, runs: int, seconds: float
) -> tuple[Jobs, list[int]]:
    """Let runs write, each in a process of its own, for about so many seconds."""
    monkeypatch.setenv("STALESWEEP_RUNS", "")  # put back afterwards
    jobs = Jobs(server.url(password=PASSWORD, database="sweeps"), folder, runs, horizon=200)
    monkeypatch.setattr(fake_worker, "STEP_S", seconds / 200)
    directories = jobs.submit(*range(1, runs + 1))
    return jobs, [children.start(lambda d=d: jobs.train(d, pace=PACE)) for d in directories]  # type: ignore[misc]


def check_all(jobs: Jobs, writers: list[int]) -> None:
    assert [children.end(writer) for writer in writers] == [0] * len(writers)
    assert jobs.collect().notes == []
    for run_id in range(1, len(writers) + 1):
        jobs.check(run_id)
        assert len(jobs.attempts(run_id)) == 1, "no run was begun anew"


def test_a_server_that_is_stopped_for_ten_seconds(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, writers = start_writing(server, tmp_path, monkeypatch, runs=8, seconds=14)
    time.sleep(2)
    assert any(len(jobs.rows(run_id)["syncs"]) > 0 for run_id in range(1, 9)), "they are in the midst of it"
    server.stop()
    time.sleep(10)
    server.start()
    check_all(jobs, writers)
    assert all("training goes on" in (jobs.directory(n) / "log.txt").read_text() for n in range(1, 9))


def test_a_server_that_crashes_again_and_again(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, writers = start_writing(server, tmp_path, monkeypatch, runs=8, seconds=8)
    for _ in range(3):
        time.sleep(1.5)
        postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        start_again(server)
    check_all(jobs, writers)


def start_again(server: Server) -> None:
    """Start a server whose first process was killed: the others have to notice it before."""
    for _ in range(100):
        time.sleep(0.2)
        with contextlib.suppress(subprocess.CalledProcessError):
            server.start()
            return
    raise AssertionError("the server does not come back")


def test_more_writers_than_the_server_takes(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, writers = start_writing(server, tmp_path, monkeypatch, runs=64, seconds=8)
    check_all(jobs, writers)
    logs = [(jobs.directory(n) / "log.txt").read_text() for n in range(1, 65)]
    assert any("connection limit" in text for text in logs), "the limit was met"
