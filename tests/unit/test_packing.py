"""Packed forwards equal separate ones, with and without padded prompts, on two architectures."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MambaConfig

from grpo_worker import packing
from grpo_worker.batches import RolloutBatch
from grpo_worker.policy import Policy
from grpo_worker.tiny import tiny_tokenizer

CONFIGS = {
    "llama": LlamaConfig(
        vocab_size=14, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        initializer_range=0.3,
    ),
    "gpt2": GPT2Config(vocab_size=14, n_embd=16, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3),
}  # fmt: skip


def model_of(name: str, attention: str = "sdpa") -> nn.Module:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation=attention).eval()


def batch_of(prompt_lengths: list[int], group_size: int, length: int) -> RolloutBatch:
    random = torch.Generator().manual_seed(1)
    prompts, width = len(prompt_lengths), max(prompt_lengths)
    prompt = torch.randint(12, (prompts, width), generator=random).repeat_interleave(group_size, 0)
    mask = torch.tensor([[0] * (width - n) + [1] * n for n in prompt_lengths]).repeat_interleave(group_size, 0)
    token = torch.randint(12, (prompts * group_size, length), generator=random)
    zeros = torch.zeros(token.shape)
    rewards = torch.zeros(len(token))
    return RolloutBatch(prompt, mask, token, torch.ones(token.shape), zeros, zeros, token, rewards, rewards)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("prompt_lengths", [[6, 6, 6], [2, 6, 3]])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_packed_equals_separate(name: str, attention: str, prompt_lengths: list[int], length: int) -> None:
    model, batch = model_of(name, attention), batch_of(prompt_lengths, 3, length)
    assert packing.is_exact(model)
    results = []
    for packs in (True, False):
        model.zero_grad()
        policy = Policy(model, tiny_tokenizer(), packs=packs)
        logp, entropy = policy.completion_log_probs(batch, 0.8, group_size=3)
        logp.sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results.append((logp.detach(), entropy, gradient))
    for packed, separate in zip(*results, strict=True):
        torch.testing.assert_close(packed, separate, rtol=1e-4, atol=2e-5)
    assert results[0][2].norm() > 0.1


def test_a_model_that_ignores_the_mask_is_not_packed() -> None:
    config = MambaConfig(vocab_size=14, hidden_size=16, num_hidden_layers=1, state_size=4, initializer_range=0.3)
    assert not packing.is_exact(AutoModelForCausalLM.from_config(config).eval())


def test_long_completions_are_not_packed() -> None:
    assert packing.is_worthwhile(prompt_tokens=6, group_size=8, completion_tokens=4)
    assert packing.is_worthwhile(prompt_tokens=1000, group_size=8, completion_tokens=100)
    assert not packing.is_worthwhile(prompt_tokens=100, group_size=16, completion_tokens=512)
    assert not packing.is_worthwhile(prompt_tokens=100, group_size=1, completion_tokens=4)
