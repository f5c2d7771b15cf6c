"""The grid of one boundary η_max(k): what the runs at k say about it, and how boundaries lie around their law."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from orchestrator.laws.estimates import Array

DEVIATIONS = (0.1, 0.2, 0.4)
"""τ: how far boundaries lie from their power law, factors of 1.1, 1.2 and 1.5; those of tiny runs by some 1.25."""

SMALLEST = 1e-300
"""Smallest likelihood, so that it has a logarithm."""


@dataclass(frozen=True, eq=False, slots=True)
class AtK:
    """What the runs at one k say about its boundary.

    Attributes:
        log_likelihood: By boundary and steepness, shape (places, steepnesses).
        likelihood: The same, 1 at its largest.
        evidence: Likelihood of a law whose centre lies at each place, shape (τ, places, steepnesses).
    """

    log_likelihood: Array
    likelihood: Array
    evidence: Array

    @classmethod
    def of(cls, log_likelihood: Array, kernels: Array) -> AtK:
        """From the log-likelihood, and `kernels_of` the grid."""
        likelihood = np.maximum(np.exp(log_likelihood - log_likelihood.max()), SMALLEST)
        return cls(log_likelihood, likelihood, kernels @ likelihood)


@functools.lru_cache(maxsize=8)
def kernels_of(places: int, step: float) -> Array:
    """Distribution of boundaries around a centre, shape (τ, centres, places)."""
    apart = step * (np.arange(places) - np.arange(places)[:, None])
    shapes = np.stack([np.exp(-((apart / deviation) ** 2) / 2) for deviation in DEVIATIONS])
    found: Array = shapes / shapes.sum(axis=2, keepdims=True)
    return found


@functools.lru_cache(maxsize=8)
def unseen(places: int, steepnesses: int) -> AtK:
    """At a k where no run has ended."""
    one = np.ones((places, steepnesses))
    return AtK(np.zeros_like(one), one, np.ones((len(DEVIATIONS), places, steepnesses)))


def points(low: float, high: float, step: float) -> Array:
    """An axis of a grid, with steps of at most ``step``."""
    return np.linspace(low, high, math.ceil((high - low) / step) + 1)
