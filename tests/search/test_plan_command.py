"""``plan`` from the command line: what is stored is counted, nothing is written, and no database is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.grid.sweep import Sweep
from orchestrator.store import registration
from orchestrator.store.database import Store
from orchestrator.store.models import Base
from tests.support.lives import launched, trained

pytestmark = pytest.mark.services

GRID = "grid: {model: [tiny], k: [2, 8], eta: [5e-4, 1e-3, 2e-3], seed: [0, 1, 2, 3]}\nfixed: {horizon: 40}\n"
SEARCH = GRID + "search: {learner_steps: 2000}\n"


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments, "--simulations", "4"])


def stored(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with store.read() as connection:
        return {
            name: sorted(map(tuple, connection.execute(select(table))), key=str)
            for name, table in Base.metadata.tables.items()
        }


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edge.yaml").write_text(SEARCH)
    (tmp_path / "grid.yaml").write_text(GRID)
    return tmp_path


def test_stored_runs_narrow_the_truths_and_are_not_paid_again(
    store: Store, grid: Callable[..., Sweep], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STALESWEEP_DB", store.url)
    monkeypatch.setenv("STALESWEEP_RUNS", str(folder / "runs"))
    pilot = grid(eta=[5e-4, 2e-3])
    directories = launched(store, registration.register(store, pilot))
    for run, directory in zip(pilot.runs, directories.values(), strict=True):
        trained(store, directory, "collapsed" if run.cell.eta > 1e-3 else "stable")
    before = stored(store)

    found = plan("--power", "edge.yaml", "--replicates", "2", "--format", "json")
    assert found.exit_code == 0, found.output
    content = json.loads(found.stdout)
    assert content["stored_runs"] == {"tiny": 8} and content["step_s"]["tiny"] > 0
    designs = {design["name"]: design for design in content["designs"]}
    assert designs["grid, 2 runs a cell"]["runs"] == {"median": 4.0, "most": 4.0}, "8 of 12 are stored"
    assert designs["grid, 4 runs a cell"]["runs"] == {"median": 16.0, "most": 16.0}, "the file's own seeds"
    assert designs["search"]["known"][0] | {"quantity": "eta_max", "k": 2} == designs["search"]["known"][0]

    table = " ".join(plan("edge.yaml").stdout.split())
    assert "tiny: simulated from what 8 stored runs of these settings leave open, T* as of 4 that" in table
    assert "a learner step, the pace of" in table and table.endswith("Nothing was written.")
    assert stored(store) == before


def test_a_grid_file_is_planned_without_a_search_and_without_a_database(folder: Path) -> None:
    found = plan("grid.yaml", "--format", "markdown")
    assert found.exit_code == 0, found.output
    heading = found.stdout.splitlines()[0]
    assert heading == "| median (nine in ten) | grid, 1 run a cell | grid, 3 runs a cell | grid, 4 runs a cell |"
    assert "| new runs | 6 | 18 | 24 |" in found.stdout and "| hours of runs, at most |" in found.stdout
    assert "tiny: no run of these settings is stored" in found.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["edge.yaml", "grid.yaml"]


def test_without_power_it_says_what_a_launch_would_do(folder: Path) -> None:
    found = plan("edge.yaml", "--no-power")
    assert found.exit_code == 0 and "24 runs in 6 cells, 960 learner steps in all." in found.stdout
    launched = CliRunner().invoke(app, ["launch", "grid.yaml", "--dry-run"])
    assert plan("grid.yaml", "--no-power").stdout == launched.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["edge.yaml", "--format", "xml"], "--format: expected table, markdown or json, found 'xml'"),
        (["edge.yaml", "--replicates", "0"], "--replicates"),
        (["bad.yaml"], "search.learner_steps"),
        (["none.yaml"], "none.yaml"),
    ],
)
def test_mistakes_end_with_2(folder: Path, arguments: list[str], said: str) -> None:
    (folder / "bad.yaml").write_text(GRID + "search: {learner_steps: -1}\n")
    found = plan(*arguments)
    assert found.exit_code == 2 and said in found.output
