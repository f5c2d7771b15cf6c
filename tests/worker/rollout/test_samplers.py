"""One suite for every rollout engine: what the worker relies on, whichever engine samples.

The policy is an untrained tiny one, whose completions have all lengths. `hf` and `vllm` must sample from the policy
itself; the fake, on which the tests of the pipelines rely, must keep to the same conventions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from grpo_worker.model.batches import PromptBatch
from grpo_worker.rollout.sampler import Sampler
from grpo_worker.schema.config import ModelConfig, WorkerConfig
from tests.support.fakes import VersionSampler
from tests.worker.rollout.engines import (
    LENGTH,
    REAL,
    Engine,
    assert_same,
    check_load_between_tokens,
    initial_weights,
    learner_policy,
    log_probs,
    other_weights,
    random_prompts,
    uniforms,
)

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
    assert (made.logp_BT - log_probs(policy, frozen, prompts, made, 1.0)).abs().mean() > 0.1
