"""Regression of a normal variable that is known only to lie in intervals: maximum likelihood, own code.

The model is y = X·β + σε with ε standard normal, each y known to lie in (lower, upper]; an infinite upper
end is right-censoring. In (β/σ, 1/σ) the log-likelihood is concave (Burridge 1981, J. R. Stat. Soc. B 43,
41–45), so a local maximum is the maximum. Where some X·β runs inside all intervals there is none: σ → 0.
Callers rule that out with `orchestrator.laws.identified`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

from orchestrator.laws.identified import Array

SIGMA_FLOOR = 1e-3
"""Smallest σ that is tried; a fit that ends there reports no standard errors."""


@dataclass(frozen=True, eq=False, slots=True)
class Maximum:
    """A maximum of the likelihood.

    Attributes:
        parameters: β, then log σ.
        covariance: Inverse of the observed information; None at the floor of σ or where it is not positive.
    """

    parameters: Array
    covariance: Array | None


def log_interval_probability(z_lower: Array, z_upper: Array) -> Array:
    """log(Φ(z_upper) − Φ(z_lower)) without cancellation, in either tail; infinite ends are allowed."""
    flip = z_lower > 0
    low, high = np.where(flip, -z_upper, z_lower), np.where(flip, -z_lower, z_upper)
    log_low, log_high = log_ndtr(low), log_ndtr(high)
    probability: Array = log_high + np.log(-np.expm1(log_low - log_high))
    return probability


def negative_log_likelihood(parameters: Array, design: Array, lower: Array, upper: Array) -> tuple[float, Array]:
    """−log L and its gradient.

    Args:
        parameters: β, then log σ; shape (coefficients + 1,).
        design: X, shape (rows, coefficients).
        lower: Lower ends, shape (rows,); −inf allowed.
        upper: Upper ends, shape (rows,); +inf allowed.
    """
    sigma = math.exp(parameters[-1])
    mean = design @ parameters[:-1]
    z_lower, z_upper = (lower - mean) / sigma, (upper - mean) / sigma
    log_p = log_interval_probability(z_lower, z_upper)
    hazard_lower, hazard_upper = _hazard(z_lower, log_p), _hazard(z_upper, log_p)
    by_mean = (hazard_lower - hazard_upper) / sigma
    # φ vanishes at infinite ends, where z·φ would be 0·∞
    by_log_sigma = hazard_lower * _finite(z_lower) - hazard_upper * _finite(z_upper)
    return float(-log_p.sum()), -np.append(design.T @ by_mean, by_log_sigma.sum())


def maximise(design: Array, lower: Array, upper: Array) -> Maximum | None:
    """Fit β and σ; None when the optimiser does not converge.

    Args:
        design: X, shape (rows, coefficients), of full rank over the rows with a finite upper end.
        lower: Shape (rows,).
        upper: Shape (rows,).
    """
    count = design.shape[1]
    seen = np.isfinite(upper)
    middle = np.where(np.isfinite(lower), (lower + upper) / 2, upper)[seen]
    start = np.linalg.lstsq(design[seen], middle, rcond=None)[0]
    spread = float(np.std(middle - design[seen] @ start))
    result = minimize(
        negative_log_likelihood,
        np.append(start, math.log(max(spread, 0.1))),
        args=(design, lower, upper),
        jac=True,
        method="L-BFGS-B",
        bounds=[(None, None)] * count + [(math.log(SIGMA_FLOOR), math.log(1e3))],
        options={"maxiter": 2000, "ftol": 1e-14, "gtol": 1e-7},
    )
    parameters = np.asarray(result.x, dtype=float)
    if parameters[-1] <= math.log(SIGMA_FLOOR) + 1e-6:
        return Maximum(parameters, None)
    if np.abs(result.jac).max() > 1e-3 * len(lower):
        return None
    return Maximum(parameters, _covariance(parameters, design, lower, upper))


def _covariance(parameters: Array, design: Array, lower: Array, upper: Array) -> Array | None:
    """Inverse observed information, from central differences of the analytic gradient."""
    step = 1e-5
    columns: list[Array] = []
    for direction in np.eye(len(parameters)) * step:
        ahead = negative_log_likelihood(parameters + direction, design, lower, upper)[1]
        behind = negative_log_likelihood(parameters - direction, design, lower, upper)[1]
        columns.append((ahead - behind) / (2 * step))
    jacobian = np.array(columns)
    information = (jacobian + jacobian.T) / 2
    eigenvalues = np.linalg.eigvalsh(information)
    if not eigenvalues[0] > 1e-10 * eigenvalues[-1]:
        return None
    return np.asarray(np.linalg.inv(information), dtype=np.float64)


def _hazard(z: Array, log_p: Array) -> Array:
    """φ(z)/P; φ(±∞) = 0."""
    log_density = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    hazard: Array = np.exp(log_density - log_p)
    return hazard


def _finite(z: Array) -> Array:
    return np.where(np.isfinite(z), z, 0.0)
