"""Sampling: exact draws, reproducible by their uniforms, log-probs those of the model."""

from __future__ import annotations

import copy
import itertools
import math
from pathlib import Path

import pytest
import torch

from grpo_worker.model.batches import Completions, PromptBatch
from grpo_worker.model.policy import Policy, load_policy
from grpo_worker.rollout.sampler.hf import HfSampler, generate, invert_cdf
from grpo_worker.tasks import load_task
from grpo_worker.train.diagnostics import LagHistogram
from tests.conftest import tiny_run

CPU = torch.device("cpu")


@torch.no_grad()
def plain_log_probs(policy: Policy, prompts: PromptBatch, sampled: Completions, temperature: float) -> torch.Tensor:
    """Those of the transformers model, on whole sequences of prompts without padding, in groups of four."""
    sequence = torch.cat([prompts.token_PS.repeat_interleave(4, 0), sampled.token_BT], dim=1)
    logits = policy.model(input_ids=sequence, use_cache=False).logits[:, prompts.token_PS.shape[1] - 1 : -1]
    logp = torch.log_softmax(logits / temperature, -1).gather(-1, sampled.token_BT[..., None])[..., 0]
    return logp * sampled.mask_BT


def test_the_inverse_cdf_gives_each_token_its_share() -> None:
    probability = torch.tensor([0.1, 0.0, 0.6, 0.3])
    uniform = (torch.arange(10_000) + 0.5) / 10_000
    drawn = invert_cdf(probability.log().expand(10_000, -1), uniform)
    assert torch.bincount(drawn, minlength=4).tolist() == [1000, 0, 6000, 3000]


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-24])
def test_the_inverse_cdf_never_draws_an_impossible_token(uniform: float) -> None:
    logp = torch.tensor([[-math.inf, math.log(0.5), math.log(0.5), -math.inf]])
    assert invert_cdf(logp, torch.tensor([uniform])).item() in (1, 2)


def test_completions_end_at_the_end_of_sequence(policy_cache: Path) -> None:
    config = tiny_run()
    policy, task = load_policy(config, policy_cache, CPU), load_task(config.task)
    prompts = policy.encode(task.val[:32])
    uniform = torch.rand(256, 4, generator=torch.Generator().manual_seed(0))
    one = generate(policy, prompts, 8, uniform, 1.0, version=7)
    eos = policy.eos_ids[0]
    for tokens, mask, logp in zip(one.token_BT.tolist(), one.mask_BT.tolist(), one.logp_BT.tolist(), strict=True):
        length = int(sum(mask))
        assert mask == [1.0] * length + [0.0] * (4 - length)
        assert eos not in tokens[: length - 1]
        assert tokens[length - 1] == eos or length == 4
        assert all(token == policy.pad_id for token in tokens[length:])
        assert all(value == 0 for value in logp[length:])
    assert set(one.version_BT.flatten().tolist()) == {7}
    again = generate(policy, prompts, 8, uniform, 1.0, version=7)
    assert torch.equal(one.logp_BT, again.logp_BT)
    assert len({tuple(row) for row in one.token_BT[:8].tolist()} | {tuple(row) for row in one.token_BT.tolist()}) > 8


def test_stored_log_probs_are_those_of_a_plain_forward(policy_cache: Path) -> None:
    config = tiny_run()
    policy, task = load_policy(config, policy_cache, CPU), load_task(config.task)
    prompts = policy.encode(task.val[:16])
    uniform = torch.rand(64, 4, generator=torch.Generator().manual_seed(3))
    sampled = generate(policy, prompts, 4, uniform, 0.7, version=0)
    plain = plain_log_probs(policy, prompts, sampled, 0.7)
    torch.testing.assert_close(sampled.logp_BT, plain, rtol=1e-4, atol=1e-5)


def test_lag_histogram_weighs_by_token() -> None:
    histogram = LagHistogram()
    histogram.add(torch.tensor([0] * 98))
    histogram.add(torch.tensor([3, 7]))
    assert (histogram.min, histogram.max, histogram.mean) == (0, 7, pytest.approx(0.1))
    assert (histogram.quantile(0.98), histogram.quantile(0.99), histogram.quantile(1.0)) == (0, 3, 7)


@pytest.mark.parametrize("at", [0, 2, 3])
def test_weights_pulled_between_tokens_sample_the_tokens_from_there_on(policy_cache: Path, at: int) -> None:
    config = tiny_run()
    old, other = (load_policy(config, policy_cache, CPU) for _ in range(2))
    task = load_task(config.task)
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(1.3)
    trained = dict(other.model.named_parameters())
    frozen = trained.pop("lm_head.weight")
    frozen.data.copy_(old.model.lm_head.weight)
    prompts = old.encode(task.val[:16])
    uniform = torch.rand(64, 4, generator=torch.Generator().manual_seed(3))
    sampler = HfSampler(copy.deepcopy(old), 0.7)
    sampler.load(dict(old.model.named_parameters()), 5)
    calls = itertools.count()
    sampled = sampler.sample(prompts, 4, uniform, lambda: sampler.load(trained, 9) if next(calls) == at else None)
    plain = torch.cat([plain_log_probs(old, prompts, sampled, 0.7)[:, :at],
                       plain_log_probs(other, prompts, sampled, 0.7)[:, at:]], dim=1)  # fmt: skip
    torch.testing.assert_close(sampled.logp_BT, plain, rtol=1e-4, atol=1e-5)
    assert sampled.version_BT.tolist() == [[5] * at + [9] * (4 - at)] * 64
    never = sampler.sample(prompts, 4, uniform)
    assert torch.equal(never.version_BT, torch.full_like(never.version_BT, 9))
    assert (never.token_BT == sampled.token_BT).all() == (at == 0)
