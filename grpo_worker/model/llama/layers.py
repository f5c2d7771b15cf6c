"""A decoder layer of Llama, forward and backward; shapes as in `grpo_worker.model.llama`.

Source of the architecture: arXiv 2302.13971 §2.2, arXiv 2305.13245 (grouped queries).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaForCausalLM

from grpo_worker.model.llama.layout import Layout

KEPT_WEIGHTS = 2**24
"""A layer keeps at most so many attention weights for its backward pass; if it has more, they are computed again."""

_KNOWN: weakref.WeakKeyDictionary[LlamaForCausalLM, list[Tensor]] = weakref.WeakKeyDictionary()


def parameters_of(model: LlamaForCausalLM) -> list[Tensor]:
    """The embedding, nine weights per layer, the final norm, and the head, which may be the embedding."""
    if model not in _KNOWN:
        _KNOWN[model] = [*model.model.parameters(), model.lm_head.weight]
    return _KNOWN[model]


def layers(parameters: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """The nine weights of each layer, taken from `parameters_of`."""
    return [parameters[i : i + 9] for i in range(1, len(parameters) - 2, 9)]


def fused(*weights: Tensor) -> Tensor:
    """Stack matrices on top of each other: a view if they lie so in memory (`side_by_side`), else a copy."""
    storage, end = weights[0].untyped_storage().data_ptr(), weights[0].data_ptr()
    for weight in weights:
        if weight.data_ptr() != end or weight.untyped_storage().data_ptr() != storage:
            return torch.cat(weights)
        end += weight.nbytes
    return weights[0].as_strided((sum(map(len, weights)), weights[0].shape[1]), weights[0].stride())


def normalized(x_XE: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Divide each row by √(mean x² + ε); return the result and that root. ``floor`` is √ε."""
    norm_X1 = torch.linalg.vector_norm(x_XE, dim=1, keepdim=True)
    root_X1 = norm_X1.div_(x_XE.shape[1] ** 0.5).hypot_(floor)
    return x_XE / root_X1, root_X1


