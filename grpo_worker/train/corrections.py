"""Corrections for staleness as pure functions; `grpo_worker.schema.config.WorkerConfig.correction` chooses one.

They compare three policies: π_θ is being trained; π_old, the proximal policy, is π_θ as it was when it first consumed
the batch; μ, the behaviour policy, sampled the batch. Shapes as in `grpo_worker.train.objective`.

A correction changes one of three things: the objective (`CORRECTIONS`) and its interval (`clip_interval`), the gradient
(`gac_removed_share`), or the learning rate (`learning_rate_factor`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.train.objective import Clip, Surrogate, clipped_surrogate, log_ratio

TIS_CAP = 2.0
"""C of truncated importance sampling; verl's ``rollout_is_threshold``."""

GSPO_CLIP = Clip(3e-4, 4e-4)
"""The interval of GSPO's ratios, which are geometric means over a sequence: arXiv 2507.18071 §5.1."""

M2PO_BUDGET = 0.04
"""Largest mean squared log-ratio of the tokens that clipping can act on: τ_M2 of arXiv 2510.01161."""

GAC_COSINE = 0.3
"""Largest cosine with the previous gradient at which the gradient is not changed. The value is ours: the paper (arXiv
2603.01501) calls synchronous gradients near-orthogonal, and gradients of different batches of the tiny policy have
cosines of 0 to 0.2."""

VCPO_ESS = 1.0
"""Effective sample size, as a share of the sequences, below which the learning rate shrinks; ``base_ess_ratio`` in the
paper's training scripts."""

Correction = Callable[[Tensor, RolloutBatch, Clip], Surrogate]
"""(log π_θ [B, T], batch, interval) → the objective of each token."""


def behavior_ratio(logp_BT: Tensor, batch: RolloutBatch, clip: Clip) -> Surrogate:
    """No correction: the clipped surrogate of ρ = π_θ/μ, eq. (3) of arXiv 2607.01083."""
    return clipped_surrogate(log_ratio(logp_BT, batch.behavior_logp_BT), batch.advantage_B, clip)


def decoupled(logp_BT: Tensor, batch: RolloutBatch, clip: Clip, weight_cap: float = math.inf) -> Surrogate:
    """Decoupled PPO: w · min(rA, clip(r)A) with r = π_θ/π_old and w = π_old/μ.

    The trust region lies around π_old, however old μ is. The weight w corrects for sampling from μ and has no gradient.

    Args:
        logp_BT: log π_θ.
        batch: The learner has filled in its ``proximal_logp_BT``.
        clip: The interval of r.
        weight_cap: Upper bound of w.

    Source: Hilton, Cobbe and Schulman, arXiv 2110.00641 (the decoupled objective); for stale rollouts AReaL,
        arXiv 2505.24298.
    """
    weight_BT = log_ratio(batch.proximal_logp_BT, batch.behavior_logp_BT).exp().clamp(max=weight_cap)
    surrogate = clipped_surrogate(log_ratio(logp_BT, batch.proximal_logp_BT), batch.advantage_B, clip)
    return replace(surrogate, objective_BT=weight_BT * surrogate.objective_BT)


def tis(logp_BT: Tensor, batch: RolloutBatch, clip: Clip) -> Surrogate:
    """Truncated importance sampling: `decoupled` with w bounded by `TIS_CAP`, for less variance and some bias.

    Source: Yao et al., "Your efficient RL framework secretly brings you off-policy RL training" (2025); the truncation
        is that of IMPALA, arXiv 1802.01561.
    """
    return decoupled(logp_BT, batch, clip, weight_cap=TIS_CAP)


def cispo(logp_BT: Tensor, batch: RolloutBatch, clip: Clip) -> Surrogate:
    """CISPO: sg(clip(ρ)) · A · log π_θ with ρ = π_θ/μ and sg = stop-gradient.

    Clipping bounds the weight of a token but, unlike in the clipped surrogate, leaves it a gradient.

    Source: MiniMax-M1, arXiv 2506.13585 eq. (4–5), which does not clip from below (ε_low ≥ 1) and takes token means.
    """
    weight_BT = log_ratio(logp_BT.detach(), batch.behavior_logp_BT).exp().clamp(1 - clip.low, 1 + clip.high)
    never_BT = torch.zeros_like(weight_BT, dtype=torch.bool)
    return Surrogate(weight_BT * batch.advantage_B.unsqueeze(1) * logp_BT, low_BT=never_BT, high_BT=never_BT)


