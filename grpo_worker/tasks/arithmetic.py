"""The builtin task: add two two-digit numbers. ``07+35=`` → ``42``."""

from __future__ import annotations

import random

from grpo_worker.schema.config import TaskConfig
from grpo_worker.schema.errors import TaskError
from grpo_worker.tasks.task import Problem, Task
from grpo_worker.tasks.verifiers import load_verifier

ALPHABET = "0123456789+="
_SPLIT_SEED = 2607


def arithmetic_task(config: TaskConfig) -> Task:
    """Build the task of all 10,000 sums of two numbers below 100. Every run and seed has the same validation split.

    Raises:
        TaskError: The validation split would leave nothing to train on.
    """
    sums = [(a, b) for a in range(100) for b in range(100)]
    if config.val_prompts >= len(sums):
        raise TaskError(f"task.val_prompts = {config.val_prompts} leaves none of {len(sums)} sums for training")
    random.Random(_SPLIT_SEED).shuffle(sums)
    problems = tuple(Problem(config.ask(f"{a:02d}+{b:02d}="), str(a + b)) for a, b in sums)
    return Task(
        train=problems[config.val_prompts :],
        val=problems[: config.val_prompts],
        verify=load_verifier(config.verifier or "exact"),
    )
