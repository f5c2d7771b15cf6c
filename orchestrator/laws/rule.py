"""The two-constraint rule: what it predicts for each cell, also with constants from the other cells alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from orchestrator.laws.forms import MeasuredCell, Prediction, TwoConstraint
from orchestrator.laws.survival import TimeFit

Constants = tuple[float, float]
"""C_local and C_horizon."""

TOLERANCE = 1e-9
"""Cells on the line are stable; this absorbs rounding."""


def two_constraint(cells: Sequence[MeasuredCell], free: TimeFit) -> TwoConstraint:
    """Score η ≤ min(C_local/k, C_horizon/T) on all cells, and on each with constants from the others.

    Args:
        cells: The cells of one group.
        free: Its joint fit. C_local comes from the fit under a = 1, C_horizon from the one under b = 1 and q = 0.
    """
    local, horizon = free.inverse, free.ballistic
    fitted = _constants(local, horizon)
    if local is None or horizon is None or fitted is None:
        return TwoConstraint()
    predictions, either = [], []
    for cell in cells:
        if cell.p_collapse is None or cell.horizon is None:
            continue
        from_others = _constants(local.without(cell.k, cell.eta), horizon.without(cell.k, cell.eta))
        by_local, by_horizon = limits(fitted, cell.k, cell.horizon)
        stable = cell.p_collapse < 0.5
        known = [constants for constants in (fitted, from_others) if constants is not None]
        either.append([_stable(cell, constants, max) == stable for constants in known])
        prediction = Prediction(
            k=cell.k,
            eta=cell.eta,
            stable=_stable(cell, fitted),
            stable_left_out=None if from_others is None else _stable(cell, from_others),
            binds="local" if by_local <= by_horizon else "horizon",
            observed_stable=stable,
        )
        predictions.append(prediction)
    scored = [one for one in predictions if one.stable_left_out is not None]
    c_local, c_horizon = fitted
    return TwoConstraint(
        cells_right=sum(one.stable == one.observed_stable for one in predictions),
        cells=len(predictions),
        left_out_right=sum(one.stable_left_out == one.observed_stable for one in scored),
        left_out_cells=len(scored),
        either_right=sum(right for right, *_ in either),
        either_left_out_right=sum(others[0] for _, *others in either if others),
        crossing=c_horizon / c_local,
        predictions=tuple(predictions),
    )


def limits(constants: Constants, k: float, horizon: float) -> tuple[float, float]:
    """The largest η that each constraint allows: C_local/k and C_horizon/T."""
    c_local, c_horizon = constants
    return c_local / k, c_horizon / horizon


def _stable(cell: MeasuredCell, constants: Constants, limit: Callable[[Iterable[float]], float] = min) -> bool:
    assert cell.horizon is not None
    return cell.eta <= limit(limits(constants, cell.k, cell.horizon)) * (1 + TOLERANCE)


def _constants(local: TimeFit | None, horizon: TimeFit | None) -> Constants | None:
    if local is None or horizon is None or not local.grows:
        return None
    return local.c_local_point, horizon.c_horizon_point
