"""Corrections for staleness, each a pure function; `grpo_worker.schema.config.WorkerConfig.correction` names one.

Three policies meet here: π_θ, being trained; π_old, the proximal policy, which is the learner when it first consumed
the batch; μ, the behaviour policy that sampled it. Shapes as in `grpo_worker.train.objective`.

A correction acts in one of three places: on the objective (`CORRECTIONS`) and its interval (`clip_interval`), on the
gradient (`gac_removed_share`), or on the learning rate (`learning_rate_factor`).
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
"""GSPO's own interval, for ratios that are geometric means over a sequence: arXiv 2507.18071 §5.1."""

M2PO_BUDGET = 0.04
"""Bound of the mean squared log-ratio of the tokens that clipping can act on: τ_M2 of arXiv 2510.01161."""

GAC_COSINE = 0.3
"""Largest cosine with the previous gradient that is left alone. Ours: the paper (arXiv 2603.01501) calls synchronous
gradients near-orthogonal; those of different batches of the tiny policy have cosines of 0 to 0.2."""

VCPO_ESS = 1.0
"""Share of the sequences below which the learning rate shrinks; ``base_ess_ratio`` in the paper's training scripts."""

Correction = Callable[[Tensor, RolloutBatch, Clip], Surrogate]
"""From log π_θ [B, T], the batch and the interval to the objective of each token."""


def behavior_ratio(logp_BT: Tensor, batch: RolloutBatch, clip: Clip) -> Surrogate:
    """No correction: the clipped surrogate of ρ = π_θ/μ, eq. (3) of arXiv 2607.01083."""
    return clipped_surrogate(log_ratio(logp_BT, batch.behavior_logp_BT), batch.advantage_B, clip)


def decoupled(logp_BT: Tensor, batch: RolloutBatch, clip: Clip, weight_cap: float = math.inf) -> Surrogate:
    """Decoupled PPO: w · min(rA, clip(r)A) with r = π_θ/π_old and w = π_old/μ.

    The trust region lies around π_old, however old μ is; w corrects for the sampling and is a constant.

    Args:
        logp_BT: log π_θ.
        batch: Its ``proximal_logp_BT`` is filled.
        clip: The interval of r.
        weight_cap: Bound of w.

    Source: Hilton, Cobbe and Schulman, arXiv 2110.00641 (the decoupled objective); for stale rollouts AReaL,
        arXiv 2505.24298.
    """
    weight_BT = log_ratio(batch.proximal_logp_BT, batch.behavior_logp_BT).exp().clamp(max=weight_cap)
    surrogate = clipped_surrogate(log_ratio(logp_BT, batch.proximal_logp_BT), batch.advantage_B, clip)
    return replace(surrogate, objective_BT=weight_BT * surrogate.objective_BT)


def tis(logp_BT: Tensor, batch: RolloutBatch, clip: Clip) -> Surrogate:
    """Truncated importance sampling: `decoupled` with w bounded by `TIS_CAP`, which trades variance for bias.

    Source: Yao et al., "Your efficient RL framework secretly brings you off-policy RL training" (2025); the truncation
        is that of IMPALA, arXiv 1802.01561.
    """
    return decoupled(logp_BT, batch, clip, weight_cap=TIS_CAP)


def cispo(logp_BT: Tensor, batch: RolloutBatch, clip: Clip) -> Surrogate:
    """CISPO: sg(clip(ρ)) · A · log π_θ with ρ = π_θ/μ: the weight is clipped, no token loses its gradient.

    Source: MiniMax-M1, arXiv 2506.13585 eq. (4–5), which leaves the lower side open (ε_low ≥ 1) and takes token means.
    """
    weight_BT = log_ratio(logp_BT.detach(), batch.behavior_logp_BT).exp().clamp(1 - clip.low, 1 + clip.high)
    never_BT = torch.zeros_like(weight_BT, dtype=torch.bool)
    return Surrogate(weight_BT * batch.advantage_B.unsqueeze(1) * logp_BT, low_BT=never_BT, high_BT=never_BT)


def gspo(logp_BT: Tensor, batch: RolloutBatch, clip: Clip) -> Surrogate:
    """GSPO: min(sA, clip(s)A) with one ratio a sequence, s = exp(mean_t log ρ_t), ρ = π_θ/μ.

    Every token carries its sequence's value, so that both aggregations weigh it as they weigh the sequence.

    Source: arXiv 2507.18071 eq. (5).
    """
    log_ratio_BT = log_ratio(logp_BT, batch.behavior_logp_BT).where(batch.mask_BT > 0, 0.0)
    mean_B1 = log_ratio_BT.sum(1, keepdim=True) / batch.mask_BT.sum(1, keepdim=True)
    return clipped_surrogate(mean_B1.expand_as(logp_BT), batch.advantage_B, clip)


def m2po_clip(log_ratio_BT: Tensor, advantage_B: Tensor, mask_BT: Tensor) -> Clip:
    """The interval [e^−τ, e^τ] of M2PO, of the whole minibatch: as wide as `M2PO_BUDGET` allows.

    Of the tokens that clipping can act on (A > 0 and ρ > 1, or A < 0 and ρ < 1; ρ = π_θ/μ) the mean of min(Δ², τ²) may
    not exceed the budget, Δ = log ρ. The largest such τ; infinite, thus no clipping, where the mean of Δ² does not.

    Args:
        log_ratio_BT: log ρ, without gradient.
        advantage_B: One advantage a sequence.
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
    """The interval that a correction clips to.

    Args:
        config: Its ``clip_eps`` and ``clip_eps_high`` count unless the correction brings its own interval.
        batch: The whole minibatch.
        log_probs: Gives its log π_θ [B, T], without gradient; called only where the interval depends on it.
    """
    if config.correction == "gspo":
        return GSPO_CLIP
    if config.correction == "m2po":
        return m2po_clip(log_ratio(log_probs(), batch.behavior_logp_BT), batch.advantage_B, batch.mask_BT)
    high = config.clip_eps if config.clip_eps_high is None else config.clip_eps_high
    return Clip(config.clip_eps, high)


def gac_removed_share(cosine: float | None) -> float:
    """Gradient alignment control: which share of the gradient's part along the previous gradient is removed.

    With c the cosine of both, 1 − `GAC_COSINE`/c where c exceeds it, else 0: what is left along the previous gradient
    is `GAC_COSINE` of the gradient's norm at most.

    Source: arXiv 2603.01501 for the projection (in its abstract); the shrinking rule and its threshold are ours.
    """
    return 1 - GAC_COSINE / cosine if cosine is not None and cosine > GAC_COSINE else 0.0


def learning_rate_factor(config: WorkerConfig, ess_sequence: Callable[[], float]) -> float:
    """What a correction multiplies the learning rate with.

    ``eta_over_k``: 1/k, the local rule k·η ≤ C_local of arXiv 2607.01083 eq. (30) turned into a schedule.
    ``vcpo``: √min(1, ESS/`VCPO_ESS`), arXiv 2602.17616, whose other half, a minimum-variance baseline, is left out.

    Args:
        config: Names the correction.
        ess_sequence: Gives the effective sample size of the sequence ratios π_θ/μ, as a share; called for vcpo only.
    """
    if config.correction == "eta_over_k":
        return 1 / config.k
    if config.correction == "vcpo":
        return math.sqrt(min(1.0, ess_sequence() / VCPO_ESS))
    return 1.0
