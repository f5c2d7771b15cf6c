"""The hand-written Llama equals transformers' in log-probs, entropies, gradients and samples; and what is no Llama."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, LlamaForCausalLM, MistralConfig

from grpo_worker.model import llama, packing
from grpo_worker.model.batches import PromptBatch
from grpo_worker.model.llama import layers, predictions
from grpo_worker.model.policy import FlatParameters, Policy
from grpo_worker.model.tiny import tiny_tokenizer
from grpo_worker.rollout.sampler.hf import HfSampler, generate
from tests.worker.model.test_packing import batch_of

SCALED = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "grouped queries": {"num_key_value_heads": 2},
    "one key head": {"num_key_value_heads": 1},
    "tied embeddings": {"tie_word_embeddings": True},
    "wide heads": {"head_dim": 12, "num_key_value_heads": 2},
    "llama 3": {"rope_parameters": SCALED, "num_key_value_heads": 2, "tie_word_embeddings": True, "rms_norm_eps": 1e-2},
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 3.0}},
}


def llama_of(**fields: object) -> LlamaForCausalLM:
    """A small random Llama; weights and norms large enough for every part to matter."""
    torch.manual_seed(0)
    base = {
        "vocab_size": 14, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40,
        "initializer_range": 0.3, "max_position_embeddings": 64,
    }  # fmt: skip
    model = AutoModelForCausalLM.from_config(LlamaConfig(**base | fields)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 2.0)
    return model


def measured(policy: Policy, prompt_lengths: list[int]) -> tuple[torch.Tensor, ...]:
    """Log-probs, entropies and all gradients of a batch with many shared prefixes, weighted unevenly."""
    device = next(policy.model.parameters()).device
    batch = batch_of(prompt_lengths, 4, 5).to(device)
    policy.model.zero_grad()
    logp, entropy = policy.completion_log_probs(batch, 0.8, group_size=4)
    weight = torch.linspace(-1, 2, logp.numel(), device=device).view_as(logp) * batch.mask_BT
    (logp * weight).sum().backward()
    gradients = [p.grad.flatten() for p in policy.model.parameters() if p.grad is not None]
    return logp.detach() * batch.mask_BT, entropy * batch.mask_BT, torch.cat(gradients)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("prompt_lengths", [[6, 6, 6], [2, 9, 3]])
def test_it_equals_transformers(name: str, packs: bool, prompt_lengths: list[int]) -> None:
    model = llama_of(**VARIANTS[name])
    assert llama.is_exact(model)
    policy = Policy(model, tiny_tokenizer(), packs=packs, lean=True)
    ours = measured(policy, prompt_lengths)
    theirs = measured(dataclasses.replace(policy, lean=False), prompt_lengths)
    for mine, right in zip(ours, theirs, strict=True):
        assert (mine - right).abs().max() < 1e-5 * right.abs().max()
    assert ours[2].norm() > 1


def test_it_equals_transformers_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(llama_of(num_key_value_heads=2), tiny_tokenizer(), packs=True, lean=True)
    kept = measured(policy, [2, 9, 3])
    monkeypatch.setattr(layers, "KEPT_WEIGHTS", 0)
    monkeypatch.setattr(predictions, "CHUNK", 30)
    for again, once in zip(measured(policy, [2, 9, 3]), kept, strict=True):
        assert (again - once).abs().max() < 1e-5 * once.abs().max()


def test_it_follows_the_weights_wherever_they_are_moved() -> None:
    policy = Policy(llama_of(), tiny_tokenizer(), packs=True, lean=True)
    measured(policy, [4, 4])
    llama.side_by_side(policy.model)
    measured(policy, [4, 4])
    parameters = FlatParameters(policy.model)
    parameters.theta_N.data.mul_(1.1)
    ours = measured(policy, [4, 4])[0]
    theirs = measured(dataclasses.replace(policy, lean=False), [4, 4])[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_weights_side_by_side_are_not_copied() -> None:
    model = llama_of()
    before = [p.clone() for p in model.parameters()]
    llama.side_by_side(model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    attention = model.model.layers[1].self_attn
    weights = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    fused = layers.fused(*weights)
    assert fused.data_ptr() == weights[0].data_ptr()
    assert torch.equal(fused, torch.cat(weights))
    assert torch.equal(layers.fused(*reversed(weights)), torch.cat(weights[::-1]))


def test_its_graph_can_be_used_once() -> None:
    policy = Policy(llama_of(), tiny_tokenizer(), packs=True, lean=True)
    logp, _ = policy.completion_log_probs(batch_of([4, 4], 4, 3), 1.0, group_size=4)
    logp.sum().backward(retain_graph=True)
    with pytest.raises(AttributeError):
        logp.sum().backward()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("prompt_lengths", [[6, 6, 6], [2, 9, 3]])
def test_it_samples_what_transformers_samples(name: str, prompt_lengths: list[int]) -> None:
    lean = Policy(llama_of(**VARIANTS[name]), tiny_tokenizer(), lean=True)
    batch = batch_of(prompt_lengths, 1, 1)
    prompts = PromptBatch(batch.prompt_BS, batch.prompt_mask_BS)
    uniform = torch.rand(len(prompt_lengths) * 8, 7, generator=torch.Generator().manual_seed(1))
    ours, theirs = (
        generate(policy, prompts, 8, uniform, 1.3, version=0)
        for policy in (lean, dataclasses.replace(lean, lean=False))
    )
    assert torch.equal(ours.token_BT, theirs.token_BT)
    torch.testing.assert_close(ours.logp_BT, theirs.logp_BT, rtol=1e-4, atol=1e-5)
    assert len(set(map(tuple, ours.token_BT.tolist()))) > 8


def test_a_sampler_loads_weights_that_tie_embeddings() -> None:
    policy = Policy(llama_of(tie_word_embeddings=True), tiny_tokenizer(), lean=True)
    sampler = HfSampler(copy.deepcopy(policy), 1.0)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(0.9)
    sampler.load(dict(policy.model.named_parameters()), 3)
    prompts, uniform = PromptBatch(torch.tensor([[3, 4, 5]]), torch.ones(1, 3, dtype=torch.long)), torch.rand(4, 5)
    mine, right = sampler.sample(prompts, 4, uniform), generate(policy, prompts, 4, uniform, 1.0, version=3)
    assert torch.equal(mine.logp_BT, right.logp_BT)


def with_adapters(model: nn.Module) -> nn.Module:
    peft = pytest.importorskip("peft")
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules="all-linear"), model)
    return model


def with_other_norms(model: LlamaForCausalLM) -> nn.Module:
    model.model.norm.variance_epsilon = 0.5
    return model


class Softcapped(LlamaForCausalLM):
    """A model of the user's own that is no longer Llama."""


