"""The laws and what a fit says about each: formula, parameters, source.

- local law:    η_max(k) = C·k^−a. The paper has a = 1: k·η ≤ C_local (arXiv 2607.01083, eq. 30).
- horizon law:  T* = C·η^−b·k^−q, log-normal around it with σ. The paper has b = 1, q = 0:
  T* = C_horizon/η (eq. 34).
- two-constraint rule: stable iff η ≤ min(C_local/k, C_horizon/T) (eq. 36–37).

Whatever the data cannot identify is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.laws.estimates import UNKNOWN, Estimate


@dataclass(frozen=True, slots=True)
class CollapseStep:
    """Median T* of a cell's collapsed runs, in learner steps: in (lo, hi], observed as ``median`` = hi."""

    lo: float
    hi: float
    median: float


@dataclass(frozen=True, slots=True)
class MeasuredCell:
    """The runs of one (k, η).

    Attributes:
        k: Staleness, learner steps per rollout cycle.
        eta: Learning rate η.
        axes: Any further axes of the grid.
        n_runs: Finished runs; all counts below are of these.
        n_collapsed: Of them, collapsed.
        n_degraded: Of them, degraded; fitted like stable runs.
        n_left_out: Runs that did not finish or whose outcome is no evidence; see `Laws.left_out`.
        horizon: Longest training horizon T of the finished runs, in learner steps.
        collapse_step: T* over the collapsed runs.
        collapse_sync: Median weight sync m* of the collapsed runs.
        eta_k: η·k.
        eta_T: η·T*, with the median T*.
        p_collapse: Share of the finished runs that collapsed.
    """

    k: int
    eta: float
    axes: Mapping[str, Any]
    n_runs: int
    n_collapsed: int
    n_degraded: int
    n_left_out: int
    horizon: int | None
    collapse_step: CollapseStep | None
    collapse_sync: float | None
    eta_k: float
    eta_T: float | None
    p_collapse: float | None


@dataclass(frozen=True, slots=True)
class Bracket:
    """Where η_max(k) lies: at or above ``eta_stable``, below ``eta_collapsed``.

    Attributes:
        k: Staleness.
        eta_stable: Largest η at which, as at every smaller η tested, no run collapsed.
        eta_collapsed: Smallest η at which a run collapsed.
        eta_half: The η at which half of the runs collapse within their horizon, by the logistic regression.
    """

    k: int
    eta_stable: float | None
    eta_collapsed: float | None
    eta_half: Estimate = UNKNOWN


@dataclass(frozen=True, slots=True)
class LocalLaw:
    """η_max(k) = C·k^−a. Source: arXiv 2607.01083, eq. 30 (a = 1).

    ``estimate`` and ``ci95`` are of the η at which half of the runs collapse within their horizon, by penalised
    logistic regression; ``identified_set`` is of a sharp boundary, by the brackets alone.

    Attributes:
        exponent: a.
        constant: C_local = k·η_max under a = 1.
        prefactor: C = η_max·k^a, with a free: η_max at k = 1.
        width: Factor in η from 10 % to 90 % of runs that collapse.
        p_exponent_is_1: Test of a = 1.
        brackets: Per k, rising.
        separable: Whether some power law passes through all brackets; None with fewer than two k.
    """

    exponent: Estimate = UNKNOWN
    constant: Estimate = UNKNOWN
    prefactor: Estimate = UNKNOWN
    width: float | None = None
    p_exponent_is_1: float | None = None
    brackets: tuple[Bracket, ...] = ()
    separable: bool | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """T* under one reading of its exponents.

    Attributes:
        name: ``ballistic`` (b = 1, q = 0; the paper's), ``diffusive`` (b = 2, q = 0), ``eta`` (b free, q = 0) or
            ``eta and k`` (both free).
        aic: Akaike's criterion.
        delta_aic: Above the smallest.
    """

    name: str
    aic: float
    delta_aic: float


@dataclass(frozen=True, slots=True)
class HorizonFit:
    """T* = C·η^−b·k^−q·exp(σε), ε standard normal. Source: arXiv 2607.01083, eq. 34 (b = 1, q = 0).

    Attributes:
        eta_exponent: b.
        k_exponent: q.
        constant: C_horizon = η·T* under b = 1 and q = 0, in learner steps times η.
        prefactor: C of the fit with free exponents; its estimate only.
        sigma: σ, scatter of log T*.
        p_law: p of the joint test of (b, q) = (1, 0).
        law_in_set: Whether (1, 0) lies in the identified set; None when there is no such set.
        alternatives: By rising AIC.
        n_collapsed: Collapsed runs, known to (lo, hi].
        n_censored: Runs known only to have outlived their last step.
    """

    eta_exponent: Estimate = UNKNOWN
    k_exponent: Estimate = UNKNOWN
    constant: Estimate = UNKNOWN
    prefactor: Estimate = UNKNOWN
    sigma: Estimate = UNKNOWN
    p_law: float | None = None
    law_in_set: bool | None = None
    alternatives: tuple[Alternative, ...] = ()
    n_collapsed: int = 0
    n_censored: int = 0


