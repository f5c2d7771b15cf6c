"""Fixtures that every suite shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from grpo_worker.config import ModelConfig, WorkerConfig

# One thread: the bits of a run depend on it, and so does the speed of a small machine.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def policy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Warmed-up policies of this test session, shared with the processes that tests start."""
    path = tmp_path_factory.mktemp("policies")
    os.environ["STALESWEEP_CACHE"] = str(path)
    return path


def tiny_run(**fields: object) -> WorkerConfig:
    """A short run of the tiny policy with any field replaced. Its warm-up (15 s) is shared through the cache."""
    base = {"model": ModelConfig(), "k": 2, "eta": 5e-4, "seed": 0, "horizon": 8}
    return WorkerConfig.model_validate(base | fields)
