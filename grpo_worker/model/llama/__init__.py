"""Llama's forward and backward by hand: what transformers computes, in half of the time where a model is small.

There a step is the cost of calling kernels. So the whole model is one node of autograd's graph, the matrices that
multiply the same input are multiplied at once, padding is computed in attention alone, and only positions that
predict a token get logits. `is_exact` compares log-probs and gradients with those of transformers; a model that
differs (biases, another architecture, adapters, shards, another dtype) keeps transformers' forward.

Shapes: P rows of at most L tokens on a grid of S = P·L slots, X tokens on it; E model width, F feed-forward width, V
vocabulary; H query heads in C groups, each sharing one of the C key heads, of D dimensions; K keys that a row's
queries see; N tokens that predict others, M predictions.
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

_MODULES = ("torch.nn.modules.", "transformers.")  # no adapters, no quantised layers
_ROTATIONS = {"default", "linear", "llama3", "yarn"}  # others depend on the length of the sequence
_TOLERANCE = 1e-3


def is_exact(model: nn.Module) -> bool:
    """Whether a model is a Llama in float32 whose log-probs and gradients come out here as transformers has them.

    Compared are the log-probs of a small example, and their gradients in the first layer, which all layers pass on.
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
    """Whether a model's class is Llama's own, not one that sharding made of it."""
    return type(model) is LlamaForCausalLM


def side_by_side(model: nn.Module) -> None:
    """Let the parameters share one piece of memory, in their order, so that `_fused` need not copy."""
    parameters = list(model.parameters())
    memory = torch.cat([p.detach().flatten() for p in parameters])
    for p, part in zip(parameters, torch.split(memory, [p.numel() for p in parameters]), strict=True):
        p.data = part.view_as(p)
