"""How often a cell collapses: penalised logistic regression of collapse on log η and log k; own code.

The penalty is of the form of Firth's (1993, Biometrika 80, 27–38), the log-determinant of the information: estimates
stay finite when a line separates the runs that collapsed. Firth's weight of 1/2 takes the bias of few runs away, but
makes intervals of the boundary's exponent too wide for sweeps of 36 runs, and 1/4 too narrow for sweeps of 84
(docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from orchestrator.laws.identified import Array

PENALTY = 0.3
"""Weight of the log-determinant; Firth's is 1/2."""


@dataclass(frozen=True, eq=False)
class Trials:
    """Runs by cell.

    Attributes:
        design: Columns of the coefficients, shape (cells, coefficients).
        collapsed_by_seed: Shape (seeds, cells).
        runs_by_seed: Shape (seeds, cells).
    """

    design: Array
    collapsed_by_seed: Array
    runs_by_seed: Array

    @cached_property
    def collapsed(self) -> Array:
        """Shape (cells,)."""
        return np.asarray(self.collapsed_by_seed.sum(axis=0))

    @cached_property
    def runs(self) -> Array:
        """Shape (cells,)."""
        return np.asarray(self.runs_by_seed.sum(axis=0))

    def scores(self, coefficients: Array) -> Array:
        """Gradients of the log-likelihood, without its penalty, shape (seeds, coefficients)."""
        residuals = self.collapsed_by_seed - self.runs_by_seed * expit(self.design @ coefficients)
        return np.asarray(residuals @ self.design)

    def information(self, coefficients: Array) -> Array:
        """Of the log-likelihood, without its penalty, shape (coefficients, coefficients)."""
        p = expit(self.design @ coefficients)
        return np.asarray(self.design.T @ ((self.runs * p * (1 - p))[:, None] * self.design))


@dataclass(frozen=True, eq=False, slots=True)
class Maximum:
    """A maximum of the penalised likelihood."""

    coefficients: Array
    log_likelihood: float


def information_penalty(design: Array, runs: Array, coefficients: Array) -> tuple[float, Array]:
    """`PENALTY` times the log-determinant of the information, and its gradient; −inf where that is singular."""
    p = expit(design @ coefficients)
    weight = runs * p * (1 - p)
    information = design.T @ (weight[:, None] * design)
    sign, log_determinant = np.linalg.slogdet(information)
    if not sign > 0:
        return -np.inf, np.zeros_like(coefficients)
    leverage = weight * np.einsum("ij,ij->i", design @ np.linalg.inv(information), design)
    return PENALTY * float(log_determinant), 2 * PENALTY * (design.T @ (leverage * (0.5 - p)))


def negative_log_likelihood(coefficients: Array, trials: Trials) -> tuple[float, Array]:
    """Minus the penalised log-likelihood and its gradient."""
    u = trials.design @ coefficients
    penalty, by_coefficient = information_penalty(trials.design, trials.runs, coefficients)
    value = trials.collapsed @ log_expit(u) + (trials.runs - trials.collapsed) @ log_expit(-u) + penalty
    return -float(value), -by_coefficient - trials.design.T @ (trials.collapsed - trials.runs * expit(u))


def maximise(trials: Trials, embed: Array, start: Array) -> Maximum | None:
    """Maximise over the coefficients ``embed`` @ x; None where the optimiser finds no maximum.

    Args:
        trials: Runs by cell, of full rank.
        embed: From free parameters to the coefficients, shape (coefficients, free).
        start: x, shape (free,).
    """

    def objective(x: Array) -> tuple[float, Array]:
        value, gradient = negative_log_likelihood(embed @ x, trials)
        return value, embed.T @ gradient

    result = minimize(objective, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-13, "gtol": 1e-7})
    return Maximum(embed @ result.x, -float(result.fun)) if np.isfinite(result.fun) else None
