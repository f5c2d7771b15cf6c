"""A search of the real tiny policy on a real Slurm: arrays as runs end, killed on the way, no run made twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from orchestrator.base.errors import StalesweepError
from orchestrator.data import frames
from tests.cluster.devcluster import DevCluster
from tests.cluster.scenes import wait_for
from tests.end_to_end.sweeps import Workspace, workspace

pytestmark = pytest.mark.slow

FILE = """
name: edge
grid: {model: [tiny], k: [4, 16], eta: {logspace: {start: 5e-4, stop: 8e-3, num: 5}}, seed: [0, 1, 2]}
fixed: {horizon: 32, eval_every_steps: 4, checkpoint_every_steps: 8, collapse.min_evals: 2,
        tiny: {warmup_steps: 100, warmup_batch_size: 128}}
search: {learner_steps: 150, parallel: 3, early_stops: {confirmed: 2}}
resources: {cpus: 1, mem_gb: 1, time_min: 5}
"""


def submitted(ws: Workspace) -> list[str]:
    try:
        with ws.store() as store, store.read() as connection:
            rows = connection.exec_driver_sql("select job_id from submission where job_id is not null order by id")
            return [str(row[0]) for row in rows]
    except StalesweepError:
        return []


def test_a_search_is_killed_and_goes_on(cluster: DevCluster, tmp_path: Path, policy_cache: Path) -> None:
    ws = workspace(tmp_path, policy_cache)
    ws.environment["SLURM_CONF"] = os.environ["SLURM_CONF"]
    file = ws.grid(FILE, "edge.yaml")
    with ws.start("search", file, "--executor", "slurm") as searching:
        wait_for(lambda: submitted(ws), "the first array", 120, during=searching)
        searching.kill()
    begun, first = set(ws.runs_of("edge")), submitted(ws)
    assert len(begun) == 3 and len(first) == 1

    ended = ws.run("search", file, "--executor", "slurm", "--format", "json", timeout_s=400)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["ending"].startswith(("The budget is spent", "Done")), ended.stderr
    with ws.store() as store:
        runs, attempts = frames.runs(store, ["edge"]), frames.attempts(store, ["edge"])
    assert begun <= set(ws.runs_of("edge")) and len(set(ws.runs_of("edge"))) == len(runs) > 3
    assert set(runs["state"]) <= {"stable", "collapsed", "degraded", "cancelled"}
    assert found["learner_steps"] == runs["learner_steps"].sum() < 150 + 3 * 32
    assert set(attempts["executor"]) == {"slurm"} and submitted(ws)[:1] == first and len(submitted(ws)) > 1
    assert attempts.groupby("run").size().max() == 1, "the jobs that a killed search has left were waited for"
