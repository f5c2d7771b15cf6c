"""Checkpoints: the whole state of a run after a rollout cycle, saved atomically, so that a resume gives the same bits.

Random numbers are not part of it: they depend on what they are drawn for alone (`grpo_worker.randomness`). The
initial policy is not either: it is loaded again, and must be the same to the bit.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grpo_worker import __version__
from grpo_worker.errors import CheckpointError
from grpo_worker.learner import Learner

log = logging.getLogger(__name__)


@dataclass(slots=True)
class History:
    """What a run has measured so far, as far as its own detectors need it: learner steps and rewards."""

    eval_steps: list[int]
    val_rewards: list[float]
    sync_steps: list[int]
    rewards: list[float]


def latest_checkpoint(run_dir: Path) -> tuple[Path, int] | None:
    """The newest checkpoint of a run directory and the weight sync whose cycle it holds, or None."""
    found = [(int(path.stem.removeprefix("checkpoint-")), path) for path in run_dir.glob("checkpoint-*.pt")]
    if not found:
        return None
    sync, path = max(found)
    return path, sync


def save_checkpoint(run_dir: Path, sync: int, learner: Learner, history: History) -> Path:
    """Write the state after the cycle of a weight sync aside, flush it to disk, rename it, drop the older ones."""
    run_dir.mkdir(parents=True, exist_ok=True)
    path = run_dir / f"checkpoint-{sync:08d}.pt"
    aside = path.with_suffix(".partial")
    state = {
        "code_version": __version__,
        "config": learner.config.model_dump(mode="json"),
        "start_digest": tensor_digest(learner.start_N),
        "theta": learner.parameters.theta_N.data,
        "optimizer": learner.optimizer.state_dict(),
        "steps": learner.steps,
        "path_length": learner.path_length,
        "previous_gradient": learner.previous_gradient_N,
        "previous_update": learner.previous_update_N,
        "history": [history.eval_steps, history.val_rewards, history.sync_steps, history.rewards],
    }
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    for older in set(run_dir.glob("checkpoint-*.pt")) - {path}:
        older.unlink()
    return path


def load_checkpoint(path: Path, learner: Learner) -> History:
    """Put a learner into the state of a checkpoint.

    Raises:
        CheckpointError: It is damaged, or belongs to another config, code version or initial policy.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read ({error}); delete it to start the run anew") from error
    differences = _differences(state, learner)
    if differences:
        raise CheckpointError(
            f"{path} is of another run; delete it to start anew. It differs in " + "; ".join(differences)
        )
    learner.parameters.theta_N.data.copy_(state["theta"])
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.steps, learner.path_length = state["steps"], state["path_length"]
    device = learner.start_N.device
    learner.previous_gradient_N = _to(state["previous_gradient"], device)
    learner.previous_update_N = _to(state["previous_update"], device)
    return History(*state["history"])


def tensor_digest(vector_N: Tensor) -> str:
    """Content hash of a tensor's bytes."""
    return hashlib.sha256(vector_N.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def _to(vector_N: Tensor | None, device: torch.device) -> Tensor | None:
    return None if vector_N is None else vector_N.to(device)


def _differences(state: dict[str, Any], learner: Learner) -> list[str]:
    mine: dict[str, Any] = {
        "code version": __version__,
        "initial policy": tensor_digest(learner.start_N),
        **learner.config.model_dump(mode="json"),
    }
    saved = {
        "code version": state["code_version"],
        "initial policy": state["start_digest"],
        **state["config"],
    }
    return [
        f"{key}: {saved.get(key)!r} there, {mine.get(key)!r} here"
        for key in dict.fromkeys([*mine, *saved])
        if mine.get(key) != saved.get(key)
    ]
