"""Runs that were really trained: shown, removed, trained again by the next number, and freed of their files."""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.data import frames
from tests.end_to_end.sweeps import Workspace, assert_same, results

GRID = """
name: demo
grid: {model: [tiny], k: [2, 4], eta: [0.001], seed: [0]}
fixed: {horizon: 8, eval_every_steps: 4, checkpoint_every_steps: 4}
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".diff"}


def test_shown_removed_trained_again_and_freed(ws: Workspace) -> None:
    grid = ws.grid(GRID)
    assert ws.run("launch", grid, "--executor", "debug").returncode == 0
    runs = ws.folder / "stalesweep-runs"

    shown = ws.run("show", "1", "--format", "json")
    (run,) = json.loads(shown.stdout)
    (attempt,) = run["attempts"]
    assert (run["state"], run["learner_steps"], attempt["number"], attempt["syncs"]) == ("stable", 8, 1, 4)
    assert attempt["versions"]["torch"]
    assert attempt["parameters"] > 0
    assert attempt["journal"]["bytes"] == attempt["journal"]["stored_bytes"]
    assert attempt["diff"] == (str(runs / "run-000001" / "attempt-0001.diff") if attempt["git_dirty"] else None)
    with ws.store() as store:
        before = results(store)

    assert ws.run("rm", "1", "--yes").returncode == 0
    assert names(runs) == {"run-000002"}
    with ws.store() as store:
        assert set(frames.syncs(store)["run"]) == {2}
    assert ws.run("status").returncode == 0
    assert ws.run("launch", grid, "--executor", "debug").returncode == 0
    with ws.store() as store:
        assert_same(results(store), before)
        assert frames.attempts(store)[["run", "attempt"]].to_numpy().tolist() == [[1, 3], [2, 1]]

    freed = ws.run("gc")
    assert freed.returncode == 0
    assert "checkpoints" in freed.stdout
    assert names(runs / "run-000001-after-2") == {"run.json", "attempt-0003.journal", "attempt-0003.log"}
    assert names(runs / "run-000002") == {"run.json", "attempt-0001.journal", "attempt-0001.log"}
    assert ws.run("gc", "--all").returncode == 0
    assert names(runs) == set()
    assert ws.run("gc").returncode == 3
    with ws.store() as store:
        assert_same(results(store), before)
    assert "(not there)" in ws.run("show", "2").stdout
    assert ws.run("launch", grid, "--executor", "debug").returncode == 3


def test_gc_frees_job_files_of_local_launches(ws: Workspace) -> None:
    grid = ws.grid(GRID)
    assert ws.run("launch", grid, "--executor", "local", "--max-parallel", "1").returncode == 0
    jobs = ws.folder / "stalesweep-runs" / "jobs"
    [launch] = jobs.iterdir()
    assert len(names(launch)) >= 4
    assert ws.run("gc", "2", "-y").returncode == 0
    assert len(names(launch)) >= 4, "the job trained run 1 as well"
    assert ws.run("gc", "-y").returncode == 0
    assert names(jobs) == set()
