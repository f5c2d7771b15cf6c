"""The horizon law: log T* = log C − b·log η − q·log k + σε, where T* lies in an interval or past the last step.

It is fitted twice, with runs that did not collapse right-censored and without them, because the result depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import expit, log_ndtr

from orchestrator.laws.boundary import bracket_ends
from orchestrator.laws.estimates import Band, Estimate
from orchestrator.laws.gaps import Coordinates, Gap, Tried
from orchestrator.laws.result import Alternative, Bracket, HorizonFit, HorizonLaw, JointLaw, MeasuredCell
from orchestrator.laws.survival import TimeFit, fit

MIN_COLLAPSED = {1: 3, 2: 4, 3: 5}
"""Collapsed runs that are needed for a number of coefficients: one more than parameters, with σ."""

MARGIN = 1e-9
"""If a line stays this far (in log T*) inside all intervals, it passes through them."""

LEAST_SURVIVORS = 2
"""Fewest runs that did not collapse from which a share of immune runs is estimated."""

ALL_LATE = (
    "A model without immune runs fits at least as well: all runs may collapse if they are trained longer. The data "
    "therefore do not give C_local; longer training would."
)

UNBOUNDED = (
    "The runs do not bound the exponent a of the boundary between immune and susceptible runs from both sides. Every k "
    "needs a stable and a collapsing cell, with several seeds."
)

READINGS: Mapping[str, Mapping[str, float]] = {
    "ballistic": {"b": 1.0, "q": 0.0},
    "diffusive": {"b": 2.0, "q": 0.0},
    "eta": {"q": 0.0},
    "eta and k": {},
}
"""Which exponents of T* each alternative holds."""


def horizon_law(
    rows: pd.DataFrame, cells: Sequence[MeasuredCell], terms: Sequence[str], tried: Tried
) -> tuple[HorizonLaw, list[Gap]]:
    """Fit the horizon law to the evidence of one group that bounds T*, and say what the data do not identify.

    The cells are for the spread of η·T*; ``terms`` is what `identified_terms` found.
    """
    collapsed = rows[rows["collapsed"]]
    censored = _fit(rows, terms)
    eta_T = np.array([cell.eta_T for cell in cells if cell.eta_T is not None])
    cv = float(np.std(eta_T, ddof=1) / np.mean(eta_T)) if len(eta_T) > 1 else None
    return HorizonLaw(censored, _fit(collapsed, terms), cv), _gaps(censored, collapsed, tried)


def identified_terms(collapsed: pd.DataFrame) -> tuple[str, ...]:
    """Which of the exponents of η and k the collapsed runs identify."""
    n = len(collapsed)
    if n < MIN_COLLAPSED[2] or collapsed["eta"].nunique() == 1:
        return ()
    if n < MIN_COLLAPSED[3] or collapsed["k"].nunique() == 1 or _together(collapsed):
        return ("eta",)
    return ("eta", "k")


def about_terms(collapsed: pd.DataFrame, tried: Tried) -> list[Gap]:
    """Why an exponent is not identified, and what to run."""
    if "k" in identified_terms(collapsed):
        return []
    n, etas, ks = len(collapsed), sorted(set(collapsed["eta"])), sorted(set(collapsed["k"]))
    places = _places(collapsed)
    if n == 0:
        text = "No run collapsed, so there is no horizon law. Run larger eta or a longer horizon."
        return [Gap(text, tried.above(tried.ks))]
    if len(etas) == 1:
        text = f"All collapsed runs have eta={etas[0]:g}, so the dependence of T* on eta is not known."
        return [Gap(text, tried.above(ks))]
    if n < MIN_COLLAPSED[2]:
        text = f"Only {n} runs collapsed; the exponents of T* need at least {MIN_COLLAPSED[2]}."
        return [Gap(text, tried.again(places))]
    if len(ks) == 1:
        text = f"All collapsed runs have k={ks[0]}, so T* was fitted without k."
        others = [k for k in tried.ks if k != ks[0]]
        return [Gap(text, tried.above(others) if others else tried.another_k(etas))]
    if _together(collapsed):
        text = "Among the collapsed runs k and eta change together, so T* was fitted without k."
        (k_low, eta_low), (k_high, eta_high) = min(places), max(places)
        return [Gap(text, tried.again([(k_low, eta_high), (k_high, eta_low)]))]
    text = f"Only {n} runs collapsed, so T* was fitted without k, which needs at least {MIN_COLLAPSED[3]}."
    return [Gap(text, tried.again(places))]


def _places(rows: pd.DataFrame) -> list[Coordinates]:
    return [(int(k), float(eta)) for k, eta in zip(rows["k"], rows["eta"], strict=True)]


def _together(collapsed: pd.DataFrame) -> bool:
    """Whether log k is a linear function of log η."""
    log_eta, log_k = (np.log(collapsed[name].to_numpy(dtype=float)) for name in ("eta", "k"))
    design = np.column_stack([np.ones(len(collapsed)), log_eta - log_eta.mean(), log_k - log_k.mean()])
    return int(np.linalg.matrix_rank(design)) < 3


def _fit(rows: pd.DataFrame, terms: Sequence[str]) -> HorizonFit:
    n_collapsed = int(rows["collapsed"].sum())
    free = fit(rows, immune=False, values=held_for(terms)) if n_collapsed >= MIN_COLLAPSED[1] else None
    if free is None:
        return HorizonFit(n_collapsed=n_collapsed, n_censored=len(rows) - n_collapsed)
    return _with_sets(describe(free, terms), rows, terms)


def held_for(terms: Sequence[str]) -> dict[str, float]:
    """Which exponents to hold if the data identify only these terms; the paper's, if they identify none."""
    if not terms:
        return {"b": 1.0, "q": 0.0}
    return {} if "k" in terms else {"q": 0.0}


