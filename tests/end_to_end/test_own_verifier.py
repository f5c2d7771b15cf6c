"""A verifier of the user's, in a module beside the grid, reaches the jobs; so do its mistakes."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tests.end_to_end.sweeps import Workspace

pytestmark = pytest.mark.slow

GRID = """
name: own
grid: {model: [tiny], k: [4], eta: [5e-4], seed: [0], task.verifier: ["my_rewards:closeness", "my_rewards:wrong"]}
fixed: {horizon: 8}
"""

REWARDS = """
import os, pathlib
pathlib.Path("gpus").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))

def closeness(completion, answer):
    return 1 / (1 + abs(int(completion) - int(answer))) if completion.isdigit() else 0

def wrong(completion, answer):
    return None
"""


@pytest.mark.parametrize("gpus", [None, "3,1"])
def test_jobs_find_the_verifier_in_the_working_directory_and_the_gpus(ws: Workspace, gpus: str | None) -> None:
    ws.environment.pop("CUDA_VISIBLE_DEVICES", None)
    ws.environment.update({"CUDA_VISIBLE_DEVICES": gpus} if gpus else {})
    (ws.folder / "my_rewards.py").write_text(REWARDS)
    launched = ws.run("launch", ws.grid(GRID), "--executor", "local", "--max-parallel", "1")
    assert launched.returncode == 1
    message = "TaskError: task.verifier 'my_rewards:wrong' must return True, False or a number from 0 to 1; it returned"
    assert message in " ".join(launched.stdout.split())
    assert (ws.folder / "gpus").read_text() == ws.environment.get("CUDA_VISIBLE_DEVICES", "all")
    status = json.loads(ws.run("status", "--format", "json").stdout)
    assert status[0]["runs"] == {"stable": 1, "failed": 1}
    ws.run("export", "--out", "data", "--format", "csv")
    syncs = pd.read_csv(ws.folder / "data" / "syncs.csv")
    # The tiny policy answers a+b or a+b+1, and here that is half right: more than the share of right answers, 0.45.
    assert syncs["reward"].iloc[0] > 0.6
    assert ((syncs["reward"] * 128) % 1 > 1e-3).any(), "no reward of 0 or 1 gives such means"


APART = """
import os, pathlib, time
pathlib.Path("sees-" + os.environ["CUDA_VISIBLE_DEVICES"]).touch()
while len(list(pathlib.Path().glob("sees-*"))) < 2:
    time.sleep(0.05)

def right(completion, answer):
    return completion == answer
"""


def test_local_jobs_have_a_gpu_each(ws: Workspace) -> None:
    ws.environment["CUDA_VISIBLE_DEVICES"] = "3,1"
    (ws.folder / "apart.py").write_text(APART)
    grid = "name: apart\ngrid: {model: [tiny], k: [4], eta: [5e-4], seed: [0, 1]}\nresources: {gpus: 1}\n"
    ws.grid(grid + 'fixed: {horizon: 8, device: cpu, task: {verifier: "apart:right"}}\n')
    launched = ws.run("launch", "grid.yaml", "--executor", "local", "--max-parallel", "2", timeout_s=120)
    assert launched.returncode == 0, launched.stderr
    assert {path.name for path in ws.folder.glob("sees-*")} == {"sees-3", "sees-1"}
