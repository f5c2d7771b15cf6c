"""A search of the real tiny policy, from the command line: it ends, goes on after kill −9, and runs nothing twice."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from orchestrator.data import frames
from tests.end_to_end.sweeps import Workspace, workspace
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

FILE = """
name: edge
grid: {model: [tiny], k: [4, 16], eta: {logspace: {start: 5e-4, stop: 8e-3, num: 5}}, seed: [0, 1, 2]}
fixed: {horizon: 32, collapse.stop_after_evals: 2, collapse.min_evals: 2, eval_every_steps: 4,
        checkpoint_every_steps: 8, tiny: {warmup_steps: 100, warmup_batch_size: 128}}
search: {learner_steps: 180, parallel: 2}
"""


@pytest.fixture
def ws(tmp_path: Path, policy_cache: Path) -> Workspace:
    return workspace(tmp_path, policy_cache)


def test_a_search_spends_its_budget_is_killed_and_goes_on(ws: Workspace) -> None:
    file = ws.grid(FILE, "edge.yaml")
    planned = ws.run("search", file, "--dry-run")
    assert "Next would be: k=" in planned.stdout and not list(ws.folder.glob("*.db"))

    with ws.start("search", file, "--executor", "local") as searching:
        wait_for(lambda: ws.jobs_of("edge"), "the first jobs", 120, during=searching)
        searching.kill()
        for job in ws.jobs_of("edge"):
            os.kill(job, signal.SIGKILL)
    begun = ws.runs_of("edge")
    assert len(begun) == 2

    ended = ws.run("search", file, "--executor", "local", "--format", "json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert [answer["k"] for answer in found["answers"]] == [4, 16, None, None]
    made = ws.runs_of("edge")
    assert set(begun) <= set(made) and len(set(made)) == len(made)
    with ws.store() as store:
        runs = frames.runs(store, ["edge"])
    assert set(runs["state"]) <= {"stable", "collapsed", "degraded"}
    assert found["learner_steps"] == runs["learner_steps"].sum()
    assert found["ending"].startswith(("The budget is spent", "Done"))
    assert found["learner_steps"] < 180 + 2 * 32
    assert all(answer["interval"][0] < answer["estimate"] < answer["interval"][1] for answer in found["answers"])

    more = ws.run("search", ws.grid(FILE.replace("180", "250"), "edge.yaml"), "--executor", "debug")
    assert more.returncode == 0 and set(made) < set(ws.runs_of("edge")), "a larger budget goes on"
    other = ws.run("search", ws.grid(FILE.replace("horizon: 32", "horizon: 40"), "edge.yaml"))
    assert other.returncode == 2 and "edge" in other.stderr, "another experiment needs another name"
    launched = ws.run("launch", "edge.yaml")
    assert launched.returncode == 2 and "stalesweep search" in launched.stderr
