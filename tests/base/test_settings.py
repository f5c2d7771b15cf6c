"""Settings: an option wins over the environment, which wins over the default."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base import settings
from orchestrator.base.urls import harmless_environment


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


def test_programs_that_need_no_database_get_no_variable_that_may_hold_a_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("STALESWEEP_DB", "STALESWEEP_WEBHOOK", "PGPASSWORD", "HARMLESS"):
        monkeypatch.setenv(name, "secret")
    assert "HARMLESS" in harmless_environment()
    assert not {"STALESWEEP_DB", "STALESWEEP_WEBHOOK", "PGPASSWORD"} & set(harmless_environment())
