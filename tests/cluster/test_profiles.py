"""The shipped site profiles are valid grid-file blocks."""

from pathlib import Path

import pytest
import yaml

from orchestrator.grid import load_sweep

PROFILES = sorted((Path(__file__).parents[2] / "slurm/profiles").glob("*.yaml"))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_a_profile_is_accepted_in_a_grid_file(profile: Path, tmp_path: Path) -> None:
    models = list(yaml.safe_load(profile.read_text()).get("models", ["tiny"]))
    grid = {"model": models, "k": [2], "eta": [1e-3], "seed": [0]}
    file = tmp_path / "grid.yaml"
    file.write_text(f"name: profile\ngrid: {grid}\n{profile.read_text()}")
    assert [run.cell.model for run in load_sweep(file).runs] == models
