"""A site's profile: resources that hold where a grid file says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base import settings
from orchestrator.base.errors import GridError, UsageError
from orchestrator.grid.sweep import Resources, Sweep, load_sweep

GRID = """
name: small
grid: {model: [tiny, big], k: [1], eta: [1e-3], seed: [0]}
models: {big: {path: /models/big, resources: {gpus: 2, slurm: {nice: 5}}}}
resources: {mem_gb: 8, slurm: {mail-type: END}, retries: {killed: 3}}
"""
PROFILE = """
resources:
  account: lab
  mem_gb: 64
  python: apptainer exec --nv /images/rl.sif python
  slurm: {mail-type: FAIL, mail-user: me@example.org}
  retries: {killed: 0, node_failure: 9}
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def resources(sweep: Sweep) -> dict[str, Resources]:
    return {run.cell.model: run.resources for run in sweep.runs}


def test_the_grid_file_wins_over_the_profile_and_a_model_over_both(tmp_path: Path) -> None:
    grid, profile = write(tmp_path / "grid.yaml", GRID), write(tmp_path / "profile.yaml", PROFILE)
    found = resources(load_sweep(grid, profile=profile))
    assert found["tiny"].account == found["big"].account == "lab"
    assert found["tiny"].python == "apptainer exec --nv /images/rl.sif python"
    assert (found["tiny"].mem_gb, found["big"].gpus) == (8, 2)
    assert found["tiny"].slurm == {"mail-type": "END", "mail-user": "me@example.org"}
    assert found["big"].slurm == {**found["tiny"].slurm, "nice": 5}
    assert found["tiny"].retries == {"killed": 3, "node_failure": 9}
    assert resources(load_sweep(grid))["tiny"].account is None


def test_a_profile_is_no_part_of_what_a_sweep_is(tmp_path: Path) -> None:
    grid, profile = write(tmp_path / "grid.yaml", GRID), write(tmp_path / "profile.yaml", PROFILE)
    assert load_sweep(grid, profile=profile).digest == load_sweep(grid).digest


def test_mistakes_in_a_profile_are_named_by_its_line(tmp_path: Path) -> None:
    grid = write(tmp_path / "grid.yaml", GRID)
    profile = write(tmp_path / "profile.yaml", "resources: {cpus: 0}\nmodels: {}\n")
    with pytest.raises(GridError) as caught:
        load_sweep(grid, profile=profile)
    assert [mistake.removeprefix(str(tmp_path)).partition(" (")[0] for mistake in caught.value.mistakes] == [
        "/profile.yaml:1: resources.cpus: cannot be used",
        "/profile.yaml:2: models: unknown key",
    ]


def test_where_a_profile_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("STALESWEEP_PROFILE", raising=False)
    assert settings.profile() is None
    usual = write(tmp_path / "stalesweep/profile.yaml", PROFILE)
    assert settings.profile() == usual
    other = write(tmp_path / "other.yaml", PROFILE)
    monkeypatch.setenv("STALESWEEP_PROFILE", str(other))
    assert settings.profile() == other
    monkeypatch.setenv("STALESWEEP_PROFILE", "")
    assert settings.profile() is None
    monkeypatch.setenv("STALESWEEP_PROFILE", "/nowhere.yaml")
    with pytest.raises(UsageError, match=r"no file /nowhere\.yaml"):
        settings.profile()
