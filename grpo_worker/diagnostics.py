"""Diagnostics of staleness as pure tensor functions. Shapes as in `grpo_worker.objective`; N is all parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor


def cosine(a_N: Tensor, b_N: Tensor) -> float | None:
    """Cosine similarity of two flat vectors; None when either is zero, where it is not defined."""
    norms = a_N.norm() * b_N.norm()
    return float(torch.dot(a_N, b_N) / norms) if norms > 0 else None


def effective_sample_size(log_weight_N: Tensor) -> float:
    """(Σw)² / (N Σw²) of importance weights, as a share of the samples: 1 when all are equal, 1/N when one dominates.

    Args:
        log_weight_N: Log importance weights; shifted by their maximum first, so that exp cannot overflow.
    """
    weight_N = (log_weight_N - log_weight_N.max()).exp()
    return float(weight_N.sum() ** 2 / (len(weight_N) * (weight_N**2).sum()))


def clip_fractions(log_ratio_BT: Tensor, advantage_B: Tensor, mask_BT: Tensor, clip_eps: float) -> tuple[float, float]:
    """Share of tokens whose gradient the clipping removes: ``(low, high)``.

    Low: A < 0 and ρ < 1 − ε. High: A > 0 and ρ > 1 + ε. (Elsewhere the minimum of eq. (3) picks the unclipped term.)
    """
    ratio_BT, advantage_B1, tokens = log_ratio_BT.exp(), advantage_B.unsqueeze(1), mask_BT.sum()
    low_BT = (advantage_B1 < 0) & (ratio_BT < 1 - clip_eps) & (mask_BT > 0)
    high_BT = (advantage_B1 > 0) & (ratio_BT > 1 + clip_eps) & (mask_BT > 0)
    return float(low_BT.sum() / tokens), float(high_BT.sum() / tokens)


class LagHistogram:
    """Counts consumed tokens by their lag in learner steps."""

    def __init__(self, tokens: Mapping[int, int] | None = None) -> None:
        self._tokens: Counter[int] = Counter(tokens or {})

    def tokens(self) -> dict[int, int]:
        """How many tokens had which lag."""
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
        """Smallest lag that at least a share q of the tokens does not exceed."""
        needed, seen = q * self._tokens.total(), 0
        for lag in sorted(self._tokens):
            seen += self._tokens[lag]
            if seen >= needed:
                return lag
        return self.max
