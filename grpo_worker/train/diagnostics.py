"""Diagnostics of staleness as pure functions.

Shapes as in `grpo_worker.train.objective`; N counts all unpadded tokens, or the samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.train.objective import kl_penalty, log_ratio


def cosine(norm: float, other_norm: float, dot: float) -> float | None:
    """Cosine of two vectors, given their norms and their dot product; None if a norm is 0: it is then not defined."""
    return None if norm == 0 or other_norm == 0 else dot / (norm * other_norm)


def effective_sample_size(log_weight_N: Tensor) -> Tensor:
    """(Σw)² / (N Σw²) of importance weights w: 1 when all are equal, 1/N when one dominates.

    Args:
        log_weight_N: log w. Their maximum is subtracted first, so that exp cannot overflow.
    """
    weight_N = (log_weight_N - log_weight_N.max()).exp()
    return weight_N.sum().square() / (len(weight_N) * weight_N.square().sum())


@torch.inference_mode()
def policy_metrics(
    batch: RolloutBatch, logp_BT: Tensor, entropy_BT: Tensor, low_BT: Tensor, high_BT: Tensor
) -> dict[str, Tensor]:
    """Measure the policy at a learner step.

    Args:
        batch: The minibatch that the step consumed.
        logp_BT: log π_θ before the update.
        entropy_BT: Entropy of π_θ at each token, in nats.
        low_BT: Where the step's surrogate clipped a token with A < 0.
        high_BT: Where it clipped a token with A > 0.

    Returns:
        0-d tensors, named as in `grpo_worker.train.learner.StepMetrics`.
    """
    kept_BT = batch.mask_BT > 0
    log_ratio_BT = log_ratio(logp_BT, batch.behavior_logp_BT)
    kl_reference_BT = kl_penalty(logp_BT, batch.reference_logp_BT, "k3")
    rows_5BT = torch.stack([log_ratio_BT, kl_reference_BT, entropy_BT, low_BT, high_BT])
    rows_5N = rows_5BT[:, kept_BT]
    log_ratio_N = rows_5N[0]
    ratio_N = log_ratio_N.exp()
    of_ratio_4N = torch.stack([ratio_N, ratio_N.square(), log_ratio_N.expm1() - log_ratio_N, log_ratio_N.abs()])
    (kl_reference, entropy, clip_fraction_low, clip_fraction_high,
     ratio_mean, ratio_square, kl_behavior, abs_log_ratio) = torch.cat([rows_5N[1:], of_ratio_4N]).mean(1)  # fmt: skip
    return {
        "ratio_mean": ratio_mean, "ratio_max": ratio_N.max(),
        "clip_fraction_low": clip_fraction_low, "clip_fraction_high": clip_fraction_high,
        "kl_behavior": kl_behavior, "kl_reference": kl_reference,
        "ess_token": ratio_mean.square() / ratio_square,
        "ess_sequence": effective_sample_size(log_ratio_BT.where(kept_BT, 0.0).sum(1)),
        "entropy": entropy, "abs_log_ratio": abs_log_ratio,
    }  # fmt: skip


class LagHistogram:
    """Counts consumed tokens by their lag in learner steps."""

    def __init__(self, tokens: Mapping[int, int] | None = None) -> None:
        self._tokens: Counter[int] = Counter(tokens or {})

    def tokens(self) -> dict[int, int]:
        """Lag → number of tokens."""
        return dict(self._tokens)

    def add(self, lag_N: Tensor) -> None:
        """Count tokens, given the lag of each."""
        lags, counts = torch.unique(lag_N, return_counts=True)
        self._tokens.update(dict(zip(lags.tolist(), counts.tolist(), strict=True)))

    @property
    def min(self) -> int:
        """Smallest lag."""
        return min(self._tokens)

    @property
    def max(self) -> int:
        """Largest lag."""
        return max(self._tokens)

    @property
    def mean(self) -> float:
        """Mean lag over tokens."""
        return sum(lag * n for lag, n in self._tokens.items()) / self._tokens.total()

    def quantile(self, q: float) -> int:
        """The smallest lag such that at least a share ``q`` of the tokens has that lag or a smaller one."""
        needed, seen = q * self._tokens.total(), 0
        for lag in sorted(self._tokens):
            seen += self._tokens[lag]
            if seen >= needed:
                return lag
        return self.max
