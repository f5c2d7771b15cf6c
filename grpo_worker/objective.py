"""The GRPO objective as pure tensor functions; equation numbers are those of arXiv 2607.01083.

Shapes: B sequences = P prompts × G group, T completion tokens, V vocabulary. A suffix names the axes, as in
``logp_BT``. Log-probs are natural logarithms. Masks are 1.0 on completion tokens, the end-of-sequence token
included, and 0.0 on padding.
"""

from __future__ import annotations

import torch
from torch import Tensor

ADVANTAGE_DELTA = 1e-4
"""δ of eq. (1): keeps the advantage of a group of equal rewards at zero."""

MAX_LOG_RATIO = 20.0
"""Log-ratios are clamped to ± this before ``exp``: a policy that has drifted far would overflow to inf − inf."""


def group_advantages(reward_PG: Tensor, *, divide_by_std: bool) -> Tensor:
    """Normalise rewards within each group: A = (r − mean r) / (std r + δ), eq. (1).

    Args:
        reward_PG: Rewards, one row a prompt.
        divide_by_std: Without it the advantage is only centred (as in Dr. GRPO, arXiv 2503.20783).

    Returns:
        Advantages [P, G]. The standard deviation is the sample's (denominator G − 1).
    """
    centred_PG = reward_PG - reward_PG.mean(dim=1, keepdim=True)
    if not divide_by_std:
        return centred_PG
    return centred_PG / (reward_PG.std(dim=1, keepdim=True) + ADVANTAGE_DELTA)


def log_distribution(logits_XV: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability of every token, and entropy, at each position under the sampling temperature.

    Args:
        logits_XV: Logits, the vocabulary last.
        temperature: Divides the logits, as in sampling.

    Returns:
        ``(logp_XV, entropy_X)`` in float32; the entropy carries no gradient.
    """
    logp_XV = torch.log_softmax(logits_XV.float() / temperature, dim=-1)
    with torch.no_grad():
        entropy_X = torch.special.entr(logp_XV.exp()).sum(-1)
    return logp_XV, entropy_X


def token_log_probs(logits_BTV: Tensor, token_BT: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability of each token and entropy of each position under the sampling temperature.

    Args:
        logits_BTV: Logits at the positions that predict ``token_BT``.
        token_BT: Token ids.
        temperature: Divides the logits, as in sampling.

    Returns:
        ``(logp_BT, entropy_BT)`` in float32; the entropy carries no gradient.
    """
    all_logp_BTV, entropy_BT = log_distribution(logits_BTV, temperature)
    return all_logp_BTV.gather(-1, token_BT.unsqueeze(-1)).squeeze(-1), entropy_BT


def log_ratio(logp_BT: Tensor, other_logp_BT: Tensor) -> Tensor:
    """Log importance ratio log π − log π_other, clamped to ±`MAX_LOG_RATIO`."""
    return (logp_BT - other_logp_BT).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def clipped_surrogate(log_ratio_BT: Tensor, advantage_B: Tensor, clip_eps: float) -> Tensor:
    """Per-token clipped surrogate min(ρA, clip(ρ, 1−ε, 1+ε)A) of eq. (3), with ρ = π_θ/π_μ of eq. (2) per token.

    μ is the behaviour policy: its log-probs were stored when the token was sampled.

    Args:
        log_ratio_BT: log ρ.
        advantage_B: One advantage a sequence.
        clip_eps: ε.

    Returns:
        Objective per token [B, T], to be maximised.
    """
    ratio_BT = log_ratio_BT.exp()
    advantage_B1 = advantage_B.unsqueeze(1)
    return torch.minimum(ratio_BT * advantage_B1, ratio_BT.clamp(1 - clip_eps, 1 + clip_eps) * advantage_B1)


def kl_k3(log_ratio_BT: Tensor) -> Tensor:
    """Per-token estimate of KL(π_θ ‖ π_ref) on samples of π_θ: π_ref/π_θ − 1 − log(π_ref/π_θ) ≥ 0.

    Args:
        log_ratio_BT: log π_θ − log π_ref.

    Source: J. Schulman, "Approximating KL divergence" (estimator k3); the penalty of GRPO, arXiv 2402.03300 eq. (4).
    """
    return torch.expm1(-log_ratio_BT) + log_ratio_BT


def sequence_mean(value_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over each sequence's own tokens, then over sequences: 1/B Σ_i 1/|y_i| Σ_t, as in GRPO.

    Args:
        value_BT: Any per-token value; masked positions are ignored, whatever they hold.
        mask_BT: Completion mask; every sequence has at least one token.
    """
    kept_BT = value_BT.where(mask_BT > 0, 0.0)
    return (kept_BT.sum(1) / mask_BT.sum(1)).mean()
