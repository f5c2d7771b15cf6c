"""The horizon law: log T* = log C − b·log η − q·log k + σε, with T* known to an interval or only outlived.

Fitted twice, with stable runs right-censored and without them, since the estimator decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from orchestrator.laws.forms import Cell, Estimate, HorizonFit, HorizonLaw
from orchestrator.laws.identified import Array, Band
from orchestrator.laws.likelihood import SIGMA_FLOOR, Maximum, maximise

MARGIN = 1e-9
"""A line that stays this far (in log T*) inside all intervals lets σ → 0: there is no scatter."""

MIN_COLLAPSED = {1: 3, 2: 4, 3: 5}
"""Collapsed runs needed for so many coefficients: one more than parameters, σ included."""


def horizon_law(rows: pd.DataFrame, cells: Sequence[Cell]) -> tuple[HorizonLaw, list[str]]:
    """Fit the horizon law to one group.

    Args:
        rows: Evidence of the finished runs: ``k``, ``eta``, ``lo``, ``hi``, ``collapsed``.
        cells: The group's cells, for the spread of η·T*.

    Returns:
        The law, and a sentence for everything that it could not tell.
    """
    collapsed = rows[rows["collapsed"]]
    terms, warnings = _identified_terms(collapsed)
    censored, complaints = _fit(rows, terms)
    collapsed_only, _ = _fit(collapsed, terms)
    warnings += complaints
    shift = _estimator_matters(censored, collapsed_only)
    if shift:
        warnings.append(shift)
    eta_T = np.array([cell.eta_T for cell in cells if cell.eta_T is not None])
    cv = float(np.std(eta_T, ddof=1) / np.mean(eta_T)) if len(eta_T) > 1 else None
    return HorizonLaw(censored=censored, collapsed_only=collapsed_only, cv_eta_T=cv), warnings


def _identified_terms(collapsed: pd.DataFrame) -> tuple[tuple[str, ...], list[str]]:
    """Which of η and k the collapsed runs can tell apart, and what to run for the others."""
    n, etas, ks = len(collapsed), sorted(set(collapsed["eta"])), sorted(set(collapsed["k"]))
    if n == 0:
        return (), ["No run collapsed: the horizon law cannot be fitted; run larger eta or a longer horizon."]
    if len(etas) == 1:
        return (), [
            f"All collapsed runs share eta={etas[0]:g}: how T* depends on eta cannot be told; "
            "run other eta at the same k until a second one collapses."
        ]
    if n < MIN_COLLAPSED[2]:
        return (), [
            f"Only {n} runs collapsed, the exponents of T* need at least {MIN_COLLAPSED[2]}: "
            "run more seeds of the cells that collapse."
        ]
    if len(ks) == 1:
        return ("eta",), [
            f"All collapsed runs share k={ks[0]}: T* was fitted without k; run another k at an eta that collapses."
        ]
    design = np.column_stack([np.ones(n), np.log(collapsed["eta"]), np.log(collapsed["k"])])
    if np.linalg.matrix_rank(design - [0.0, *design[:, 1:].mean(axis=0)]) < 3:
        return ("eta",), [
            "Among the collapsed runs k and eta change together: T* was fitted without k; "
            f"run k={ks[0]} and k={ks[-1]} at the same eta."
        ]
    if n < MIN_COLLAPSED[3]:
        return ("eta",), [
            f"Only {n} runs collapsed: T* was fitted without k; at least {MIN_COLLAPSED[3]} are needed, "
            "run more seeds of the cells that collapse."
        ]
    return ("eta", "k"), []


def _fit(rows: pd.DataFrame, terms: Sequence[str]) -> tuple[HorizonFit, list[str]]:
    n_collapsed = int(rows["collapsed"].sum())
    n_censored = len(rows) - n_collapsed
    with np.errstate(divide="ignore"):  # a run that was last seen alive at step 0 has no lower end
        lower, upper = np.log(rows["lo"].to_numpy(dtype=float)), np.log(rows["hi"].to_numpy(dtype=float))
    log_eta = np.log(rows["eta"].to_numpy(dtype=float))
    intercept = np.ones((len(rows), 1))
    constant = Estimate()
    warnings: list[str] = []
    if n_collapsed >= MIN_COLLAPSED[1]:
        (constant,), _, _, warnings = _solve(intercept, lower + log_eta, upper + log_eta, n_collapsed, ["C_horizon"])
    if not terms:
        bare = HorizonFit(constant=_exponential(constant), n_collapsed=n_collapsed, n_censored=n_censored)
        return bare, warnings
    slopes = [-np.log(rows[term].to_numpy(dtype=float)) for term in terms]
    names = [f"the {term} exponent of T*" for term in terms]
    found, sigma, p_law, more = _solve(
        np.column_stack([*slopes, intercept]), lower, upper, n_collapsed, [*names, "the prefactor of T*"]
    )
    law_in_set = None
    if found[0].identified_set and "k" in terms:
        law_in_set = Band(intercept, lower + log_eta, upper + log_eta).margin() >= 0
    fit = HorizonFit(
        eta_exponent=found[0],
        k_exponent=found[1] if "k" in terms else Estimate(),
        constant=_exponential(constant),
        prefactor=_exponential(found[-1]),
        sigma=sigma,
        p_law=p_law,
        law_in_set=law_in_set,
        n_collapsed=n_collapsed,
        n_censored=n_censored,
    )
    return fit, warnings + more


def _solve(
    design: Array, lower: Array, upper: Array, n_collapsed: int, names: Sequence[str]
) -> tuple[list[Estimate], Estimate, float | None, list[str]]:
    """Coefficients, σ, p of (b, q) = (1, 0) and complaints; the columns of the design are b, q, log C."""
    band = Band(design, lower, upper)
    if band.margin() > MARGIN:
        centre = band.centre()
        sets = [band.extent(column) for column in range(design.shape[1])]
        values = [None] * len(sets) if centre is None else [float(value) for value in centre]
        estimates = [Estimate(v, identified_set=s) for v, s in zip(values, sets, strict=True)]
        unbounded = [name for name, ends in zip(names, sets, strict=True) if None in ends]
        warnings = [
            f"The intervals of T* do not bound {' and '.join(unbounded)} from both sides; "
            "validate more often, or run smaller eta that collapse later."
        ]
        return estimates, Estimate(), None, warnings if unbounded else []
    # centred slopes keep the optimiser's problem round; the last coefficient is moved back below
    shift = np.append(design[:, :-1].mean(axis=0), 0.0)
    maximum = maximise(design - shift, lower, upper)
    if maximum is None:
        warning = f"The fit of {names[0]} did not converge; run more seeds of the cells that collapse."
        return [Estimate()] * len(names), Estimate(), None, [warning]
    return _intervals(maximum, shift, n_collapsed, names)


def _intervals(
    maximum: Maximum, shift: Array, n_collapsed: int, names: Sequence[str]
) -> tuple[list[Estimate], Estimate, float | None, list[str]]:
    """Wald intervals with Student's t on (collapsed runs − coefficients) degrees of freedom."""
    count = len(shift)
    back = np.eye(count + 1)
    back[count - 1, : count - 1] = -shift[:-1]
    values = back @ maximum.parameters
    if maximum.covariance is None:
        warning = (
            f"{names[0][0].upper()}{names[0][1:]} has no interval: the likelihood is flat, or the scatter "
            f"of log T* fell below {SIGMA_FLOOR:g}. Run more seeds of the cells that collapse."
        )
        return [Estimate(float(value)) for value in values[:count]], Estimate(), None, [warning]
    covariance = back @ maximum.covariance @ back.T
    errors = np.sqrt(np.diag(covariance))
    freedom = n_collapsed - count
    width = float(t_distribution.ppf(0.975, freedom))
    estimates = [
        Estimate(float(v), float(e), (float(v - width * e), float(v + width * e)))
        for v, e in zip(values, errors, strict=True)
    ]
    p_law = None
    if count == 3:
        distance = values[:2] - [1.0, 0.0]
        wald = float(distance @ np.linalg.solve(covariance[:2, :2], distance))
        p_law = float(f_distribution.sf(wald / 2, 2, freedom))
    return estimates[:count], _exponential(estimates[count]), p_law, []


def _exponential(log: Estimate) -> Estimate:
    """From the logarithm of a positive constant to the constant; its se stays that of the logarithm."""

    def exp(value: float | None) -> float | None:
        return None if value is None else math.exp(min(value, 700.0))

    ends = log.ci95 and (math.exp(min(log.ci95[0], 700.0)), math.exp(min(log.ci95[1], 700.0)))
    sides = log.identified_set and (exp(log.identified_set[0]), exp(log.identified_set[1]))
    return Estimate(exp(log.estimate), log.se, ends, sides)


def _estimator_matters(censored: HorizonFit, collapsed_only: HorizonFit) -> str | None:
    with_stable, without = censored.eta_exponent, collapsed_only.eta_exponent
    if not censored.n_censored or with_stable.estimate is None or without.estimate is None:
        return None
    shift = abs(with_stable.estimate - without.estimate)
    errors = f", {shift / with_stable.se:.1f} standard errors" if with_stable.se else ""
    return (
        f"The fit takes the {censored.n_censored} runs that did not collapse as runs that would collapse "
        f"later. Over the collapsed runs alone the eta exponent of T* is {without.estimate:.2f} instead of "
        f"{with_stable.estimate:.2f}{errors}. Train some of the stable cells longer to tell which is right."
    )
