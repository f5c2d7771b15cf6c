"""The main job through the command line: launch, watch, die, launch again, fit, export."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.base.processes import is_alive
from orchestrator.base.settings import shipped
from orchestrator.store import queries
from tests.end_to_end.sweeps import Workspace, assert_same, results, workspace
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

TWO_RUNS = """
name: two
grid: {model: [tiny], k: [4], eta: [5e-4, 2e-3], seed: [0]}
fixed: {horizon: 120, checkpoint_every_steps: 16}
"""

ONE_RUN = """
name: one
grid: {model: [tiny], k: [2], eta: [1e-3], seed: [0]}
fixed: {horizon: 160, checkpoint_every_steps: 20}
"""


def syncs_stored(ws: Workspace) -> int:
    """Rows of sync_metric, read beside the tool."""
    path = ws.folder / "stalesweep.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        try:
            return int(connection.execute("select count(*) from sync_metric").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_the_quickstart_at_few_steps(ws: Workspace) -> None:
    grid = (shipped("sweeps") / "quickstart.yaml").read_text().replace("horizon: 320", "horizon: 16")
    name = ws.grid(grid)

    launched = ws.run("launch", name, "--executor", "local")
    assert launched.returncode == 0, launched.stderr
    assert "12 of 12 runs done · 100 % of 192 learner steps" in launched.stdout
    assert launched.stderr.count("run ") >= 12

    again = ws.run("launch", name)
    assert (again.returncode, again.stdout) == (3, "")
    assert again.stderr == "every run of this sweep is done\n"

    status = json.loads(ws.run("status", "--format", "json").stdout)
    assert sum(status[0]["runs"].values()) == 12
    assert len(status[0]["cells"]) == 12

    laws = json.loads(ws.run("fit-laws", "quickstart", "--format", "json").stdout)
    assert len(laws["models"]["tiny"]["cells"]) == 12
    table = ws.run("fit-laws", "--out", "laws").stdout
    assert all(heading in table for heading in ("η = 2.5e-4", "η = 5e-4", "η = 1e-3", "η = 2e-3"))
    assert {path.name for path in (ws.folder / "laws").iterdir()} >= {"laws.json", "laws.md", "laws.tex", "cells.csv"}

    exported = ws.run("export", "--out", "data", "--format", "csv")
    assert exported.returncode == 0
    runs = pd.read_csv(ws.folder / "data" / "runs.csv")
    syncs = pd.read_csv(ws.folder / "data" / "syncs.csv")
    assert len(runs) == 12
    assert len(syncs) == 4 * (8 + 2 + 1)
    assert set(pd.read_csv(ws.folder / "data" / "evals.csv")["learner_step"]) == {0, 8, 16}


@pytest.mark.parametrize("pipeline", ["reuse", "overlap"])
def test_a_killed_job_leaves_after_a_relaunch_the_rows_of_an_uninterrupted_run(
    ws: Workspace, tmp_path_factory: pytest.TempPathFactory, warm_cache: Path, pipeline: str
) -> None:
    grid = ONE_RUN.replace("steps: 20", f"steps: 19, pipeline: {pipeline}")  # checkpoints within cycles too
    whole = workspace(tmp_path_factory.mktemp("whole"), warm_cache)
    whole.run("launch", whole.grid(grid), "--executor", "local")

    with ws.start("launch", ws.grid(grid), "--executor", "local") as launch:
        wait_for(lambda: syncs_stored(ws) >= 10, "ten weight syncs, and a checkpoint")
        with ws.store() as store:
            [running] = queries.running_attempts(store, queries.sweep_id(store, "one"))
            os.kill(running.pid, signal.SIGKILL)
        launch.communicate(timeout=60)
    assert launch.returncode == 1
    status = json.loads(ws.run("status", "--format", "json").stdout)
    assert status[0]["runs"] == {"lost": 1}
    assert "ended and recorded no reason" in status[0]["cells"][0]["runs"][0]["failure"]

    relaunched = ws.run("launch", "grid.yaml", "--executor", "local")
    assert relaunched.returncode == 0, relaunched.stderr
    with ws.store() as mine, whole.store() as theirs:
        assert_same(results(mine), results(theirs))
        with mine.read() as connection:
            rows = connection.exec_driver_sql("select number, outcome, resumed_from_sync from attempt").fetchall()
    assert [row[1] for row in rows] == ["lost", rows[1][1]]
    assert rows[1][2] is not None, "the second attempt went on from a checkpoint"


def test_a_killed_launcher_is_taken_over_without_training_twice(ws: Workspace) -> None:
    longer = ws.grid(ONE_RUN.replace("horizon: 160", "horizon: 320"))
    with ws.start("launch", longer, "--executor", "local") as launch:
        wait_for(lambda: syncs_stored(ws) >= 5, "5 weight syncs")
        launch.kill()
        launch.wait()
    busy = ws.run("launch", "grid.yaml", "--executor", "local")
    assert busy.returncode == 3
    assert "in the hands of jobs" in busy.stderr
    wait_for(lambda: syncs_stored(ws) == 160, "the orphaned job to finish", 90)
    wait_for(lambda: "every run" in ws.run("launch", "grid.yaml").stderr, "the end of the run", 30)
    with ws.store() as store, store.read() as connection:
        assert connection.exec_driver_sql("select count(*) from attempt").scalar() == 1


def environment_of(pid: int) -> bytes:
    """A process's environment; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_interrupting_ends_the_children_and_leaves_the_runs_resumable(ws: Workspace, number: signal.Signals) -> None:
    grid = ws.grid(TWO_RUNS.replace("horizon: 120", "horizon: 160"))
    with ws.start("launch", grid, "--executor", "local", "--max-parallel", "2") as launch:
        wait_for(lambda: syncs_stored(ws) >= 8, "8 weight syncs")
        with ws.store() as store:
            attempts = queries.running_attempts(store, queries.sweep_id(store, "two"))
        assert attempts
        launch.send_signal(number)
        _, stderr = launch.communicate(timeout=60)
    assert launch.returncode == 130
    assert "the same command again finishes what is missing" in stderr
    assert not any(is_alive(attempt.pid, attempt.process_started_at) for attempt in attempts)
    assert json.loads(ws.run("status", "--format", "json").stdout)[0]["runs"] == {"pending": 2}

    assert ws.run("launch", "grid.yaml", "--executor", "local", "--max-parallel", "1").returncode == 0
    with ws.store() as store, store.read() as connection:
        outcomes = connection.exec_driver_sql("select outcome, resumed_from_sync from attempt order by run_id, number")
        rows = outcomes.fetchall()
        assert connection.exec_driver_sql("select count(*) from sync_metric").scalar() == 2 * 40
    assert sum(outcome == "interrupted" and resumed is None for outcome, resumed in rows) >= 1
    assert any(resumed is not None for _, resumed in rows)


