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
from scipy.special import chdtrc, chdtri, fdtrc, stdtrit

from orchestrator.laws.estimates import LARGEST_LOG, Side


class HasLogLikelihood(Protocol):
    """A fit."""

    @property
    def log_likelihood(self) -> float:
        """At its maximum."""
        ...


Fitted = TypeVar("Fitted", bound=HasLogLikelihood)
FitAt = Callable[[float, Fitted], Fitted | None]

CONFIDENCE = 0.95

FIRST_STEP = 0.1
"""From an estimate, towards an end of its interval; exponents and logarithms of constants are of order 1."""

FARTHEST = 100.0
"""An end that is farther from the estimate counts as none."""

PRECISION = 2e-3
"""Of an end, relative to its distance from the estimate."""


def quantile(freedom: float = math.inf) -> float:
    """Standard errors that a 95 % interval reaches: Student's t with so many degrees of freedom."""
    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def threshold(n: int, p: int) -> float:
    """The loss 2·Δ log L that a 95 % interval of one coefficient allows; n − p ≥ 1."""
    return n * math.log1p(quantile(n - p) ** 2 / (n - p))


def p_value(loss: float, n: int, p: int, restrictions: int) -> float:
    """Of a loss 2·Δ log L under so many linear restrictions of p coefficients."""
    freedom = n - p
    ratio = freedom / restrictions * math.expm1(min(max(loss, 0.0) / n, LARGEST_LOG))
    return float(fdtrc(restrictions, freedom, ratio))


def chi2_threshold() -> float:
    """The loss that a 95 % interval allows where no small-sample theory is known."""
    return float(chdtri(1, 1 - CONFIDENCE))


def chi2_p_value(loss: float, restrictions: int) -> float:
    """Of a loss 2·Δ log L under so many restrictions."""
    return float(chdtrc(restrictions, max(loss, 0.0)))


def interval(maximum: Fitted, fit_at: FitAt[Fitted], estimate: float, allowed: float) -> Side:
    """Ends of the values next to the estimate that cost at most ``allowed``; None where there is no end.

    Args:
        maximum: The free fit.
        fit_at: The fit with the coefficient held at a value, given a fit to start from.
        estimate: The coefficient's value at the maximum.
        allowed: From `threshold`.
    """
    return _end(maximum, fit_at, estimate, allowed, -1.0), _end(maximum, fit_at, estimate, allowed, 1.0)


def _end(maximum: Fitted, fit_at: FitAt[Fitted], estimate: float, allowed: float, way: float) -> float | None:
    last = maximum
    # a search meets its ends again, where another start could give another value
    known = {0.0: -math.sqrt(allowed)}

    def root(distance: float) -> float:
        """√W, nearly linear in the distance from the estimate, less its largest allowed value."""
        nonlocal last
        if distance not in known:
            last = fit_at(estimate + way * distance, last) or last
            loss = 2 * (maximum.log_likelihood - last.log_likelihood)
            known[distance] = math.sqrt(max(loss, 0.0)) - math.sqrt(allowed)
        return known[distance]

    inside, tried = 0.0, FIRST_STEP
    while tried < FARTHEST:
        excess = root(tried)
        if excess > 0:
            return estimate + way * float(brentq(root, inside, tried, xtol=PRECISION * tried))
        reached = (excess + math.sqrt(allowed)) / math.sqrt(allowed)
        inside, tried = tried, tried * min(max(1.2 / max(reached, 1e-3), 1.2), 4.0)
    return None
