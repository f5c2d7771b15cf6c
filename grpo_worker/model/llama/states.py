"""Decoding with a cache of keys and values; shapes as in `grpo_worker.model.llama`."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaForCausalLM

from grpo_worker.model.batches import position_ids
from grpo_worker.model.llama.layers import layer, layers, normalized, parameters_of
from grpo_worker.model.llama.layout import NEVER, Layout, lay_out


class States:
    """Keys and values of all layers, for rows that grow token by token. For sampling only: there is no gradient.

    Args:
        model: The model.
        capacity: The largest length of a row.
    """

    def __init__(self, model: LlamaForCausalLM, capacity: int) -> None:
        self._model, self._capacity, self._seen = model, capacity, 0
        self._kv = torch.empty(0)  # [layers, 2, C, R, capacity, D]

    def logits(self, token_RL: Tensor, mask_RL: Tensor) -> Tensor:
        """Logits [R, V] of the token after each row. Only tokens that are new since the last call are computed.

        Args:
            token_RL: The rows, padded on the left. After the first call they are one token longer each time.
            mask_RL: 1 on tokens, 0 on padding.
        """
        layout = self._next_token(mask_RL) if self._seen else self._prompts(mask_RL)
        parameters = parameters_of(self._model)
        x_XE = F.embedding(token_RL[:, self._seen :].reshape(-1).index_select(0, layout.slot_X), parameters[0])
        for i, weights in enumerate(layers(parameters)):
            x_XE, _ = layer(layout, weights, x_XE, functools.partial(self._extended, i))
        self._seen = token_RL.shape[1]
        last_RE = x_XE.index_select(0, layout.token_S.view(len(token_RL), -1)[:, -1])
        unit_RE, _ = normalized(last_RE, layout.floor)
        return torch.mm(unit_RE * parameters[-2], parameters[-1].t())

    def keep(self, row_R: Tensor) -> None:
        """Keep only these rows, in this order; a row may be given several times."""
        if not torch.equal(row_R, torch.arange(self._kv.shape[3], device=row_R.device)):
            self._kv = self._kv.index_select(3, row_R)

    def _extended(self, layer: int, k_BLD: Tensor, v_BLD: Tensor) -> tuple[Tensor, Tensor]:
        """Append the given keys and values of a layer to the cached ones and return all."""
        kv_2BKD = self._kv[layer].flatten(1, 2)[:, :, : self._seen + k_BLD.shape[1]]
        kv_2BKD[:, :, self._seen :] = torch.stack([k_BLD, v_BLD])
        return kv_2BKD[0], kv_2BKD[1]

    def _prompts(self, mask_RL: Tensor) -> Layout:
        config, (rows, length), device = self._model.config, mask_RL.shape, mask_RL.device
        self._padded = bool((mask_RL == 0).any())
        shape = config.num_hidden_layers, 2, config.num_key_value_heads, rows, self._capacity, config.head_dim
        self._kv = torch.empty(shape, device=device)
        causal_LL = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        mask_R1LL = _additive(causal_LL & (mask_RL > 0)[:, None, None])
        return lay_out(self._model, mask_RL > 0, position_ids(mask_RL), mask_R1LL, self._capacity)

    def _next_token(self, mask_RL: Tensor) -> Layout:
        mask_R1LK = _additive((mask_RL > 0)[:, None, None]) if self._padded else None
        return lay_out(self._model, None, mask_RL.sum(1, keepdim=True) - 1, mask_R1LK, self._capacity)


def _additive(allowed: Tensor) -> Tensor:
    return torch.zeros(allowed.shape, device=allowed.device).masked_fill_(~allowed, NEVER)
