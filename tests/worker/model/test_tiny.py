"""The cache of warmed-up policies: made once, and made again if its files are not what was written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from grpo_worker.model.tiny import CHECKSUMS, ensure_tiny_policy
from tests.conftest import tiny_run

CONFIG = tiny_run(tiny={"warmup_steps": 2})


def ensure(cache: Path) -> Path:
    return ensure_tiny_policy(CONFIG.tiny, CONFIG.task, CONFIG.seed, cache)


def test_an_intact_policy_is_made_once(tmp_path: Path) -> None:
    folder = ensure(tmp_path)
    before = {path: path.stat() for path in folder.iterdir()}
    (folder / "notes.txt").write_text("the user's")
    assert ensure(tmp_path) == folder
    assert {path: path.stat() for path in before} == before


@pytest.mark.parametrize("harm", ["a flipped bit", "a missing file", "no checksums", "empty checksums", "a torn file"])
def test_a_damaged_policy_is_made_anew(tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    weights = ensure(tmp_path) / "model.safetensors"
    right = {name: tensor.clone() for name, tensor in load_file(weights).items()}  # the file is mapped
    content = bytearray(weights.read_bytes())
    if harm == "a flipped bit":
        content[-1000] ^= 1
        weights.write_bytes(content)
        assert any(not torch.equal(right[name], now) for name, now in load_file(weights).items()), "it loads, changed"
    elif harm == "a torn file":
        weights.write_bytes(content[:-1000])
    elif harm == "a missing file":
        weights.unlink()
    elif harm == "no checksums":
        (weights.parent / CHECKSUMS).unlink()
    else:
        (weights.parent / CHECKSUMS).write_text("")
    assert ensure(tmp_path) == weights.parent
    assert "made anew" in caplog.text
    assert all(torch.equal(right[name], now) for name, now in load_file(weights).items())
