"""Exports of older versions: what their states and sentences said becomes the states and failure classes of today."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.data import frames
from orchestrator.store.database import Store

pytestmark = pytest.mark.services

RUNS = """model,k,eta,seed,horizon,state,learner_steps,collapse_step,collapse_step_lo,failure{column}
tiny,8,0.001,0,64,stopped,40,,32,all is known{decided}
tiny,8,0.001,1,64,stopped,24,,,97 of 100 such runs collapse{none}
tiny,8,0.001,2,64,failed,16,,,diverged: loss is not finite{none}
tiny,8,0.001,3,64,failed,16,,,ValueError: x{none}
"""
OLDEST = {"column": "", "decided": "", "none": ""}
NEWER = {"column": ",failure_class", "decided": ",decided", "none": ","}


@pytest.mark.parametrize(("columns", "first"), [(OLDEST, "predicted_collapse"), (NEWER, "decided")])
def test_stopped_and_diverged_runs(
    columns: dict[str, str], first: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STALESWEEP_DB", store.url)
    (tmp_path / "runs.csv").write_text(RUNS.format(**columns))
    imported = CliRunner().invoke(app, ["import", str(tmp_path / "runs.csv"), "--sweep", "old"])
    assert imported.exit_code == 0, imported.output
    found = frames.runs(store).sort_values("seed")
    assert found["state"].tolist() == ["cancelled", "cancelled", "failed", "failed"]
    assert found["failure_class"].fillna("").tolist() == [first, "predicted_collapse", "diverged", ""]
    assert found["collapse_step_lo"].fillna(-1).tolist() == [32, -1, -1, -1]