def describe(free: TimeFit, terms: Sequence[str]) -> HorizonFit:
    """The horizon law's numbers, from a fit that holds only what the data do not identify."""
    law = free.ballistic if terms else free
    constant = law.median_at(1, 1) if law else Estimate()
    if not terms:
        return HorizonFit(constant=constant, n_collapsed=free.n_collapsed, n_censored=free.n_censored)
    return HorizonFit(
        eta_exponent=free.estimate("b"),
        k_exponent=free.estimate("q") if "k" in terms else Estimate(),
        constant=constant,
        prefactor=Estimate(free.c_horizon_point),
        sigma=free.sigma(),
        p_law=free.p_of(free.ballistic) if "k" in terms else None,
        alternatives=_alternatives(free, terms),
        n_collapsed=free.n_collapsed,
        n_censored=free.n_censored,
    )


def _alternatives(free: TimeFit, terms: Sequence[str]) -> tuple[Alternative, ...]:
    readings = {name: held for name, held in READINGS.items() if held or "k" in terms}
    fits = {name: free.under(**held) if held else free for name, held in readings.items()}
    aic = {name: found.aic for name, found in fits.items() if found}
    least = min(aic.values(), default=0.0)
    return tuple(Alternative(name, aic[name], aic[name] - least) for name in sorted(aic, key=lambda name: aic[name]))


def _with_sets(found: HorizonFit, rows: pd.DataFrame, terms: Sequence[str]) -> HorizonFit:
    """Add identified sets without scatter, if one line passes inside all intervals of T*."""
    with np.errstate(divide="ignore"):
        lower, upper, log_eta, log_k = (np.log(rows[name].to_numpy(dtype=float)) for name in ("lo", "hi", "eta", "k"))
    one = np.ones((len(rows), 1))
    law = Band(one, lower + log_eta, upper + log_eta)
    if law.margin() > MARGIN:
        allowed = Estimate(identified_set=law.extent(0)).exponential().identified_set
        found = replace(found, constant=replace(found.constant, identified_set=allowed))
    band = Band(np.column_stack([*[-log_eta, -log_k][: len(terms)], one]), lower, upper)
    if not terms or band.margin() <= MARGIN:
        return found
    found = replace(found, eta_exponent=replace(found.eta_exponent, identified_set=band.extent(0)))
    if "k" not in terms:
        return found
    k_exponent = replace(found.k_exponent, identified_set=band.extent(1))
    return replace(found, k_exponent=k_exponent, law_in_set=law.margin() >= 0)


