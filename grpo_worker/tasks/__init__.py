"""Tasks: prompts with answers, split into training and validation, and a verifiable reward."""

from __future__ import annotations

from grpo_worker.schema.config import TaskConfig
from grpo_worker.tasks.task import Problem, Task, content_of

__all__ = ["Problem", "Task", "content_of", "load_task"]


def load_task(config: TaskConfig) -> Task:
    """Build the task that a config names.

    Raises:
        TaskError: Its files, its package or its verifier cannot be used.
    """
    if config.name == "arithmetic":
        from grpo_worker.tasks.arithmetic import arithmetic_task

        return arithmetic_task(config)
    if config.name == "reasoning_gym":
        from grpo_worker.tasks.gym import gym_task

        return gym_task(config)
    from grpo_worker.tasks.files import gsm8k_task, jsonl_task

    return gsm8k_task(config) if config.name == "gsm8k" else jsonl_task(config)
