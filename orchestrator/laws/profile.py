"""Intervals and tests from the profile likelihood, with thresholds that suit small samples.

A value is kept while twice the loss of log-likelihood, W, stays below a threshold. For normal regression of n values on
p coefficients, W = n·log(1 + t²/(n − p)) exactly, with t Student's; that relation gives threshold and p-value here, n
being the collapsed runs. It tends to χ² as n grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, TypeVar

from scipy.optimize import brentq
from scipy.stats import chi2
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

Side = tuple[float | None, float | None]


class HasLogLikelihood(Protocol):
    """A fit."""

    @property
    def log_likelihood(self) -> float:
        """At its maximum."""
        ...


Fitted = TypeVar("Fitted", bound=HasLogLikelihood)
FitAt = Callable[[float, Fitted], Fitted | None]

CONFIDENCE = 0.95

DOUBLINGS = 12
"""How often a step away from the estimate is doubled before that side counts as open."""


def threshold(n: int, p: int) -> float:
    """The loss 2·Δ log L that a 95 % interval of one coefficient allows; n − p ≥ 1."""
    width = float(t_distribution.ppf(0.5 + CONFIDENCE / 2, n - p))
    return n * math.log1p(width**2 / (n - p))


def p_value(loss: float, n: int, p: int, restrictions: int) -> float:
    """Of a loss 2·Δ log L under so many linear restrictions of p coefficients."""
    freedom = n - p
    ratio = freedom / restrictions * math.expm1(min(max(loss, 0.0) / n, 700.0))
    return float(f_distribution.sf(ratio, restrictions, freedom))


def chi2_threshold() -> float:
    """The loss that a 95 % interval allows where no small-sample theory is known."""
    return float(chi2.ppf(CONFIDENCE, 1))


def chi2_p_value(loss: float, restrictions: int) -> float:
    """Of a loss 2·Δ log L under so many restrictions."""
    return float(chi2.sf(max(loss, 0.0), restrictions))


def interval(maximum: Fitted, fit_at: FitAt[Fitted], estimate: float, allowed: float, step: float) -> Side:
    """Ends of the values next to the estimate that cost at most ``allowed``; None where there is no end.

    Args:
        maximum: The free fit.
        fit_at: The fit with the coefficient held at a value, given a fit to start from.
        estimate: The coefficient's value at the maximum.
        allowed: From `threshold`.
        step: A first step, of the order of the interval's half-width.
    """
    return tuple(_end(maximum, fit_at, estimate, allowed, way * step) for way in (-1, 1))  # type: ignore[return-value]


def _end(maximum: Fitted, fit_at: FitAt[Fitted], estimate: float, allowed: float, step: float) -> float | None:
    last = maximum

    def excess(value: float) -> float:
        nonlocal last
        last = fit_at(value, last) or last
        return 2 * (maximum.log_likelihood - last.log_likelihood) - allowed

    inside, tried = estimate, estimate + step
    for _ in range(DOUBLINGS):
        if excess(tried) > 0:
            return float(
                brentq(lambda x: excess(x) if x != estimate else -allowed, inside, tried, xtol=abs(step) / 100)
            )
        inside, tried = tried, estimate + 2 * (tried - estimate)
    return None
