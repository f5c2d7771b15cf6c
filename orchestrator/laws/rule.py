"""The two-constraint rule: what it predicts for each cell, also with constants from the other cells alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from orchestrator.laws.forms import MeasuredCell, Prediction, TwoConstraint
from orchestrator.laws.survival import TimeFit

Constants = tuple[float, float]
"""C_local and C_horizon."""

Limit = Callable[[Iterable[float]], float]
"""Which of the two constraints counts: ``min`` or ``max``."""

TOLERANCE = 1e-9
"""Cells on the line are stable; this absorbs rounding."""


def two_constraint(cells: Sequence[MeasuredCell], free: TimeFit) -> TwoConstraint:
    """Score η ≤ min(C_local/k, C_horizon/T) on all cells of a group, and on each with constants from the others.

    C_local comes from the group's joint fit ``free`` under a = 1, C_horizon from the one under b = 1 and q = 0.
    """
    local, horizon = free.inverse, free.ballistic
    fitted = _constants(local, horizon)
    if local is None or horizon is None or fitted is None:
        return TwoConstraint()
    finished = [cell for cell in cells if cell.n_runs]
    from_all = [fitted] * len(finished)
    from_others = [_constants(*(law.without(cell.k, cell.eta) for law in (local, horizon))) for cell in finished]

    def right(constants: Sequence[Constants | None], limit: Limit) -> int:
        pairs = zip(finished, constants, strict=True)
        return sum(_stable(cell, one, limit) == _observed_stable(cell) for cell, one in pairs if one)

    return TwoConstraint(
        cells_right=right(from_all, min),
        cells=len(finished),
        left_out_right=right(from_others, min),
        left_out_cells=sum(one is not None for one in from_others),
        either_right=right(from_all, max),
        either_left_out_right=right(from_others, max),
        crossing=fitted[1] / fitted[0],
        predictions=tuple(_predict(cell, fitted, one) for cell, one in zip(finished, from_others, strict=True)),
    )


def _predict(cell: MeasuredCell, fitted: Constants, from_others: Constants | None) -> Prediction:
    assert cell.horizon is not None
    by_local, by_horizon = _limits(fitted, cell)
    return Prediction(
        k=cell.k,
        eta=cell.eta,
        horizon=cell.horizon,
        limit=min(by_local, by_horizon),
        stable=_stable(cell, fitted, min),
        stable_left_out=None if from_others is None else _stable(cell, from_others, min),
        binds="local" if by_local <= by_horizon else "horizon",
        observed_stable=_observed_stable(cell),
    )


def _limits(constants: Constants, cell: MeasuredCell) -> tuple[float, float]:
    """The largest η that each constraint allows: C_local/k and C_horizon/T."""
    return constants[0] / cell.k, constants[1] / (cell.horizon or math.inf)


def _observed_stable(cell: MeasuredCell) -> bool:
    return 2 * cell.n_collapsed < cell.n_runs


def _stable(cell: MeasuredCell, constants: Constants, limit: Limit) -> bool:
    return cell.eta <= limit(_limits(constants, cell)) * (1 + TOLERANCE)


def _constants(local: TimeFit | None, horizon: TimeFit | None) -> Constants | None:
    if local is None or horizon is None or not local.grows:
        return None
    return local.c_local_point, horizon.c_horizon_point
