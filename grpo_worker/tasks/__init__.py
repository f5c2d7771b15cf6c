"""Tasks: prompts with answers, split into training and validation, and a verifiable reward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from grpo_worker.config import TaskConfig


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt and the answer that earns the reward."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Task:
    """Problems and the rule that rewards a completion.

    Attributes:
        train: Problems for rollouts.
        val: Problems for validation; their prompts are not among ``train``.
        verify: ``(completion, answer)`` → whether the reward is 1 (else 0).
    """

    train: tuple[Problem, ...]
    val: tuple[Problem, ...]
    verify: Callable[[str, str], bool]


def load_task(config: TaskConfig) -> Task:
    """Build the task that a config names.

    Raises:
        TaskError: Its file cannot be used.
    """
    if config.name == "arithmetic":
        from grpo_worker.tasks.arithmetic import arithmetic_task

        return arithmetic_task(config)
    from grpo_worker.tasks.jsonl import jsonl_task

    return jsonl_task(config)
