"""Log-probs of the tokens of a packed batch, as one node of autograd's graph.

Shapes as in `grpo_worker.model.llama`.
"""

from __future__ import annotations

import functools
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaForCausalLM

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.model.llama.layers import layer, layer_backward, layers, norm_backward, normalized, parameters_of
from grpo_worker.model.llama.layout import NEVER, Layout, lay_out
from grpo_worker.model.packing import PackedRows

VECTOR = 16
"""Rows are padded to this length, because torch's softmax on a CPU takes seven times as long on shorter ones."""
CHUNK = 2**20
"""How many logits are exponentiated at once on a CPU: few enough to stay in its cache."""
GPU_CHUNK = 2**27
"""Likewise on a GPU, where fewer kernels are faster; the limit bounds the memory that is needed beside the logits."""


@dataclass(frozen=True, slots=True, eq=False)
class _Predictions:
    """What to compute for a batch.

    Attributes:
        layout: The layout of its tokens.
        token_X: The tokens.
        source_N: The tokens, as indices into X, that predict others.
        state_M: The index into N of the token that predicts each completion token.
        chosen_M: The index of that completion token's logit in the flattened logits [N, V].
    """

    layout: Layout
    token_X: Tensor
    source_N: Tensor
    state_M: Tensor
    chosen_M: Tensor


@functools.lru_cache(maxsize=2)  # a replayed batch is prepared once for its k steps
@torch.inference_mode(False)
def _predictions(batch: RolloutBatch, rows: PackedRows, model_ref: weakref.ref[LlamaForCausalLM]) -> _Predictions:
    model = model_ref()
    assert model is not None
    spare = max(0, VECTOR - rows.token_PL.shape[1])
    token_PL, real_PL, position_PL = (F.pad(x, (0, spare)) for x in (rows.token_PL, rows.real_PL, rows.position_PL))
    prompts, length = token_PL.shape
    layout = lay_out(model, real_PL, position_PL, F.pad(rows.mask_P1LL, (0, spare, 0, spare), value=NEVER), length)
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
    """Do the same as `grpo_worker.model.packing.packed_log_probs`."""
    asked = _predictions(batch, rows, weakref.ref(model))
    logp_M, entropy_M = _LogProbs.apply(asked, temperature, *parameters_of(model))  # type: ignore[no-untyped-call]
    return logp_M.view(batch.token_BT.shape), entropy_M.view(batch.token_BT.shape)


class _LogProbs(torch.autograd.Function):
    """Log-probs of the predicted tokens, and entropies of the distributions from which they were sampled."""

    @staticmethod
    def forward(ctx: Any, asked: _Predictions, temperature: float, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        norm_E, head_VE = parameters[-2:]
        x_XE, saved = F.embedding(asked.token_X, parameters[0]), []
        keeps = any(ctx.needs_input_grad)
        for weights in layers(parameters):
            x_XE, of_layer = layer(asked.layout, weights, x_XE)
            if keeps:
                saved.append(of_layer)
        unit_NE, root_N1 = normalized(x_XE.index_select(0, asked.source_N), asked.layout.floor)
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
        del ctx.state  # what follows overwrites its tensors
        grad_N = torch.zeros_like(total_N).index_add_(0, asked.state_M, grad_M)
        grad_NV = weight_NV.mul_(grad_N.div_(total_N).neg_().unsqueeze(1))
        grad_NV.view(-1).index_add_(0, asked.chosen_M, grad_M)
        grad_head_VE = torch.mm(grad_NV.t(), unit_NE * scaled_E)
        past_NE = torch.zeros_like(unit_NE)
        grad_x_NE, grad_scaled_E = norm_backward(torch.mm(grad_NV, parameters[-1]), unit_NE, root_N1, scaled_E, past_NE)
        grad_x_XE = unit_NE.new_zeros(len(asked.token_X), unit_NE.shape[1]).index_copy_(0, asked.source_N, grad_x_NE)
        grads: list[Tensor | None] = [grad_scaled_E.div_(temperature), grad_head_VE]
        for weights in reversed(layers(parameters)):
            grad_x_XE, of_layer = layer_backward(asked.layout, weights, saved.pop(), grad_x_XE)
            grads[:0] = of_layer
        tied = parameters[0] is parameters[-1]
        grad_embedding_VE = grad_head_VE if tied else torch.zeros_like(parameters[0])
        grad_embedding_VE.index_add_(0, asked.token_X, grad_x_XE)
        return None, None, None if tied else grad_embedding_VE, *grads


def _exponentiated(logit_NV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Replace logits by e = exp(logit − top) in place; return top (the row's maximum), Σe and Σe·log e of each row."""
    parts, chunk = [], GPU_CHUNK if logit_NV.is_cuda else CHUNK
    for part_NV in torch.split(logit_NV, max(1, chunk // logit_NV.shape[1])):
        top_N1 = part_NV.amax(-1, keepdim=True)
        shifted_NV = part_NV - top_N1
        torch.exp(shifted_NV, out=part_NV)
        parts.append((top_N1.squeeze(1), part_NV.sum(-1), torch.linalg.vecdot(part_NV, shifted_NV)))
    top_N, total_N, dot_N = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
    return top_N, total_N, dot_N
