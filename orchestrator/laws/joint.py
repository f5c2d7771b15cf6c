"""Both laws from one likelihood, so that runs that did not collapse are used as what they may be: late, or immune."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, log_ndtr

from orchestrator.laws.forms import JointLaw
from orchestrator.laws.horizon import describe, held_for
from orchestrator.laws.likelihood import LATENCY
from orchestrator.laws.regression import width
from orchestrator.laws.survival import Fit, fit

LEAST_SURVIVORS = 2
"""Fewest runs that did not collapse for a share of immune runs to be estimated."""


def joint_law(rows: pd.DataFrame, terms: Sequence[str]) -> tuple[JointLaw, Fit | None, list[str]]:
    """Fit the mixture of susceptible and immune runs to one group.

    Args:
        rows: Evidence that bounds T*.
        terms: Exponents of T* that the collapsed runs identify, from `orchestrator.laws.horizon.identified_terms`.

    Returns:
        The law and its fit, empty where they are not identified, and a sentence that says why.
    """
    n_collapsed = int(rows["collapsed"].sum())
    survivors = len(rows) - n_collapsed
    if "k" not in terms:
        return JointLaw(), None, []
    if survivors < LEAST_SURVIVORS:
        return (
            JointLaw(),
            None,
            [f"Only {survivors} runs did not collapse, so immune runs cannot be told from late ones; run smaller eta."],
        )
    free = fit(rows, immune=True, held=held_for(terms))
    if free is None or not free.grows:
        return (
            JointLaw(),
            None,
            ["Where runs become immune cannot be told: collapse does not grow with eta. Run more eta at each k."],
        )
    local, law = free.under(a=1.0), fit(rows, immune=False, held=held_for(terms))
    found = JointLaw(
        horizon=describe(free, terms),
        exponent=free.estimate("a"),
        width=width(float(free.maximum.parameters[LATENCY + 1])),
        p_exponent_is_1=free.p_under(a=1.0),
        p_laws=free.p_under(a=1.0, b=1.0, q=0.0),
        immune=_immune(free),
        aic=free.aic,
        aic_all_susceptible=law.aic if law else None,
        **({"constant": local.constant("log_c_local")} if local else {}),
    )
    return found, free, _on_open_sides(found)


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
