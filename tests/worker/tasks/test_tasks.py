"""Tasks: their prompts, their rewards, and that no held-out problem is trained on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from grpo_worker.schema.config import TaskConfig
from grpo_worker.schema.errors import TaskError
from grpo_worker.tasks import Problem, Task, content_of, load_task, verifiers
from grpo_worker.tasks.verifiers import exact, load_verifier, number

Rows = list[dict[str, object]]


def write_rows(path: Path, rows: Rows) -> Path:
    """A parquet or JSON lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sums(count: int) -> Rows:
    return [{"prompt": f"What is {n}+1?", "answer": n + 1} for n in range(count)]


def gsm8k(first: int, last: int) -> Rows:
    """Rows as in GSM8K: the answer is an explanation that ends in the result."""
    return [
        {"question": f"Ann has {n},000 pens and buys {n}.", "answer": f"<<{n}000+{n}={n}00{n}>> pens.\n#### {n},00{n}"}
        for n in range(first, last)
    ]


def assert_apart(task: Task, val: int) -> None:
    """Validation has so many different prompts, and none of them is trained on, in whatever case and spacing."""
    train_contents = {content_of(problem.prompt) for problem in (task.train[i] for i in range(len(task.train)))}
    val_contents = {content_of(problem.prompt) for problem in task.val}
    assert len(val_contents) == len(task.val) == val
    assert train_contents and not train_contents & val_contents


def test_arithmetic_holds_out_the_same_sums_for_everyone() -> None:
    task = load_task(TaskConfig())
    assert (len(task.train), len(task.val)) == (9744, 256)
    assert_apart(task, 256)
    assert load_task(TaskConfig()) == task
    with pytest.raises(TaskError, match="leaves none of 10000 sums"):
        load_task(TaskConfig(val_prompts=10000))


def test_a_template_says_what_is_asked() -> None:
    plain, asked = load_task(TaskConfig()), load_task(TaskConfig(template="What is {prompt} In \\boxed{}."))
    assert asked.val[0].prompt == f"What is {plain.val[0].prompt} In \\boxed{{}}."
    assert asked.train[7].answer == plain.train[7].answer
    with pytest.raises(ValidationError, match="template"):
        TaskConfig(template="What is it?")


def test_lines_that_ask_the_same_go_to_one_side(tmp_path: Path) -> None:
    again = [{**row, "prompt": str(row["prompt"]).upper().replace(" ", "  ")} for row in sums(40)]
    path = write_rows(tmp_path / "task.jsonl", sums(40) + again)
    config = TaskConfig(name="jsonl", path=str(path), val_prompts=10, template="Say it: {prompt}")
    task = load_task(config)
    assert len(task.train) == 60
    assert_apart(task, 10)
    assert load_task(config) == task
    with pytest.raises(TaskError, match=r"val_prompts = 40, but there are 40 different.*none is left for training"):
        load_task(TaskConfig(name="jsonl", path=str(path), val_prompts=40))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "there are 0 different prompts"),
        ('{"prompt": "a"}\n', "jsonl:1: expected text under 'answer', found \"{'prompt': 'a'}\""),
        ('{"prompt": "a", "answer": "b"}\nnot json\n', "jsonl:2: expected text under 'prompt', found 'not json'"),
        ('["a", "b"]\n', r"task\.jsonl:1: expected"),
        ('{"prompt": "", "answer": "b"}\n', "expected text under 'prompt'"),
        ('{"prompt": "a", "answer": null}\n', "expected text under 'answer'"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_task(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "task.jsonl").write_text(content)
    with pytest.raises(TaskError, match=message):
        load_task(TaskConfig(name="jsonl", path=str(tmp_path / "task.jsonl"), val_prompts=1))


def test_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text('\n{"prompt": "a", "answer": 1}\n  \n{"prompt": "b", "answer": 2.5}\n\n')
    task = load_task(TaskConfig(name="jsonl", path=str(path), val_prompts=1))
    assert {*task.train, *task.val} == {Problem("a", "1"), Problem("b", "2.5")}
    path.write_text('\n{"prompt": "a", "answer": true}\n')
    with pytest.raises(TaskError, match=r"task\.jsonl:2: expected text under 'answer'"):
        load_task(TaskConfig(name="jsonl", path=str(path), val_prompts=1))


def test_a_task_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"task\.path is needed when task\.name is 'jsonl'"):
        TaskConfig(name="jsonl")
    with pytest.raises(TaskError, match="No such file"):
        load_task(TaskConfig(name="jsonl", path=str(tmp_path / "none")))
    (tmp_path / "broken.parquet").write_text("no parquet")
    with pytest.raises(TaskError, match="Parquet"):
        load_task(TaskConfig(name="gsm8k", path=str(tmp_path / "broken.parquet")))


@pytest.mark.parametrize(
    "names",
    [("main/train-00000-of-00001.parquet", "main/test-00000-of-00001.parquet"), ("train.jsonl", "test.jsonl")],
    ids=["hub", "github"],
)
def test_gsm8k_validates_on_its_test_split_and_trains_on_none_of_it(tmp_path: Path, names: tuple[str, str]) -> None:
    train, test = gsm8k(0, 50), gsm8k(40, 70)  # ten questions stand in both
    write_rows(tmp_path / names[0], train)
    write_rows(tmp_path / names[1], test)
    write_rows(tmp_path / "socratic" / "train.parquet", gsm8k(100, 120))
    task = load_task(TaskConfig(name="gsm8k", path=str(tmp_path), val_prompts=8))
    assert {problem.prompt for problem in task.train} == {row["question"] for row in train[:40]}
    assert {problem.prompt for problem in task.val} <= {row["question"] for row in test}
    assert_apart(task, 8)
    assert Problem("Ann has 7,000 pens and buys 7.", "7007") in task.train
    assert task.verify("So she has 7,007 pens.", "7007") == 1
    assert task.verify("So she has 7,000 pens.", "7007") == 0
    with pytest.raises(TaskError, match="there are 30 different prompts"):
        load_task(TaskConfig(name="gsm8k", path=str(tmp_path), val_prompts=31))


