"""Import through the command line: exit codes, what is printed, and that `fit-laws` says the same as at home."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.sweeps import Workspace, workspace

RUNS = Path(__file__).parents[1] / "data" / "tiny-runs.csv"
"""T* of a real sweep of the tiny policy."""


@pytest.fixture
def bare(tmp_path: Path) -> Workspace:
    """A workspace in which nothing is trained."""
    return workspace(tmp_path, tmp_path)


def test_someone_who_trained_elsewhere(bare: Workspace) -> None:
    planned = bare.run("import", str(RUNS), "--sweep", "mine", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "(runs): 69 runs in 15 cells, 38 of them collapsed" in planned.stdout
    assert planned.stdout.endswith("Nothing was written.\n")
    assert list(bare.folder.iterdir()) == []

    done = bare.run("import", str(RUNS), "--sweep", "mine")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("stored as sweep 'mine'; fit it with: stalesweep fit-laws mine\n")
    again = bare.run("import", str(RUNS), "--sweep", "mine")
    assert (again.returncode, again.stderr) == (3, "sweep 'mine' holds this import already; nothing was changed\n")
    taken = bare.run("import", str(RUNS), "--sweep", "mine", "--set", "axes.beta=0.1")
    assert taken.returncode == 2
    assert "give this one another name with --sweep" in taken.stderr

    fitted = bare.run("fit-laws", "mine")
    assert fitted.returncode == 0, fitted.stderr
    assert "15 cells, 69 finished runs: 38 collapsed, 31 stable" in fitted.stdout
    status = bare.run("status", "mine")
    assert status.returncode == 0, status.stderr
    assert "69 of 69 runs done" in status.stdout
    grid = bare.grid("name: mine\ngrid: {model: [tiny], k: [2], eta: [1e-3], seed: [0]}\n")
    launched = bare.run("launch", grid)
    assert launched.returncode == 2
    assert "'mine' holds imported runs, which cannot be trained" in launched.stderr


def test_an_exported_sweep_is_fitted_alike(bare: Workspace) -> None:
    assert bare.run("import", str(RUNS), "--sweep", "mine").returncode == 0
    for name, format in (("mine", "csv"), ("again", "parquet")):
        assert bare.run("export", name, "--out", f"out-{name}", "--format", format).returncode == 0
        imported = bare.run("import", f"out-{name}", "--sweep", {"mine": "again", "again": "thrice"}[name])
        assert imported.returncode == 0, imported.stderr
    said = [bare.run("fit-laws", name).stdout for name in ("mine", "thrice")]
    assert said[0] == said[1]
    assert "15 cells, 69 finished runs" in said[0]


@pytest.mark.slow
def test_a_sweep_trained_here_is_fitted_alike(ws: Workspace) -> None:
    grid = ws.grid("name: here\ngrid: {model: [tiny], k: [2, 8], eta: [5e-4, 2e-3], seed: [0]}\nfixed: {horizon: 24}\n")
    assert ws.run("launch", grid, "--executor", "debug").returncode == 0
    assert ws.run("export", "here", "--out", "out").returncode == 0
    imported = ws.run("import", "out", "--sweep", "there")
    assert imported.returncode == 0, imported.stderr
    assert "(export): 4 runs in 4 cells" in imported.stdout
    assert "30 weight syncs, 16 validations" in imported.stdout
    said = [json.loads(ws.run("fit-laws", name, "--format", "json").stdout) for name in ("here", "there")]
    for one in said:
        del one["inputs"]["code"]  # someone may commit between the two
    assert said[0] == said[1]
    assert said[0]["models"]["tiny"]["cells"][0]["n_runs"] == 1


def test_all_mistakes_and_nothing_written(bare: Workspace) -> None:
    (bare.folder / "bad.csv").write_text(
        "model,k,eta,seed,horizon,collapse_step\nm,0,1,0,8,\nm,2,-1,0,8,\nm,2,1,0,8,9\n"
    )
    refused = bare.run("import", "bad.csv", "--sweep", "mine")
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "bad.csv: row 2: k should be greater than or equal to 1 (found '0')",
        "bad.csv: row 3: eta should be greater than 0 (found '-1')",
        "bad.csv: row 4: collapse_step must lie in 1 to the horizon 8 (found 9)",
        "3 mistakes; nothing was written",
    ]
    assert [path.name for path in bare.folder.iterdir()] == ["bad.csv"]
    for arguments, expected in {
        ("--sweep", "My Sweep"): "--sweep: cannot be used (found 'My Sweep'",
        ("--sweep", "m", "--map", "reward"): "--map reward: write two names with = between them",
        ("--sweep", "m", "--set", "k=1", "--set", "k=2"): "--set k=2: k is given twice",
        ("--sweep", "m", "--format", "excel"): "--format: expected auto, runs, syncs, trl or wandb, found 'excel'",
        ("--sweep", "m", "--detector", "third"): "--detector: expected half or zero, found 'third'",
    }.items():
        wrong = bare.run("import", "bad.csv", *arguments)
        assert (wrong.returncode, expected in wrong.stderr) == (2, True), wrong.stderr


def test_help_loads_nothing_heavy() -> None:
    heavy = {"pyarrow", "pandas", "numpy", "sqlalchemy"}
    code = f"import sys, orchestrator.cli.app; print(sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
