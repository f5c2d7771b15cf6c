"""How runs that a search stopped early may move the local law: they are excluded from the cells, by choice."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestrator.base.states import FailureClass, RunState
from orchestrator.laws.boundary import local_law
from orchestrator.laws.cells import cells
from orchestrator.laws.collapse import of_class
from orchestrator.laws.estimates import Estimate
from orchestrator.laws.forms import Bracket, LocalLaw
from orchestrator.laws.settle import Gap, Tried


def about_stopped(members: pd.DataFrame, tried: Tried) -> list[Gap]:
    """Say how many runs of a group were stopped early, and how far that may move the local law.

    Args:
        members: Evidence of one group.
        tried: What was run.
    """
    has_begun = members["learner_steps"].fillna(members["horizon"]) > 0
    foreseen, decided = (
        has_begun.astype(bool) & of_class(members, [why])
        for why in (FailureClass.PREDICTED_COLLAPSE, FailureClass.DECIDED)
    )
    gaps = []
    if foreseen.any():
        collapsed, alive = (_supposing(members, foreseen, collapsed=one, tried=tried) for one in (True, False))
        gaps.append(
            f"{_runs(members[foreseen])} stopped early, predicted to collapse, and left out of the cells' shares: "
            "eta_max, and for the laws of T* the constants, look larger for it. From all of these runs collapsing to "
            f"none: {_range(collapsed, alive)}."
        )
    if decided.any():
        gaps.append(
            f"{_runs(members[decided])} stopped early because nothing was left to decide, and left out of the cells' "
            "shares: where these runs were stable, eta_max looks smaller for it."
        )
    return [Gap(text) for text in gaps]


def _supposing(members: pd.DataFrame, chosen: pd.Series[bool], *, collapsed: bool, tried: Tried) -> LocalLaw:
    """The local law if the chosen runs had all ended in one way."""
    rows = members.copy()
    rows.loc[chosen, ["why", "state"]] = "", RunState.COLLAPSED if collapsed else RunState.STABLE
    rows.loc[chosen, "collapsed"] = collapsed
    rows.loc[chosen, "hi"] = rows.loc[chosen, "horizon"].astype(float) if collapsed else np.inf
    law, _ = local_law(cells(rows), rows[rows["why"] == ""], tried)
    return law


def _runs(rows: pd.DataFrame) -> str:
    by_k = ", ".join(f"k={k}: {count}" for k, count in rows["k"].value_counts().sort_index().items())
    return f"{len(rows)} runs ({by_k}) were" if len(rows) > 1 else f"1 run ({by_k}) was"


def _range(collapsed: LocalLaw, alive: LocalLaw) -> str:
    parts = [f"C_local from {_value(collapsed.constant)} to {_value(alive.constant)}"]
    parts += [
        f"eta_max({low.k}) from {_boundary(low)} to {_boundary(high)}"
        for low, high in zip(collapsed.brackets, alive.brackets, strict=True)
    ]
    return "; ".join(parts)


def _value(estimate: Estimate) -> str:
    return "unknown" if estimate.estimate is None else f"{estimate.estimate:.3g}"


def _boundary(bracket: Bracket) -> str:
    if bracket.eta_half.estimate is not None:
        return f"{bracket.eta_half.estimate:.3g}"
    ends = {"above": bracket.eta_stable, "below": bracket.eta_collapsed}
    return " and ".join(f"{side} {eta:g}" for side, eta in ends.items() if eta is not None) or "unknown"
