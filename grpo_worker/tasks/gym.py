"""Countdown and a hundred other generated tasks, from reasoning-gym (github.com/open-thought/reasoning-gym)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from grpo_worker.schema.config import TaskConfig
from grpo_worker.schema.errors import TaskError
from grpo_worker.tasks.task import Problem, Task, content_of
from grpo_worker.tasks.verifiers import load_verifier

_DEFAULTS = {"size": 10_000, "seed": 2607}
_UNSTEADY = {  # in 0.1.25 they depend on the order of sets or on the date: resumed runs would get others
    "intermediate_integration", "isomorphic_strings", "knight_swap", "polynomial_multiplication", "ransom_note",
    "time_intervals", "word_ladder",
}  # fmt: skip


def gym_task(config: TaskConfig) -> Task:
    """Generate a dataset by name. Validation problems are made at once, training problems when they are drawn.

    If no verifier is chosen, the dataset scores the text between ``<answer>`` and ``</answer>``, or a whole completion
    that has no such tags; it may give partial credit. The ``answer`` of a problem is then the number of its entry.

    Raises:
        TaskError: reasoning-gym is not installed, the dataset is unknown, does not take these options, gives different
            problems in each process, or has too few problems.
    """
    try:
        import reasoning_gym
        from reasoning_gym.utils import extract_answer
    except ImportError as error:
        raise TaskError("task.name 'reasoning_gym' needs reasoning-gym: pip install 'stalesweep[gym]'") from error
    names = sorted(set(reasoning_gym.factory.DATASETS) - _UNSTEADY)
    if config.path not in names:
        why = "gives different problems in each process" if config.path in _UNSTEADY else "is no dataset"
        raise TaskError(f"task.path: {config.path!r} {why} of reasoning-gym; allowed: {', '.join(names)}")
    try:
        dataset = reasoning_gym.create_dataset(config.path, **(_DEFAULTS | config.options))
    except (ValueError, TypeError, AssertionError) as error:
        raise TaskError(f"task.options: {error} (dataset {config.path!r} of reasoning-gym)") from error
    entry: Callable[[int], dict[str, Any]] = functools.cache(dataset.__getitem__)

    def problem(index: int) -> Problem:
        content = entry(index)
        return Problem(config.ask(content["question"]), str(content["answer"] if config.verifier else index))

    def score(completion: str, answer: str) -> float:
        return float(dataset.score_answer(extract_answer(completion) or completion.strip(), entry(int(answer))))

    val: dict[str, Problem] = {}
    start = 0
    while len(val) < config.val_prompts and start < len(dataset):
        held_out = problem(start)
        val.setdefault(content_of(held_out.prompt), held_out)
        start += 1
    train = _Train(problem, range(start, len(dataset)), frozenset(val))
    if len(val) < config.val_prompts or not any(train.holds(index) for index in range(start, len(dataset))):
        raise TaskError(
            f"task.val_prompts = {config.val_prompts}: after {len(val)} different problems, none of {len(dataset)} of "
            f"dataset {config.path!r} is left to train on"
        )
    return Task(train, tuple(val.values()), load_verifier(config.verifier) if config.verifier else score)


@dataclass(frozen=True, slots=True)
class _Train(Sequence[Problem]):
    """Training problems, made when they are asked for.

    Generators repeat themselves. A problem that is held out for validation is replaced by the next that is not.
    """

    problem: Callable[[int], Problem]
    indices: range
    held_out: frozenset[str]

    def holds(self, index: int) -> bool:
        """Whether the problem with this index may be trained on."""
        return content_of(self.problem(index).prompt) not in self.held_out

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, row: Any) -> Any:
        candidates = itertools.chain(self.indices[row:], self.indices[:row])
        return self.problem(next(filter(self.holds, candidates)))
