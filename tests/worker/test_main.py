"""``python -m grpo_worker``: its exit codes and its two streams."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from grpo_worker import __main__ as program
from grpo_worker.schema.records import FinishRecord, from_json
from tests.conftest import tiny_run


@pytest.fixture(autouse=True)
def handlers_put_back() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["grpo_worker", *map(str, arguments)])
    return program.main()


@pytest.mark.parametrize(("weight_decay", "outcome", "code"), [(0.0, "stable", 0), (1e38, "diverged", 1)])
def test_the_exit_code_follows_the_outcome(
    policy_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    weight_decay: float, outcome: str, code: int,
) -> None:  # fmt: skip
    optimizer = {"name": "sgd", "weight_decay": weight_decay}
    config = tiny_run(horizon=3, prompts_per_batch=2, tiny={"warmup_steps": 0}, optimizer=optimizer)
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert exit_code(monkeypatch, file, "--cache-dir", policy_cache) == code
    last = from_json(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(last, FinishRecord)
    assert last.outcome == outcome


def test_a_config_that_cannot_be_used_exits_with_2_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.yaml").write_text("{model: {name: tiny}, k: 2, eta: 1e-3, seed: 0, kk: 1}")
    assert exit_code(monkeypatch, tmp_path / "run.yaml") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {tmp_path / 'run.yaml'}: 1 mistake\n  kk: Extra inputs are not permitted")
