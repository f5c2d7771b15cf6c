"""What the two-constraint rule predicts for each cell, as marks, shared by all outputs."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.laws.forms import Prediction
from orchestrator.laws.horizon import LEAST_SURVIVORS
from orchestrator.laws.result import ModelLaws
from orchestrator.report.numbers import labels, short

HEADING = "What the rule η ≤ min(C_local/k, C_horizon/T) predicts"

SAFE, COLLAPSES, WRONG, UNCERTAIN = "○", "●", "✗", "?"


def mark(one: Prediction) -> str:
    """A disc, filled if collapse is predicted, and marks for wrong and uncertain predictions."""
    notes = (WRONG if not one.right else "") + (UNCERTAIN if one.uncertain else "")
    return f"{SAFE if one.stable else COLLAPSES} {notes}".rstrip()


def predictions(model: ModelLaws) -> dict[tuple[int, float], Prediction]:
    """Predictions by k and η; empty if the rule predicts nothing."""
    return {(one.k, one.eta): one for one in model.two_constraint.predictions}


def missing(model: ModelLaws) -> list[str]:
    """A sentence that says why the rule predicts nothing; none if it does."""
    if model.two_constraint.predictions:
        return []
    runs, collapsed = (sum(getattr(cell, name) for cell in model.cells) for name in ("n_runs", "n_collapsed"))
    joint = model.joint
    if not runs:
        why = "no run has finished"
    elif not collapsed:
        why = "no run collapsed"
    elif model.horizon.censored.k_exponent.estimate is None:
        why = "the runs do not identify the exponents of T*"
    elif runs - collapsed < LEAST_SURVIVORS:
        why = f"fewer than {LEAST_SURVIVORS} runs did not collapse"
    elif joint.aic is not None and joint.aic_all_susceptible is not None and joint.aic_all_susceptible <= joint.aic:
        why = "a model without immune runs fits at least as well, so C_local is not known"
    else:
        why = "the boundary of immune runs is not known, so C_local is not either"
    return [f"The rule η ≤ min(C_local/k, C_horizon/T) predicts nothing here: {why}."]


def legend(model: ModelLaws) -> str:
    """What the marks that occur mean."""
    cells = model.two_constraint.predictions
    parts = [f"{SAFE} safe, {COLLAPSES} collapses"]
    if not all(one.right for one in cells):
        parts.append(f"{WRONG} at least half of the runs did otherwise")
    if any(one.uncertain for one in cells):
        parts.append(f"{UNCERTAIN} predicted otherwise without this cell's runs")
    return "; ".join(parts) + "."


def rows(model: ModelLaws, etas: Sequence[float]) -> tuple[list[str], list[list[str]]]:
    """A header and rows by k (and T, if cells differ in it): the limit, what binds, and a mark for each η."""
    cells = predictions(model)
    of_rows = {(one.k, one.horizon): one for one in cells.values()}
    several = len({horizon for _, horizon in of_rows}) > 1
    header = ["k", *(["T"] if several else []), "safe up to", "binds", *map(labels(model).__getitem__, etas)]
    lines = []
    for (k, horizon), first in sorted(of_rows.items()):
        at = (cells.get((k, eta)) for eta in etas)
        marks = [mark(one) if one and one.horizon == horizon else "" for one in at]
        lines.append([str(k), *([str(horizon)] if several else []), short(first.limit), first.binds, *marks])
    return header, lines
