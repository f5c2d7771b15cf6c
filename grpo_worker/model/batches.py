"""The tensors that move through the worker. All integers are int64, all log-probs, rewards and masks float32.

Shapes: P prompts, S prompt tokens (padded on the left), G completions of a prompt (a group), B = P·G sequences, groups
as consecutive rows, T completion tokens (padded on the right).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """Tokenised prompts.

    Attributes:
        token_PS: Token ids, left-padded.
        mask_PS: 1 on tokens, 0 on padding.
    """

    token_PS: Tensor
    mask_PS: Tensor

    def repeat(self, group_size: int) -> PromptBatch:
        """The batch with each prompt as G consecutive rows."""
        return PromptBatch(
            self.token_PS.repeat_interleave(group_size, dim=0),
            self.mask_PS.repeat_interleave(group_size, dim=0),
        )


@dataclass(frozen=True, slots=True)
class Completions:
    """Sampled completions; those of a group are consecutive rows.

    Attributes:
        token_BT: Token ids.
        mask_BT: 1.0 up to and including the end-of-sequence token.
        logp_BT: Log-prob of each token under the policy that sampled it; 0 on padding.
        version_BT: Version (learner steps applied) of the policy that sampled each token.
    """

    token_BT: Tensor
    mask_BT: Tensor
    logp_BT: Tensor
    version_BT: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class RolloutBatch:
    """Scored rollouts that learner steps consume. A batch is equal only to itself, so that it can be a key of a cache.

    Attributes:
        prompt_BS: Prompt ids of each sequence.
        prompt_mask_BS: 1 on prompt tokens.
        token_BT: Completion ids.
        mask_BT: Completion mask.
        behavior_logp_BT: Log-probs under the behaviour policy μ, from the sampler.
        proximal_logp_BT: Log-probs under the learner's policy when it first consumed the batch. NaN until then; the
            learner fills them in.
        reference_logp_BT: Log-probs under the reference policy.
        version_BT: Version of the behaviour policy of each token.
        reward_B: Reward of each completion, from 0 to 1.
        advantage_B: Group-normalised advantage of each completion.
    """

    prompt_BS: Tensor
    prompt_mask_BS: Tensor
    token_BT: Tensor
    mask_BT: Tensor
    behavior_logp_BT: Tensor
    proximal_logp_BT: Tensor
    reference_logp_BT: Tensor
    version_BT: Tensor
    reward_B: Tensor
    advantage_B: Tensor

    def __len__(self) -> int:
        return len(self.token_BT)

    def to(self, device: torch.device) -> RolloutBatch:
        """The batch on a device; the batch itself if it is there already."""
        if self.token_BT.device == device:
            return self
        return RolloutBatch(*(getattr(self, field.name).to(device) for field in fields(self)))

    def parts(self, size: int) -> Iterator[RolloutBatch]:
        """The batch in parts of at most ``size`` sequences, as views; the batch itself if one part is enough."""
        if len(self) <= size:
            yield self
            return
        tensors = [getattr(self, field.name).split(size) for field in fields(self)]
        yield from itertools.starmap(RolloutBatch, zip(*tensors, strict=True))


def position_ids(mask_BS: Tensor) -> Tensor:
    """Positions 0, 1, … of the tokens of left-padded sequences; padding gets 0."""
    return (mask_BS.cumsum(dim=1) - 1).clamp(min=0)


def attention_mask(mask_BS: Tensor) -> Tensor | None:
    """The mask if there is padding, else None, because the causal mask is then enough and faster."""
    return mask_BS if bool(torch.any(mask_BS == 0)) else None
