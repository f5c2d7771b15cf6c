"""A dry run says what its runs will not tell: from the grid alone, and from how stored runs of the models ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.grid.sweep import load_sweep
from orchestrator.search.outlook import gaps, stored_outcomes
from orchestrator.store.database import Store
from orchestrator.store.outcomes import Outcome

pytestmark = pytest.mark.services

RUNS = Path(__file__).parents[1] / "data" / "tiny-runs.csv"


def said(folder: Path, grid: str, known: list[Outcome] | None = None) -> list[str]:
    (folder / "plan.yaml").write_text(f"grid: {{model: [tiny], {grid}}}\nfixed: {{horizon: 480}}\n")
    return gaps(load_sweep(folder / "plan.yaml").runs, known or [])


@pytest.mark.parametrize(
    ("grid", "fragment"),
    [
        ("k: [2, 8], eta: [1e-3, 1e-4], seed: [3]", "seed 3 only"),
        ("k: [2], eta: [1e-3, 1e-4], seed: [0, 1, 2]", "k=2 only"),
        ("k: [2, 8], eta: [1e-3], seed: [0, 1, 2]", "one eta only at k=2, 8"),
        ("k: [8], eta: [1.0e-3, 1.5e-3], seed: [0, 1, 2]", "eta*k differs by a factor of 1.5 only"),
    ],
)
def test_the_grid_alone_tells(tmp_path: Path, grid: str, fragment: str) -> None:
    assert sum(fragment in sentence for sentence in said(tmp_path, grid)) == 1


def test_a_grid_that_identifies_the_laws_has_no_gaps(tmp_path: Path) -> None:
    assert said(tmp_path, "k: [2, 8, 32], eta: [1e-3, 5e-4, 2.5e-4], seed: [0, 1, 2]") == []


def test_k_and_eta_that_change_together_are_named(tmp_path: Path) -> None:
    diagonal = {2: 8e-3, 8: 1e-3, 32: 1.25e-4}
    others = [f"{{k: {k}, eta: {eta}}}" for k in diagonal for eta in diagonal.values() if eta != diagonal[k]]
    grid = "grid: {model: [tiny], k: [2, 8, 32], eta: [8e-3, 1e-3, 1.25e-4], seed: [0, 1, 2]}\n"
    (tmp_path / "plan.yaml").write_text(f"{grid}exclude: [{', '.join(others)}]\n")
    found = gaps(load_sweep(tmp_path / "plan.yaml").runs, [])
    assert any("k and eta change together" in sentence for sentence in found)


def test_settings_that_lack_the_same_are_named_together(tmp_path: Path) -> None:
    (sentence,) = said(tmp_path, "k: [2, 8], eta: [1e-3, 1e-4], seed: [0], clip_eps: [0.1, 0.2]")
    assert sentence.startswith("tiny · clip_eps=0.1 and tiny · clip_eps=0.2: seed 0 only")


def test_stored_runs_tell_what_to_expect(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STALESWEEP_DB", store.url)
    imported = CliRunner().invoke(app, ["import", str(RUNS), "--sweep", "ours"])
    assert imported.exit_code == 0, imported.output
    known = stored_outcomes(store.url, ["tiny", "other"])
    assert len(known) == 69 and sum(one.collapsed_by(480) is True for one in known) == 38
    cells = "k: [2, 8], seed: [0, 1, 2], eta:"
    assert said(tmp_path, f"{cells} [1e-3, 5e-4, 2.5e-4]", known) == []
    (stable,) = said(tmp_path, f"{cells} [2e-5, 1e-5]", known)
    assert stable.startswith("tiny: by 69 finished runs no cell is expected to collapse")
    (doomed,) = said(tmp_path, f"{cells} [2e-2, 1e-2]", known)
    assert doomed.startswith("tiny: by 69 finished runs no cell is expected to stay stable")


def test_runs_that_were_trained_less_say_only_what_they_saw() -> None:
    short, long = (Outcome("tiny", "{}", 8, 1e-3, 0, *end, {}) for end in ((100, None), (480, 300)))
    assert [short.collapsed_by(steps) for steps in (100, 101)] == [False, None]
    assert [long.collapsed_by(steps) for steps in (299, 300)] == [False, True]


def test_the_dry_run_prints_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text("grid: {model: [tiny], k: [2, 8], eta: [1e-3, 1e-4], seed: [0]}\n")
    lines = CliRunner().invoke(app, ["launch", "plan.yaml", "--executor", "local", "--dry-run"]).stdout.splitlines()
    start = lines.index("What these runs will not identify:")
    assert lines[start + 1].startswith("- tiny: seed 0 only") and lines[-1] == "Nothing was written."
