"""What can only be seen on a GPU. Tolerances are estimates until a GPU has confirmed them: docs/gpu.md."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from grpo_worker import loop
from grpo_worker.model import llama
from grpo_worker.model.batches import PromptBatch
from grpo_worker.model.llama import layers
from grpo_worker.model.policy import Policy, load_policy
from grpo_worker.model.tiny import tiny_tokenizer
from grpo_worker.rollout.sampler.hf import HfSampler
from grpo_worker.rollout.sampler.pool import ProcessPool, Request
from grpo_worker.schema.records import FinishRecord, Record, StartRecord
from grpo_worker.train.sharded import sharded_learner
from tests.conftest import tiny_run
from tests.support.runs import records_of, stop_after, syncs_of
from tests.support.waiting import wait_for
from tests.worker.model.test_llama import llama_of, measured
from tests.worker.rollout.engines import VLLM_WARNS, initial_weights, log_probs, on_gpu, random_prompts, uniforms
from tests.worker.rollout.test_weight_sync import TENSORS, SumSampler

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
    torch.testing.assert_close(made.logp_BT.cpu(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("pipeline", "own_process", "lags"), [("reuse", False, (0, 3)), ("reuse", True, (0, 3)), ("overlap", True, (4, 7))]
)
def test_a_run_trains_on_the_gpu(policy_cache: Path, pipeline: str, own_process: bool, lags: tuple[int, int]) -> None:
    records = records_on_gpu(policy_cache, pipeline=pipeline, sampler={"process": own_process, "device": "cuda"})
    assert_sound(records, engine_gap=1e-3, lags=lags)


def test_samplers_that_run_freely_share_the_learners_gpu(policy_cache: Path) -> None:
    sampler = {"device": "cuda", "count": 2}
    records = records_on_gpu(policy_cache, pipeline="queue", sampler=sampler, max_completion_tokens=8)
    assert isinstance(records[-1], FinishRecord)
    assert records[-1].learner_steps == 20
    assert max(sync.lag_max for sync in syncs_of(records)) <= 4


def test_a_run_on_the_gpu_is_the_one_on_the_cpu(policy_cache: Path) -> None:
    syncs = [syncs_of(records_on_gpu(policy_cache, device=device, kl_coef=0.01)) for device in ("cpu", "cuda")]
    for name in ("reward", "gradient_norm", "update_norm", "kl_reference", "ratio_mean", "entropy", "drift_in_cycle"):
        expected, found = ([getattr(sync, name) for sync in run] for run in syncs)
        assert found == pytest.approx(expected, rel=0.01, abs=1e-4), name


def test_a_run_goes_on_from_its_checkpoint_on_the_gpu(policy_cache: Path, tmp_path: Path) -> None:
    config = tiny_run(device="cuda", k=3, horizon=12, pipeline="overlap", tiny={"heads": 1})
    whole = syncs_of(records_of(config, policy_cache))
    first = records_of(config, policy_cache, run_dir=tmp_path, should_stop=stop_after(5))
    second = records_of(config, policy_cache, run_dir=tmp_path)
    assert isinstance(second[0], StartRecord)
    assert second[0].resumed_from_step == 5
    parts = syncs_of(first) + syncs_of(second)
    for name in ("gradient_norm", "update_norm", "drift_from_start", "cosine_update_across"):
        found, expected = ([getattr(sync, name) for sync in syncs][1:] for syncs in (parts, whole))
        assert found == pytest.approx(expected, rel=0.01), name


class SlowToLoad(SumSampler):
    """Is still busy with other work when it gets new weights."""

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        super().load(weights, version)  # calling a kernel for the first time waits for the GPU
        occupy_the_gpu()
        super().load(weights, version)


def occupy_the_gpu(products: int = 50) -> None:
    """Give this process's stream about a second of work."""
    product = torch.eye(8192, device="cuda")
    for _ in range(products):
        product = product @ product


@pytest.mark.parametrize(("sampler", "writer"), [(SumSampler, occupy_the_gpu), (SlowToLoad, lambda: None)])
def test_weights_wait_for_both_processes(
    policy_cache: Path, sampler: type[SumSampler], writer: Callable[[], None]
) -> None:
    """A GPU does not keep the work of two processes in order: one may write late, the other may read late."""
    occupy_the_gpu(products=1)  # what the first product takes stays taken
    gc.collect()
    before = torch.cuda.memory_allocated()
    versions = [{f"w{i}": torch.full((2,), float(i + v), device="cuda") for i in range(TENSORS)} for v in range(3)]
    prompts = PromptBatch(torch.ones(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.long))
    pool = ProcessPool(
        sampler, tiny_run(device="cuda", pipeline="overlap"), policy_cache, versions[0], torch.device("cuda")
    )
    try:
        for version in (1, 2):
            writer()
            pool.load(versions[version], version)
            pool.submit(Request(version, prompts, 1, torch.full((1, TENSORS), 0.5)))
        sampled = [pool.collect() for _ in range(2)]
    finally:
        pool.close()
    for version, batch in zip((1, 2), sampled, strict=True):
        assert batch is not None
        assert batch.completions.logp_BT[0].tolist() == [2.0 * (i + version) for i in range(TENSORS)]
    del versions, sampled, batch
    gc.collect()
    assert torch.cuda.memory_allocated() <= before, "what was shared is free again"


@pytest.mark.parametrize("kept", [layers.KEPT_WEIGHTS, 0], ids=["short", "long"])
def test_a_llamas_gradients_on_the_gpu_are_those_on_the_cpu(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """Attention over long rows uses another kernel of torch."""
    monkeypatch.setattr(layers, "KEPT_WEIGHTS", kept)
    values = []
    for device in ("cpu", "cuda"):
        model = llama_of(num_key_value_heads=2).to(device)
        assert llama.is_exact(model)
        values.append(measured(Policy(model, tiny_tokenizer(), packs=True, lean=True), [2, 9, 3]))
    for expected, found in zip(*values, strict=True):
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_a_run_trains_in_bfloat16(policy_cache: Path) -> None:
    records = records_on_gpu(policy_cache, model={"name": "tiny", "dtype": "bfloat16"})
    assert_sound(records, engine_gap=0.05)
    assert min(sync.rollout_s for sync in syncs_of(records)) < 0.1, "no kernel is compiled for every shape"


def test_a_sharded_learner_alone_takes_the_whole_ones_steps(
    policy_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FSDP and NCCL with one rank, which is all that one GPU can do."""
    records = [records_on_gpu(policy_cache)]
    monkeypatch.setattr(loop, "_learner", sharded_learner)
    records.append(records_on_gpu(policy_cache))
    assert_sound(records[1], 1e-3)
    for name in ("gradient_norm", "update_norm", "drift_in_cycle", "reward"):
        whole, sharded = ([getattr(sync, name) for sync in syncs_of(each)] for each in records)
        assert sharded == pytest.approx(whole, rel=0.01), name


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
import sys, pathlib, signal
from grpo_worker.rollout.sampler.vllm import VllmSampler
from tests.worker.rollout.engines import on_gpu
if __name__ == "__main__":
    sampler = VllmSampler(on_gpu(engine="vllm").config(), pathlib.Path(sys.argv[1]))
    print("up", flush=True)
    signal.pause()
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
    wait_for(lambda: not any(Path(f"/proc/{engine}").exists() for engine in engines), "the end of the engine")
