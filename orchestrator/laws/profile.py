"""Intervals and tests from the profile likelihood, with thresholds that suit small samples.

An interval contains the values at which W, twice the loss of log-likelihood, stays below a threshold. For a normal
regression of n values on p coefficients, W = n·log(1 + t²/(n − p)) exactly, with t Student's. Thresholds and p-values
follow from that relation, with n the number of collapsed runs. Both tend to those of χ² as n grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq
from scipy.special import chdtrc, chdtri, fdtrc, stdtrit

from orchestrator.laws.estimates import LARGEST_LOG, Side
from orchestrator.laws.maximum import Maximum

FitAt = Callable[[float, Maximum], Maximum | None]
"""Fits with a coefficient held at a value, starting from another maximum."""

CONFIDENCE = 0.95

FIRST_STEP = 0.1
"""First distance from the estimate that is tried. Exponents and logarithms of constants are of order 1."""

FARTHEST = 100.0
"""If no end is found within this distance of the estimate, the interval is open on that side."""

PRECISION = 2e-3
"""Precision of an end, relative to its distance from the estimate."""


def quantile(freedom: float = math.inf) -> float:
    """Half-width of a 95 % interval in standard errors: the quantile of Student's t with ``freedom`` degrees."""
    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def threshold(n: int, p: int) -> float:
    """Largest loss 2·Δ log L inside the 95 % interval of one of p coefficients; needs n − p ≥ 1."""
    return n * math.log1p(quantile(n - p) ** 2 / (n - p))


def p_value(loss: float, n: int, p: int, restrictions: int) -> float:
    """p-value of a loss 2·Δ log L when ``restrictions`` linear restrictions are put on p coefficients."""
    freedom = n - p
    ratio = freedom / restrictions * math.expm1(min(max(loss, 0.0) / n, LARGEST_LOG))
    return float(fdtrc(restrictions, freedom, ratio))


def chi2_threshold() -> float:
    """Largest loss inside a 95 % interval where no small-sample theory is known."""
    return float(chdtri(1, 1 - CONFIDENCE))


def chi2_p_value(loss: float, restrictions: int) -> float:
    """p-value of a loss 2·Δ log L where no small-sample theory is known."""
    return float(chdtrc(restrictions, max(loss, 0.0)))


def interval(maximum: Maximum, fit_at: FitAt, estimate: float, allowed: float) -> Side:
    """Find the values on both sides of the estimate that cost exactly ``allowed``; None where there is none.

    Args:
        maximum: The free fit.
        fit_at: Fits with the coefficient held.
        estimate: The coefficient's value at the maximum.
        allowed: The largest loss, from `threshold`.
    """
    return _end(maximum, fit_at, estimate, allowed, -1.0), _end(maximum, fit_at, estimate, allowed, 1.0)


def _end(maximum: Maximum, fit_at: FitAt, estimate: float, allowed: float, way: float) -> float | None:
    last = maximum
    # brentq asks again for the ends of its bracket, where a fit from another start could give another value
    known = {0.0: -math.sqrt(allowed)}

    def root(distance: float) -> float:
        """√W, which is nearly linear in the distance from the estimate, minus its largest allowed value."""
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