def _gaps(found: HorizonFit, collapsed: pd.DataFrame, tried: Tried) -> list[Gap]:
    places = _places(collapsed)
    if len(places) >= MIN_COLLAPSED[1] and found.constant.estimate is None:
        return [Gap("The fit of T* did not converge.", tried.again(places))]
    named = {
        "the eta exponent of T*": found.eta_exponent,
        "the k exponent of T*": found.k_exponent,
        "C_horizon": found.constant,
    }
    without = [name for name, value in named.items() if value.estimate is not None and None in (value.ci95 or (None,))]
    if not without:
        return []
    slowest = {k: min(eta for of, eta in places if of == k) for k, _ in places}
    text = f"The runs do not bound {' and '.join(without)} from both sides. Validate more often, or run smaller eta."
    return [Gap(text, tried.again(slowest.items()))]


def joint_law(
    rows: pd.DataFrame, terms: Sequence[str], tried: Tried, brackets: Sequence[Bracket]
) -> tuple[JointLaw, TimeFit | None, list[Gap]]:
    """Fit the mixture of susceptible and immune runs to one group; the arguments are as for `horizon_law`.

    The fit is None if the data do not identify it; the gaps are what else they do not identify.
    """
    free, why = joint_fit(rows, terms)
    if free is None:
        few = int((~rows["collapsed"]).sum()) < LEAST_SURVIVORS
        runs = tried.below(tried.ks) if few else tried.again(bracket_ends(brackets))
        return JointLaw(), None, [Gap(why, runs)] if why else []
    law = fit(rows, immune=False, values=held_for(terms))
    found = JointLaw(
        horizon=describe(free, terms),
        p_laws=free.p_of(free.under(a=1.0, b=1.0, q=0.0)),
        aic=free.aic,
        aic_all_susceptible=law.aic if law else None,
    )
    if law and law.aic <= free.aic:
        return found, None, [Gap(ALL_LATE, tried.longer((b.k, b.eta_stable) for b in brackets if b.eta_stable))]
    local = free.inverse
    found = replace(
        found,
        exponent=free.exponent(),
        constant=local.boundary_at(1) if local and local.grows else Estimate(),
        width=free.width,
        p_exponent_is_1=free.p_of(local),
        immune=_immune(free),
    )
    is_bounded = found.exponent.ci95 and None not in found.exponent.ci95
    return found, free, [] if is_bounded else [Gap(UNBOUNDED, tried.again(bracket_ends(brackets)))]


def joint_fit(rows: pd.DataFrame, terms: Sequence[str]) -> tuple[TimeFit | None, str]:
    """The likelihood's maximum, or why there is none; neither if the exponents of T* are not identified."""
    survivors = int((~rows["collapsed"]).sum())
    if "k" not in terms:
        return None, ""
    if survivors < LEAST_SURVIVORS:
        return None, f"Only {survivors} runs did not collapse, so the share of immune runs is not known."
    free = fit(rows, immune=True, values=held_for(terms))
    if free is None or not free.grows:
        return None, "Collapse does not get more likely with eta, so the boundary of immune runs is not known."
    return free, ""


def _immune(free: TimeFit) -> float:
    """Expected share of immune runs among those that did not collapse."""
    outcomes, parameters = free.likelihood, free.maximum.parameters
    survived = np.isinf(outcomes.upper)
    susceptible = expit(outcomes.odds_design @ parameters[-3:])
    z = (outcomes.lower - outcomes.mean_design @ parameters[:3]) / math.exp(parameters[3])
    late = susceptible * np.exp(log_ndtr(-z))
    share = (1 - susceptible) / (1 - susceptible + late)
    return float(np.average(share[survived], weights=outcomes.runs[survived]))
