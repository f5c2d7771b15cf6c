"""The rollout engines that test_samplers.py tests, and the log-probs that they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from grpo_worker.model.batches import Completions, PromptBatch
from grpo_worker.model.policy import Policy, load_policy
from grpo_worker.rollout.sampler import Sampler
from grpo_worker.rollout.sampler.engines import load_sampler
from grpo_worker.schema.config import WorkerConfig
from tests.conftest import tiny_run
from tests.support.fakes import VersionSampler

LENGTH = 12
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Engine:
    """An engine to test.

    Attributes:
        make: Builds it.
        fields: The config's fields that choose it.
        tolerance: Largest difference between its log-probs and the learner's.
        same_tokens: Share of tokens that must not depend on what else is in the batch.
        lockstep: Whether it pulls once before each token; else its own process runs on meanwhile.
        gpus: How many it needs.
    """

    make: Callable[[WorkerConfig, Path], Sampler] = load_sampler
    fields: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-4
    same_tokens: float = 1.0
    lockstep: bool = True
    gpus: int = 0

    def config(self, **fields: Any) -> WorkerConfig:
        """A run with this engine, whose attention has heads of a size that vLLM knows."""
        return tiny_run(tiny={"heads": 1, "warmup_steps": 0}, **(self.fields | fields))


def on_gpu(gpus: int = 1, **sampler: Any) -> Engine:
    """An engine on a GPU. `hf` is as exact there as on a CPU (measured); for vLLM the tolerances are estimates."""
    fields = {"device": "cuda", "sampler": sampler}
    if sampler["engine"] == "hf":
        return Engine(fields=fields, gpus=gpus)
    return Engine(fields=fields, tolerance=5e-3, same_tokens=0.9, lockstep=False, gpus=gpus)


VLLM_WARNS = pytest.mark.filterwarnings("default")  # of its own code
VLLM, GPU, VLLM_GPU = [pytest.mark.vllm, VLLM_WARNS], [pytest.mark.gpu], [pytest.mark.gpu, VLLM_WARNS]
REAL = [
    pytest.param(Engine(), id="hf"),
    pytest.param(Engine(fields={"sampler": {"engine": "vllm"}}), id="vllm", marks=VLLM),
    pytest.param(on_gpu(engine="hf"), id="hf-cuda", marks=GPU),
    pytest.param(on_gpu(engine="vllm", weight_transfer="ipc"), id="vllm-ipc", marks=VLLM_GPU),
    pytest.param(on_gpu(engine="vllm", weight_transfer="file"), id="vllm-file-cuda", marks=VLLM_GPU),
    pytest.param(on_gpu(2, engine="vllm", weight_transfer="nccl", device="cuda:1"), id="vllm-nccl", marks=VLLM_GPU),
]


def learner_policy(config: WorkerConfig, cache: Path) -> Policy:
    device = torch.device("cuda" if config.device == "cuda" else "cpu")
    return load_policy(config, cache, device)


def random_prompts(policy: Policy, lengths: list[int]) -> PromptBatch:
    """Random digits, padded on the left; the long ones fill a block of vLLM's prefix cache."""
    width, device = max(lengths), next(policy.model.parameters()).device
    token_PS = torch.randint(10, (len(lengths), width), generator=torch.Generator().manual_seed(1))
    mask_PS = (torch.arange(width) >= width - torch.tensor(lengths).unsqueeze(1)).long()
    return PromptBatch(torch.where(mask_PS > 0, token_PS, policy.pad_id).to(device), mask_PS.to(device))


def uniforms(policy: Policy, rows: int, length: int = LENGTH, seed: int = 0) -> Tensor:
    device = next(policy.model.parameters()).device
    return torch.rand(rows, length, generator=torch.Generator().manual_seed(seed)).to(device)


def initial_weights(policy: Policy) -> Weights:
    return {name: weight.detach() for name, weight in policy.model.named_parameters()}


def other_weights(policy: Policy, seed: int) -> Weights:
    random = torch.Generator().manual_seed(seed)
    return {
        name: weight.detach() + 0.1 * torch.randn(weight.shape, generator=random).to(weight)
        for name, weight in policy.model.named_parameters()
        if weight.requires_grad
    }


@torch.no_grad()
def log_probs(policy: Policy, weights: Weights, prompts: PromptBatch, completions: Completions, t: float) -> Tensor:
    """Log-prob of each token under given weights, one sequence at a time, without padding or cache."""
    logp_BT = torch.zeros_like(completions.logp_BT)
    group_size = len(logp_BT) // len(prompts.token_PS)
    for row, (token_T, mask_T) in enumerate(zip(completions.token_BT, completions.mask_BT, strict=True)):
        prompt_S = prompts.token_PS[row // group_size][prompts.mask_PS[row // group_size] > 0]
        token_N = token_T[mask_T > 0]
        sequence = torch.cat([prompt_S, token_N]).unsqueeze(0)
        logits = torch.func.functional_call(policy.model, weights, kwargs={"input_ids": sequence}).logits[0]
        logp_NV = torch.log_softmax(logits[len(prompt_S) - 1 : -1].float() / t, dim=-1)
        logp_BT[row, : len(token_N)] = logp_NV.gather(1, token_N.unsqueeze(1)).squeeze(1)
    return logp_BT


def assert_same(a: Completions, b: Completions, engine: Engine) -> None:
    same_BT = a.token_BT == b.token_BT
    assert same_BT.float().mean() >= engine.same_tokens
    both = same_BT.cumprod(1) * a.mask_BT * b.mask_BT > 0
    atol = 1e-6 if engine.same_tokens == 1 else engine.tolerance
    torch.testing.assert_close(a.logp_BT[both], b.logp_BT[both], rtol=0, atol=atol)


def check_load_between_tokens(engine: Engine, config: WorkerConfig, sampler: Sampler, cache: Path) -> None:
    policy = learner_policy(config, cache)
    prompts, uniform_BT = random_prompts(policy, [3, 8, 40]), uniforms(policy, 24)
    weights = {0: initial_weights(policy), 3: other_weights(policy, 3), 8: other_weights(policy, 8)}
    calls = 0

    def pull() -> None:
        nonlocal calls
        if calls in (3, 8):
            sampler.load(weights[calls], calls)
        calls += 1

    made = sampler.sample(prompts, 8, uniform_BT, pull)
    real = made.mask_BT > 0
    if engine.lockstep:
        expected_T = torch.tensor([0] * 3 + [3] * 5 + [8] * 4).to(made.version_BT)
        assert torch.equal(made.version_BT[real], expected_T.expand(24, -1)[real])
    assert torch.all(made.version_BT.diff(dim=1)[real[:, 1:]] >= 0)
    found = set(made.version_BT[real].tolist())
    assert {0} < found <= weights.keys()
    if engine.make is VersionSampler:
        digits = real & (made.token_BT != policy.eos_ids[0])
        assert torch.equal((made.version_BT % 10)[digits], made.token_BT[digits])
        return
    for version in found:
        then = real & (made.version_BT == version)
        expected = log_probs(policy, weights[version], prompts, made, config.temperature)
        torch.testing.assert_close(made.logp_BT[then], expected[then], rtol=0, atol=engine.tolerance)
        others = real & (made.version_BT != version)
        assert (made.logp_BT[others] - expected[others]).abs().mean() > 10 * engine.tolerance
    assert found | set(sampler.sample(prompts, 8, uniform_BT).version_BT.flatten().tolist()) <= weights.keys()
