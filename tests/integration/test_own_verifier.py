"""A verifier of the user's, in a module beside the grid, reaches the jobs; so do its mistakes."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tests.integration.sweeps import Workspace

pytestmark = pytest.mark.slow

GRID = """
name: own
grid: {model: [tiny], k: [4], eta: [5e-4], seed: [0], task.verifier: ["my_rewards:closeness", "my_rewards:wrong"]}
fixed: {horizon: 8}
"""

REWARDS = """
def closeness(completion, answer):
    return 1 / (1 + abs(int(completion) - int(answer))) if completion.isdigit() else 0

def wrong(completion, answer):
    return None
"""


def test_jobs_find_the_verifier_in_the_working_directory(ws: Workspace) -> None:
    (ws.folder / "my_rewards.py").write_text(REWARDS)
    launched = ws.run("launch", ws.grid(GRID), "--executor", "local")
    assert launched.returncode == 1
    message = "TaskError: task.verifier 'my_rewards:wrong' must return True, False or a number from 0 to 1; it returned"
    assert message in " ".join(launched.stdout.split())
    status = json.loads(ws.run("status", "--format", "json").stdout)
    assert status[0]["runs"] == {"stable": 1, "failed": 1}
    ws.run("export", "--out", "data", "--format", "csv")
    syncs = pd.read_csv(ws.folder / "data" / "syncs.csv")
    # The tiny policy answers a+b or a+b+1, and here that is half right: more than the share of right answers, 0.45.
    assert syncs["reward"].iloc[0] > 0.6
    assert ((syncs["reward"] * 128) % 1 > 1e-3).any(), "no reward of 0 or 1 gives such means"
