"""A workspace for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import tiny_run
from tests.end_to_end.sweeps import Workspace, workspace


@pytest.fixture(scope="session")
def warm_cache(policy_cache: Path) -> Path:
    """The policy cache with seed 0 warmed up, so that no test pays for it while it is timing kills."""
    from grpo_worker.model.tiny import ensure_tiny_policy

    config = tiny_run()
    ensure_tiny_policy(config.tiny, config.task, config.seed, policy_cache)
    return policy_cache


@pytest.fixture
def ws(tmp_path: Path, warm_cache: Path) -> Workspace:
    """An empty folder with a SQLite database of its own."""
    return workspace(tmp_path, warm_cache)
