"""How often a cell collapses: the likelihood of a penalised logistic regression on log η and log k; own code.

The penalty has the form of Firth's (1993, Biometrika 80, 27–38): the log-determinant of the information. With it,
estimates stay finite even if a line separates the runs that collapsed from the others. Firth's weight of 1/2 removes
the bias of few runs, but gives too wide intervals of the boundary's exponent in sweeps of 36 runs; 1/4 gives too narrow
ones in sweeps of 84 (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.special import expit, log_expit

from orchestrator.laws.identified import Array
from orchestrator.laws.maximum import ODDS

PENALTY = 0.3
"""Weight of the log-determinant; Firth's is 1/2."""


@dataclass(frozen=True, eq=False)
class Trials:
    """Runs by cell, as a `LikelihoodBySeed` of `ODDS`.

    Attributes:
        design: Columns 1, log η, log k, shape (cells, 3).
        collapsed_by_seed: Runs that collapsed, shape (seeds, cells).
        runs_by_seed: Shape (seeds, cells).
    """

    design: Array
    collapsed_by_seed: Array
    runs_by_seed: Array

    names: ClassVar[tuple[str, ...]] = ODDS
    precision: ClassVar[Mapping[str, float]] = {"ftol": 1e-13, "gtol": 1e-7}

    @cached_property
    def collapsed(self) -> Array:
        """Runs that collapsed, of all seeds, shape (cells,)."""
        return np.asarray(self.collapsed_by_seed.sum(axis=0))

    @cached_property
    def runs(self) -> Array:
        """Runs of all seeds, shape (cells,)."""
        return np.asarray(self.runs_by_seed.sum(axis=0))

    def penalised(self, parameters: Array) -> tuple[float, Array]:
        """The penalised log-likelihood and its gradient, shape (3,)."""
        u = self.design @ parameters
        penalty, by_parameter = information_penalty(self.design, self.runs, parameters)
        value = self.collapsed @ log_expit(u) + (self.runs - self.collapsed) @ log_expit(-u) + penalty
        return float(value), by_parameter + self.design.T @ (self.collapsed - self.runs * expit(u))

    def scores(self, parameters: Array) -> Array:
        """Gradients of the log-likelihood, without its penalty, shape (seeds, 3)."""
        residuals = self.collapsed_by_seed - self.runs_by_seed * expit(self.design @ parameters)
        return np.asarray(residuals @ self.design)

    def information(self, parameters: Array) -> Array:
        """Information of the log-likelihood, without its penalty, shape (3, 3)."""
        p = expit(self.design @ parameters)
        return np.asarray(self.design.T @ ((self.runs * p * (1 - p))[:, None] * self.design))


def information_penalty(design: Array, runs: Array, odds: Array) -> tuple[float, Array]:
    """`PENALTY` times the log-determinant of the information, and its gradient; −inf if that is singular.

    Args:
        design: Columns of the log-odds, shape (rows, 3).
        runs: Runs of each row, shape (rows,).
        odds: `ODDS`, shape (3,).
    """
    p = expit(design @ odds)
    weight = runs * p * (1 - p)
    information = design.T @ (weight[:, None] * design)
    sign, log_determinant = np.linalg.slogdet(information)
    if not sign > 0:
        return -np.inf, np.zeros_like(odds)
    leverage = weight * np.einsum("ij,ij->i", design @ np.linalg.inv(information), design)
    return PENALTY * float(log_determinant), 2 * PENALTY * (design.T @ (leverage * (0.5 - p)))
