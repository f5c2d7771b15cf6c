"""One suite, every rollout engine: what the worker relies on, whichever engine samples.

The policy is an untrained tiny one, whose completions have all lengths. `hf` and `vllm` must sample from the policy
itself; the fake, on which the tests of the pipelines rely, must keep to the same conventions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from grpo_worker.batches import Completions, PromptBatch
from grpo_worker.config import ModelConfig, WorkerConfig
from grpo_worker.policy import Policy, load_policy
from grpo_worker.sampler import Sampler
from grpo_worker.sampler.engines import load_sampler
from tests.conftest import tiny_run
from tests.version_sampler import VersionSampler

CPU = torch.device("cpu")
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
    """An engine on a GPU, where sums are taken in an order that depends on the batch."""
    fields = {"device": "cuda", "sampler": sampler}
    return Engine(load_sampler, fields, tolerance=5e-3, same_tokens=0.9, lockstep=sampler["engine"] == "hf", gpus=gpus)


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
real_engines = pytest.mark.parametrize("engine", REAL)
engines = pytest.mark.parametrize("engine", [pytest.param(Engine(VersionSampler), id="fake"), *REAL])

Start = Callable[[WorkerConfig], Sampler]


@pytest.fixture
def start(engine: Engine, policy_cache: Path) -> Iterator[Start]:
    """Start the engine; it is closed when the test ends."""
    if torch.cuda.device_count() < engine.gpus:
        assert torch.cuda.is_available(), "this test needs a CUDA device"
        pytest.skip(f"needs {engine.gpus} GPUs")
    started: list[Sampler] = []

    def start_one(config: WorkerConfig) -> Sampler:
        started.append(engine.make(config, policy_cache))
        return started[-1]

    yield start_one
    for sampler in started:
        sampler.close()


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


@engines
def test_it_keeps_to_the_conventions(engine: Engine, start: Start, policy_cache: Path) -> None:
    config = engine.config()
    policy, sampler = learner_policy(config, policy_cache), start(config)
    prompts, uniform_BT = random_prompts(policy, [1, 4, 8, 40]), uniforms(policy, 64)
    made = sampler.sample(prompts, 16, uniform_BT)
    dtypes = [torch.int64, torch.float32, torch.float32, torch.int64]
    for tensor, dtype in zip(dataclasses.astuple(made), dtypes, strict=True):
        assert (tensor.shape, tensor.device, tensor.dtype) == (uniform_BT.shape, uniform_BT.device, dtype)
    assert set(made.version_BT[made.mask_BT > 0].tolist()) == {0}
    [eos] = policy.eos_ids
    lengths = []
    for tokens, mask, logp in zip(made.token_BT.tolist(), made.mask_BT.tolist(), made.logp_BT.tolist(), strict=True):
        lengths.append(int(sum(mask)))
        assert mask == [1.0] * lengths[-1] + [0.0] * (LENGTH - lengths[-1])
        assert eos not in tokens[: lengths[-1] - 1]
        assert tokens[lengths[-1] - 1] == eos or lengths[-1] == LENGTH
        assert all(token == policy.pad_id for token in tokens[lengths[-1] :])
        assert all(value < 0 for value in logp[: lengths[-1]])
        assert all(value == 0 for value in logp[lengths[-1] :])
    assert min(lengths) < LENGTH == max(lengths)


@engines
@pytest.mark.parametrize("length", [1, 3])
def test_no_completion_is_longer_than_the_uniforms(
    engine: Engine, start: Start, policy_cache: Path, length: int
) -> None:
    config = engine.config()
    policy, sampler = learner_policy(config, policy_cache), start(config)
    made = sampler.sample(random_prompts(policy, [4]), 8, uniforms(policy, 8, length))
    assert made.mask_BT.shape == (8, length)
    assert made.mask_BT.sum(1).max() == length


@engines
def test_the_uniforms_alone_decide(engine: Engine, start: Start, policy_cache: Path) -> None:
    config = engine.config()
    policy, sampler = learner_policy(config, policy_cache), start(config)
    prompts, uniform_BT = random_prompts(policy, [4, 8]), uniforms(policy, 16)
    first = sampler.sample(prompts, 8, uniform_BT)
    torch.manual_seed(5)
    assert_same(sampler.sample(prompts, 8, uniform_BT), first, engine)
    assert_same(start(config).sample(prompts, 8, uniform_BT), first, engine)
    other = sampler.sample(prompts, 8, uniforms(policy, 16, seed=1))
    assert not torch.equal(other.mask_BT, first.mask_BT)


@engines
def test_a_completion_does_not_depend_on_the_batch(engine: Engine, start: Start, policy_cache: Path) -> None:
    config = engine.config()
    policy, sampler = learner_policy(config, policy_cache), start(config)
    prompts, uniform_BT = random_prompts(policy, [3, 5, 8, 40]), uniforms(policy, 32)
    together = sampler.sample(prompts, 8, uniform_BT)
    same = []
    for row in range(0, 32, 5):
        prompt = PromptBatch(prompts.token_PS[row // 8 : row // 8 + 1], prompts.mask_PS[row // 8 : row // 8 + 1])
        alone = sampler.sample(prompt, 1, uniform_BT[row : row + 1])
        same.append(alone.token_BT[0] == together.token_BT[row])
        if torch.all(same[-1]):
            torch.testing.assert_close(alone.logp_BT[0], together.logp_BT[row], rtol=0, atol=engine.tolerance)
    assert torch.cat(same).float().mean() >= engine.same_tokens


@real_engines
@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
def test_log_probs_are_the_learners(engine: Engine, start: Start, policy_cache: Path, temperature: float) -> None:
    config = engine.config(temperature=temperature)
    policy, sampler = learner_policy(config, policy_cache), start(config)
    prompts, uniform_BT = random_prompts(policy, [1, 4, 8, 40]), uniforms(policy, 32)
    for version, weights in ((0, initial_weights(policy)), (3, other_weights(policy, 3))):
        if version:
            sampler.load(weights, version)
        made = sampler.sample(prompts, 8, uniform_BT)
        assert set(made.version_BT[made.mask_BT > 0].tolist()) == {version}
        expected = log_probs(policy, weights, prompts, made, temperature)
        torch.testing.assert_close(made.logp_BT, expected, rtol=0, atol=engine.tolerance)


@real_engines
def test_tokens_follow_the_tempered_distribution(engine: Engine, start: Start, policy_cache: Path) -> None:
    config = engine.config(temperature=0.6)
    policy, sampler = learner_policy(config, policy_cache), start(config)
    prompts, samples = random_prompts(policy, [5]), 4096
    weights = other_weights(policy, 2)
    sampler.load(weights, 1)
    made = sampler.sample(prompts, samples, uniforms(policy, samples, length=1))
    with torch.no_grad():
        logits = torch.func.functional_call(policy.model, weights, kwargs={"input_ids": prompts.token_PS}).logits
    expected_V = samples * torch.softmax(logits[0, -1] / 0.6, dim=-1)
    seen_V = torch.bincount(made.token_BT.flatten(), minlength=len(expected_V))
    likely_V = expected_V >= 5
    chi_square = float(((seen_V - expected_V) ** 2 / expected_V)[likely_V].sum())
    assert 6 <= likely_V.sum() <= 14
    assert chi_square < 34.5  # exceeded once in a thousand with 13 degrees of freedom
    assert float(((samples * torch.softmax(logits[0, -1], -1) - expected_V) ** 2 / expected_V).sum()) > 100


@real_engines
def test_what_it_samples_after_a_load_is_what_a_fresh_engine_samples(
    engine: Engine, start: Start, policy_cache: Path, tmp_path: Path
) -> None:
    config = engine.config()
    policy, sampler = learner_policy(config, policy_cache), start(config)
    prompts, uniform_BT = random_prompts(policy, [3, 8, 40]), uniforms(policy, 24)
    before = sampler.sample(prompts, 8, uniform_BT)
    for version in (4, 9):
        sampler.load(other_weights(policy, version), version)
        after = sampler.sample(prompts, 8, uniform_BT)
        assert set(after.version_BT[after.mask_BT > 0].tolist()) == {version}
        assert not torch.equal(after.token_BT, before.token_BT)
    policy.model.load_state_dict(other_weights(policy, 9))
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    fresh = start(config.model_copy(update={"model": ModelConfig(path=str(tmp_path))}))
    assert_same(fresh.sample(prompts, 8, uniform_BT), after, engine)


@engines
def test_a_load_between_tokens_counts_from_the_next_token_on(engine: Engine, start: Start, policy_cache: Path) -> None:
    config = engine.config(temperature=0.8)
    check_load_between_tokens(engine, config, start(config), policy_cache)


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


@real_engines
def test_tied_embeddings_stay_tied(engine: Engine, start: Start, policy_cache: Path, tmp_path: Path) -> None:
    untied = learner_policy(engine.config(), policy_cache)
    model_config = untied.model.config
    model_config.tie_word_embeddings = True
    torch.manual_seed(0)
    type(untied.model)(model_config).save_pretrained(tmp_path)
    untied.tokenizer.save_pretrained(tmp_path)
    config = engine.config(model={"path": str(tmp_path)})
    policy, sampler = learner_policy(config, policy_cache), start(config)
    weights = other_weights(policy, 6)
    assert "lm_head.weight" not in weights
    sampler.load(weights, 6)
    prompts, uniform_BT = random_prompts(policy, [3, 8]), uniforms(policy, 16)
    made = sampler.sample(prompts, 8, uniform_BT)
    expected = log_probs(policy, weights, prompts, made, 1.0)
    torch.testing.assert_close(made.logp_BT, expected, rtol=0, atol=engine.tolerance)


@real_engines
def test_adapters_are_sampled_with_their_base(engine: Engine, start: Start, policy_cache: Path) -> None:
    config = engine.config(lora={"rank": 2, "alpha": 6.0})
    policy, sampler = learner_policy(config, policy_cache), start(config)
    weights = other_weights(policy, 4)
    assert all("lora" in name for name in weights)
    sampler.load(other_weights(policy, 3), 3)
    sampler.load(weights, 4)
    prompts, uniform_BT = random_prompts(policy, [3, 8]), uniforms(policy, 16)
    made = sampler.sample(prompts, 8, uniform_BT)
    expected = log_probs(policy, weights, prompts, made, 1.0)
    torch.testing.assert_close(made.logp_BT, expected, rtol=0, atol=engine.tolerance)
    frozen = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    assert (made.logp_BT - log_probs(policy, frozen, prompts, made, 1.0)).abs().mean() > 100 * engine.tolerance
