"""Takes the place of `grpo_worker.loop` in tests: runs collapse by a known law, and their first rewards tell which.

η_max(k) = 2e-3·(k/8)^−0.5; beyond it more runs collapse, as a logistic in log η; T* lies in the last two thirds.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.records import EvalRecord, FinishRecord, Record, SyncRecord
from tests.support.fake_worker import latest_checkpoint, loop

__all__ = ["edge", "latest_checkpoint", "run"]

AT_8, EXPONENT, STEEPNESS = 2e-3, 0.5, 4.0
STEP_S = 0.005
PATIENCE_S = float(os.environ.get("LAWFUL_PATIENCE_S", 0))
"""How long a run that will collapse waits at half its horizon for a stop, which may come late on a busy machine."""


def edge(k: int) -> float:
    """The η at which half of the runs collapse."""
    return AT_8 * (k / 8) ** -EXPONENT


def collapse_step(config: WorkerConfig) -> int | None:
    """T*, at a validation; None for a run that does not collapse."""
    draw = np.random.default_rng([config.seed, config.k, round(1e9 * config.eta)])
    if draw.random() > 1 / (1 + (edge(config.k) / config.eta) ** STEEPNESS):
        return None
    return int(draw.integers(config.horizon // 3, config.horizon - 4) // 4) * 4


def run(
    config: WorkerConfig,
    emit: Callable[[Record], None],
    *,
    cache_dir: Path,
    run_dir: Path,
    should_stop: Callable[[], bool],
) -> FinishRecord:
    collapse = collapse_step(config)
    confirmed = config.collapse.stop_after_evals * config.eval_every_steps

    def evaluation(step: int) -> EvalRecord:
        patience = PATIENCE_S if collapse and step == config.horizon // 2 else 0.0
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and not should_stop():
            time.sleep(0.02)
        return EvalRecord(step, 0.1 if collapse and step >= collapse else 0.8, 256)

    def sync(number: int) -> SyncRecord:
        return _sync(config, number, collapse is not None)

    def finish(step: int) -> FinishRecord | None:
        if step < config.horizon and not (collapse and confirmed and step >= collapse + confirmed):
            return None
        if collapse is None:
            return FinishRecord("stable", step, "half")
        at = math.ceil(collapse / config.steps_per_sync)
        return FinishRecord("collapsed", step, "half", collapse, collapse - config.eval_every_steps, at)

    return loop(config, emit, run_dir, should_stop, STEP_S, evaluation, sync, finish)


def _sync(config: WorkerConfig, number: int, collapses: bool) -> SyncRecord:
    """A record of random metrics; only the reward depends on whether the run will collapse."""
    draw = np.random.default_rng([config.seed, config.k, round(1e9 * config.eta), number])
    values = {
        field.name: number if field.type == "int" else float(draw.random()) for field in dataclasses.fields(SyncRecord)
    }
    reward = (0.5 if collapses else 0.8) + 0.05 * float(draw.standard_normal())
    step = number * config.steps_per_sync
    return SyncRecord(**{**values, "sync": number, "learner_step": step, "reward": reward})  # type: ignore[arg-type]
