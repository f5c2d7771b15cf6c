"""Both laws from one likelihood, so that runs that did not collapse are used as what they may be: late, or immune."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import expit, log_ndtr

from orchestrator.laws.estimates import Estimate
from orchestrator.laws.forms import JointLaw
from orchestrator.laws.horizon import describe, held_for
from orchestrator.laws.likelihood import LATENCY
from orchestrator.laws.regression import width
from orchestrator.laws.survival import Fit, fit

LEAST_SURVIVORS = 2
"""Fewest runs that did not collapse for a share of immune runs to be estimated."""


ALL_LATE = (
    "The runs that did not collapse are explained as late ones, none of them immune, so C_local cannot be told apart "
    "from the length of training; train the stable cells longer."
)


def joint_law(rows: pd.DataFrame, terms: Sequence[str]) -> tuple[JointLaw, Fit | None, list[str]]:
    """Fit the mixture of susceptible and immune runs to one group.

    Args:
        rows: Evidence that bounds T*.
        terms: Exponents of T* that the collapsed runs identify, from `orchestrator.laws.horizon.identified_terms`.

    Returns:
        The law and its fit, empty where they are not identified, and a sentence that says why.
    """
    free, warning = joint_fit(rows, terms)
    if free is None:
        return JointLaw(), None, [warning] if warning else []
    law = fit(rows, immune=False, values=held_for(terms))
    found = JointLaw(
        horizon=describe(free, terms),
        p_laws=free.p_of(free.under(a=1.0, b=1.0, q=0.0)),
        aic=free.aic,
        aic_all_susceptible=law.aic if law else None,
    )
    if law and law.aic <= free.aic:
        return found, None, [ALL_LATE]
    local = free.inverse
    found = replace(
        found,
        exponent=free.estimate("a"),
        constant=local.c_local if local and local.grows else Estimate(),
        width=width(float(free.maximum.parameters[LATENCY + 1])),
        p_exponent_is_1=free.p_of(local),
        immune=_immune(free),
    )
    return found, free, _on_open_sides(found)


def joint_fit(rows: pd.DataFrame, terms: Sequence[str]) -> tuple[Fit | None, str]:
    """The likelihood's maximum, or why there is none; both empty where T* itself is not identified."""
    survivors = int((~rows["collapsed"]).sum())
    if "k" not in terms:
        return None, ""
    if survivors < LEAST_SURVIVORS:
        warning = f"Only {survivors} runs did not collapse, so immune runs cannot be told from late ones; "
        return None, f"{warning}run smaller eta."
    free = fit(rows, immune=True, values=held_for(terms))
    if free is None or not free.grows:
        return None, "Where runs become immune cannot be told: collapse does not grow with eta. Run more eta at each k."
    return free, ""


def _immune(free: Fit) -> float:
    """Expected share of immune runs among those that did not collapse."""
    outcomes, parameters = free.outcomes, free.maximum.parameters
    survived = np.isinf(outcomes.upper)
    susceptible = expit(outcomes.odds_design @ parameters[LATENCY:])
    z = (outcomes.lower - outcomes.mean_design @ parameters[:3]) / math.exp(parameters[3])
    late = susceptible * np.exp(log_ndtr(-z))
    share = (1 - susceptible) / (1 - susceptible + late)
    return float(np.average(share[survived], weights=outcomes.runs[survived]))


def _on_open_sides(found: JointLaw) -> list[str]:
    if found.exponent.ci95 and None not in found.exponent.ci95:
        return []
    return [
        "The runs do not bound the exponent a of the boundary between immune and susceptible runs from both sides; "
        "give every k both a stable and a collapsing cell, and run them with more seeds."
    ]
