"""The GRPO objective as pure tensor functions; equation numbers are those of arXiv 2607.01083.

Shapes: B sequences = P prompts × G group, T completion tokens, V vocabulary. A suffix names the axes, as in
``logp_BT``. Log-probs are natural logarithms. Masks are 1.0 on completion tokens, the end-of-sequence token
included, and 0.0 on padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Aggregation = Literal["sequence_mean", "token_mean"]
KlEstimator = Literal["k1", "k2", "k3"]


MAX_LOG_RATIO = 20.0
"""Log-ratios are clamped to ± this before ``exp``; else those of a policy that has drifted far would give inf − inf."""


def log_ratio(logp_BT: Tensor, other_logp_BT: Tensor) -> Tensor:
    """Log importance ratio log π − log π_other, clamped to ±`MAX_LOG_RATIO`."""
    return (logp_BT - other_logp_BT).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


class Clip(NamedTuple):
    """The interval [1 − low, 1 + high] to which importance ratios are clipped: ε below and above 1."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Surrogate:
    """What a learner step maximises, and the tokens that clipping leaves without a gradient.

    Attributes:
        objective_BT: Objective per token.
        low_BT: True where A < 0 and the ratio lies below the interval.
        high_BT: True where A > 0 and the ratio lies above it.
    """

    objective_BT: Tensor
    low_BT: Tensor
    high_BT: Tensor


def clipped_surrogate(log_ratio_BT: Tensor, advantage_B: Tensor, clip: Clip) -> Surrogate:
    """Clipped surrogate min(ρA, clip(ρ, 1−ε_low, 1+ε_high)A) of eq. (3) per token, with ρ = π_θ/π_μ of eq. (2).

    The minimum is the clipped term, which has no gradient, where A < 0 and ρ < 1−ε_low, and where A > 0 and
    ρ > 1+ε_high.

    Args:
        log_ratio_BT: log ρ.
        advantage_B: One advantage per sequence.
        clip: ε_low and ε_high.

    Source: two different ε are DAPO's, arXiv 2503.14476 §3.1.
    """
    lowest, highest = 1 - clip.low, 1 + clip.high
    ratio_BT = log_ratio_BT.exp()
    advantage_B1 = advantage_B.unsqueeze(1)
    return Surrogate(
        torch.minimum(ratio_BT * advantage_B1, ratio_BT.clamp(lowest, highest) * advantage_B1),
        low_BT=(ratio_BT < lowest) & (advantage_B1 < 0),
        high_BT=(ratio_BT > highest) & (advantage_B1 > 0),
    )


def kl_penalty(logp_BT: Tensor, reference_logp_BT: Tensor, estimator: KlEstimator) -> Tensor:
    """Per-token estimate of KL(π_θ ‖ π_ref), with d = log π_θ − log π_ref, on tokens that π_θ sampled.

    The gradient of an unbiased estimate need not estimate the gradient of the KL. On tokens that π_θ has just sampled:

    | estimator | value | its gradient | which is, in expectation |
    |---|---|---|---|
    | k1 | d, unbiased, may be negative | ∇log π_θ | zero: noise that does not depend on π_ref |
    | k2 | d²/2 ≥ 0, biased | d · ∇log π_θ | ∇KL(π_θ ‖ π_ref): the right one |
    | k3 | e^(−d) − 1 + d ≥ 0, unbiased | (1 − e^(−d)) · ∇log π_θ | ∇KL(π_ref ‖ π_θ): the other direction |

    As in GRPO, the estimates are not corrected for the staleness of the tokens, and the gradient leaves out how a token
    changes the later ones.

    Args:
        logp_BT: log π_θ.
        reference_logp_BT: log π_ref.
        estimator: Which one. For k3, d is clamped to ±`MAX_LOG_RATIO`; beyond that there is no gradient.

    Source: J. Schulman, "Approximating KL divergence" (values); Tang and Munos, arXiv 2506.09477, and Liu et al.,
        arXiv 2510.01555 (gradients); GRPO, arXiv 2402.03300 eq. (4) uses k3.
    """
    if estimator == "k1":
        return logp_BT - reference_logp_BT
    if estimator == "k2":
        return 0.5 * (logp_BT - reference_logp_BT).square()
    difference_BT = log_ratio(logp_BT, reference_logp_BT)
    return torch.expm1(-difference_BT) + difference_BT


def aggregate(value_BT: Tensor, mask_BT: Tensor, how: Aggregation) -> Tensor:
    """Average per-token values to one number.

    Args:
        value_BT: Any per-token value; values on padding, NaN too, are ignored.
        mask_BT: Completion mask; every sequence has at least one token.
        how: ``sequence_mean`` is 1/B Σ_i 1/|y_i| Σ_t, which gives every sequence the same weight (GRPO, arXiv
            2402.03300 eq. 3). ``token_mean`` is 1/Σ_i |y_i| Σ_i Σ_t, which gives every token the same weight (DAPO,
            arXiv 2503.14476 §3.3).
    """
    kept_BT = value_BT.where(mask_BT > 0, 0.0)
    if how == "token_mean":
        return kept_BT.sum() / mask_BT.sum()
    return (kept_BT.sum(1) / mask_BT.sum(1)).mean()
