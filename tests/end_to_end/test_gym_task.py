"""Generated tasks, through the real reasoning-gym (`make test` installs it: it needs a C compiler)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from grpo_worker.schema.config import TaskConfig
from grpo_worker.schema.errors import TaskError
from grpo_worker.tasks import content_of, load_task

pytestmark = pytest.mark.slow

COUNTDOWN = TaskConfig(
    name="reasoning_gym", path="countdown", options={"min_numbers": 3, "max_numbers": 3, "size": 200}, val_prompts=20,
    template="{prompt}\nAnswer between <answer> and </answer>.",
)  # fmt: skip


def test_countdown_is_scored_by_its_dataset() -> None:
    import reasoning_gym

    task = load_task(COUNTDOWN)
    assert (len(task.train), len(task.val)) == (180, 20)
    dataset = reasoning_gym.create_dataset("countdown", min_numbers=3, max_numbers=3, size=200, seed=2607)
    for problem in (task.train[3], task.val[4]):
        [entry] = [
            e for e in (dataset[i] for i in range(200)) if e["question"] + COUNTDOWN.template[8:] == problem.prompt
        ]
        assert task.verify(f"Let me see. <answer>{entry['answer']}</answer>", problem.answer) == 1.0
        assert task.verify(f" {entry['answer']}\n", problem.answer) == 1.0
        assert task.verify("<answer>1 + 1</answer>", problem.answer) < 0.1


def test_another_process_generates_the_same_problems() -> None:
    code = f"""
import json
from grpo_worker.schema.config import TaskConfig
from grpo_worker.tasks import load_task
task = load_task(TaskConfig.model_validate_json({COUNTDOWN.model_dump_json()!r}))
print(json.dumps([[p.prompt, p.answer] for p in (*task.val, *(task.train[i] for i in range(20)))]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    task = load_task(COUNTDOWN)
    here = [[p.prompt, p.answer] for p in (*task.val, *(task.train[i] for i in range(20)))]
    assert json.loads(done.stdout) == here


def test_problems_that_come_again_are_not_trained_on() -> None:
    config = TaskConfig(
        name="reasoning_gym", path="chain_sum", val_prompts=150,
        options={"max_terms": 2, "max_digits": 1, "size": 1000},
    )  # fmt: skip
    task = load_task(config)
    held_out = {content_of(problem.prompt) for problem in task.val}
    assert len(held_out) == len(task.val) == 150
    drawn = [content_of(task.train[i].prompt) for i in range(len(task.train))]
    assert len(set(drawn)) < len(drawn), "the generator repeats itself"
    assert not held_out & set(drawn)
    with pytest.raises(TaskError, match="none of 1000 of dataset 'chain_sum' is left to train on"):
        load_task(config.model_copy(update={"val_prompts": 900}))


def test_a_verifier_of_ones_choice_gets_the_datasets_answer() -> None:
    task = load_task(TaskConfig(name="reasoning_gym", path="chain_sum", verifier="number", val_prompts=4))
    assert task.verify(f"It is {task.val[0].answer}.", task.val[0].answer) == 1.0
    assert task.val[0].answer.lstrip("-").isdigit()


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("countdwn", {}, "'countdwn' is no dataset of reasoning-gym; allowed: ab, acre, "),
        ("word_ladder", {}, "'word_ladder' gives different problems in each process"),
        ("countdown", {"max_number": 3}, "unexpected keyword argument 'max_number'"),
        ("countdown", {"min_numbers": 0}, "min_numbers must be greater than 1"),
    ],
)
def test_a_dataset_that_cannot_be(path: str, options: dict[str, str | int | float | bool], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load_task(TaskConfig(name="reasoning_gym", path=path, options=options))
