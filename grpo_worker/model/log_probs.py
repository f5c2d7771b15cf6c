"""Log-probabilities and entropies from a model's logits, at the temperature with which tokens are sampled."""

from __future__ import annotations

import torch
from torch import Tensor


def log_distribution(logits_XV: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities of all tokens and entropy at each position, at the sampling temperature.

    Args:
        logits_XV: Logits; the vocabulary is the last axis.
        temperature: Divides the logits, as in sampling.

    Returns:
        ``(logp_XV, entropy_X)`` in float32; the entropy carries no gradient.
    """
    logp_XV = torch.log_softmax(logits_XV.float() / temperature, dim=-1)
    with torch.no_grad():
        entropy_X = torch.special.entr(logp_XV.exp()).sum(-1)
    return logp_XV, entropy_X


def token_log_probs(logits_BTV: Tensor, token_BT: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability of each token and entropy at each position, at the sampling temperature.

    Args:
        logits_BTV: Logits at the positions that predict ``token_BT``.
        token_BT: Token ids.
        temperature: Divides the logits, as in sampling.

    Returns:
        ``(logp_BT, entropy_BT)`` in float32; the entropy carries no gradient.
    """
    all_logp_BTV, entropy_BT = log_distribution(logits_BTV, temperature)
    return all_logp_BTV.gather(-1, token_BT.unsqueeze(-1)).squeeze(-1), entropy_BT
