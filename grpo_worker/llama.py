"""Llama's forward and backward by hand: what transformers computes, in half of the time where a model is small.

There a step is the cost of calling kernels. So the whole model is one node of autograd's graph, the matrices that
multiply the same input are multiplied at once, padding is computed in attention alone, and only positions that
predict a token get logits. `is_exact` compares log-probs and gradients with those of transformers; a model that
differs (biases, another architecture, adapters, shards, another dtype) keeps transformers' forward.

Shapes: P rows of at most L tokens on a grid of S = P·L slots, X tokens on it; E model width, F feed-forward width, V
vocabulary; H query heads in C groups, each sharing one of the C key heads, of D dimensions; K keys that a row's
queries see; N tokens that predict others, M predictions. Source of the architecture: arXiv 2302.13971 §2.2,
arXiv 2305.13245 (grouped queries), arXiv 2104.09864 eq. (34) (rotations).
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM

from grpo_worker.batches import RolloutBatch, position_ids
from grpo_worker.objective import token_log_probs
from grpo_worker.packing import PackedRows, example, pack

_MODULES = ("torch.nn.modules.", "transformers.")  # no adapters, no quantised layers
_ROTATIONS = {"default", "linear", "llama3", "yarn"}  # others depend on the length of the sequence
_TOLERANCE = 1e-3
_NEVER = torch.finfo(torch.float32).min  # added to the score of a key that a query must not see
_VECTOR = 16  # torch's softmax on a CPU takes seven times as long on rows that do not fill a vector
_KEPT = 2**24  # attention weights of a layer that are kept for its backward; more are computed again
_CHUNK = 2**20  # logits that are exponentiated at once, so that the passes over them stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """What the layers of one forward share: the grid of tokens, who sees whom, the rotations of their positions.

    Attributes:
        rows: P.
        key_heads: C.
        floor: Root of the norms' ε.
        mask_P1LK: Additive mask; None where every query sees every key.
        token_S: The token on each slot; any where there is none.
        slot_X: The slot of each token.
        cos_SD: Cosines of the positions, and
        sin_SD: sines, both times D^(−1/4), so that the product of a query and a key is scaled by D^(−1/2).
        quarter_DD: Turns the pairs of dimensions that rotate together by 90 degrees.
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
        """Rotary position embedding of queries or keys; direction −1 takes a gradient back."""
        return torch.addcmul(x_HSD * self.cos_SD, x_HSD @ self.quarter_DD, self.sin_SD, value=direction, out=out)

    def on_grid(self, x_XH: Tensor) -> Tensor:
        """[X, H·D] → [H, S, D]."""
        return x_XH.view(len(x_XH), -1, self.cos_SD.shape[1]).transpose(0, 1).index_select(1, self.token_S)

    def off_grid(self, x_HSD: Tensor) -> Tensor:
        """[H, S, D] → [X, H·D]."""
        return x_HSD.index_select(1, self.slot_X).transpose(0, 1).reshape(len(self.slot_X), -1)

    def grouped(self, x_HSD: Tensor) -> Tensor:
        """[H, S, D] → [C·P, H/C·L, D]: a matrix for each key head and row, its query heads below each other."""
        heads, slots, size = x_HSD.shape
        if heads == self.key_heads:
            return x_HSD.view(heads * self.rows, -1, size)
        x = x_HSD.view(self.key_heads, -1, self.rows, slots // self.rows, size)
        return x.transpose(1, 2).reshape(self.key_heads * self.rows, -1, size)

    def ungrouped(self, x_BQD: Tensor) -> Tensor:
        """The reverse of `grouped`."""
        slots, size = self.cos_SD.shape
        if x_BQD.shape[1] * self.rows == slots:
            return x_BQD.reshape(-1, slots, size)
        x = x_BQD.reshape(self.key_heads, self.rows, -1, slots // self.rows, size)
        return x.transpose(1, 2).reshape(-1, slots, size)


def _layout(
    model: LlamaForCausalLM, real_PL: Tensor | None, position_PL: Tensor, mask_P1LK: Tensor | None, reach: int
) -> _Layout:
    """Lay out the real tokens of a grid, whose positions are below ``reach``; None: all are real."""
    config, position_S = model.config, position_PL.flatten()
    cos, sin, quarter_DD, floor = _constants(model.model.rotary_emb, 1 << (reach - 1).bit_length(), position_S.device)
    if real_PL is None:
        token_S = slot_X = torch.arange(len(position_S), device=position_S.device)
    else:
        token_S, slot_X = (real_PL.flatten().cumsum(0) - 1).clamp(min=0), real_PL.flatten().nonzero().squeeze(1)
    return _Layout(
        len(position_PL), config.num_key_value_heads, floor, mask_P1LK,
        token_S, slot_X, cos.index_select(0, position_S), sin.index_select(0, position_S), quarter_DD,
    )  # fmt: skip


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)
def _constants(rotary: Any, reach: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of `_Layout`: cosines and sines of all positions, by the model's own module; the quarter turn; the floor."""
    cos_1RD, sin_1RD = rotary(torch.zeros(1, device=device), torch.arange(reach, device=device).unsqueeze(0))
    size = cos_1RD.shape[2]
    one = torch.eye(size // 2, device=device)
    quarter_DD = torch.cat([torch.cat([0 * one, one], 1), torch.cat([-one, 0 * one], 1)])
    floor = torch.tensor(rotary.config.rms_norm_eps, device=device).sqrt()
    return cos_1RD[0] * size**-0.25, sin_1RD[0] * size**-0.25, quarter_DD, floor


def _fused(*weights: Tensor) -> Tensor:
    """Matrices below each other as one: a view where they lie so in memory (`side_by_side`), else a copy."""
    storage, end = weights[0].untyped_storage().data_ptr(), weights[0].data_ptr()
    for weight in weights:
        if weight.data_ptr() != end or weight.untyped_storage().data_ptr() != storage:
            return torch.cat(weights)
        end += weight.nbytes
    return weights[0].as_strided((sum(map(len, weights)), weights[0].shape[1]), weights[0].stride())


def _normalized(x_XE: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Divide by √(mean x² + ε); returns that root too."""
    norm_X1 = torch.linalg.vector_norm(x_XE, dim=1, keepdim=True)
    root_X1 = norm_X1.div_(x_XE.shape[1] ** 0.5).hypot_(floor)
    return x_XE / root_X1, root_X1


def _norm_backward(
    grad_XE: Tensor, unit_XE: Tensor, root_X1: Tensor, weight_E: Tensor, past_XE: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of the input, with that of the path past the norm and its block, and of the norm's weight."""
    weighted_XE = grad_XE * weight_E
    along_X1 = torch.linalg.vecdot(weighted_XE, unit_XE).unsqueeze(1)
    across_XE = weighted_XE.addcmul_(unit_XE, along_X1, value=-1 / len(weight_E))
    return torch.addcdiv(past_XE, across_XE, root_X1), (grad_XE * unit_XE).sum(0)


def _attention(layout: _Layout, q_BQD: Tensor, k_BKD: Tensor, v_BKD: Tensor) -> tuple[Tensor, Tensor | None]:
    """Attention, and its weights where they are few enough to be kept."""
    mask_P1LK = layout.mask_P1LK
    if len(q_BQD) * q_BQD.shape[1] * k_BKD.shape[1] > _KEPT:
        q, k, v = (x.view(layout.key_heads, layout.rows, *x.shape[1:]) for x in (q_BQD, k_BKD, v_BKD))
        if mask_P1LK is not None:
            mask_P1LK = mask_P1LK.expand(-1, q.shape[2] // mask_P1LK.shape[2], -1, -1).flatten(1, 2)
        return F.scaled_dot_product_attention(q, k, v, mask_P1LK, scale=1.0).view(q_BQD.shape), None
    score_BQK = torch.bmm(q_BQD, k_BKD.transpose(1, 2))
    if mask_P1LK is not None:
        score_BQK.view(layout.key_heads, layout.rows, -1, *mask_P1LK.shape[2:]).add_(mask_P1LK)
    weight_BQK = torch.softmax(score_BQK, dim=-1)
    return torch.bmm(weight_BQK, v_BKD), weight_BQK


def _attention_backward(
    layout: _Layout, grad_BQD: Tensor, q_BQD: Tensor, k_BKD: Tensor, v_BKD: Tensor, weight_BQK: Tensor | None
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


def _layer(
    layout: _Layout, weights: Sequence[Tensor], x_XE: Tensor, extend: Extend | None = None
) -> tuple[Tensor, tuple[Any, ...]]:
    """One decoder layer, x + attention(norm x), then + swiglu(norm x), and what its backward needs."""
    q, k, v, o, gate, up, down, norm_E, mlp_norm_E = weights
    qkv, gate_up, size = _fused(q, k, v), _fused(gate, up), layout.cos_SD.shape[1]
    heads, turned = len(q) // size, (len(q) + len(k)) // size
    unit_XE, root_X1 = _normalized(x_XE, layout.floor)
    qkv_HSD = layout.on_grid(torch.mm(unit_XE * norm_E, qkv.t()))
    qk_HSD = layout.rotated(qkv_HSD[:turned], 1)
    q_BQD, k_BKD, v_BKD = map(layout.grouped, (qk_HSD[:heads], qk_HSD[heads:], qkv_HSD[turned:]))
    if extend:
        k_BKD, v_BKD = extend(k_BKD, v_BKD)
    out_BQD, weight_BQK = _attention(layout, q_BQD, k_BKD, v_BKD)
    mixed = layout.off_grid(layout.ungrouped(out_BQD))
    y_XE = torch.addmm(x_XE, mixed, o.t())
    mlp_unit_XE, mlp_root_X1 = _normalized(y_XE, layout.floor)
    both = torch.mm(gate_up, (mlp_unit_XE * mlp_norm_E).t())
    gate_FX, up_FX = both.chunk(2)
    attended = unit_XE, root_X1, q_BQD, k_BKD, v_BKD, weight_BQK, mixed
    saved = qkv, gate_up, *attended, mlp_unit_XE, mlp_root_X1, gate_FX, up_FX
    return torch.addmm(y_XE, F.silu(gate_FX).mul_(up_FX).t(), down.t()), saved


def _layer_backward(
    layout: _Layout, weights: Sequence[Tensor], saved: tuple[Any, ...], grad_XE: Tensor
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
    grad_y_XE, grad_mlp_norm_E = _norm_backward(grad_normed_XE, mlp_unit_XE, mlp_root_X1, mlp_norm_E, grad_XE)

    grad_o, grad_mixed = torch.mm(grad_y_XE.t(), mixed), torch.mm(grad_y_XE, o)
    grad_grid = grad_mixed.new_zeros(slots, grad_mixed.shape[1]).index_copy_(0, layout.slot_X, grad_mixed)
    grad_out_BQD = layout.grouped(grad_grid.view(slots, -1, size).transpose(0, 1).contiguous())
    grads = _attention_backward(layout, grad_out_BQD, q_BQD, k_BKD, v_BKD, weight_BQK)
    grad_HSD = torch.cat([layout.ungrouped(grad) for grad in grads])
    turned_HSD = grad_HSD[: (len(q) + len(k)) // size]
    layout.rotated(turned_HSD, -1, out=turned_HSD)
    grad_qkv = layout.off_grid(grad_HSD)
    grad_q, grad_k, grad_v = torch.split(torch.mm(grad_qkv.t(), unit_XE * norm_E), [len(q), len(k), len(v)])
    grad_x_XE, grad_norm_E = _norm_backward(torch.mm(grad_qkv, qkv), unit_XE, root_X1, norm_E, grad_y_XE)
    return grad_x_XE, [
        grad_q, grad_k, grad_v, grad_o, grad_gate, grad_up, grad_down, grad_norm_E, grad_mlp_norm_E
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Predictions:
    """What a batch asks of the model.

    Attributes:
        layout: Of its tokens.
        token_X: The tokens.
        source_N: Those of them that predict others.
        state_M: Which of these predicts each completion token.
        chosen_M: Where that token's logit stands in [N, V].
    """

    layout: _Layout
    token_X: Tensor
    source_N: Tensor
    state_M: Tensor
    chosen_M: Tensor


@functools.lru_cache(maxsize=2)  # a replayed batch comes back at each of its k steps, to the learner and the reference
@torch.inference_mode(False)
def _predictions(batch: RolloutBatch, rows: PackedRows, model_ref: weakref.ref[LlamaForCausalLM]) -> _Predictions:
    model = model_ref()
    assert model is not None
    spare = max(0, _VECTOR - rows.token_PL.shape[1])
    token_PL, real_PL, position_PL = (F.pad(x, (0, spare)) for x in (rows.token_PL, rows.real_PL, rows.position_PL))
    prompts, length = token_PL.shape
    layout = _layout(model, real_PL, position_PL, F.pad(rows.mask_P1LL, (0, spare, 0, spare), value=_NEVER), length)
    predicts_PL = real_PL.clone()
    predicts_PL[:, : rows.first] = False
    number_S = predicts_PL.flatten().cumsum(0) - 1
    start_P1 = torch.arange(rows.first, prompts * length, length, device=number_S.device).unsqueeze(1)
    state_M = number_S[(rows.predictor_BT.view(prompts, -1) + start_P1).flatten()]
    return _Predictions(
        layout, token_PL.flatten()[layout.slot_X], layout.token_S[predicts_PL.flatten()], state_M,
        state_M * model.config.vocab_size + batch.token_BT.flatten(),
    )  # fmt: skip


def log_probs(
    model: LlamaForCausalLM, batch: RolloutBatch, rows: PackedRows, temperature: float
) -> tuple[Tensor, Tensor]:
    """As `grpo_worker.packing.packed_log_probs`."""
    asked = _predictions(batch, rows, weakref.ref(model))
    logp_M, entropy_M = _LogProbs.apply(asked, temperature, *_parameters(model))  # type: ignore[no-untyped-call]
    return logp_M.view(batch.token_BT.shape), entropy_M.view(batch.token_BT.shape)


_KNOWN: weakref.WeakKeyDictionary[LlamaForCausalLM, list[Tensor]] = weakref.WeakKeyDictionary()


def _parameters(model: LlamaForCausalLM) -> list[Tensor]:
    """Embedding, nine weights a layer, norm, head, which may be the embedding."""
    if model not in _KNOWN:
        _KNOWN[model] = [*model.model.parameters(), model.lm_head.weight]
    return _KNOWN[model]


def _layers(parameters: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    return [parameters[i : i + 9] for i in range(1, len(parameters) - 2, 9)]


class _LogProbs(torch.autograd.Function):
    """Log-probs of the predicted tokens, and the entropies of the distributions that they come from."""

    @staticmethod
    def forward(ctx: Any, asked: _Predictions, temperature: float, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        norm_E, head_VE = parameters[-2:]
        x_XE, saved = F.embedding(asked.token_X, parameters[0]), []
        keeps = any(ctx.needs_input_grad)
        for weights in _layers(parameters):
            x_XE, of_layer = _layer(asked.layout, weights, x_XE)
            if keeps:
                saved.append(of_layer)
        unit_NE, root_N1 = _normalized(x_XE.index_select(0, asked.source_N), asked.layout.floor)
        scaled_E = norm_E / temperature
        logit_NV = torch.mm(unit_NE * scaled_E, head_VE.t())
        logit_M = logit_NV.take(asked.chosen_M)
        top_N, total_N, dot_N = _exponentiated(logit_NV)
        log_total_N = total_N.log()
        entropy_M = (log_total_N - dot_N.div_(total_N)).take(asked.state_M)
        ctx.mark_non_differentiable(entropy_M)
        if keeps:
            ctx.state = asked, temperature, parameters, saved, scaled_E, unit_NE, root_N1, logit_NV, total_N
        return logit_M.sub_(log_total_N.add_(top_N).take(asked.state_M)), entropy_M

    @staticmethod
    def backward(ctx: Any, grad_M: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        asked, temperature, parameters, saved, scaled_E, unit_NE, root_N1, weight_NV, total_N = ctx.state
        del ctx.state  # its tensors are used up
        grad_N = torch.zeros_like(total_N).index_add_(0, asked.state_M, grad_M)
        grad_NV = weight_NV.mul_(grad_N.div_(total_N).neg_().unsqueeze(1))
        grad_NV.view(-1).index_add_(0, asked.chosen_M, grad_M)
        grad_head_VE = torch.mm(grad_NV.t(), unit_NE * scaled_E)
        past_NE = torch.zeros_like(unit_NE)
        grad_x_NE, grad_scaled_E = _norm_backward(
            torch.mm(grad_NV, parameters[-1]), unit_NE, root_N1, scaled_E, past_NE
        )
        grad_x_XE = unit_NE.new_zeros(len(asked.token_X), unit_NE.shape[1]).index_copy_(0, asked.source_N, grad_x_NE)
        grads: list[Tensor | None] = [grad_scaled_E.div_(temperature), grad_head_VE]
        for weights in reversed(_layers(parameters)):
            grad_x_XE, of_layer = _layer_backward(asked.layout, weights, saved.pop(), grad_x_XE)
            grads[:0] = of_layer
        tied = parameters[0] is parameters[-1]
        grad_embedding_VE = grad_head_VE if tied else torch.zeros_like(parameters[0])
        grad_embedding_VE.index_add_(0, asked.token_X, grad_x_XE)
        return None, None, None if tied else grad_embedding_VE, *grads


def _exponentiated(logit_NV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Replace logits by e = exp(logit − top), in place; returns top, Σe and Σe·log e of each row."""
    parts = []
    for part_NV in torch.split(logit_NV, max(1, _CHUNK // logit_NV.shape[1])):
        top_N1 = part_NV.amax(-1, keepdim=True)
        shifted_NV = part_NV - top_N1
        torch.exp(shifted_NV, out=part_NV)
        parts.append((top_N1.squeeze(1), part_NV.sum(-1), torch.linalg.vecdot(part_NV, shifted_NV)))
    top_N, total_N, dot_N = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
    return top_N, total_N, dot_N


class States:
    """Keys and values of all layers for rows of tokens that grow one by one; for sampling, without gradient.

    Args:
        model: The model.
        capacity: The longest row there will be.
    """

    def __init__(self, model: LlamaForCausalLM, capacity: int) -> None:
        self._model, self._capacity, self._seen = model, capacity, 0
        self._kv = torch.empty(0)  # [layers, 2, C, R, capacity, D]

    def logits(self, token_RL: Tensor, mask_RL: Tensor) -> Tensor:
        """Logits [R, V] of the token after each row; what was seen before is not computed again.

        Args:
            token_RL: The rows, padded on the left; after the first call one token longer each time.
            mask_RL: 1 on tokens.
        """
        layout = self._next_token(mask_RL) if self._seen else self._prompts(mask_RL)
        parameters = _parameters(self._model)
        x_XE = F.embedding(token_RL[:, self._seen :].reshape(-1).index_select(0, layout.slot_X), parameters[0])
        for i, weights in enumerate(_layers(parameters)):
            x_XE, _ = _layer(layout, weights, x_XE, functools.partial(self._extended, i))
        self._seen = token_RL.shape[1]
        last_RE = x_XE.index_select(0, layout.token_S.view(len(token_RL), -1)[:, -1])
        unit_RE, _ = _normalized(last_RE, layout.floor)
        return torch.mm(unit_RE * parameters[-2], parameters[-1].t())

    def keep(self, row_R: Tensor) -> None:
        """Go on with these rows."""
        if not torch.equal(row_R, torch.arange(self._kv.shape[3], device=row_R.device)):
            self._kv = self._kv.index_select(3, row_R)

    def _extended(self, layer: int, k_BLD: Tensor, v_BLD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer: those seen before, then the given ones."""
        kv_2BKD = self._kv[layer].flatten(1, 2)[:, :, : self._seen + k_BLD.shape[1]]
        kv_2BKD[:, :, self._seen :] = torch.stack([k_BLD, v_BLD])
        return kv_2BKD[0], kv_2BKD[1]

    def _prompts(self, mask_RL: Tensor) -> _Layout:
        config, (rows, length), device = self._model.config, mask_RL.shape, mask_RL.device
        self._padded = bool((mask_RL == 0).any())
        shape = config.num_hidden_layers, 2, config.num_key_value_heads, rows, self._capacity, config.head_dim
        self._kv = torch.empty(shape, device=device)
        causal_LL = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        mask_R1LL = _additive(causal_LL & (mask_RL > 0)[:, None, None])
        return _layout(self._model, mask_RL > 0, position_ids(mask_RL), mask_R1LL, self._capacity)

    def _next_token(self, mask_RL: Tensor) -> _Layout:
        mask_R1LK = _additive((mask_RL > 0)[:, None, None]) if self._padded else None
        return _layout(self._model, None, mask_RL.sum(1, keepdim=True) - 1, mask_R1LK, self._capacity)


def _additive(allowed: Tensor) -> Tensor:
    return torch.zeros(allowed.shape, device=allowed.device).masked_fill_(~allowed, _NEVER)


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
