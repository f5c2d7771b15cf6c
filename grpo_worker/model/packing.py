"""One forward for the G completions of a prompt, each distinct prefix once: a row holds the trie of its group.

The completions ``abe`` and ``ace`` of a prompt make the row ``prompt | a b c``. Each token sees the prompt, its own
ancestors and itself, at the position it has in its own sequence, so the log-probs are those of separate rows, for
a fraction of the tokens. What predicts nothing (the last token of a completion, padding) is left out.

Shapes as in `grpo_worker.model.batches`; further N nodes of the largest trie, of which node 0 is the prompt's last
token, and L = S + N − 1 tokens of a row.
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
    """The tries of a batch of whole groups, one row a prompt.

    Attributes:
        token_PL: The prompt as in the batch, then the trie's nodes in order of first appearance, then padding.
        real_PL: Whether it is a token, not padding.
        position_PL: Position of each token in its own sequence.
        mask_P1LL: Additive mask: 0 where a query may look, the dtype's minimum elsewhere.
        predictor_BT: The node whose logits predict each completion token; 0 on padding.
        first: Place in a row of node 0.
    """

    token_PL: Tensor
    real_PL: Tensor
    position_PL: Tensor
    mask_P1LL: Tensor
    predictor_BT: Tensor
    first: int


@functools.lru_cache(maxsize=2)  # a replayed batch comes back at each of its k steps
@torch.inference_mode(False)  # the reference's rows are the learner's too, and enter its loss
def pack(batch: RolloutBatch, group_size: int, dtype: torch.dtype) -> PackedRows | None:
    """Merge the equal prefixes of each group of a batch, where that saves more than its longer rows cost.

    Args:
        batch: Whole groups.
        group_size: G.
        dtype: Of the mask.

    Returns:
        The rows, or None where their attention would be more than twice that of separate rows.
    """
    prompt_PS, mask_PS = batch.prompt_BS[::group_size], batch.prompt_mask_BS[::group_size]
    (prompts, width), device, length = prompt_PS.shape, prompt_PS.device, batch.token_BT.shape[1]
    tries, predictors = _tries(batch, group_size)
    nodes = 1 + max(map(len, tries))
    tokens = width + nodes - 1
    if tokens**2 > 2 * group_size * (width + length - 1) ** 2:
        return None
    edges = [edge for trie in tries for edge in ((0, 0), *trie, *[(0, 0)] * (nodes - 1 - len(trie)))]
    # One flat list after the other: torch takes several times as long over nested ones.
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
    """The trie of each prompt, (parent, token) → node, and the predictors of all completion tokens in a row."""
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
    """As `grpo_worker.train.objective.token_log_probs`, for a batch and its packed rows."""
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
    """Whether a model heeds a block mask: packed log-probs of a small example equal separate ones.

    Some architectures (state spaces, sliding windows, flash-attention builds) ignore such a mask.
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
    """Two completions of a prompt, to try a model on, and their whole sequences."""
    token_BL = torch.tensor([[1, 2, 3, 4, 1], [1, 2, 4, 3, 1]], device=device)
    prompt_BS, token_BT = token_BL[:, :2], token_BL[:, 2:]
    zero_BT, zero_B = torch.zeros(token_BT.shape, device=device), torch.zeros(len(token_BT), device=device)
    seen_BS, kept_BT = torch.ones_like(prompt_BS), zero_BT + 1
    return RolloutBatch(
        prompt_BS, seen_BS, token_BT, kept_BT, zero_BT, zero_BT, zero_BT, token_BT, zero_B, zero_B
    ), token_BL  # fmt: skip
