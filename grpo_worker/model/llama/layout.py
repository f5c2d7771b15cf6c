"""Where the tokens of a forward pass are in memory and in their sequences; shapes as in `grpo_worker.model.llama`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

NEVER = torch.finfo(torch.float32).min
"""Added to the score of a key that a query must not attend to."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What all layers of one forward pass share: the grid of tokens, the attention mask, the rotations by position.

    Attributes:
        rows: P.
        key_heads: C.
        floor: √ε of the norms.
        mask_P1LK: Additive mask; None if every query attends to every key.
        token_S: The token on each slot; any token on an empty slot.
        slot_X: The slot of each token.
        cos_SD: Cosines of the rotations, times D^(−1/4), so that the product of a query and a key is scaled by
            D^(−1/2).
        sin_SD: Sines, scaled likewise.
        quarter_DD: Rotates the pairs of dimensions that rotate together by 90 degrees.
    """

    rows: int
    key_heads: int
    floor: Tensor
    mask_P1LK: Tensor | None
    token_S: Tensor
    slot_X: Tensor
    cos_SD: Tensor
    sin_SD: Tensor
    quarter_DD: Tensor

    def rotated(self, x_HSD: Tensor, direction: int, out: Tensor | None = None) -> Tensor:
        """Rotary position embedding of queries or keys; direction −1 is its backward pass."""
        return torch.addcmul(x_HSD * self.cos_SD, x_HSD @ self.quarter_DD, self.sin_SD, value=direction, out=out)

    def on_grid(self, x_XH: Tensor) -> Tensor:
        """[X, H·D] → [H, S, D]."""
        return x_XH.view(len(x_XH), -1, self.cos_SD.shape[1]).transpose(0, 1).index_select(1, self.token_S)

    def off_grid(self, x_HSD: Tensor) -> Tensor:
        """[H, S, D] → [X, H·D]."""
        return x_HSD.index_select(1, self.slot_X).transpose(0, 1).reshape(len(self.slot_X), -1)

    def grouped(self, x_HSD: Tensor) -> Tensor:
        """[H, S, D] → [C·P, H/C·L, D]: one matrix per key head and row; it stacks the query heads of that key head."""
        heads, slots, size = x_HSD.shape
        if heads == self.key_heads:
            return x_HSD.view(heads * self.rows, -1, size)
        x = x_HSD.view(self.key_heads, -1, self.rows, slots // self.rows, size)
        return x.transpose(1, 2).reshape(self.key_heads * self.rows, -1, size)

    def ungrouped(self, x_BQD: Tensor) -> Tensor:
        """The inverse of `grouped`."""
        slots, size = self.cos_SD.shape
        if x_BQD.shape[1] * self.rows == slots:
            return x_BQD.reshape(-1, slots, size)
        x = x_BQD.reshape(self.key_heads, self.rows, -1, slots // self.rows, size)
        return x.transpose(1, 2).reshape(-1, slots, size)


def lay_out(
    model: LlamaForCausalLM, real_PL: Tensor | None, position_PL: Tensor, mask_P1LK: Tensor | None, reach: int
) -> Layout:
    """Make the layout of the tokens of a grid.

    Args:
        model: The model.
        real_PL: True on tokens, False on empty slots; None = there are no empty slots.
        position_PL: Position of each token in its own sequence.
        mask_P1LK: See `Layout`.
        reach: All positions are below this.
    """
    config, position_S = model.config, position_PL.flatten()
    cos, sin, quarter_DD, floor = _constants(model.model.rotary_emb, 1 << (reach - 1).bit_length(), position_S.device)
    if real_PL is None:
        token_S = slot_X = torch.arange(len(position_S), device=position_S.device)
    else:
        token_S, slot_X = (real_PL.flatten().cumsum(0) - 1).clamp(min=0), real_PL.flatten().nonzero().squeeze(1)
    return Layout(
        len(position_PL), config.num_key_value_heads, floor, mask_P1LK,
        token_S, slot_X, cos.index_select(0, position_S), sin.index_select(0, position_S), quarter_DD,
    )  # fmt: skip


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)
def _constants(rotary: Any, reach: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For `Layout`: cosines and sines of all positions, from the model's own module; ``quarter_DD``; ``floor``."""
    cos_1RD, sin_1RD = rotary(torch.zeros(1, device=device), torch.arange(reach, device=device).unsqueeze(0))
    size = cos_1RD.shape[2]
    one = torch.eye(size // 2, device=device)
    quarter_DD = torch.cat([torch.cat([0 * one, one], 1), torch.cat([-one, 0 * one], 1)])
    floor = torch.tensor(rotary.config.rms_norm_eps, device=device).sqrt()
    return cos_1RD[0] * size**-0.25, sin_1RD[0] * size**-0.25, quarter_DD, floor
