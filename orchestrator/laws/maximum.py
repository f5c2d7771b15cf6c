"""The maximum of a likelihood over the parameters that a fit leaves free. Every law is fitted by this one search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.optimize import minimize

from orchestrator.laws.estimates import Array

LATENCY = ("b", "q", "c", "log_sigma")
"""Parameters of T*: log T* has mean −b·log η − q·log k + c and standard deviation σ."""

ODDS = ("z0", "z1", "z2")
"""Parameters of the log-odds of collapse, z₀ + z₁·log η + z₂·log k. The boundary's exponent a is z₂/z₁."""

SIGMA_FLOOR = 1e-3
"""Smallest σ that is tried. If one line passes through all intervals of T*, the likelihood is flat down to it."""

LOG_SIGMA = (math.log(SIGMA_FLOOR), math.log(1e3))
"""Bounds of log σ in every search."""

CLEARLY = 1e-6
"""A later start replaces an earlier one only if its log-likelihood is larger by this much. Without it, a flat
likelihood would end at a start that depends on rounding."""


class Likelihood(Protocol):
    """A likelihood with a gradient, whose runs are known by seed, so that variances between seeds can be computed."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the parameters, in order."""

    @property
    def precision(self) -> Mapping[str, float]:
        """Options of the L-BFGS-B search."""

    def penalised(self, parameters: Array) -> tuple[float, Array]:
        """Log-likelihood with its penalty, and its gradient, shape (parameters,)."""

    def information(self, parameters: Array) -> Array:
        """Observed information, shape (parameters, parameters)."""

    def scores(self, parameters: Array) -> Array:
        """Gradient of the log-likelihood of each seed's runs, without a penalty, shape (seeds, parameters)."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a fit holds fixed. Logarithms are centred, as in the likelihood that is fitted."""

    values: Mapping[str, float] = field(default_factory=dict)  # of any of LATENCY, by name
    a: float | None = None  # the boundary's exponent, z₂/z₁
    boundary: tuple[float, float] | None = None  # a point (log η, log k) at which half of the runs are susceptible
    median: tuple[float, float, float] | None = None  # a point (log η, log k) and log of the median T* there


@dataclass(frozen=True, eq=False, slots=True)
class Restriction:
    """All parameters as matrix·free + offset, of shape (parameters, free) and (parameters,)."""

    matrix: Array
    offset: Array

    @classmethod
    def hold(cls, names: Sequence[str], held: Held) -> Restriction:
        """Hold some of the named parameters, or combinations of them, at the given values."""
        place = {name: number for number, name in enumerate(names)}
        matrix, offset = np.eye(len(names)), np.zeros(len(names))
        gone = {place[name] for name in held.values}
        for name, value in held.values.items():
            offset[place[name]] = value
        if held.a is not None:
            matrix[place["z2"]] = held.a * matrix[place["z1"]]
            gone.add(place["z2"])
        if held.boundary is not None:
            log_eta, log_k = held.boundary
            matrix[place["z0"]] = -log_eta * matrix[place["z1"]] - log_k * matrix[place["z2"]]
            gone.add(place["z0"])
        if held.median is not None:
            log_eta, log_k, log_step = held.median
            b, q, c = (place[name] for name in LATENCY[:3])
            matrix[c] = log_eta * matrix[b] + log_k * matrix[q]
            offset[c] = log_step + log_eta * offset[b] + log_k * offset[q]
            gone.add(c)
        return cls(np.delete(matrix, sorted(gone), axis=1), offset)

    @property
    def n_free(self) -> int:
        """How many parameters are free."""
        return int(self.matrix.shape[1])

    def free(self, parameters: Array) -> Array:
        """The free parameters that come nearest to ``parameters``."""
        return np.asarray(np.linalg.lstsq(self.matrix, parameters - self.offset, rcond=None)[0], dtype=np.float64)


@dataclass(frozen=True, eq=False, slots=True)
class Maximum:
    """A maximum of a likelihood: all parameters there, held ones included, and its value with the penalty."""

    parameters: Array
    log_likelihood: float


def maximise(likelihood: Likelihood, restriction: Restriction, starts: Sequence[Array]) -> Maximum | None:
    """Search from every start (values of all parameters) and return the best maximum.

    The likelihood must have full rank in what is free. None if no search ends at a finite value.
    """
    matrix, offset = restriction.matrix, restriction.offset

    def objective(free: Array) -> tuple[float, Array]:
        value, gradient = likelihood.penalised(matrix @ free + offset)
        return -value, -(matrix.T @ gradient)

    scatter = [place for place, name in enumerate(likelihood.names) if name == "log_sigma"]
    bounds = [LOG_SIGMA if column[scatter].any() else (None, None) for column in matrix.T]
    best: Maximum | None = None
    for start in starts:
        near, options = restriction.free(start), dict(likelihood.precision)
        result = minimize(objective, near, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        if np.isfinite(result.fun) and (best is None or -result.fun > best.log_likelihood + CLEARLY):
            best = Maximum(matrix @ result.x + offset, -float(result.fun))
    return best
