"""Estimates of a plan: from stored runs of the same model where there are any, else from time limits; said which."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.grid.sweep import Sweep, load_sweep
from orchestrator.jobs.estimate import StepTime, hours, stored_paces
from orchestrator.store import registration
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt
from tests.support.lives import launched, trained
from tests.support.stand_in import StandIn

pytestmark = pytest.mark.services

GRID = """
grid: {model: [tiny, big], k: [2], eta: [1e-3], seed: [0, 1]}
fixed: {horizon: 3600}
models: {big: {path: some/where, resources: {gpus: 2, time_min: 90}}}
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    (tmp_path / "plan.yaml").write_text(GRID)
    return load_sweep(tmp_path / "plan.yaml")


def test_the_pace_is_the_median_of_finished_runs(
    store: Store, grid: Callable[..., Sweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STALESWEEP_RUNS", str(tmp_path / "runs"))
    directories = launched(store, registration.register(store, grid()))
    for run_id in (1, 2, 3):
        trained(store, directories[run_id])
    ready = datetime(2026, 1, 1, tzinfo=UTC)
    with store.write() as connection:
        for run_id, seconds in ((1, 40), (2, 80), (3, 400)):
            times = {"ready_at": ready, "heartbeat_at": ready + timedelta(seconds=seconds)}
            connection.execute(update(Attempt).where(Attempt.run_id == run_id).values(**times))
    assert stored_paces(store.url, ["tiny", "big"]) == {"tiny": StepTime(pytest.approx(2.0), 3)}
    assert stored_paces(store.url, ["big"]) == {}


def test_the_pace_of_a_resumed_attempt_counts_its_own_steps(
    store: Store, grid: Callable[..., Sweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STALESWEEP_RUNS", str(tmp_path / "runs"))
    directories = launched(store, registration.register(store, grid()))
    trained(store, directories[1])
    ready = datetime(2026, 1, 1, tzinfo=UTC)
    resumed = {"resumed_from_step": 30, "ready_at": ready, "heartbeat_at": ready + timedelta(seconds=5)}
    with store.write() as connection:
        connection.execute(update(Attempt).where(Attempt.run_id == 1).values(**resumed))
    assert stored_paces(store.url, ["tiny"]) == {"tiny": StepTime(pytest.approx(0.5), 1)}  # 5 s for steps 31 to 40


def test_without_a_database_there_is_no_pace_and_none_is_made(tmp_path: Path) -> None:
    assert stored_paces(f"sqlite:///{tmp_path}/none.db", ["tiny"]) == {}
    assert stored_paces("postgresql://me@127.0.0.1:1/none", ["tiny"]) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_arrays_and_hours_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandIn.make(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{stand_in.folder}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    resources = "resources: {runs_per_job: 2, partition: main}\n"
    (tmp_path / "plan.yaml").write_text(GRID.replace("seed: [0, 1]", "seed: [0, 1, 2]") + resources)
    planned = CliRunner().invoke(app, ["launch", "plan.yaml", "--executor", "slurm", "--dry-run"])
    assert planned.exit_code == 0, planned.output
    lines = " ".join(planned.output.split())
    assert "6 runs in 2 cells, 21,600 learner steps in all. tiny: at most 1.5 hours of runs, no GPU" in lines
    assert "big: at most 4.5 hours of runs, 9 GPU-hours, by the time limits. Executor: slurm." in lines
    assert "Array of 2 tasks for 3 runs: time = 30, cpus_per_task = 1, mem = 2048MB" in lines
    assert "Array of 2 tasks for 3 runs: time = 90, cpus_per_task = 1, mem = 2048MB, gpus_per_node = 2" in lines
    assert lines.endswith("Nothing was written.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "plan.yaml"]
    assert stand_in.submitted == []


def test_hours_say_where_they_come_from(sweep: Sweep) -> None:
    assert hours(sweep.runs, {}) == [
        "tiny: at most 1 hours of runs, no GPU, by the time limits.",
        "big: at most 3 hours of runs, 6 GPU-hours, by the time limits.",
    ]
    assert hours(sweep.runs, {"tiny": StepTime(0.05, 1), "big": StepTime(100.0, 1234)}) == [
        "tiny: about 0.1 hours of runs, no GPU, at 0.05 s a learner step (1 finished run).",
        "big: about 200 hours of runs, 400 GPU-hours, at 100 s a learner step (1,234 finished runs).",
    ]
