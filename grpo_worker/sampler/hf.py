"""Sampling with a transformers model and its key-value cache, each distinct prefix once.

Completions of a prompt that agree so far share the row that predicts their next token: rows R hold the distinct
prefixes of the completions A that have not ended; the other shapes are those of `grpo_worker.batches`.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from grpo_worker.batches import Completions, PromptBatch, attention_mask, position_ids
from grpo_worker.policy import Policy


class HfSampler:
    """A rollout engine that owns a copy of the policy, as an engine on another device would."""

    def __init__(self, policy: Policy, temperature: float) -> None:
        model = copy.deepcopy(policy.model).requires_grad_(False)
        self._policy = dataclasses.replace(policy, model=model)
        self._weights = model.state_dict()
        self._temperature = temperature
        self._version = 0

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """See `Sampler.load`."""
        for name, weight in self._weights.items():
            weight.copy_(weights[name])
        self._version = version

    def sample(self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor) -> Completions:
        """See `Sampler.sample`."""
        return generate(self._policy, prompts, group_size, uniform_BT, self._temperature, self._version)


def generate(
    policy: Policy,
    prompts: PromptBatch,
    group_size: int,
    uniform_BT: Tensor,
    temperature: float,
    version: int,
) -> Completions:
    """Sample from a policy by inverting the cumulative distribution at given uniforms; see `Sampler.sample`.

    Args:
        policy: The policy to sample from.
        prompts: The prompts.
        group_size: G, completions a prompt.
        uniform_BT: Uniforms in [0, 1); they fix the outcome, so equal weights give equal completions.
        temperature: Divides the logits.
        version: Recorded for every token.
    """
    completions = Completions(
        token_BT=torch.full_like(uniform_BT, policy.pad_id, dtype=torch.long),
        mask_BT=torch.zeros_like(uniform_BT),
        logp_BT=torch.zeros_like(uniform_BT),
        version_BT=torch.full_like(uniform_BT, version, dtype=torch.long),
    )
    _fill(completions, policy, prompts, group_size, uniform_BT, temperature)
    return completions


@torch.inference_mode()  # its own tensors only: what it makes could not enter a loss
def _fill(
    completions: Completions,
    policy: Policy,
    prompts: PromptBatch,
    group_size: int,
    uniform_BT: Tensor,
    temperature: float,
) -> None:
    (batch, length), device = uniform_BT.shape, uniform_BT.device
    eos_ids = torch.tensor(policy.eos_ids, device=device)

    attention_RS, position_R1 = attention_mask(prompts.mask_PS), prompts.mask_PS.sum(1, keepdim=True)
    output = policy.model(
        input_ids=prompts.token_PS, attention_mask=attention_RS, position_ids=position_ids(prompts.mask_PS),
        use_cache=True, logits_to_keep=1,
    )  # fmt: skip
    cache = output.past_key_values
    alive_A = torch.arange(batch, device=device)
    row_A = alive_A // group_size
    for t in range(length):
        logp_RV = torch.log_softmax(output.logits[:, -1].float() / temperature, dim=-1)
        vocabulary = logp_RV.shape[1]
        logp_AV = logp_RV[row_A]
        chosen_A = invert_cdf(logp_AV, uniform_BT[alive_A, t])
        completions.token_BT[alive_A, t] = chosen_A
        completions.logp_BT[alive_A, t] = logp_AV.gather(1, chosen_A.unsqueeze(1)).squeeze(1)
        completions.mask_BT[alive_A, t] = 1.0
        going_A = ~torch.isin(chosen_A, eos_ids)
        alive_A = alive_A[going_A]
        if t == length - 1 or not len(alive_A):
            break
        edge_R, row_A = torch.unique((row_A * vocabulary + chosen_A)[going_A], return_inverse=True)
        parent_R = edge_R // vocabulary
        cache.reorder_cache(parent_R)
        position_R1 = position_R1[parent_R]
        if attention_RS is not None:
            attention_RS = nn.functional.pad(attention_RS[parent_R], (0, 1), value=1)
        output = policy.model(
            input_ids=(edge_R % vocabulary).unsqueeze(1), attention_mask=attention_RS, position_ids=position_R1 + t,
            past_key_values=cache, use_cache=True,
        )  # fmt: skip


def invert_cdf(logp_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """Token whose cumulative probability first exceeds the uniform: an exact sample for a uniform draw.

    The cumulative sum is in float64, since over a large vocabulary float32 would lose the rare tokens.
    """
    cumulative_BV = logp_BV.double().exp().cumsum(dim=-1)
    target_B1 = uniform_B.double().unsqueeze(1) * cumulative_BV[:, -1:]
    return torch.searchsorted(cumulative_BV, target_B1, right=True).squeeze(1).clamp(max=logp_BV.shape[1] - 1)