@dataclass(frozen=True, slots=True)
class HorizonLaw:
    """The horizon law under two estimators, since the estimator decides.

    Attributes:
        censored: Runs that did not collapse are right-censored: taken as runs that would collapse later.
        collapsed_only: Runs that did not collapse are ignored, as in the paper; this selects short T*.
        cv_eta_T: Coefficient of variation of η·T* over the cells that collapsed.
    """

    censored: HorizonFit = HorizonFit()
    collapsed_only: HorizonFit = HorizonFit()
    cv_eta_T: float | None = None


@dataclass(frozen=True, slots=True)
class JointLaw:
    """Both laws from one likelihood: a mixture of runs that collapse by the horizon law and of immune ones.

    A run is susceptible with log-odds s·(log η + a·log k − log C); only susceptible runs collapse, when the horizon
    law says.

    Attributes:
        horizon: The latency of susceptible runs.
        exponent: a of the boundary between immune and susceptible.
        constant: C_local = k·η on that boundary, under a = 1.
        width: Factor in η from 10 % to 90 % of runs that are susceptible.
        p_exponent_is_1: Test of a = 1.
        p_laws: Test of a = 1, b = 1 and q = 0 together.
        immune: Expected share of the runs that did not collapse which never would have.
        aic: Akaike's criterion.
        aic_all_susceptible: Of the horizon law with runs that did not collapse censored.
    """

    horizon: HorizonFit = HorizonFit()
    exponent: Estimate = UNKNOWN
    constant: Estimate = UNKNOWN
    width: float | None = None
    p_exponent_is_1: float | None = None
    p_laws: float | None = None
    immune: float | None = None
    aic: float | None = None
    aic_all_susceptible: float | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a rule says of one cell.

    Attributes:
        k: Staleness.
        eta: Learning rate.
        stable: Whether the rule says so.
        stable_left_out: The same with constants from all other cells; None where these do not give them.
        binds: The constraint that is the smaller one here, ``local`` or ``horizon``.
        observed_stable: Whether fewer than half of the runs collapsed.
    """

    k: int
    eta: float
    stable: bool
    stable_left_out: bool | None
    binds: str
    observed_stable: bool


@dataclass(frozen=True, slots=True)
class TwoConstraint:
    """The rule: stable iff η ≤ min(C_local/k, C_horizon/T). Source: eq. 36–37.

    By the joint law a run collapses only if it is susceptible and its T* is within T, so that either constraint is
    enough to be stable: η ≤ max(C_local/k, C_horizon/T). That is scored too.

    Attributes:
        cells_right: Cells it predicts with constants that all cells were used for.
        cells: Cells with finished runs.
        left_out_right: Cells it predicts with constants from all the other cells.
        left_out_cells: Cells whose others give constants.
        either_right: As ``cells_right``, of the rule with max in place of min.
        either_left_out_right: As ``left_out_right``, of that rule.
        crossing: C_horizon/C_local: the rollout cycles T/k beyond which the horizon binds.
        predictions: By rising k, then η.
    """

    cells_right: int | None = None
    cells: int | None = None
    left_out_right: int | None = None
    left_out_cells: int | None = None
    either_right: int | None = None
    either_left_out_right: int | None = None
    crossing: float | None = None
    predictions: tuple[Prediction, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupTest:
    """A test of whether something is the same in all groups.

    Attributes:
        what: ``exponents of T*``, ``constant of T*`` (exponents shared), ``slopes of the boundary`` or ``constant of
            the boundary`` (slopes shared).
        p: Its p-value.
        factors: For a constant: each group's T*, or η_max, over the first group's.
    """

    what: str
    p: float
    factors: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupComparison:
    """Settings of further axes, or models, under laws with shared slopes.

    Attributes:
        groups: Names, as in `Laws.models`; the first is what factors refer to.
        left_out: Groups whose runs do not identify the exponents of T*.
        tests: In the order of `GroupTest.what`.
    """

    groups: tuple[str, ...]
    left_out: tuple[str, ...]
    tests: tuple[GroupTest, ...]
