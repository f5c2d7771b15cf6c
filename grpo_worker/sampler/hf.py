"""Sampling with a transformers model: prefill each prompt once, then decode its group with the key-value cache."""

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
        self._temperature = temperature
        self._version = 0

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """See `Sampler.load`."""
        self._policy.model.load_state_dict(weights)
        self._version = version

    def sample(self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor) -> Completions:
        """See `Sampler.sample`."""
        return generate(self._policy, prompts, group_size, uniform_BT, self._temperature, self._version)


@torch.no_grad()
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
    (batch, length), device = uniform_BT.shape, uniform_BT.device
    token_BT = torch.full((batch, length), policy.pad_id, device=device)
    logp_BT = torch.zeros(batch, length, device=device)
    mask_BT = torch.zeros(batch, length, device=device)
    eos_ids = torch.tensor(policy.eos_ids, device=device)

    attention = attention_mask(prompts.mask_PS)
    output = policy.model(
        input_ids=prompts.token_PS, attention_mask=attention, position_ids=position_ids(prompts.mask_PS),
        use_cache=True, logits_to_keep=1,
    )  # fmt: skip
    cache = output.past_key_values
    cache.batch_repeat_interleave(group_size)
    logits_BV = output.logits[:, -1].repeat_interleave(group_size, dim=0)
    position_B1 = prompts.mask_PS.sum(1, keepdim=True).repeat_interleave(group_size, dim=0)
    if attention is not None:
        attention = attention.repeat_interleave(group_size, dim=0)

    alive_B = torch.ones(batch, dtype=torch.bool, device=device)
    for t in range(length):
        all_logp_BV = torch.log_softmax(logits_BV.float() / temperature, dim=-1)
        chosen_B = invert_cdf(all_logp_BV, uniform_BT[:, t])
        token_BT[:, t] = chosen_B.where(alive_B, policy.pad_id)
        logp_BT[:, t] = all_logp_BV.gather(1, chosen_B[:, None])[:, 0].where(alive_B, 0.0)
        mask_BT[:, t] = alive_B.float()
        alive_B &= ~torch.isin(chosen_B, eos_ids)
        if t == length - 1 or not alive_B.any():
            break
        if attention is not None:
            attention = nn.functional.pad(attention, (0, 1), value=1)
        output = policy.model(
            input_ids=token_BT[:, t : t + 1], attention_mask=attention, position_ids=position_B1 + t,
            past_key_values=cache, use_cache=True,
        )  # fmt: skip
        logits_BV = output.logits[:, -1]
    return Completions(token_BT, mask_BT, logp_BT, torch.full_like(token_BT, version))


def invert_cdf(logp_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """Token whose cumulative probability first exceeds the uniform: an exact sample for a uniform draw.

    The cumulative sum is in float64, since over a large vocabulary float32 would lose the rare tokens.
    """
    cumulative_BV = logp_BV.double().exp().cumsum(dim=-1)
    target_B1 = uniform_B.double().unsqueeze(1) * cumulative_BV[:, -1:]
    return torch.searchsorted(cumulative_BV, target_B1, right=True).squeeze(1).clamp(max=logp_BV.shape[1] - 1)
