"""One forward for the G completions of a prompt: the prompt once, the completions behind it under a block mask.

A packed row reads ``prompt | y_1 … | y_2 … | … | y_G …``. Every completion sees the prompt and itself, and its
positions continue the prompt's, so the log-probs are those of G separate rows, for fewer tokens. The last token
of a completion predicts nothing and is left out. Shapes as in `grpo_worker.batches`; L = S + G·(T−1).
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from grpo_worker.batches import RolloutBatch, position_ids

_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.3}
_PROBE = torch.tensor([[1, 2, 3, 4], [1, 2, 4, 3]])  # one prompt of two tokens, two completions of two


def is_worthwhile(prompt_tokens: int, group_size: int, completion_tokens: int) -> bool:
    """Whether packing saves more than its larger attention costs: at most twice the attention of separate rows."""
    packed = prompt_tokens + group_size * (completion_tokens - 1)
    separate = prompt_tokens + completion_tokens - 1
    return group_size > 1 and packed**2 <= 2 * group_size * separate**2


@torch.no_grad()
def is_exact(model: nn.Module) -> bool:
    """Whether a model heeds a block mask: packed logits of a small example equal separate ones.

    Some architectures (state spaces, sliding windows, flash-attention builds) ignore such a mask.
    """
    parameter = next(model.parameters())
    tokens = _PROBE.to(parameter.device)
    separate = model(input_ids=tokens, use_cache=False).logits[:, 2:].float()
    packed_row = torch.cat([tokens[:1, :2], tokens[:, 2:].reshape(1, -1)], dim=1)
    mask_PS = torch.ones(1, 2, dtype=torch.long, device=parameter.device)
    try:
        packed = model(
            input_ids=packed_row, attention_mask=_mask(mask_PS, 2, 2, parameter.dtype),
            position_ids=_positions(mask_PS, 2, 2), use_cache=False,
        ).logits[:, 2:].float()  # fmt: skip
    except (RuntimeError, ValueError, TypeError):
        return False
    return bool((packed.view_as(separate) - separate).abs().max() < _TOLERANCE[parameter.dtype])


def packed_logits(model: nn.Module, batch: RolloutBatch, group_size: int) -> Tensor:
    """Logits [B, T, V] that predict the completions of a batch of whole groups, from one packed forward."""
    batch_size, length = batch.token_BT.shape
    prompts, inputs = batch_size // group_size, length - 1
    prompt_PS, mask_PS = batch.prompt_BS[::group_size], batch.prompt_mask_BS[::group_size]
    token_PL = torch.cat([prompt_PS, batch.token_BT[:, :-1].reshape(prompts, group_size * inputs)], dim=1)
    keep = torch.arange(prompt_PS.shape[1] - 1, token_PL.shape[1], device=token_PL.device)
    logits = model(
        input_ids=token_PL, attention_mask=_mask(mask_PS, group_size, inputs, next(model.parameters()).dtype),
        position_ids=_positions(mask_PS, group_size, inputs), use_cache=False, logits_to_keep=keep,
    ).logits  # fmt: skip
    first = logits[:, :1].unsqueeze(1).expand(-1, group_size, -1, -1)
    rest = logits[:, 1:].unflatten(1, (group_size, inputs))
    return torch.cat([first, rest], dim=2).flatten(0, 1)


def _positions(mask_PS: Tensor, group_size: int, inputs: int) -> Tensor:
    after_prompt = torch.arange(inputs, device=mask_PS.device).repeat(group_size)
    return torch.cat([position_ids(mask_PS), mask_PS.sum(1, keepdim=True) + after_prompt], dim=1)


def _mask(mask_PS: Tensor, group_size: int, inputs: int, dtype: torch.dtype) -> Tensor:
    """Additive mask [P, 1, L, L]: 0 where a query may look, the dtype's minimum elsewhere."""
    prompts, width = mask_PS.shape
    allowed_LL = _allowed(width, group_size, inputs, mask_PS.device)
    keys_PL = nn.functional.pad(mask_PS, (0, group_size * inputs), value=1).bool()
    allowed = allowed_LL & keys_PL[:, None, None, :]
    lowest = torch.finfo(dtype).min
    return torch.zeros(prompts, 1, *allowed_LL.shape, dtype=dtype, device=mask_PS.device).masked_fill(~allowed, lowest)


@functools.lru_cache(maxsize=8)
def _allowed(width: int, group_size: int, inputs: int, device: torch.device) -> Tensor:
    owner = torch.cat([torch.zeros(width), torch.arange(1, group_size + 1).repeat_interleave(inputs)])
    order = torch.arange(len(owner))
    sees = (owner[None] == 0) | (owner[None] == owner[:, None])
    return (sees & (order[None] <= order[:, None])).to(device)
