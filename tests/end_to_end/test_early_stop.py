"""A run of the real tiny policy is ended while it trains: its process goes on with the next one."""

from __future__ import annotations

import json

import pytest

from orchestrator.base.errors import StalesweepError
from orchestrator.data import frames
from orchestrator.search.driver import DECIDED, end_early
from orchestrator.store import queries
from orchestrator.store.queries import RunProgress
from tests.end_to_end.sweeps import Workspace
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

HORIZON = 320
"""Long enough that a run still trains when its first records, brought in about once a second, are seen."""

GRID = f"""
name: two
grid: {{model: [tiny], k: [2], eta: [1e-4, 2e-4], seed: [0]}}
fixed: {{horizon: {HORIZON}, prompts_per_batch: 4, group_size: 4, eval_every_steps: 8, checkpoint_every_steps: 8}}
"""


def begun(ws: Workspace) -> list[RunProgress]:
    """The runs that have trained a few rollout cycles."""
    try:
        with ws.store() as store:
            return [run for run in queries.progress(store, queries.sweep_id(store, "two")) if (run.sync or 0) >= 4]
    except StalesweepError:  # no database, or no sweep, yet
        return []


def test_a_run_that_trains_is_stopped_and_the_next_one_is_trained(ws: Workspace) -> None:
    with ws.start("launch", ws.grid(GRID), "--executor", "local", "--max-parallel", "1") as launching:
        wait_for(lambda: begun(ws), "a few rollout cycles", 120, during=launching)
        with ws.store() as store:
            assert end_early(store, queries.sweep_id(store, "two"), [1]) == [1]
        _, said = launching.communicate(timeout=180)
    assert launching.returncode == 0, said
    assert f"cancelled: {DECIDED.reason} after" in said
    with ws.store() as store:
        runs, attempts = frames.runs(store).set_index("run"), frames.attempts(store)
        evals = frames.evals(store)
    assert runs.loc[1, "state"] == "cancelled"
    assert 8 <= runs.loc[1, "learner_steps"] < HORIZON
    assert runs.loc[1, "collapse_step_lo"] == evals[evals["run"] == 1]["learner_step"].max()
    assert runs.loc[2, "state"] in ("stable", "degraded", "collapsed")
    assert attempts["outcome"].tolist() == ["interrupted", runs.loc[2, "state"]]
    assert attempts["host"].nunique() == 1

    laws = json.loads(ws.run("fit-laws", "two", "--format", "json").stdout)
    assert laws["left_out"] == [{"run": 1, "why": "stopped early by a search: nothing was left to decide"}]
    assert {cell["eta"]: cell["n_runs"] for cell in laws["models"]["tiny"]["cells"]} == {1e-4: 0, 2e-4: 1}
    said = "\n".join(laws["models"]["tiny"]["warnings"])
    assert "because nothing was left to decide. They are excluded" in said
