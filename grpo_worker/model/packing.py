"""Packing: the G completions of a prompt share one row, in which each distinct prefix is computed once.

A row holds the prompt and the trie of its group. The completions ``abe`` and ``ace`` give the row ``prompt | a b c``.
Each token attends to the prompt, to its own ancestors and to itself, at the position that it has in its own sequence.
The log-probs are therefore those of separate rows, for a fraction of the tokens. Tokens that predict nothing (the last
token of a completion, padding) are left out.

Shapes as in `grpo_worker.model.batches`; also N nodes of the largest trie, of which node 0 is the last token of the
prompt, and L = S + N − 1 tokens of a row.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.model.log_probs import log_distribution, token_log_probs

_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.3}


@dataclass(frozen=True, slots=True, eq=False)
class PackedRows:
    """The tries of a batch of whole groups, one row per prompt.

    Attributes:
        token_PL: The prompt as in the batch, then the nodes of the trie in order of first appearance, then padding.
        real_PL: True on tokens, False on padding.
        position_PL: Position of each token in its own sequence.
        mask_P1LL: Additive attention mask: 0 where a query may attend to a key, the dtype's minimum elsewhere.
        predictor_BT: The node whose logits predict each completion token; 0 on padding.
        first: The place of node 0 in a row.
    """

    token_PL: Tensor
    real_PL: Tensor
    position_PL: Tensor
    mask_P1LL: Tensor
    predictor_BT: Tensor
    first: int


@functools.lru_cache(maxsize=2)  # a replayed batch is packed once for its k steps
@torch.inference_mode(False)  # the reference policy may pack first, and the learner's loss uses the same rows
def pack(batch: RolloutBatch, group_size: int, dtype: torch.dtype) -> PackedRows | None:
    """Merge the equal prefixes of each group of a batch, unless the longer rows would cost too much.

    Args:
        batch: Whole groups.
        group_size: G.
        dtype: The dtype of the mask.

    Returns:
        The rows, or None if their attention would cost more than twice that of separate rows.
    """
    prompt_PS, mask_PS = batch.prompt_BS[::group_size], batch.prompt_mask_BS[::group_size]
    (prompts, width), device, length = prompt_PS.shape, prompt_PS.device, batch.token_BT.shape[1]
    tries, predictors = _tries(batch, group_size)
    nodes = 1 + max(map(len, tries))
    tokens = width + nodes - 1
    if tokens**2 > 2 * group_size * (width + length - 1) ** 2:
        return None
    edges = [edge for trie in tries for edge in ((0, 0), *trie, *[(0, 0)] * (nodes - 1 - len(trie)))]
    # Flat lists, because torch takes several times as long to convert nested ones.
    parent_PN, token_PN = (torch.tensor(ids, device=device).view(prompts, nodes) for ids in zip(*edges, strict=True))
    size_P = torch.tensor([1 + len(trie) for trie in tries], device=device)

    node_PN = torch.arange(nodes, device=device).expand(prompts, nodes)
    sees_PNN = torch.zeros(prompts, nodes, nodes, dtype=torch.bool, device=device)
    for _ in range(length - 1):
        sees_PNN.scatter_(2, node_PN.unsqueeze(2), True)
        node_PN = parent_PN.gather(1, node_PN)
    allowed_PLL = torch.ones(prompts, tokens, tokens, dtype=torch.bool, device=device).tril()
    allowed_PLL[:, :, :width] &= mask_PS.bool().unsqueeze(1)
    allowed_PLL[:, width:, width:] = sees_PNN[:, 1:, 1:]

    mask_PLL = torch.zeros(allowed_PLL.shape, dtype=dtype, device=device)
    is_node_PN = torch.arange(nodes, device=device) < size_P.unsqueeze(1)
    return PackedRows(
        token_PL=torch.cat([prompt_PS, token_PN[:, 1:]], dim=1),
        real_PL=torch.cat([mask_PS.bool(), is_node_PN[:, 1:]], dim=1),
        position_PL=(allowed_PLL.sum(2) - 1).clamp(min=0),
        mask_P1LL=mask_PLL.masked_fill_(~allowed_PLL, torch.finfo(dtype).min).unsqueeze(1),
        predictor_BT=torch.tensor(predictors, device=device).view(-1, length),
        first=width - 1,
    )


def _tries(batch: RolloutBatch, group_size: int) -> tuple[list[dict[tuple[int, int], int]], list[int]]:
    """The trie of each prompt, (parent, token) → node, and the predictors of all completion tokens, flat."""
    tries: list[dict[tuple[int, int], int]] = []
    predictors: list[int] = []
    lengths = batch.mask_BT.sum(1).long().tolist()
    for i, (tokens, length) in enumerate(zip(batch.token_BT.tolist(), lengths, strict=True)):
        if i % group_size == 0:
            tries.append({})
        trie, path = tries[-1], [0]
        for token in tokens[: length - 1]:
            path.append(trie.setdefault((path[-1], token), len(trie) + 1))
        predictors += path + [0] * (len(tokens) - len(path))
    return tries, predictors


def packed_log_probs(
    model: nn.Module, batch: RolloutBatch, rows: PackedRows, temperature: float
) -> tuple[Tensor, Tensor]:
    """Do the same as `grpo_worker.model.log_probs.token_log_probs`, for a batch and its packed rows."""
    prompts, length = rows.token_PL.shape
    logits_PNV = model(
        input_ids=rows.token_PL, attention_mask=rows.mask_P1LL, position_ids=rows.position_PL, use_cache=False,
        logits_to_keep=length - rows.first,
    ).logits  # fmt: skip
    all_logp_PNV, entropy_PN = log_distribution(logits_PNV, temperature)
    chosen_BT = rows.predictor_BT * logits_PNV.shape[2] + batch.token_BT
    logp = all_logp_PNV.flatten(1).gather(1, chosen_BT.view(prompts, -1))
    entropy = entropy_PN.gather(1, rows.predictor_BT.view(prompts, -1))
    return logp.view(chosen_BT.shape), entropy.view(chosen_BT.shape)


@torch.no_grad()
def is_exact(model: nn.Module) -> bool:
    """Whether packing works with a model: packed log-probs of a small example equal those of separate rows.

    Some models (state spaces, sliding windows, some builds of flash attention) ignore the mask that packing needs.
    """
    parameter = next(model.parameters())
    batch, token_BL = example(parameter.device)
    separate, _ = token_log_probs(model(input_ids=token_BL, use_cache=False).logits[:, 1:-1], batch.token_BT, 1.0)
    rows = pack(batch, 2, parameter.dtype)
    assert rows is not None, "so small an example is always packed"
    try:
        packed, _ = packed_log_probs(model, batch, rows, 1.0)
    except (RuntimeError, ValueError, TypeError):
        return False
    return bool((packed - separate).abs().max() < _TOLERANCE[parameter.dtype])


def example(device: torch.device) -> tuple[RolloutBatch, Tensor]:
    """A small batch to test a model with: two completions of a prompt; and their whole sequences."""
    token_BL = torch.tensor([[1, 2, 3, 4, 1], [1, 2, 4, 3, 1]], device=device)
    prompt_BS, token_BT = token_BL[:, :2], token_BL[:, 2:]
    zero_BT, zero_B = torch.zeros(token_BT.shape, device=device), torch.zeros(len(token_BT), device=device)
    seen_BS, kept_BT = torch.ones_like(prompt_BS), zero_BT + 1
    return RolloutBatch(
        prompt_BS, seen_BS, token_BT, kept_BT, zero_BT, zero_BT, zero_BT, token_BT, zero_B, zero_B
    ), token_BL  # fmt: skip
