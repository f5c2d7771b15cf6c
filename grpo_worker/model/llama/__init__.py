"""Llama's forward and backward pass written by hand: the results of transformers, in half the time for a small model.

In a small model most of the time of a step goes into calling kernels, so this code calls fewer. The whole model is one
node of autograd's graph, matrices that multiply the same input are multiplied at once, padding is computed only in
attention, and only positions that predict a token get logits. `is_exact` compares log-probs and gradients with those of
transformers. A model for which they differ (biases, another architecture, adapters, shards, another dtype) is computed
by transformers.

Others use the names in ``__all__``. ``predictions`` computes log-probs for the learner, ``states`` logits for sampling;
both go through ``layers``, on a ``layout`` of the tokens.

Shapes: P rows of at most L tokens on a grid of S = P·L slots, X tokens on it; E model width, F feed-forward width, V
vocabulary; H query heads in C groups, each sharing one of the C key heads, of D dimensions; K keys to which the queries
of a row attend; N tokens that predict others, M predictions.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import nn
from transformers import LlamaForCausalLM

from grpo_worker.model.llama.predictions import log_probs
from grpo_worker.model.llama.states import States
from grpo_worker.model.log_probs import token_log_probs
from grpo_worker.model.packing import example, pack

__all__ = ["States", "is_exact", "is_plain", "log_probs", "side_by_side"]

_MODULES = ("torch.nn.modules.", "transformers.")  # not those of adapters or quantised layers
_ROTATIONS = {"default", "linear", "llama3", "yarn"}  # the others depend on the length of the sequence
_TOLERANCE = 1e-3


def is_exact(model: nn.Module) -> bool:
    """Whether a model is a Llama in float32 for which this code gives the log-probs and gradients of transformers.

    The comparison is of the log-probs of a small example and of their gradients in the first layer, which depend on the
    backward pass of all layers.
    """
    if not is_plain(model) or not all(type(m).__module__.startswith(_MODULES) for m in model.modules()):
        return False
    named = dict(model.named_parameters())
    if any(name.endswith("bias") or p.dtype != torch.float32 or not p.requires_grad for name, p in named.items()):
        return False
    if model.config.rope_parameters["rope_type"] not in _ROTATIONS:
        return False
    batch, token_BL = example(next(model.parameters()).device)
    rows = pack(batch, 2, torch.float32)
    assert rows is not None, "so small an example is always packed"
    theirs, _ = token_log_probs(model(input_ids=token_BL, use_cache=False).logits[:, 1:-1], batch.token_BT, 1.0)
    ours, _ = log_probs(model, batch, rows, 1.0)
    first = list(model.model.layers[0].parameters())
    pairs = zip(*((x, *torch.autograd.grad(x.sum(), first)) for x in (ours, theirs)), strict=True)
    return all(bool((a - b).abs().max() <= _TOLERANCE * b.abs().max()) for a, b in pairs)


def is_plain(model: nn.Module) -> TypeGuard[LlamaForCausalLM]:
    """Whether a model is of the class `LlamaForCausalLM` itself. A sharded model is of a subclass."""
    return type(model) is LlamaForCausalLM


def side_by_side(model: nn.Module) -> None:
    """Move the parameters into one piece of memory, in their order, so that `layers.fused` need not copy them."""
    parameters = list(model.parameters())
    memory = torch.cat([p.detach().flatten() for p in parameters])
    for p, part in zip(parameters, torch.split(memory, [p.numel() for p in parameters]), strict=True):
        p.data = part.view_as(p)
