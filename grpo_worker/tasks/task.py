"""What a task is: problems, split into training and validation, and the verifier that rewards completions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from grpo_worker.schema.errors import TaskError
from grpo_worker.tasks.verifiers import Verify

_SPLIT_SEED = 2607


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt, and the answer with which the verifier compares a completion."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Task:
    """Problems and the verifier that rewards completions.

    Attributes:
        train: Problems for rollouts.
        val: Problems for validation. No two have the same prompt, and none of their prompts is in ``train``.
        verify: ``(completion, answer)`` → reward, 0 to 1.
    """

    train: Sequence[Problem]
    val: Sequence[Problem]
    verify: Verify


def content_of(prompt: str) -> str:
    """The content of a prompt: two prompts that differ only in case and white space have the same."""
    return " ".join(prompt.split()).casefold()


def hold_out(
    problems: Sequence[Problem], count: int, test: Sequence[Problem] | None = None
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Split problems by content into training and validation, the same for every run and seed.

    Args:
        problems: The problems to split. All problems with the same prompt go to the same side.
        count: How many prompts to hold out for validation.
        test: A separate test split, from which to draw the validation problems; none of it is trained on.

    Returns:
        Training and validation problems.

    Raises:
        TaskError: There are too few problems.
    """
    first = {content_of(problem.prompt): problem for problem in reversed(test or problems)}
    contents = sorted(first)
    random.Random(_SPLIT_SEED).shuffle(contents)
    held_out = set(contents if test else contents[:count])
    train = tuple(problem for problem in problems if content_of(problem.prompt) not in held_out)
    if len(contents) < count or not train:
        raise TaskError(
            f"task.val_prompts = {count}, but there are {len(contents)} different prompts to hold out from"
            f"{'' if train else ', and none is left for training'}"
        )
    return train, tuple(first[content] for content in contents[:count])
