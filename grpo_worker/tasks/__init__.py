"""Tasks: problems with answers, split into training and validation, and a verifier that rewards completions.

Others use `load_task`, `Task`, `Problem` and `content_of`; ``model.tiny`` also uses ``arithmetic``, the task that it is
made for. A new task is a module like ``arithmetic``, ``files`` or ``gym``, named in `load_task` and in the config.
"""

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