OTHERS = {
    "biases": lambda: llama_of(attention_bias=True),
    "another activation": lambda: llama_of(hidden_act="gelu"),
    "rotations by length": lambda: llama_of(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}),
    "bfloat16": lambda: llama_of().to(torch.bfloat16),
    "frozen": lambda: llama_of().requires_grad_(False),
    "adapters": lambda: with_adapters(llama_of()),
    "a changed epsilon": lambda: with_other_norms(llama_of()),
    "a subclass": lambda: Softcapped(llama_of().config),
    "gpt2": lambda: AutoModelForCausalLM.from_config(GPT2Config(vocab_size=14, n_embd=16, n_layer=1, n_head=2)),
    "mistral": lambda: AutoModelForCausalLM.from_config(
        MistralConfig(vocab_size=14, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_keep_the_forward_of_transformers(name: str) -> None:
    assert not llama.is_exact(OTHERS[name]().eval())


def test_a_packed_row_that_fills_no_vector_is_padded_where_nothing_sees_it() -> None:
    model, batch = llama_of(), batch_of([1, 1], 4, 2)
    rows = packing.pack(batch, 4, torch.float32)
    assert rows is not None and rows.token_PL.shape[1] < 16
    logp, _ = llama.log_probs(model, batch, rows, 1.0)
    right, _ = packing.packed_log_probs(model, batch, rows, 1.0)
    torch.testing.assert_close(logp * batch.mask_BT, right * batch.mask_BT, rtol=1e-4, atol=1e-5)
