"""A task of the user's own: JSON lines, one ``{"prompt": …, "answer": …}`` each."""

from __future__ import annotations

import json
import random
from pathlib import Path

from grpo_worker.config import TaskConfig
from grpo_worker.errors import TaskError
from grpo_worker.tasks import Problem, Task
from grpo_worker.tasks.verifiers import VERIFIERS

_SPLIT_SEED = 2607


def jsonl_task(config: TaskConfig) -> Task:
    """Read a file of problems; the validation split is drawn once, the same for every run and seed.

    A prompt that stands in the file several times goes to one side of the split as a whole.

    Raises:
        TaskError: The file cannot be read, a line is not a problem, or too few prompts remain for training.
    """
    if config.path is None:
        raise TaskError("task.path is needed when task.name is 'jsonl'")
    path = Path(config.path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"task.path: {error}") from error
    problems = [_problem(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line.strip()]
    prompts = sorted({problem.prompt for problem in problems})
    if config.val_prompts >= len(prompts):
        raise TaskError(
            f"{path} holds {len(prompts)} different prompts; "
            f"task.val_prompts = {config.val_prompts} leaves none for training"
        )
    random.Random(_SPLIT_SEED).shuffle(prompts)
    held_out = set(prompts[: config.val_prompts])
    return Task(
        train=tuple(problem for problem in problems if problem.prompt not in held_out),
        val=tuple({p.prompt: p for p in problems if p.prompt in held_out}.values()),
        verify=VERIFIERS[config.verifier],
    )


def _problem(line: str, place: str) -> Problem:
    try:
        content = json.loads(line)
        prompt, answer = content["prompt"], content["answer"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise TaskError(f'{place}: expected {{"prompt": …, "answer": …}}, found {line[:60]!r}') from error
    if not isinstance(prompt, str) or not prompt or not isinstance(answer, str | int | float):
        raise TaskError(f"{place}: the prompt must be text and the answer text or a number, found {line[:60]!r}")
    return Problem(prompt, str(answer))
