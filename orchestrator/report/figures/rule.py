"""The two-constraint rule: the phase diagram as observed and as predicted, side by side, under the same line."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from orchestrator.laws.result import ModelLaws
from orchestrator.laws.rule import limits
from orchestrator.report import predicted
from orchestrator.report.figures import style
from orchestrator.report.figures.phase import cell_marks, draw_cell, margin, mark

NARROW = 5
"""Two panels of so many k fit the width of a column of text."""

HORIZON_DASHES = (3, 1.2)

ROOM = 0.15
"""Inches between the outermost marks and the frame."""


@style.styled
def two_constraint(model: ModelLaws) -> Figure:
    """Draw the cells of one model twice; the rule predicts at least one of them."""
    ks, etas = sorted({cell.k for cell in model.cells}), sorted({cell.eta for cell in model.cells})
    width = style.COLUMN if len(ks) <= NARROW else style.PAGE
    height = min(3.4, 1.9 + 0.22 * len(etas))
    size = (width - 0.85) / 2, height - 1.4
    figure = style.new_figure(width, height)
    observed, rule = figure.subplots(1, 2, sharex=True, sharey=True)
    observed.set(xscale="log", yscale="log", ylabel="learning rate η", title="observed")
    rule.set(title="predicted by the rule")
    observed.set_xlim(*style.log_limits(ks, margin(ks, size[0], ROOM)))
    observed.set_ylim(*style.log_limits(etas, margin(etas, size[1], ROOM)))
    style.log_ticks(observed.xaxis, ks, size[0], 0.22)
    style.log_ticks(observed.yaxis, etas, size[1], 0.12, as_eta=True)
    for axes in (observed, rule):
        axes.set_xlabel("staleness k")
        _limits(axes, model)
    for cell in model.cells:
        draw_cell(observed, cell, annotated=False)
    predictions = list(predicted.predicted(model).values())
    for prediction in predictions:
        _prediction(rule, prediction)
    _legend(figure, model, predictions)
    return style.laid_out(figure)


def _limits(axes: Axes, model: ModelLaws) -> None:
    """min(C_local/k, C_horizon/T), dashed where the horizon binds: one level for each T."""
    fitted = predicted.constants(model)
    assert fitted
    left, right = axes.get_xlim()
    horizons = sorted({cell.horizon for cell in predicted.predicted(model).values()})
    for horizon in horizons:
        level = limits(fitted, 1, horizon)[1]
        meet = min(max(fitted[0] / level, left), right)
        axes.plot([left, meet], [level, level], color=style.BLACK, linewidth=1.1, dashes=HORIZON_DASHES, zorder=2)
    first = min(max(fitted[0] / limits(fitted, 1, horizons[0])[1], left), right)
    axes.plot([first, right], [fitted[0] / first, fitted[0] / right], color=style.BLACK, linewidth=1.1, zorder=2)


def _prediction(axes: Axes, cell: predicted.Predicted) -> None:
    """A disc, crossed out where the runs did otherwise, in a dotted ring where it hangs on the cell itself."""
    at = ([cell.said.k], [cell.said.eta])
    face = "white" if cell.said.stable else style.VERMILION
    axes.scatter(*at, s=34, facecolor=face, edgecolor=style.BLACK, linewidths=0.7, zorder=5)
    if cell.hangs:
        axes.scatter(*at, s=90, facecolor="none", edgecolor=style.BLACK, linewidths=0.8, linestyle=":", zorder=5)
    if not cell.right:
        axes.scatter(*at, s=60, marker="x", color=style.BLACK, linewidths=0.9, zorder=6)


def _legend(figure: Figure, model: ModelLaws, cells: list[predicted.Predicted]) -> None:
    def line(label: str, **looks: Any) -> Line2D:
        return Line2D([], [], color=style.BLACK, linewidth=1.1, label=label, **looks)

    binding = {cell.said.binds for cell in cells}
    handles = cell_marks(model.cells)
    if not all(cell.right for cell in cells):
        handles.append(mark("runs did otherwise", marker="x", color=style.BLACK))
    if any(cell.hangs for cell in cells):
        handles.append(mark("not without this cell", marker="o", markerfacecolor="none", linestyle=":"))
    handles += [line("C_horizon/T binds", dashes=HORIZON_DASHES)] if "horizon" in binding else []
    handles += [line("C_local/k binds")] if "local" in binding else []
    style.legend_below(figure, handles)
