"""The local law by regression: log-odds of collapse within the horizon = s·(log η + a·log k − log C)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from orchestrator.laws.clustered import widening
from orchestrator.laws.estimates import LARGEST_LOG, Estimate
from orchestrator.laws.forms import Cell, LocalLaw
from orchestrator.laws.identified import Array
from orchestrator.laws.logistic import Maximum, Trials, maximise
from orchestrator.laws.profile import chi2_p_value, chi2_threshold, interval, quantile


def width(slope: float) -> float:
    """Factor in η over which log-odds of this slope go from 10 % to 90 %."""
    return math.exp(min(2 * math.log(9) / slope, LARGEST_LOG))


def with_regression(law: LocalLaw, cells: Sequence[Cell], finished: pd.DataFrame) -> LocalLaw:
    """Add estimates and intervals of the regression, where the cells identify it.

    Args:
        law: With its brackets and identified sets.
        cells: Of one group.
        finished: Evidence that the cells count.
    """
    seen = [cell for cell in cells if cell.n_runs]
    collapsed, runs = sum(cell.n_collapsed for cell in seen), sum(cell.n_runs for cell in seen)
    ks = {cell.k for cell in seen}
    if not 0 < collapsed < runs or len({cell.eta for cell in seen}) < 2:
        return law
    boundary = _Boundary.of(seen, finished)
    held_a = None if len(ks) > 1 and np.linalg.matrix_rank(boundary.trials.design) == 3 else 0.0
    free = boundary.fit(a=held_a)
    if free is None or free.coefficients[1] <= 0:
        return law
    brackets = tuple(replace(b, eta_half=boundary.eta_half(free, b.k, held_a)) for b in law.brackets)
    law = replace(law, brackets=brackets, width=width(float(free.coefficients[1])))
    if held_a is not None:
        return law
    exponent = boundary.exponent(free)
    constant, p_value = boundary.constant(free)
    return replace(
        law,
        exponent=replace(exponent, identified_set=law.exponent.identified_set),
        constant=replace(constant, identified_set=law.constant.identified_set),
        prefactor=boundary.eta_half(free, 1, held_a),
        p_exponent_is_1=p_value,
    )


@dataclass(frozen=True, eq=False)
class _Boundary:
    """The regression on centred log η and log k.

    Attributes:
        trials: Runs by cell; columns 1, log η, log k.
        centre: What was taken off log η and log k.
    """

    trials: Trials
    centre: tuple[float, float]

    @classmethod
    def of(cls, cells: Sequence[Cell], finished: pd.DataFrame) -> _Boundary:
        log_eta, log_k = (np.log([getattr(cell, name) for cell in cells]) for name in ("eta", "k"))
        at_eta, at_k = float(log_eta.mean()), float(log_k.mean())
        design = np.column_stack([np.ones(len(cells)), log_eta - at_eta, log_k - at_k])
        by_seed = finished.groupby(["seed", "k", "eta"], sort=True)["collapsed"]
        columns = pd.MultiIndex.from_tuples([(cell.k, cell.eta) for cell in cells])
        collapsed, runs = (
            counts.unstack(["k", "eta"]).reindex(columns=columns).fillna(0).to_numpy(dtype=float)
            for counts in (by_seed.sum(), by_seed.size())
        )
        return cls(Trials(design, collapsed, runs), (at_eta, at_k))

    def fit(
        self, *, a: float | None = None, point: tuple[float, float] | None = None, near: Maximum | None = None
    ) -> Maximum | None:
        """Maximise with a held, or with the boundary held to pass through (log η, log k), both centred."""
        embed = _embed(a, point)
        start = np.array([0.0, 1.0, 0.0]) if near is None else near.coefficients
        return maximise(self.trials, embed, np.linalg.lstsq(embed, start, rcond=None)[0])

    def exponent(self, free: Maximum) -> Estimate:
        estimate = float(free.coefficients[2] / free.coefficients[1])
        ends = interval(free, lambda value, near: self.fit(a=value, near=near), estimate, chi2_threshold())
        return Estimate(estimate, ends)

    def constant(self, free: Maximum) -> tuple[Estimate, float | None]:
        """C_local under a = 1, and the test of a = 1."""
        law = self.fit(a=1.0, near=free)
        if law is None or law.coefficients[1] <= 0:
            return Estimate(), None
        at_eta, at_k = self.centre
        log_c = self._level(law, 0.0, 1.0)
        p_value = chi2_p_value(2 * (free.log_likelihood - law.log_likelihood), 1)
        return log_c.shifted(at_eta + at_k).exponential(), p_value

    def eta_half(self, free: Maximum, k: int, held_a: float | None) -> Estimate:
        """The η at which half of the runs collapse at one k."""
        at_eta, at_k = self.centre
        return self._level(free, math.log(k) - at_k, held_a).shifted(at_eta).exponential()

    def _level(self, found: Maximum, log_k: float, held_a: float | None) -> Estimate:
        """The centred log η at which half of the runs collapse, at one centred log k; a held or not."""
        z0, z1, z2 = found.coefficients
        at = float(-(z0 + z2 * log_k) / z1)
        embed = _embed(held_a)
        ends = interval(
            found, lambda value, near: self.fit(a=held_a, point=(value, log_k), near=near), at, chi2_threshold()
        )
        factor = widening(
            np.array([-1 / z1, -at / z1, -log_k / z1]) @ embed,
            embed.T @ self.trials.information(found.coefficients) @ embed,
            self.trials.scores(found.coefficients) @ embed,
            quantile(),
        )
        return Estimate(at, ends).widened(factor)


def _embed(a: float | None, point: tuple[float, float] | None = None) -> Array:
    """From free coefficients to all, with a held, or the boundary held to pass through (log η, log k), both centred."""
    embed = np.eye(3)
    gone = []
    if a is not None:
        embed[2] = a * embed[1]
        gone.append(2)
    if point is not None:
        log_eta, log_k = point
        embed[0] = -log_eta * embed[1] - log_k * embed[2]
        gone.append(0)
    return np.delete(embed, gone, axis=1)
