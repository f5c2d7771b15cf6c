"""Runs that fill no rectangle of k and η, in every table, figure and page."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app

pytestmark = pytest.mark.slow

HEAD = "model,k,eta,seed,horizon,collapse_step"
SHAPES = {
    "missing cells": ["a,2,1e-4,0,320,", "a,2,1e-3,0,320,100", "a,8,5e-4,0,320,60", "a,32,5e-4,0,320,20"],
    "no shared eta": ["a,2,1e-4,0,320,", "a,8,2e-4,0,320,64", "a,32,3e-4,0,320,32"],
    "one cell": ["a,2,1e-4,0,320,"],
    "one collapsed cell": ["a,2,1e-4,0,320,40", "a,2,1e-4,1,320,60"],
    "several horizons": ["a,2,1e-4,0,320,", "a,2,1e-4,1,2000,1500", "a,8,1e-3,0,80,16"],
    "models of other axes": ["a,2,1e-4,0,320,", "a,8,1e-3,0,320,8", "b,4,5e-4,0,640,", "b,4,1e-3,0,640,12"],
}  # fmt: skip


@pytest.mark.parametrize("rows", SHAPES.values(), ids=SHAPES)
def test_every_view_of_ragged_runs(tmp_path: Path, rows: list[str]) -> None:
    db = ["--db", f"sqlite:///{tmp_path}/runs.db"]
    (tmp_path / "runs.csv").write_text("\n".join([HEAD, *rows]))
    models = {row.partition(",")[0] for row in rows}
    views = [
        ["import", str(tmp_path / "runs.csv"), "--sweep", "ragged"],
        *(["fit-laws", "--format", format] for format in ("table", "markdown", "latex", "csv", "json")),
        ["fit-laws", "--out", str(tmp_path / "out")],
        ["report", "--out", str(tmp_path / "report.html")],
        ["status"],
        ["show", "1"],
        ["export", "--out", str(tmp_path / "export")],
        *(["advise", "--model", model, "--k", "8", "--horizon", "320"] for model in models),
    ]
    for view in views:
        result = CliRunner().invoke(app, [*view, *db])
        allowed = (0, 3) if view[0] == "advise" else (0,)  # 3: it says which runs are missing for an answer
        assert result.exit_code in allowed, f"{view}: {result.output} {result.exception!r}"
    page = (tmp_path / "report.html").read_text()
    assert page.count('class="phase"') == len(models)
    assert (tmp_path / "out" / "laws.json").exists()
