"""Sweeps that write journals only, lose their database, or have it taken away for a while: the numbers are the same."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.sweeps import Workspace, assert_same, results, workspace
from tests.support.servers import PASSWORD, own_server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

GRID = """
name: four
grid: {model: [tiny], k: [2, 8], eta: [5e-4, 2e-3], seed: [0]}
fixed: {horizon: 64, checkpoint_every_steps: 16}
"""


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> Workspace:
    """The sweep, trained while nothing happens."""
    ws = workspace(tmp_path_factory.mktemp("ordinary"), warm_cache)
    assert ws.run("launch", ws.grid(GRID), "--executor", "debug").returncode == 0
    return ws


def journals(ws: Workspace) -> list[Path]:
    return list((ws.folder / "stalesweep-runs").glob("run-*/*.journal"))


def said_until(program: subprocess.Popen[str], words: str) -> str:
    """What a program says up to the line with these words, for which this waits."""
    assert program.stderr is not None
    said = ""
    while words not in said:
        line = program.stderr.readline()
        assert line, f"it ended, and did not say {words!r}: {said}"
        said += line
    return said


def assert_equal(one: Workspace, other: Workspace) -> None:
    with one.store() as mine, other.store() as theirs:
        assert_same(results(mine), results(theirs))


def test_journals_only_and_a_database_that_is_gone(ws: Workspace, ordinary: Workspace) -> None:
    ws.environment["STALESWEEP_JOBS_WRITE"] = "journal"
    launched = ws.run("launch", ws.grid(GRID), "--executor", "local", "--max-parallel", "2")
    assert launched.returncode == 0, launched.stderr
    assert "STALESWEEP_JOBS_WRITE says so: jobs write journals only" in launched.stderr
    assert "4 of 4 runs done" in launched.stdout
    assert_equal(ws, ordinary)
    assert all(len(list(folder.glob("*.journal"))) == 1 for folder in (ws.folder / "stalesweep-runs").glob("run-*"))

    for file in ws.folder.glob("stalesweep.db*"):
        file.unlink()
    again = ws.run("launch", "grid.yaml", "--executor", "local")
    assert again.returncode == 3, again.stderr
    assert "records of 4 runs from journals into the database" in again.stderr
    assert "every run of this sweep is done" in again.stderr
    assert_equal(ws, ordinary)


def test_a_database_that_is_deleted_while_runs_write(ws: Workspace, ordinary: Workspace) -> None:
    with ws.start("launch", ws.grid(GRID), "--executor", "local", "--max-parallel", "2") as launch:
        synced = b'"sync":3,'
        wait_for(lambda: any(synced in path.read_bytes() for path in journals(ws)), "weight syncs", 120, during=launch)
        for file in ws.folder.glob("stalesweep.db*"):
            file.unlink()
        said = said_until(launch, "there is no such file yet")
        assert launch.poll() is None, "it waits for the database"
        launch.send_signal(signal.SIGINT)
        said += launch.communicate(timeout=120)[1]
    assert launch.returncode == 130, said
    assert "Traceback" not in said

    again = ws.run("launch", "grid.yaml", "--executor", "local", "--max-parallel", "1")
    assert again.returncode == 0, again.stderr
    assert "from journals into the database" in again.stderr
    assert_equal(ws, ordinary)


def test_a_launch_whose_server_is_stopped_while_jobs_train(
    tmp_path: Path, warm_cache: Path, ordinary: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_server() as server:
        server.execute("CREATE DATABASE sweeps OWNER me")
        passwords = tmp_path / "pgpass"
        passwords.write_text(f"*:*:*:me:{PASSWORD}\n")
        passwords.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(passwords))
        ws = workspace(tmp_path, warm_cache, server.url(database="sweeps"))
        with ws.start("launch", ws.grid(GRID), "--executor", "local", "--max-parallel", "2") as launch:
            wait_for(lambda: journals(ws), "a journal", 120, during=launch)
            server.stop()
            said_until(launch, "the jobs go on, and this waits")
            server.start()
            _, said = launch.communicate(timeout=180)
        assert launch.returncode == 0, said
        assert "the database answers again" in said
        assert_equal(ws, ordinary)
        with ws.store() as store, store.read() as connection:
            assert connection.exec_driver_sql("select count(*) from attempt").scalar() == 4
