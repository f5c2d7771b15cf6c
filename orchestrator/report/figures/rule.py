"""The two-constraint rule: the phase diagram as observed and as predicted, side by side, with the rule's line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.laws.forms import Prediction
from orchestrator.laws.result import ModelLaws
from orchestrator.report.figures import style
from orchestrator.report.figures.phase import cell_marks, draw_cells, height, over_grid, scatter

NARROW = 5
"""Most k of two panels that fit the width of a column of text."""

HORIZON_DASHES = (3, 1.2)

NEAR = 10
"""The line is shown if it lies within this factor of the grid."""

ROOM = 0.15
"""Inches between the outermost marks and the frame."""


@style.styled
def two_constraint(model: ModelLaws) -> Figure:
    """Draw the cells of one model as observed and as predicted; the rule predicts at least one."""
    ks, etas = sorted({cell.k for cell in model.cells}), sorted({cell.eta for cell in model.cells})
    width = style.COLUMN if len(ks) <= NARROW else style.PAGE
    figure = style.new_figure(width, height(etas))
    observed, rule = figure.subplots(1, 2, sharex=True, sharey=True)
    observed.set(ylabel="learning rate η", title="observed")
    rule.set(title="predicted by the rule")
    predictions = model.two_constraint.predictions
    near = [cell.limit for cell in predictions if min(etas) / NEAR <= cell.limit <= max(etas) * NEAR]
    over_grid(observed, ks, etas, sorted([*etas, *near]), ((width - 0.85) / 2, height(etas) - 1.4), ROOM)
    for axes in (observed, rule):
        axes.set_xlabel("staleness k")
        _limits(axes, model)
    draw_cells(observed, model.cells, annotated=False)
    _predictions(rule, predictions)
    style.legend_below(figure, [*cell_marks(model.cells), *rule.get_legend_handles_labels()[0]])
    return style.laid_out(figure)


def _limits(axes: Axes, model: ModelLaws) -> None:
    """Draw min(C_local/k, C_horizon/T), dashed where C_horizon/T is smaller: one level for each T."""
    c_local, c_horizon = model.joint.constant.estimate, model.joint.horizon.constant.estimate
    assert c_local is not None and c_horizon is not None
    left, right = axes.get_xlim()
    looks: dict[str, Any] = {"color": style.BLACK, "linewidth": 1.1, "zorder": 2}
    levels = sorted({c_horizon / one.horizon for one in model.two_constraint.predictions})
    meet = [min(max(c_local / level, left), right) for level in levels]
    for level, k in zip(levels, meet, strict=True):
        label = "C_horizon/T binds" if level == levels[0] else None
        if k > left:
            axes.plot([left, k], [level, level], dashes=HORIZON_DASHES, label=label, **looks)
    if meet[-1] < right:
        axes.plot([meet[-1], right], [c_local / meet[-1], c_local / right], label="C_local/k binds", **looks)


def _predictions(axes: Axes, cells: Sequence[Prediction]) -> None:
    """Discs, crossed out if the runs did otherwise, in a dotted ring if the prediction depends on the cell itself."""
    edge = {"edgecolor": style.BLACK, "zorder": 5}
    for stable, colour in ((True, "white"), (False, style.VERMILION)):
        alike = [one for one in cells if one.stable is stable]
        scatter(axes, alike, s=34, facecolor=colour, linewidths=0.7, **edge)
    ring = {"s": 90, "facecolor": "none", "linewidths": 0.8, "linestyle": ":"}
    scatter(axes, [one for one in cells if one.uncertain], label="depends on this cell", **ring, **edge)
    cross = {"s": 60, "marker": "x", "color": style.BLACK, "linewidths": 0.9, "zorder": 6}
    scatter(axes, [one for one in cells if not one.right], label="runs did otherwise", **cross)
