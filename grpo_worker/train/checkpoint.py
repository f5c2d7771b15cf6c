"""Checkpoints hold the whole state of a run after a learner step, so that a resumed run computes the same bits.

They hold the learner (weights, moments, last gradient and update), the rollout batches that were sampled but not yet
consumed, and what the current cycle has measured. They need no state of random number generators, because each random
number depends only on what it is drawn for (`grpo_worker.system.randomness`). They do not hold the initial policy: it
is loaded again, and a digest makes sure that it is the same to the bit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grpo_worker import __version__
from grpo_worker.schema.errors import CheckpointError
from grpo_worker.schema.records import CHECKPOINT_NAME
from grpo_worker.train.learner import Learner

FORMAT = 2

log = logging.getLogger(__name__)


@dataclass(slots=True)
class History:
    """The rewards of a run so far and the learner steps at which they were measured, for the run's own detector."""

    eval_steps: list[int] = field(default_factory=list)
    val_rewards: list[float] = field(default_factory=list)
    sync_steps: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LoopState:
    """The state of the training loop: what a checkpoint holds beside the state of the learner.

    Attributes:
        history: For the run's own detector.
        cycle: What `grpo_worker.train.cycle.Cycle.state` returned for the current cycle; None between two cycles.
        pipeline: What `grpo_worker.rollout.pipelines.Pipeline.state` returned.
    """

    history: History
    cycle: dict[str, Any] | None
    pipeline: dict[str, Any]


def latest_checkpoint(run_dir: Path) -> tuple[Path, int] | None:
    """The newest checkpoint of a run directory and the learner steps applied in it; None if there is none.

    What only looks like a checkpoint, e.g. a copy under another name, is ignored and logged.
    """
    found = _checkpoints(run_dir)
    for other in sorted(set(run_dir.glob("checkpoint-*.pt")) - set(found.values())):
        log.warning("%s is not a checkpoint of this run: ignored", other)
    if not found:
        return None
    steps = max(found)
    return found[steps], steps


def _checkpoints(run_dir: Path) -> dict[int, Path]:
    """The checkpoints of a run directory by the learner steps that they hold."""
    named = ((CHECKPOINT_NAME.fullmatch(path.name), path) for path in run_dir.glob("checkpoint-*.pt"))
    return {int(match[1]): path for match, path in named if match and path.is_file()}


def save_checkpoint(run_dir: Path, learner: Learner, state: LoopState) -> Path:
    """Save the state after a learner step, then delete older checkpoints.

    The file is written under another name, flushed to disk and renamed, so that a checkpoint is never incomplete.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    path = run_dir / f"checkpoint-{learner.steps:08d}.pt"
    aside = path.with_suffix(".partial")
    content = _identity(learner) | {
        "learner": learner.state(),
        "history": dataclasses.asdict(state.history),
        "cycle": state.cycle,
        "pipeline": state.pipeline,
    }
    with aside.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    for older in set(_checkpoints(run_dir).values()) - {path}:
        older.unlink()
    return path


def load_checkpoint(path: Path, learner: Learner) -> LoopState:
    """Restore a learner from a checkpoint and return what else the checkpoint holds.

    Raises:
        CheckpointError: The file is damaged, or belongs to another config, code version or initial policy.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read ({error}); delete it to start the run anew") from error
    differences = _differences(content, _identity(learner))
    if differences:
        raise CheckpointError(
            f"{path} belongs to another run; delete it to start anew. It differs in " + "; ".join(differences)
        )
    learner.restore(content["learner"])
    return LoopState(
        history=History(**content["history"]),
        cycle=content["cycle"],
        pipeline=content["pipeline"],
    )


def tensor_digest(vector_N: Tensor) -> str:
    """16 hex digits that identify a tensor's bytes."""
    return hashlib.sha256(vector_N.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def _identity(learner: Learner) -> dict[str, Any]:
    """What must be equal for a resumed run to compute the same bits."""
    return {
        "checkpoint format": FORMAT,
        "code version": __version__,
        "torch": str(torch.__version__),
        "initial policy": tensor_digest(learner.start_N),
        "config": learner.config.model_dump(mode="json"),
    }


def _differences(saved: dict[str, Any], mine: dict[str, Any]) -> list[str]:
    there, here = ({**(identity | {"config": None}), **identity.get("config", {})} for identity in (saved, mine))
    return [f"{key}: {there.get(key)!r} there, {here[key]!r} here" for key in here if there.get(key) != here[key]]
