"""Takes the place of `grpo_worker.loop` in tests: runs collapse by a law that a test knows.

η_max(k) = 2e-3·(k/8)^−0.5; beyond it more runs collapse, as a logistic in log η; T* lies in the last two thirds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.records import EvalRecord, FinishRecord, Record, SyncRecord
from tests.support.fake_worker import latest_checkpoint, loop

__all__ = ["edge", "latest_checkpoint", "run"]

AT_8, EXPONENT, STEEPNESS = 2e-3, 0.5, 4.0
STEP_S = 0.005


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
    config: WorkerConfig, emit: Callable[[Record], None], *, run_dir: Path, should_stop: Callable[[], bool], **_: object
) -> FinishRecord:
    collapse = collapse_step(config)
    confirmed = config.collapse.stop_after_evals * config.eval_every_steps

    def evaluation(step: int) -> EvalRecord:
        return EvalRecord(step, 0.1 if collapse and step >= collapse else 0.8, 256)

    def sync(number: int) -> SyncRecord:
        return _sync(config, number)

    def finish(step: int) -> FinishRecord | None:
        if step < config.horizon and not (collapse and confirmed and step >= collapse + confirmed):
            return None
        if collapse is None:
            return FinishRecord("stable", step, "half")
        at = math.ceil(collapse / config.steps_per_sync)
        return FinishRecord("collapsed", step, "half", collapse, collapse - config.eval_every_steps, at)

    return loop(config, emit, run_dir, should_stop, STEP_S, evaluation, sync, finish)


def _sync(config: WorkerConfig, number: int) -> SyncRecord:
    """Metrics that do not depend on whether the run collapses."""
    draw = np.random.default_rng([config.seed, config.k, round(1e9 * config.eta), number])
    values = {
        field.name: number if field.type == "int" else float(draw.random()) for field in dataclasses.fields(SyncRecord)
    }
    return SyncRecord(**{**values, "sync": number, "learner_step": number * config.steps_per_sync})  # type: ignore[arg-type]
