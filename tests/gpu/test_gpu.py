"""What can only be seen on a GPU. Tolerances are estimates until a GPU has confirmed them: docs/gpu.md."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from grpo_worker.policy import load_policy
from grpo_worker.records import FinishRecord, Record, StartRecord
from grpo_worker.sampler.hf import HfSampler
from tests.conftest import tiny_run
from tests.contract.engines import VLLM_WARNS, initial_weights, log_probs, on_gpu, random_prompts, uniforms
from tests.runs import records_of, syncs_of

pytestmark = pytest.mark.gpu
two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")


def records_on_gpu(cache: Path, **fields: Any) -> list[Record]:
    """The records of 20 learner steps on the GPU."""
    return records_of(tiny_run(**({"device": "cuda", "horizon": 20, "k": 4, "tiny": {"heads": 1}} | fields)), cache)


def assert_sound(records: list[Record], engine_gap: float, lags: tuple[int, int] = (0, 3)) -> None:
    """It trained 20 steps, its lags are the pipeline's and its engine samples from the learner's policy."""
    start, finish = records[0], records[-1]
    assert isinstance(start, StartRecord)
    assert start.device.startswith("cuda")
    assert isinstance(finish, FinishRecord)
    assert (finish.learner_steps, finish.outcome in ("stable", "degraded")) == (20, True)
    syncs = syncs_of(records)
    assert len(syncs) == 5
    assert (min(s.lag_min for s in syncs[1:]), max(s.lag_max for s in syncs[1:])) == lags
    assert max(s.engine_gap for s in syncs) < engine_gap
    assert max(s.reward for s in syncs) > 0.2


def test_log_probs_on_the_gpu_are_those_on_the_cpu(policy_cache: Path) -> None:
    config = on_gpu(engine="hf").config()
    policies = [load_policy(config, policy_cache, torch.device(name)) for name in ("cpu", "cuda")]
    prompts, uniform_BT = random_prompts(policies[1], [1, 4, 8, 40]), uniforms(policies[1], 32)
    made = HfSampler(policies[1], 1.0).sample(prompts, 8, uniform_BT)
    on_cpu = [type(batch)(*(getattr(batch, name).cpu() for name in batch.__slots__)) for batch in (prompts, made)]
    expected = log_probs(policies[0], initial_weights(policies[0]), *on_cpu, 1.0)
    torch.testing.assert_close(made.logp_BT.cpu(), expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize("own_process", [False, True])
def test_a_run_trains_on_the_gpu(policy_cache: Path, own_process: bool) -> None:
    records = records_on_gpu(policy_cache, sampler={"process": own_process, "device": "cuda"})
    assert_sound(records, engine_gap=1e-3)


def test_a_run_trains_in_bfloat16(policy_cache: Path) -> None:
    assert_sound(records_on_gpu(policy_cache, model={"name": "tiny", "dtype": "bfloat16"}), engine_gap=0.05)


@two_gpus
def test_two_gpus_share_a_learner(policy_cache: Path) -> None:
    whole, shared = (records_on_gpu(policy_cache, learner_ranks=ranks) for ranks in (1, 2))
    assert_sound(shared, 1e-3)
    norms = [[sync.gradient_norm for sync in syncs_of(records)] for records in (whole, shared)]
    assert norms[1] == pytest.approx(norms[0], rel=0.05)


@two_gpus
def test_the_sampler_has_a_gpu_of_its_own(policy_cache: Path) -> None:
    records = records_on_gpu(policy_cache, pipeline="overlap", sampler={"device": "cuda:1"})
    assert_sound(records, engine_gap=1e-3, lags=(4, 7))


@VLLM_WARNS
@pytest.mark.parametrize(("dtype", "engine_gap"), [("float32", 1e-3), ("bfloat16", 0.05)])
@pytest.mark.parametrize("transfer", ["ipc", "file"])
def test_vllm_samples_on_the_learners_gpu(policy_cache: Path, transfer: str, dtype: str, engine_gap: float) -> None:
    sampler = {"engine": "vllm", "weight_transfer": transfer, "device": "cuda"}
    assert_sound(records_on_gpu(policy_cache, model={"name": "tiny", "dtype": dtype}, sampler=sampler), engine_gap)


@two_gpus
@VLLM_WARNS
@pytest.mark.parametrize("transfer", ["nccl", "ipc"])
def test_vllm_samples_on_a_gpu_of_its_own(policy_cache: Path, transfer: str) -> None:
    sampler = {"engine": "vllm", "weight_transfer": transfer, "device": "cuda:1"}
    assert_sound(records_on_gpu(policy_cache, pipeline="overlap", sampler=sampler), engine_gap=1e-3, lags=(4, 7))


WAITING = """
import sys, pathlib, time
from grpo_worker.sampler.vllm import VllmSampler
from tests.contract.engines import on_gpu
if __name__ == "__main__":
    sampler = VllmSampler(on_gpu(engine="vllm").config(), pathlib.Path(sys.argv[1]))
    print("up", flush=True)
    time.sleep(600)
"""


@VLLM_WARNS
def test_vllms_engine_ends_with_a_sampler_that_is_killed(policy_cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "waiting.py"  # vLLM's engine is spawned: it imports its parent's main module
    script.write_text(WAITING)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(
        [sys.executable, script, policy_cache], stdout=subprocess.PIPE, text=True, env=environment
    )  # fmt: skip
    assert process.stdout is not None
    with process, process.stdout:
        assert "up" in process.stdout.read(3)
        engines = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGKILL)
    assert engines
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{engine}").exists() for engine in engines) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{engine}").exists() for engine in engines)