def test_one_file_of_gsm8k_is_split(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "gsm8k.parquet", gsm8k(0, 30))
    task = load_task(TaskConfig(name="gsm8k", path=str(path), val_prompts=8))
    assert len(task.train) == 22
    assert_apart(task, 8)


def test_what_is_no_gsm8k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TaskError, match="needs a train and a test file"):
        load_task(TaskConfig(name="gsm8k", path=str(tmp_path)))
    path = write_rows(tmp_path / "train.jsonl", [{"question": "a", "answer": "b"}])
    with pytest.raises(TaskError, match=r"train\.jsonl:1: the answer has no '####'"):
        load_task(TaskConfig(name="gsm8k", path=str(path), val_prompts=1))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for path_or_id in ("nobody/no-such-dataset", "./no/such/folder"):
        with pytest.raises(
            TaskError, match=f"'{path_or_id}' is no file or folder and cannot be downloaded from the hub"
        ):
            load_task(TaskConfig(name="gsm8k", path=path_or_id))


@pytest.mark.parametrize(
    ("completion", "answer", "right"),
    [("42", "42", True), ("so 41, no: 42.0", "42", True), ("1,234", "1234", True), ("-3", "3", False), ("", "3", False),
     ("about 3.5", "3.50", True), ("none", "none", False)],
)  # fmt: skip
def test_the_number_verifier(completion: str, answer: str, right: bool) -> None:
    assert number(completion, answer) is right


def test_the_exact_verifier() -> None:
    assert exact(" 42\n", "42")
    assert not exact("42.", "42")


@pytest.mark.parametrize(
    ("completion", "answer", "right"),
    [
        (r"Half of it, so \boxed{0.5}.", r"\frac{1}{2}", True),
        ("The answer is $x^2 + 2x + 1$.", "(x+1)^2", True),
        ("The answer is $x^2 + 1$.", "(x+1)^2", False),
        ("I do not know.", "3", False),
        ("It is 1,234.", "$1234$", True),
        (r"$(1,2]$", "(1,2]", True),
    ],
)
def test_the_math_verifier(completion: str, answer: str, right: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifiers, "TIMEOUT_S", 60)  # a busy machine may take seconds
    assert load_verifier("math")(completion, answer) is right


def test_the_math_verifier_gives_up_on_what_takes_too_long() -> None:
    verify, started = load_verifier("math"), time.monotonic()
    assert not verify("$9^{9^{9^{9}}}$", "1")
    assert time.monotonic() - started < 10


REWARDS = """
import os
import numpy as np

def length(completion, answer):
    return min(1, len(completion) / 10)

def close(completion, answer):
    return np.isclose(float(completion), float(answer))

class Half:
    @staticmethod
    def always(completion, answer):
        return 0.5

def text(completion, answer):
    return "right"

def two(completion, answer):
    return 2

def nan(completion, answer):
    return float("nan")

def secrets(completion, answer):
    return dict(os.environ)

NUMBER = 3
"""


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Callable[[str, str], float]]:
    """The user's verifiers, from a module in the working directory that nothing else has put on Python's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    monkeypatch.delitem(sys.modules, "my_rewards", raising=False)
    Path("my_rewards.py").write_text(REWARDS)
    Path("my_broken.py").write_text("def f(:\n")
    return lambda name: load_verifier(f"my_rewards:{name}")


def test_a_verifier_of_ones_own(users: Callable[[str], Callable[[str, str], float]]) -> None:
    assert users("length")("abc", "") == pytest.approx(0.3)
    assert users("length")("x" * 20, "") == 1.0
    assert users("close")("1.0", "1") == 1.0
    assert users("Half.always")("", "") == 0.5
    assert type(users("close")("1.0", "1")) is float


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text", r"must return True, False or a number from 0 to 1; it returned a str for the completion 'x'"),
        ("two", r"it returned 2\.0 for the completion 'x' and the answer 'y'"),
        ("nan", "it returned nan"),
    ],
)
def test_a_verifier_that_returns_no_reward(
    users: Callable[[str], Callable[[str, str], float]], name: str, message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        users(name)("x", "y")


def test_no_error_of_a_verifier_quotes_a_secret(
    users: Callable[[str], Callable[[str, str], float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "s3cr3t")
    for name in ("os:environ", "os:environ.get", "os:getenv", "my_rewards:os.environ", "my_rewards:secrets"):
        with pytest.raises(TaskError) as refused:
            load_verifier(name)("API_KEY", "")
        assert "s3cr3t" not in str(refused.value), name


def test_a_verifier_that_is_not_there(users: Callable[[str], Callable[[str, str], float]], tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"'my_rewards:none' cannot be imported.*has no attribute 'none'"):
        users("none")
    for name, kind in {"NUMBER": "int", "Half": "type", "os.environ": "_Environ", "os.getenv": "function"}.items():
        with pytest.raises(TaskError, match=f"'my_rewards:{name}' must be a function of .* yours, which this {kind}"):
            users(name)
    with pytest.raises(TaskError, match=rf"from {tmp_path}: No module named 'no_such_module'"):
        load_verifier("no_such_module:f")
    with pytest.raises(TaskError, match=r"'my_broken:f' cannot be imported.*my_broken\.py"):
        load_verifier("my_broken:f")
    for wrong in ("mth", "a b:c", "module:", ":f"):
        with pytest.raises(ValidationError, match="verifier"):
            TaskConfig(verifier=wrong)
