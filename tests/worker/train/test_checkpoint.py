"""Checkpoints as files: the newest one is used, and an incomplete one never is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from grpo_worker.model.policy import load_policy
from grpo_worker.train import checkpoint
from grpo_worker.train.checkpoint import History, LoopState, latest_checkpoint, load_checkpoint, save_checkpoint
from grpo_worker.train.learner import Learner
from tests.conftest import tiny_run

STATE = LoopState(History([0, 8], [0.5, 0.25], [0], [0.5]), {"sync": 1}, {"version": 2})


@pytest.fixture
def learner(policy_cache: Path) -> Learner:
    config = tiny_run(tiny={"warmup_steps": 0})
    return Learner(load_policy(config, policy_cache, torch.device("cpu")), config)


def test_the_newest_checkpoint_counts(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    for steps in (96, 1_000, 8):  # a run that was killed before it could delete older ones
        (tmp_path / f"checkpoint-{steps:08d}.pt").touch()
    (tmp_path / "checkpoint-00002000.partial").touch()
    assert latest_checkpoint(tmp_path) == (tmp_path / "checkpoint-00001000.pt", 1_000)


def test_what_only_looks_like_a_checkpoint_is_ignored_and_kept(
    learner: Learner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = save_checkpoint(tmp_path, learner, STATE)
    strange = [f"checkpoint-{name}.pt" for name in ("00000056-good", "٠٠٠٠٠٠٥٦", "9" * 20, "56", "")]
    for name in strange:
        (tmp_path / name).write_text("a copy of the user's")
    (tmp_path / "checkpoint-00000057.pt").mkdir()
    os.mkfifo(tmp_path / "checkpoint-00000058.pt")
    assert latest_checkpoint(tmp_path) == (mine, 0)
    for name in [*strange, "checkpoint-00000057.pt", "checkpoint-00000058.pt"]:
        assert f"{tmp_path / name} is not a checkpoint" in caplog.text
    learner.steps = 9
    save_checkpoint(tmp_path, learner, STATE)
    assert not mine.exists()
    assert all((tmp_path / name).read_text() == "a copy of the user's" for name in strange)


def test_a_checkpoint_replaces_the_older_ones(learner: Learner, tmp_path: Path) -> None:
    (tmp_path / "checkpoint-00000003.pt").touch()
    learner.steps = 7
    path = save_checkpoint(tmp_path / "new", learner, STATE)
    assert save_checkpoint(tmp_path, learner, STATE) == tmp_path / "checkpoint-00000007.pt"
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["checkpoint-00000007.pt"]
    learner.steps = 0
    assert load_checkpoint(path, learner) == STATE
    assert learner.steps == 7


def test_a_save_that_fails_leaves_the_older_checkpoint(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = save_checkpoint(tmp_path, learner, STATE)

    def disk_full(content: object, file: Any) -> None:
        file.write(b"the beginning")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", disk_full)
    learner.steps = 5
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, learner, STATE)
    assert latest_checkpoint(tmp_path) == (older, 0)