def test_at_most_max_parallel_jobs_run_each_on_one_thread(ws: Workspace) -> None:
    grid = ws.grid(TWO_RUNS.replace("eta: [5e-4, 2e-3]", "eta: [1e-4, 2e-4, 5e-4]").replace("120", "40"))
    at_once = []
    with ws.start("launch", grid, "--executor", "local", "--max-parallel", "1") as launch:
        while launch.poll() is None:
            if (ws.folder / "stalesweep.db").exists() and syncs_stored(ws):
                with ws.store() as store:
                    running = queries.running_attempts(store, queries.sweep_id(store, "two"))
                at_once.append(len(running))
                for attempt in running:
                    environment = environment_of(attempt.pid)
                    alive = is_alive(attempt.pid, attempt.process_started_at)
                    assert b"OMP_NUM_THREADS=1" in environment or not alive
            time.sleep(0.05)
        launch.communicate()
    assert launch.returncode == 0
    assert max(at_once) == 1


def test_a_failing_run_is_named_and_the_others_finish(ws: Workspace) -> None:
    grid = """
name: mixed
grid: {model: [tiny, broken], k: [4], eta: [5e-4], seed: [0]}
fixed: {horizon: 8}
models: {broken: {path: ./no-such-folder}}
"""
    launched = ws.run("launch", ws.grid(grid), "--executor", "local", "--max-parallel", "1")
    assert launched.returncode == 1
    assert "ModelError: model 'broken' cannot be loaded: there is no folder 'no-such-folder'" in " ".join(
        launched.stdout.split()
    )
    status = json.loads(ws.run("status", "--format", "json").stdout)
    assert status[0]["runs"] == {"stable": 1, "failed": 1}
    laws = json.loads(ws.run("fit-laws", "--format", "json").stdout)
    assert "ModelError" in laws["left_out"][0]["why"]
    log = next((ws.folder / "stalesweep-runs").glob("run-*/attempt-0001.log"))
    assert "attempt 1" in log.read_text()


def test_an_edited_grid_is_refused_and_extend_adds_to_it(ws: Workspace) -> None:
    small = TWO_RUNS.replace("horizon: 120", "horizon: 8")
    ws.run("launch", ws.grid(small.replace("5e-4, 2e-3", "5e-4")), "--executor", "debug")
    edited = ws.run("launch", ws.grid(small), "--executor", "debug")
    assert edited.returncode == 2
    assert "+grid: {model: [tiny], k: [4], eta: [5e-4, 2e-3], seed: [0]}" in edited.stderr
    extended = ws.run("launch", "grid.yaml", "--executor", "debug", "--extend")
    assert extended.returncode == 0, extended.stderr
    assert json.loads(ws.run("status", "--format", "json").stdout)[0]["runs"] == {"stable": 2}


def test_sqlite_and_postgres_hold_the_same_rows_for_the_same_runs(
    ws: Workspace,
    tmp_path_factory: pytest.TempPathFactory,
    warm_cache: Path,
    new_database: Callable[[str], str],
) -> None:
    other = workspace(tmp_path_factory.mktemp("postgres"), warm_cache, new_database("postgresql"))
    for one in (ws, other):
        grid = one.grid(TWO_RUNS.replace("120", "32"))
        launched = one.run("launch", grid, "--executor", "local", "--max-parallel", "1")
        assert launched.returncode == 0, launched.stderr
    with ws.store() as sqlite, other.store() as postgres:
        assert_same(results(sqlite), results(postgres))


def test_detach_returns_at_once_and_the_sweep_goes_on(ws: Workspace) -> None:
    grid = ws.grid(TWO_RUNS.replace("120", "16"))
    launched = ws.run("launch", grid, "--executor", "local", "--max-parallel", "1", "--detach")
    assert launched.returncode == 0
    assert "in the background" in launched.stdout
    wait_for(lambda: "every run" in ws.run("launch", "grid.yaml").stderr, "the detached sweep", 90)


def test_a_dry_run_writes_nothing(ws: Workspace) -> None:
    planned = ws.run("launch", ws.grid(TWO_RUNS), "--dry-run")
    assert planned.returncode == 0
    assert "2 runs in 2 cells, 240 learner steps in all." in planned.stdout
    bad = ws.run("launch", ws.grid(TWO_RUNS.replace("k: [4]", "k: [0]"), "bad.yaml"))
    assert bad.returncode == 2
    assert "bad.yaml:3: grid.k" in bad.stderr
    assert sorted(path.name for path in ws.folder.iterdir()) == ["bad.yaml", "grid.yaml"]
