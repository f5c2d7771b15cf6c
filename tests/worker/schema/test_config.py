"""The settings of a run: how a file of them is read, which do not fit together, and what follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from grpo_worker.schema.config import TaskConfig, content_digest, load_config
from grpo_worker.schema.errors import ConfigError
from tests.conftest import tiny_run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k: 2", "3 mistakes"),
        ("- k", "expected a mapping"),
        ("k: [", "while parsing"),
        ("{model: {name: tiny}, k: 0, eta: 1e-3, seed: 0}", "k: Input should be greater than or equal to 1"),
        ("{model: {name: tiny}, k: true, eta: 1e-3, seed: 0}", "k: Input should be a valid integer"),
        ("{model: {name: tiny}, k: 2, eta: .inf, seed: 0}", "eta: Input should be a finite number"),
        ("{model: {name: tiny}, k: 2, eta: 1e-3, seed: 0, learning_rate: 3}", "learning_rate: Extra inputs"),
        ("{model: {name: tiny}, k: 2, eta: 1e-3, seed: 0, optimizer: {beta1: 1.0}}", "beta1: Input should be less"),
    ],
)
def test_the_message_names_every_wrong_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(path)
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pipeline": "queue", "k": 2, "sync_every_steps": 3}, "sync_every_steps = 3 must not exceed k = 2"),
        ({"pipeline": "queue", "sampler": {"process": False}}, "'queue' needs samplers in separate processes"),
        ({"pipeline": "delay", "reuse": "split"}, "'split' has no meaning with pipeline 'delay'"),
        ({"prompts_per_batch": 15, "learner_ranks": 2}, "learner_ranks = 2 must divide prompts_per_batch = 15"),
        ({"task": {"name": "reasoning_gym"}}, "task.path is needed when task.name is 'reasoning_gym'"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny_run(**fields)


def test_settings_at_the_edge_of_what_fits_are_allowed() -> None:
    assert tiny_run(pipeline="queue", k=3, sync_every_steps=3).steps_per_sync == 3
    assert tiny_run(pipeline="reuse", k=2, sync_every_steps=3).steps_per_sync == 2
    assert TaskConfig(name="gsm8k").path is None


@pytest.mark.parametrize(
    ("pipeline", "steps_per_batch", "steps_per_sync", "own_process"),
    [("reuse", 6, 6, False), ("overlap", 6, 6, True), ("delay", 1, 1, False), ("queue", 1, 2, True)],
)
def test_what_follows_from_the_pipeline(
    pipeline: str, steps_per_batch: int, steps_per_sync: int, own_process: bool
) -> None:
    config = tiny_run(k=6, pipeline=pipeline, sync_every_steps=2)
    assert (config.steps_per_batch, config.steps_per_sync) == (steps_per_batch, steps_per_sync)
    assert config.samples_in_own_process == own_process
    assert tiny_run(pipeline="overlap", sampler={"process": False}).samples_in_own_process is False
    assert tiny_run(sampler={"engine": "vllm"}).samples_in_own_process is True
    ends = [config.last_whole_sync(steps) for steps in (0, steps_per_sync - 1, steps_per_sync, 3 * steps_per_sync - 1)]
    assert ends == [None, None, 0, 1]


def test_a_digest_depends_on_the_content_alone() -> None:
    assert content_digest({"a": 1, "b": [2, None]}) == content_digest({"b": [2, None], "a": 1})
    assert tiny_run().digest == tiny_run().digest
    assert len({tiny_run().digest, tiny_run(seed=1).digest, tiny_run(optimizer={"beta2": 0.99}).digest}) == 3
