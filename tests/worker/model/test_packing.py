"""Packed forwards equal separate ones: padded prompts, shared prefixes, short completions, two architectures."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MambaConfig

from grpo_worker.model import packing
from grpo_worker.model.batches import RolloutBatch
from grpo_worker.model.policy import Policy
from grpo_worker.model.tiny import tiny_tokenizer

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


def batch_of(prompt_lengths: list[int], group_size: int, length: int, vocabulary: int = 2) -> RolloutBatch:
    """Groups of random completions; over two tokens and with lengths 1 to T, many share prefixes or are equal."""
    random = torch.Generator().manual_seed(1)
    prompts, width = len(prompt_lengths), max(prompt_lengths)
    prompt = torch.randint(12, (prompts, width), generator=random).repeat_interleave(group_size, 0)
    prompt_mask = torch.tensor([[0] * (width - n) + [1] * n for n in prompt_lengths]).repeat_interleave(group_size, 0)
    token = torch.randint(vocabulary, (prompts * group_size, length), generator=random)
    lengths = torch.randint(1, length + 1, (len(token), 1), generator=random)
    zeros = torch.zeros(token.shape)
    rewards = torch.zeros(len(token))
    mask = (torch.arange(length) < lengths).float()
    return RolloutBatch(prompt, prompt_mask, token, mask, zeros, zeros, zeros, token, rewards, rewards)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("prompt_lengths", [[6, 6, 6], [2, 6, 3]])
@pytest.mark.parametrize(("length", "vocabulary"), [(1, 2), (2, 12), (5, 12), (5, 2)])
def test_packed_equals_separate(
    name: str, attention: str, prompt_lengths: list[int], length: int, vocabulary: int
) -> None:
    model, batch = model_of(name, attention), batch_of(prompt_lengths, 4, length, vocabulary)
    assert packing.is_exact(model)
    assert packing.pack(batch, 4, torch.float32) is not None
    results = []
    for packs in (True, False):
        model.zero_grad()
        policy = Policy(model, tiny_tokenizer(), packs=packs)
        logp, entropy = (x * batch.mask_BT for x in policy.completion_log_probs(batch, 0.8, group_size=4))
        logp.sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results.append((logp.detach(), entropy, gradient))
    for packed, separate in zip(*results, strict=True):
        torch.testing.assert_close(packed, separate, rtol=1e-4, atol=2e-5)
    assert results[0][2].norm() > 0.1


def test_equal_prefixes_are_computed_once() -> None:
    prompt, rewards = torch.tensor([[7, 8]] * 4), torch.zeros(4)
    token = torch.tensor([[1, 2, 3], [1, 2, 4], [1, 5, 6], [1, 9, 9]])
    mask = torch.tensor([[1.0, 1, 1], [1, 1, 1], [1, 1, 1], [1, 0, 0]])
    batch = RolloutBatch(prompt, torch.ones_like(prompt), token, mask, mask, mask, mask, token, rewards, rewards)
    rows = packing.pack(batch, 4, torch.float32)
    assert rows is not None
    assert rows.token_PL.tolist() == [[7, 8, 1, 2, 5]]
    assert rows.position_PL.tolist() == [[0, 1, 2, 3, 3]]
    assert rows.predictor_BT.tolist() == [[0, 1, 2], [0, 1, 2], [0, 1, 3], [0, 0, 0]]
    sees = (rows.mask_P1LL[0, 0] == 0).tolist()
    assert [[j for j in range(5) if row[j]] for row in sees] == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 4]]


def test_a_model_that_ignores_the_mask_is_not_packed() -> None:
    config = MambaConfig(vocab_size=14, hidden_size=16, num_hidden_layers=1, state_size=4, initializer_range=0.3)
    assert not packing.is_exact(AutoModelForCausalLM.from_config(config).eval())


@pytest.mark.parametrize(
    ("prompt_tokens", "group_size", "completion_tokens", "vocabulary", "packed"),
    [
        (6, 8, 4, 12, True),
        (200, 8, 20, 12, True),
        (20, 16, 100, 12, False),
        (20, 16, 100, 1, True),
        (6, 1, 4, 12, True),
    ],
)
def test_rows_that_grow_too_long_are_not_packed(
    prompt_tokens: int, group_size: int, completion_tokens: int, vocabulary: int, packed: bool
) -> None:
    batch = batch_of([prompt_tokens], group_size, completion_tokens, vocabulary)
    assert (packing.pack(batch, group_size, torch.float32) is not None) == packed
