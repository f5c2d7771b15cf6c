"""Settings: an option wins over the environment, which wins over the default; code is known by its commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator import settings


def test_option_then_environment_then_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("STALESWEEP_DB", "STALESWEEP_RUNS", "STALESWEEP_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert settings.database_url(None) == "sqlite:///stalesweep.db"
    assert settings.runs_dir() == Path("stalesweep-runs")
    assert settings.cache_dir() == tmp_path / "stalesweep"
    monkeypatch.setenv("STALESWEEP_DB", "postgresql://host/db")
    monkeypatch.setenv("STALESWEEP_RUNS", "/runs")
    monkeypatch.setenv("STALESWEEP_CACHE", "/cache")
    assert settings.database_url(None) == "postgresql://host/db"
    assert settings.database_url("sqlite:///mine.db") == "sqlite:///mine.db"
    assert settings.runs_dir() == Path("/runs")
    assert settings.cache_dir() == Path("/cache")


@pytest.mark.parametrize("name", ["migrations", "sweeps"])
def test_shipped_folders_are_found(name: str) -> None:
    assert settings.shipped(name).is_dir()


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    package = tmp_path / "package"
    package.mkdir()
    (package / "code.py").write_text("one")
    assert settings.git_commit(package) is None
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "empty")
    assert settings.git_commit(package) is None, "the checkout does not track the package"
    git("add", "package")
    git("commit", "-q", "-m", "package")
    git("tag", "-a", "-m", "tag", "v1")
    assert settings.git_commit(package) == git("rev-parse", "HEAD")
    (package / "code.py").write_text("two")
    assert settings.git_commit(package) == git("rev-parse", "HEAD") + "+dirty"
