"""The shipped site profiles are valid, as a profile and as a block of a grid file."""

from pathlib import Path

import pytest
import yaml

from orchestrator.grid.sweep import Resources, load_sweep

PROFILES = sorted((Path(__file__).parents[2] / "slurm/profiles").glob("*.yaml"))
GRID = "name: profile\ngrid: {model: [tiny], k: [2], eta: [1e-3], seed: [0]}\n"


def with_container(profile: Path) -> str:
    """A profile with the lines that are left out of it by a comment sign right before a key."""
    return profile.read_text(encoding="utf-8").replace("\n#  ", "\n  ")


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_a_profile_is_accepted(profile: Path, tmp_path: Path) -> None:
    both, alone, site = tmp_path / "both.yaml", tmp_path / "alone.yaml", tmp_path / "site.yaml"
    both.write_text(GRID + with_container(profile), encoding="utf-8")
    alone.write_text(GRID, encoding="utf-8")
    site.write_text(with_container(profile), encoding="utf-8")
    [as_block] = load_sweep(both).runs
    [as_profile] = load_sweep(alone, profile=site).runs
    assert as_block.resources == as_profile.resources != Resources()


def test_the_gpu_clusters_jobs_may_start_in_a_container() -> None:
    [profile] = [path for path in PROFILES if path.stem == "gpu-cluster"]
    resources = yaml.safe_load(with_container(profile))["resources"]
    assert resources["python"].startswith("apptainer exec --nv --bind /shared")
