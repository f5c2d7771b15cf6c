"""What the two-constraint rule predicts for each cell, as marks, shared by all outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.laws.forms import Prediction
from orchestrator.laws.horizon import LEAST_SURVIVORS
from orchestrator.laws.result import ModelLaws
from orchestrator.laws.rule import Constants, limits
from orchestrator.report.numbers import short
from orchestrator.report.selection import labels

HEADING = "What the rule η ≤ min(C_local/k, C_horizon/T) predicts"

SAFE, COLLAPSES, WRONG, UNCERTAIN = "○", "●", "✗", "?"


@dataclass(frozen=True, slots=True)
class Predicted:
    """The rule's prediction of one cell.

    Attributes:
        horizon: T, in learner steps.
        limit: The largest η that the rule allows at this k and T.
        prediction: Whether it predicts stable runs, and why.
    """

    horizon: int
    limit: float
    prediction: Prediction

    @property
    def right(self) -> bool:
        """Whether the runs did as predicted."""
        return self.prediction.stable == self.prediction.observed_stable

    @property
    def uncertain(self) -> bool:
        """Whether the other cells alone do not lead to the same prediction."""
        return self.prediction.stable_left_out != self.prediction.stable

    @property
    def mark(self) -> str:
        """A disc, filled if collapse is predicted, and marks for wrong and uncertain predictions."""
        notes = (WRONG if not self.right else "") + (UNCERTAIN if self.uncertain else "")
        return f"{SAFE if self.prediction.stable else COLLAPSES} {notes}".rstrip()


def constants(model: ModelLaws) -> Constants | None:
    """C_local and C_horizon of the rule; None if it predicts nothing."""
    c_local, c_horizon = model.joint.constant.estimate, model.joint.horizon.constant.estimate
    if not model.two_constraint.predictions or c_local is None or c_horizon is None:
        return None
    return c_local, c_horizon


def predicted(model: ModelLaws) -> dict[tuple[int, float], Predicted]:
    """Predictions by k and η; empty if the rule predicts nothing."""
    fitted = constants(model)
    horizons = {(cell.k, cell.eta): cell.horizon for cell in model.cells}
    found = {}
    for one in model.two_constraint.predictions if fitted else ():
        horizon = horizons[one.k, one.eta]
        assert fitted and horizon is not None
        found[one.k, one.eta] = Predicted(horizon, min(limits(fitted, one.k, horizon)), one)
    return found


def missing(model: ModelLaws) -> list[str]:
    """A sentence that says why the rule predicts nothing; none if it does."""
    if predicted(model):
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
    cells = predicted(model).values()
    parts = [f"{SAFE} safe, {COLLAPSES} collapses"]
    parts += [f"{WRONG} at least half of the runs did otherwise"] if not all(cell.right for cell in cells) else []
    parts += (
        [f"{UNCERTAIN} predicted otherwise without this cell's runs"] if any(cell.uncertain for cell in cells) else []
    )
    return "; ".join(parts) + "."


def rows(model: ModelLaws, etas: Sequence[float]) -> tuple[list[str], list[list[str]]]:
    """A header and rows by k (and T, if cells differ in it): the limit, what binds, and a mark for each η."""
    cells = predicted(model)
    of_rows = {(k, cell.horizon): cell for (k, _), cell in cells.items()}
    several = len({horizon for _, horizon in of_rows}) > 1
    header = ["k", *(["T"] if several else []), "safe up to", "binds", *map(labels(model).__getitem__, etas)]
    lines = []
    for k, horizon in sorted(of_rows):
        at = (cells.get((k, eta)) for eta in etas)
        limit, binds = of_rows[k, horizon].limit, of_rows[k, horizon].prediction.binds
        marks = [cell.mark if cell and cell.horizon == horizon else "" for cell in at]
        lines.append([str(k), *([str(horizon)] if several else []), short(limit), binds, *marks])
    return header, lines
