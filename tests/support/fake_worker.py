"""Takes the place of `grpo_worker.loop` in tests: it trains nothing, and its records depend only on the learner step.

Like the real one it emits records in order, saves checkpoints (also in the middle of a cycle) under another name and
renames them, and resumes from the newest one. A test therefore knows the records of an interrupted run.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.records import EvalRecord, FinishRecord, Record, StartRecord, SyncRecord

STEP_S = 0.0
"""How long a learner step takes."""


def latest_checkpoint(run_dir: Path) -> tuple[Path, int] | None:
    found = [(int(path.stem.removeprefix("checkpoint-")), path) for path in run_dir.glob("checkpoint-*.pt")]
    return (max(found)[1], max(found)[0]) if found else None


def run(
    config: WorkerConfig,
    emit: Callable[[Record], None],
    *,
    cache_dir: Path,
    run_dir: Path,
    should_stop: Callable[[], bool],
) -> FinishRecord:
    def finish(step: int) -> FinishRecord | None:
        return FinishRecord("collapsed", step, "half", 4, 2, 2, detail=None) if step == config.horizon else None

    def sync_of(number: int) -> SyncRecord:
        return sync(number, config.steps_per_sync)

    return loop(config, emit, run_dir, should_stop, STEP_S, evaluation, sync_of, finish)


def loop(
    config: WorkerConfig,
    emit: Callable[[Record], None],
    run_dir: Path,
    should_stop: Callable[[], bool],
    step_s: float,
    evaluation: Callable[[int], EvalRecord],
    sync: Callable[[int], SyncRecord],
    finish: Callable[[int], FinishRecord | None],
) -> FinishRecord:
    """Resume from the newest checkpoint; end when ``finish`` returns a record for a step, or when asked to stop."""
    found = latest_checkpoint(run_dir)
    step = found[1] if found else 0
    resumed = config.last_whole_sync(step)
    emit(StartRecord(resumed, step if found else None, 1, "cpu", {"python": "3.11"}, 1, 0.0))
    if step == 0:
        emit(evaluation(0))
    while True:
        time.sleep(step_s)
        step += 1
        if step % config.eval_every_steps == 0 or step == config.horizon:
            emit(evaluation(step))
        if step % config.steps_per_sync == 0 or step == config.horizon:
            emit(sync((step - 1) // config.steps_per_sync))
        ended = finish(step)
        if ended is None:
            stop = should_stop()
            if stop or step % config.checkpoint_every_steps == 0:
                save(run_dir, step)
            if stop:
                ended = FinishRecord("interrupted", step, "half")
        if ended is not None:
            emit(ended)
            return ended


def save(run_dir: Path, step: int) -> None:
    path = run_dir / f"checkpoint-{step:08d}.pt"
    aside = path.with_suffix(".partial")
    file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(file, b"%d" % step)
    os.fsync(file)
    os.close(file)
    aside.rename(path)
    for older in set(run_dir.glob("checkpoint-*.pt")) - {path}:
        older.unlink(missing_ok=True)


def evaluation(step: int) -> EvalRecord:
    return EvalRecord(step, math.nan if step == 4 else 1 / (step + 3), 256)


def sync(number: int, steps_per_sync: int) -> SyncRecord:
    values = {
        field.name: {"int": number, "float": math.sqrt(number + place), "float | None": 1 / (number + place + 1)}[
            str(field.type)
        ]
        for place, field in enumerate(dataclasses.fields(SyncRecord))
    }
    odd = {"val_reward": None, "ratio_max": math.inf, "engine_gap": math.nan if number % 2 else 5e-324}
    return SyncRecord(**{**values, **odd, "sync": number, "learner_step": number * steps_per_sync})
