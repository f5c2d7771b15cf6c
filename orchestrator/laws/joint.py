"""Both laws from one likelihood, in which runs that did not collapse are either late or immune."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import expit, log_ndtr

from orchestrator.laws.boundary import bracket_ends
from orchestrator.laws.estimates import Estimate
from orchestrator.laws.forms import Bracket, HorizonFit, JointLaw
from orchestrator.laws.horizon import describe, held_for
from orchestrator.laws.settle import Gap, Tried
from orchestrator.laws.survival import TimeFit, fit

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


def joint_law(
    rows: pd.DataFrame, terms: Sequence[str], tried: Tried, brackets: Sequence[Bracket], *, brief: bool = False
) -> tuple[JointLaw, TimeFit | None, list[Gap]]:
    """Fit the mixture of susceptible and immune runs to one group.

    Args:
        rows: Evidence that bounds T*.
        terms: Exponents of T* that the collapsed runs identify, from `orchestrator.laws.horizon.identified_terms`.
        tried: What was run.
        brackets: Brackets of the local law.
        brief: Fit only the numbers and the test of the horizon law, without intervals, and the share of immune runs.

    Returns:
        The law, its fit (None if the data do not identify it), and what they do not identify.
    """
    free, why = joint_fit(rows, terms)
    if free is None:
        few = int((~rows["collapsed"]).sum()) < LEAST_SURVIVORS
        runs = tried.below(tried.ks) if few else tried.again(bracket_ends(brackets))
        return JointLaw(), None, [Gap(why, runs)] if why else []
    law = fit(rows, immune=False, values=held_for(terms))
    found = JointLaw(
        horizon=_points(free) if brief else describe(free, terms),
        p_laws=None if brief else free.p_of(free.under(a=1.0, b=1.0, q=0.0)),
        aic=free.aic,
        aic_all_susceptible=law.aic if law else None,
    )
    if law and law.aic <= free.aic:
        return found, None, [Gap(ALL_LATE, tried.longer((b.k, b.eta_stable) for b in brackets if b.eta_stable))]
    found = replace(found, immune=_immune(free))
    if brief:
        return found, free, []
    found = _with_boundary(found, free)
    is_bounded = found.exponent.ci95 and None not in found.exponent.ci95
    return found, free, [] if is_bounded else [Gap(UNBOUNDED, tried.again(bracket_ends(brackets)))]


def _with_boundary(found: JointLaw, free: TimeFit) -> JointLaw:
    """Add the boundary between immune and susceptible runs."""
    local = free.inverse
    return replace(
        found,
        exponent=free.exponent(),
        constant=local.c_local if local and local.grows else Estimate(),
        width=free.width,
        p_exponent_is_1=free.p_of(local),
    )


def _points(free: TimeFit) -> HorizonFit:
    """The horizon law's numbers without their intervals."""
    law = free.ballistic
    return HorizonFit(
        eta_exponent=Estimate(free.value("b")),
        k_exponent=Estimate(free.value("q")),
        constant=Estimate(law.c_horizon_point if law else None),
        p_law=free.p_of(law),
        n_collapsed=free.n_collapsed,
        n_censored=free.n_censored,
    )


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