def norm_backward(
    grad_XE: Tensor, unit_XE: Tensor, root_X1: Tensor, weight_E: Tensor, past_XE: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of a norm's input and of its weight.

    ``past_XE`` is the gradient that reaches the input past the norm and its block; it is added to the first.
    """
    weighted_XE = grad_XE * weight_E
    along_X1 = torch.linalg.vecdot(weighted_XE, unit_XE).unsqueeze(1)
    across_XE = weighted_XE.addcmul_(unit_XE, along_X1, value=-1 / len(weight_E))
    return torch.addcdiv(past_XE, across_XE, root_X1), (grad_XE * unit_XE).sum(0)


def _attention(layout: Layout, q_BQD: Tensor, k_BKD: Tensor, v_BKD: Tensor) -> tuple[Tensor, Tensor | None]:
    """Attention; and its weights, or None if they are too many to be kept."""
    mask_P1LK = layout.mask_P1LK
    if len(q_BQD) * q_BQD.shape[1] * k_BKD.shape[1] > KEPT_WEIGHTS:
        q, k, v = (x.view(layout.key_heads, layout.rows, *x.shape[1:]) for x in (q_BQD, k_BKD, v_BKD))
        if mask_P1LK is not None:
            mask_P1LK = mask_P1LK.expand(-1, q.shape[2] // mask_P1LK.shape[2], -1, -1).flatten(1, 2)
        # reshape, not view: on a GPU the result has another order in memory.
        return F.scaled_dot_product_attention(q, k, v, mask_P1LK, scale=1.0).reshape(q_BQD.shape), None
    score_BQK = torch.bmm(q_BQD, k_BKD.transpose(1, 2))
    if mask_P1LK is not None:
        score_BQK.view(layout.key_heads, layout.rows, -1, *mask_P1LK.shape[2:]).add_(mask_P1LK)
    weight_BQK = torch.softmax(score_BQK, dim=-1)
    return torch.bmm(weight_BQK, v_BKD), weight_BQK


def _attention_backward(
    layout: Layout, grad_BQD: Tensor, q_BQD: Tensor, k_BKD: Tensor, v_BKD: Tensor, weight_BQK: Tensor | None
) -> tuple[Tensor, ...]:
    if weight_BQK is None:
        with torch.enable_grad():
            inputs = [x.detach().requires_grad_() for x in (q_BQD, k_BKD, v_BKD)]
            return torch.autograd.grad(_attention(layout, *inputs)[0], inputs, grad_BQD)
    grad_weight_BQK = torch.bmm(grad_BQD, v_BKD.transpose(1, 2))
    grad_score_BQK = torch.ops.aten._softmax_backward_data(grad_weight_BQK, weight_BQK, -1, torch.float32)
    return (
        torch.bmm(grad_score_BQK, k_BKD),
        torch.bmm(grad_score_BQK.transpose(1, 2), q_BQD),
        torch.bmm(weight_BQK.transpose(1, 2), grad_BQD),
    )


Extend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def layer(
    layout: Layout, weights: Sequence[Tensor], x_XE: Tensor, extend: Extend | None = None
) -> tuple[Tensor, tuple[Any, ...]]:
    """One decoder layer: y = x + attention(norm x), then y + swiglu(norm y).

    Args:
        layout: The layout of the tokens.
        weights: The nine weights of the layer.
        x_XE: The input.
        extend: Returns the keys and values to attend to, given those of these tokens; None = no others.

    Returns:
        The output [X, E], and what `layer_backward` needs.
    """
    q, k, v, o, gate, up, down, norm_E, mlp_norm_E = weights
    qkv, gate_up, size = fused(q, k, v), fused(gate, up), layout.cos_SD.shape[1]
    heads, turned = len(q) // size, (len(q) + len(k)) // size
    unit_XE, root_X1 = normalized(x_XE, layout.floor)
    qkv_HSD = layout.on_grid(torch.mm(unit_XE * norm_E, qkv.t()))
    qk_HSD = layout.rotated(qkv_HSD[:turned], 1)
    q_BQD, k_BKD, v_BKD = map(layout.grouped, (qk_HSD[:heads], qk_HSD[heads:], qkv_HSD[turned:]))
    if extend:
        k_BKD, v_BKD = extend(k_BKD, v_BKD)
    out_BQD, weight_BQK = _attention(layout, q_BQD, k_BKD, v_BKD)
    mixed = layout.off_grid(layout.ungrouped(out_BQD))
    y_XE = torch.addmm(x_XE, mixed, o.t())
    mlp_unit_XE, mlp_root_X1 = normalized(y_XE, layout.floor)
    both = torch.mm(gate_up, (mlp_unit_XE * mlp_norm_E).t())
    gate_FX, up_FX = both.chunk(2)
    attended = unit_XE, root_X1, q_BQD, k_BKD, v_BKD, weight_BQK, mixed
    saved = qkv, gate_up, *attended, mlp_unit_XE, mlp_root_X1, gate_FX, up_FX
    return torch.addmm(y_XE, F.silu(gate_FX).mul_(up_FX).t(), down.t()), saved


def layer_backward(
    layout: Layout, weights: Sequence[Tensor], saved: tuple[Any, ...], grad_XE: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Gradients of a layer's input and of its weights."""
    q, k, v, o, _, _, down, norm_E, mlp_norm_E = weights
    qkv, gate_up, unit_XE, root_X1, q_BQD, k_BKD, v_BKD, weight_BQK, mixed, *of_mlp = saved
    mlp_unit_XE, mlp_root_X1, gate_FX, up_FX = of_mlp
    slots, size = layout.cos_SD.shape

    open_FX, grad_FX = F.silu(gate_FX), torch.mm(down.t(), grad_XE.t())
    grad_down = torch.mm(grad_XE.t(), (open_FX * up_FX).t())
    grad_both = torch.cat([torch.ops.aten.silu_backward(grad_FX * up_FX, gate_FX), grad_FX.mul_(open_FX)])
    grad_gate, grad_up = torch.mm(grad_both, mlp_unit_XE * mlp_norm_E).chunk(2)
    grad_normed_XE = torch.mm(grad_both.t(), gate_up)
    grad_y_XE, grad_mlp_norm_E = norm_backward(grad_normed_XE, mlp_unit_XE, mlp_root_X1, mlp_norm_E, grad_XE)

    grad_o, grad_mixed = torch.mm(grad_y_XE.t(), mixed), torch.mm(grad_y_XE, o)
    grad_grid = grad_mixed.new_zeros(slots, grad_mixed.shape[1]).index_copy_(0, layout.slot_X, grad_mixed)
    grad_out_BQD = layout.grouped(grad_grid.view(slots, -1, size).transpose(0, 1).contiguous())
    grads = _attention_backward(layout, grad_out_BQD, q_BQD, k_BKD, v_BKD, weight_BQK)
    grad_HSD = torch.cat([layout.ungrouped(grad) for grad in grads])
    turned_HSD = grad_HSD[: (len(q) + len(k)) // size]
    layout.rotated(turned_HSD, -1, out=turned_HSD)
    grad_qkv = layout.off_grid(grad_HSD)
    grad_q, grad_k, grad_v = torch.split(torch.mm(grad_qkv.t(), unit_XE * norm_E), [len(q), len(k), len(v)])
    grad_x_XE, grad_norm_E = norm_backward(torch.mm(grad_qkv, qkv), unit_XE, root_X1, norm_E, grad_y_XE)
    return grad_x_XE, [
        grad_q, grad_k, grad_v, grad_o, grad_gate, grad_up, grad_down, grad_norm_E, grad_mlp_norm_E
    ]  # fmt: skip
