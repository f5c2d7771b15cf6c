"""What is special to vLLM: its errors, what it leaves behind, and its engine in a separate process, as on a GPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from grpo_worker.rollout.sampler.vllm import VllmSampler
from grpo_worker.schema.errors import SamplerError
from tests.conftest import tiny_run
from tests.support.waiting import wait_for
from tests.worker.rollout.engines import (
    VLLM_WARNS,
    Engine,
    check_load_between_tokens,
    learner_policy,
    other_weights,
    random_prompts,
    uniforms,
)

ENGINE = Engine(fields={"sampler": {"engine": "vllm"}})
pytestmark = [pytest.mark.vllm, VLLM_WARNS]


def test_it_says_at_the_start_that_it_does_not_know_the_models_heads(policy_cache: Path) -> None:
    config = tiny_run(tiny={"warmup_steps": 0}, sampler={"engine": "vllm"})
    with pytest.raises(SamplerError, match=r"heads of size 32, 64.*the model's have size 8.*tiny\.heads = 1"):
        VllmSampler(config, policy_cache)


def test_what_vllm_refuses_is_a_sampler_error(policy_cache: Path) -> None:
    config = ENGINE.config()
    policy, sampler = learner_policy(config, policy_cache), VllmSampler(config, policy_cache)
    with pytest.raises(SamplerError, match="a prompt of 60 tokens and a completion of 12 exceed vLLM's 64"):
        sampler.sample(random_prompts(policy, [60]), 1, uniforms(policy, 1, length=12))
    made = sampler.sample(random_prompts(policy, [5]), 8, uniforms(policy, 8))
    assert made.mask_BT.sum() > 8
    with pytest.raises(SamplerError, match=r"vLLM failed to take new weights: .*no_such_weight"):
        sampler.load({"model.layers.0.no_such_weight": torch.zeros(2)}, 1)
    sampler.close()


def test_a_weight_sync_leaves_nothing_open(policy_cache: Path) -> None:
    config = ENGINE.config()
    policy, sampler = learner_policy(config, policy_cache), VllmSampler(config, policy_cache)
    sampler.load(other_weights(policy, 1), 1)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for version in range(2, 6):
        sampler.load(other_weights(policy, version), version)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert "stalesweep-weights" not in Path("/proc/self/maps").read_text()
    sampler.close()


KILLED = """
import os, signal, sys, pathlib, torch
from grpo_worker.rollout.sampler import vllm_transfer
from tests.worker.rollout.test_vllm import *
policy = learner_policy(ENGINE.config(), pathlib.Path(sys.argv[1]))
sampler = VllmSampler(ENGINE.config(), pathlib.Path(sys.argv[1]))
vllm_transfer.FileEngine.receive_weights = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sampler.load(other_weights(policy, 1), 1)
"""


def test_killed_in_the_midst_of_a_sync_it_leaves_no_file(policy_cache: Path) -> None:
    places = [path for path in (Path("/dev/shm"), Path("/tmp")) if path.is_dir()]
    before = {file for place in places for file in place.iterdir()}
    ended = subprocess.run([sys.executable, "-c", KILLED, policy_cache], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    left = {file for place in places for file in place.iterdir()} - before
    assert not [file for file in left if "weights" in file.name]


def test_an_engine_in_another_process_counts_each_token_to_its_weights(
    policy_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    engine = Engine(fields=ENGINE.fields, lockstep=False)
    config = engine.config(temperature=0.8)
    children = set(child_processes())
    sampler = VllmSampler(config, policy_cache)
    assert set(child_processes()) > children
    check_load_between_tokens(engine, config, sampler, policy_cache)
    sampler.close()
    wait_for(lambda: set(child_processes()) <= children, "the end of the engine")


def child_processes() -> list[str]:
    """The command lines of this process's children that run, but for the one that Python keeps to clean up."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ") for child in children]  # "" once ended
    return [command for command in commands if command and "resource_tracker" not in command]
