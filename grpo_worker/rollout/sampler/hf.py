"""Sampling with a transformers model and its key-value cache, which computes each distinct prefix only once.

Completions of a prompt that are equal so far share one row, which predicts their next tokens. Shapes: R rows, one for
each distinct prefix; A completions that have not ended; the others as in `grpo_worker.model.batches`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from grpo_worker.model import llama
from grpo_worker.model.batches import Completions, PromptBatch, attention_mask, position_ids
from grpo_worker.model.policy import Policy
from grpo_worker.rollout.sampler import no_pull


class HfSampler:
    """A rollout engine in this process.

    Args:
        policy: The policy to sample from. The engine owns it from now on: `load` overwrites its weights.
        temperature: Divides the logits.
    """

    def __init__(self, policy: Policy, temperature: float) -> None:
        self._policy, self._temperature, self._version = policy, temperature, 0
        self._weights = dict(policy.model.requires_grad_(False).named_parameters())

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """See `Sampler.load`."""
        for name, weight in weights.items():
            self._weights[name].data.copy_(weight)
        self._version = version

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        """See `Sampler.sample`."""

        def pulled_version() -> int:
            pull()
            return self._version

        return generate(self._policy, prompts, group_size, uniform_BT, self._temperature, self._version, pulled_version)

    def close(self) -> None:
        """See `Sampler.close`. There is nothing to do: the model's memory is freed with the sampler."""


def generate(
    policy: Policy,
    prompts: PromptBatch,
    group_size: int,
    uniform_BT: Tensor,
    temperature: float,
    version: int,
    pull: Callable[[], int] | None = None,
) -> Completions:
    """Sample from a policy by inverting the cumulative distribution at the given uniforms; see `Sampler.sample`.

    Args:
        policy: The policy to sample from.
        prompts: The prompts.
        group_size: G, completions per prompt.
        uniform_BT: Uniforms in [0, 1). They determine the outcome, so that equal weights give equal completions.
        temperature: Divides the logits.
        version: The version of the policy's weights, which is recorded for every token.
        pull: Called before each token. It may change the weights, and returns their version.
    """
    completions = Completions(
        token_BT=torch.full_like(uniform_BT, policy.pad_id, dtype=torch.long),
        mask_BT=torch.zeros_like(uniform_BT),
        logp_BT=torch.zeros_like(uniform_BT),
        version_BT=torch.full_like(uniform_BT, version, dtype=torch.long),
    )
    _fill(completions, policy, prompts, group_size, uniform_BT, temperature, pull or (lambda: version))
    return completions


@torch.inference_mode()  # it only fills given tensors: one that was made here could not enter a loss
def _fill(
    completions: Completions,
    policy: Policy,
    prompts: PromptBatch,
    group_size: int,
    uniform_BT: Tensor,
    temperature: float,
    pull: Callable[[], int],
) -> None:
    (batch, length), device = uniform_BT.shape, uniform_BT.device
    eos_ids = torch.tensor(policy.eos_ids, device=device)
    token_RL, mask_RL = prompts.token_PS, prompts.mask_PS
    version, states = None, None
    alive_A = torch.arange(batch, device=device)
    row_A = alive_A // group_size
    for t in range(length):
        if (now := pull()) != version or states is None:
            version, states = now, _states(policy, prompts.token_PS.shape[1] + length)  # no keys from old weights
            completions.version_BT[:, t:] = version
        logp_RV = torch.log_softmax(states.logits(token_RL, mask_RL).float() / temperature, dim=-1)
        vocabulary = logp_RV.shape[1]
        logp_AV = logp_RV.index_select(0, row_A)
        chosen_A = invert_cdf(logp_AV, uniform_BT[:, t].index_select(0, alive_A))
        completions.token_BT[:, t].index_copy_(0, alive_A, chosen_A)
        completions.logp_BT[:, t].index_copy_(0, alive_A, logp_AV.gather(1, chosen_A.unsqueeze(1)).squeeze(1))
        completions.mask_BT[:, t].index_fill_(0, alive_A, 1.0)
        going_A = (~torch.isin(chosen_A, eos_ids)).nonzero().squeeze(1)
        if t == length - 1 or not len(going_A):
            break
        alive_A = alive_A.index_select(0, going_A)
        edge_A = (row_A * vocabulary + chosen_A).index_select(0, going_A)
        edge_R, row_A = torch.unique(edge_A, return_inverse=True)
        parent_R = edge_R // vocabulary
        states.keep(parent_R)
        token_RL = torch.cat([token_RL.index_select(0, parent_R), (edge_R % vocabulary).unsqueeze(1)], dim=1)
        mask_RL = nn.functional.pad(mask_RL.index_select(0, parent_R), (0, 1), value=1)


class _HfStates:
    """Does the same as `grpo_worker.model.llama.States`, with any model of transformers."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._cache: Any = None

    def logits(self, token_RL: Tensor, mask_RL: Tensor) -> Tensor:
        unseen = slice(0 if self._cache is None else -1, None)
        output = self._model(
            input_ids=token_RL[:, unseen], attention_mask=attention_mask(mask_RL),
            position_ids=position_ids(mask_RL)[:, unseen], past_key_values=self._cache, use_cache=True,
            logits_to_keep=1,
        )  # fmt: skip
        self._cache = output.past_key_values
        logits_RV: Tensor = output.logits[:, -1]
        return logits_RV

    def keep(self, row_R: Tensor) -> None:
        self._cache.reorder_cache(row_R)


def _states(policy: Policy, capacity: int) -> llama.States | _HfStates:
    if policy.lean and llama.is_plain(policy.model):
        return llama.States(policy.model, capacity)
    return _HfStates(policy.model)


def invert_cdf(logp_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """The first token whose cumulative probability exceeds the uniform: an exact sample, if the uniform is random.

    The cumulative sum is in float64, because over a large vocabulary float32 would lose rare tokens.
    """
    cumulative_BV = logp_BV.exp().double().cumsum(dim=-1)
    target_B1 = uniform_B.double().unsqueeze(1) * cumulative_BV[:, -1:]
    return torch.searchsorted(cumulative_BV, target_B1, right=True).squeeze(1).clamp(max=logp_BV.shape[1] - 1)
