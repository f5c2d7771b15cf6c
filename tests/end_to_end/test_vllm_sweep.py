"""A sweep whose rollouts a real vLLM engine samples, through the command line, to the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.data import frames
from tests.end_to_end.sweeps import workspace

GRID = """
name: vllm
grid:
  model: [tiny]
  k: [4]
  eta: [2.0e-4]
  seed: [0]
  pipeline: [reuse, overlap, queue]
fixed: {horizon: 40, sampler.engine: vllm, tiny.heads: 1, tiny.warmup_steps: 700}
"""
LAGS = {"reuse": (0, 3), "overlap": (4, 7), "queue": (0, 4)}


@pytest.mark.vllm
@pytest.mark.filterwarnings("default")
def test_a_sweep_of_forty_steps_is_sampled_by_vllm(tmp_path: Path, policy_cache: Path) -> None:
    ws = workspace(tmp_path, policy_cache)
    files_before = set(Path("/dev/shm").iterdir())
    launched = ws.run("launch", ws.grid(GRID), "--executor", "local", "--max-parallel", "2", timeout_s=400)
    assert launched.returncode == 0, launched.stderr
    runs, syncs = frames.runs(ws.store()), frames.syncs(ws.store())
    assert len(runs) == 3
    assert set(runs["learner_steps"]) == {40}
    assert set(runs["state"]) <= {"stable", "degraded"}
    for pipeline, (low, high) in LAGS.items():
        [run] = runs[runs["axes"].astype(str).str.contains(pipeline)]["run"]
        of_run = syncs[syncs["run"] == run]
        warm = of_run[of_run["learner_step"] >= 8]
        assert low <= warm["lag_min"].min() <= warm["lag_max"].max() <= high
        assert pipeline == "queue" or (warm["lag_min"].min(), warm["lag_max"].max()) == (low, high)
        gaps = of_run["engine_gap"].dropna()
        assert len(gaps) > 0
        assert 0 < gaps.min() <= gaps.max() < 1e-4  # an engine of its own, but the learner's policy
        # Processors differ in how much 700 steps of warm-up teach; the learner's own sampler tells.
        assert of_run["reward"].mean() > of_run["val_reward"].mean() / 2 > 0.03
    left = set(Path("/dev/shm").iterdir()) - files_before
    assert not [file for file in left if not file.name.startswith("PostgreSQL")]  # which other tests may have started