def gspo(logp_BT: Tensor, batch: RolloutBatch, clip: Clip) -> Surrogate:
    """GSPO: min(sA, clip(s)A) with one ratio per sequence, s = exp(mean_t log ρ_t), ρ = π_θ/μ.

    Every token gets the value of its sequence, so that both aggregations weigh it as for other corrections.

    Source: arXiv 2507.18071 eq. (5).
    """
    log_ratio_BT = log_ratio(logp_BT, batch.behavior_logp_BT).where(batch.mask_BT > 0, 0.0)
    mean_B1 = log_ratio_BT.sum(1, keepdim=True) / batch.mask_BT.sum(1, keepdim=True)
    return clipped_surrogate(mean_B1.expand_as(logp_BT), batch.advantage_B, clip)


def m2po_clip(log_ratio_BT: Tensor, advantage_B: Tensor, mask_BT: Tensor) -> Clip:
    """The interval [e^−τ, e^τ] of M2PO, one for the whole minibatch: as wide as `M2PO_BUDGET` allows.

    Let Δ = log ρ, ρ = π_θ/μ. τ is the largest number for which the mean of min(Δ², τ²) does not exceed the budget. The
    mean is over the tokens that clipping can act on: A > 0 and ρ > 1, or A < 0 and ρ < 1. Where the mean of Δ² itself
    does not exceed the budget, τ is infinite and nothing is clipped.

    Args:
        log_ratio_BT: log ρ, without gradient.
        advantage_B: One advantage per sequence.
        mask_BT: Completion mask.

    Source: arXiv 2510.01161; its code (Infini-AI-Lab/M2PO, ``kpo_clip_harmful_tokens``) takes the largest Δ² below τ²
        instead, which clips the same tokens.
    """
    harmful_BT = (mask_BT > 0) & (log_ratio_BT * advantage_B.unsqueeze(1) > 0)
    square_N = log_ratio_BT[harmful_BT].double().square().sort().values
    count = len(square_N)
    budget = M2PO_BUDGET * count
    below_N = torch.nn.functional.pad(square_N.cumsum(0), (1, 0))
    if float(below_N[-1]) <= budget:
        return Clip(1.0, math.inf)
    capped_N = below_N[:-1] + square_N * torch.arange(count, 0, -1, device=square_N.device)
    kept = int(torch.searchsorted(capped_N, budget))
    tau = math.sqrt((budget - float(below_N[kept])) / (count - kept))
    return Clip(-math.expm1(-tau), math.expm1(tau))


CORRECTIONS: dict[str, Correction] = {
    "none": behavior_ratio, "m2po": behavior_ratio,
    "gac": behavior_ratio, "vcpo": behavior_ratio, "eta_over_k": behavior_ratio,
    "tis": tis, "decoupled": decoupled, "cispo": cispo, "gspo": gspo,
}  # fmt: skip


def clip_interval(config: WorkerConfig, batch: RolloutBatch, log_probs: Callable[[], Tensor]) -> Clip:
    """The interval to which ratios are clipped: that of ``clip_eps`` and ``clip_eps_high``, or the correction's own.

    Args:
        config: The run's config.
        batch: The whole minibatch.
        log_probs: Returns log π_θ [B, T] of the minibatch, without gradient; called only if the interval depends on it.
    """
    if config.correction == "gspo":
        return GSPO_CLIP
    if config.correction == "m2po":
        return m2po_clip(log_ratio(log_probs(), batch.behavior_logp_BT), batch.advantage_B, batch.mask_BT)
    high = config.clip_eps if config.clip_eps_high is None else config.clip_eps_high
    return Clip(config.clip_eps, high)


def gac_removed_share(cosine: float | None) -> float:
    """Gradient alignment control (GAC): the share to remove of the gradient's component along the previous gradient.

    It is 1 − `GAC_COSINE`/c where the cosine c of the two gradients exceeds `GAC_COSINE`, else 0. The component that is
    left is then at most `GAC_COSINE` times the gradient's norm.

    Source: arXiv 2603.01501 (abstract) for the projection; how much to remove, and above which cosine, is ours.
    """
    return 1 - GAC_COSINE / cosine if cosine is not None and cosine > GAC_COSINE else 0.0


def learning_rate_factor(config: WorkerConfig, ess_sequence: Callable[[], float]) -> float:
    """The factor by which a correction multiplies the learning rate.

    ``eta_over_k``: 1/k, the local rule k·η ≤ C_local of arXiv 2607.01083 eq. (30) turned into a schedule.
    ``vcpo``: √min(1, ESS/`VCPO_ESS`), arXiv 2602.17616, whose other half, a minimum-variance baseline, is left out.

    Args:
        config: The run's config.
        ess_sequence: Returns the effective sample size of the sequence ratios π_θ/μ, as a share of the sequences;
            called for ``vcpo`` only.
    """
    if config.correction == "eta_over_k":
        return 1 / config.k
    if config.correction == "vcpo":
        return math.sqrt(min(1.0, ess_sequence() / VCPO_ESS))
    return 1.0
