"""Over k and η: how runs of each cell ended, with the fitted boundary, and beside what the two-constraint rule says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

from orchestrator.laws.result import Bracket, MeasuredCell, ModelLaws, Prediction
from orchestrator.report import curves
from orchestrator.report.figures import style

ROOM = 0.36, 0.14
"""Inches for collapsed/runs beside a mark, across and up. If cells lie closer, it is left out."""

NARROW = 5
"""Most k of two panels that fit the width of a column of text."""

HORIZON_DASHES = (3, 1.2)

NEAR = 10
"""The line is shown if it lies within this factor of the grid."""

_INCHES = 2.45
"""Approximate width of the axes: a column of text without the labels."""


@style.styled
def phase_diagram(model: ModelLaws) -> Figure:
    """Draw the cells of one model, at least one, over k and η, both logarithmic."""
    ks, etas = sorted({cell.k for cell in model.cells}), sorted({cell.eta for cell in model.cells})
    figure = style.new_figure(style.COLUMN, height(etas))
    size = _INCHES, height(etas) - 1.3
    axes = figure.add_subplot()
    axes.set(xlabel="staleness k (learner steps)", ylabel="learning rate η")
    over_grid(axes, ks, etas, etas, size, 0.3)
    _boundary(axes, model, ks)
    for bracket in model.local.brackets:
        _bracket(axes, bracket)
    gaps = style.least_gap(axes.xaxis, ks, size[0]), style.least_gap(axes.yaxis, etas, size[1])
    roomy = gaps[0] >= ROOM[0] and gaps[1] >= ROOM[1]
    draw_cells(axes, model.cells, annotated=roomy)
    handles = cell_marks(model.cells)
    if any(bracket.eta_stable or bracket.eta_collapsed for bracket in model.local.brackets):
        handles.append(Line2D([], [], color=style.GREY, linewidth=2.4, label="bracket of η_max"))
    return style.finished(figure, [*handles, *axes.get_legend_handles_labels()[0]])


def height(etas: Sequence[float]) -> float:
    """Inches of a figure with so many learning rates."""
    return min(3.4, 1.9 + 0.22 * len(etas))


def over_grid(
    axes: Axes, ks: Sequence[int], etas: Sequence[float], shown: Sequence[float], size: tuple[float, float], room: float
) -> None:
    """Lay axes of this size in inches over k and η, with ``room`` inches for marks beyond the outermost values.

    ``shown`` are the values of η for which there must be room, rising.
    """
    k_margin, eta_margin = (
        math.exp(max(0.3, math.log(values[-1] / values[0]) * room / (inches - 2 * room)))
        for values, inches in zip((ks, shown), size, strict=True)
    )
    axes.set(xscale="log", yscale="log", xlim=style.log_limits(ks, k_margin), ylim=style.log_limits(shown, eta_margin))
    style.log_ticks(axes.xaxis, ks, size[0], 0.22)
    style.log_ticks(axes.yaxis, etas, size[1], 0.12, as_eta=True)


def _boundary(axes: Axes, model: ModelLaws, ks: Sequence[int]) -> None:
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    at = np.geomspace(left, right, 33)
    half, known, one = curves.boundary(model, at), curves.boundary_interval(model), curves.slope_one(model, at)
    if known is not None:
        edges = np.clip(known.lower, bottom / 2, None), np.clip(known.upper, None, top * 2)
        axes.fill_between(known.x, *edges, color=style.SKY, alpha=0.3, linewidth=0, label="95 % interval", zorder=1)
    if half is not None:
        axes.plot(half.x, half.y, color=style.BLUE, label=half.name, zorder=2)
    if one is not None:
        axes.plot(one.x, one.y, color=style.BLACK, dashes=(4, 2), linewidth=0.8, label=one.name, zorder=2)


def _bracket(axes: Axes, bracket: Bracket) -> None:
    """A bar between the two ends, or an arrow if there is only one."""
    lo, hi = bracket.eta_stable, bracket.eta_collapsed
    if lo and hi:
        axes.plot([bracket.k] * 2, [lo, hi], color=style.GREY, linewidth=2.4, solid_capstyle="butt", zorder=3)
    elif lo or hi:
        end, (bottom, top) = lo or hi or math.nan, axes.get_ylim()
        tip = math.sqrt(end * (top if lo else bottom))
        axes.annotate(
            "", (bracket.k, tip), (bracket.k, end), arrowprops={"arrowstyle": "-|>", "color": style.GREY, "lw": 1.2}
        )


def draw_cells(axes: Axes, cells: Sequence[MeasuredCell], *, annotated: bool) -> None:
    """Discs, filled like pies by the share that collapsed, with a square around them if runs ended degraded."""
    finished = [cell for cell in cells if cell.n_runs]
    unfinished = [cell for cell in cells if not cell.n_runs]
    scatter(axes, unfinished, s=18, marker="x", color=style.GREY, linewidths=0.8, zorder=5)
    edge = {"edgecolor": style.BLACK}
    scatter(axes, finished, s=34, facecolor="white", linewidths=0.7, zorder=5, **edge)
    for share in sorted({cell.n_collapsed / cell.n_runs for cell in finished} - {0.0}):
        slice_ = Path.unit_circle() if share == 1 else Path.wedge(90 - 360 * share, 90)
        alike = [cell for cell in finished if cell.n_collapsed / cell.n_runs == share]
        scatter(axes, alike, s=34, marker=slice_, facecolor=style.VERMILION, linewidths=0.5, zorder=6, **edge)
    degraded = [cell for cell in finished if cell.n_degraded]
    scatter(axes, degraded, s=80, marker="s", facecolor="none", linewidths=0.8, zorder=5, **edge)
    for cell in finished if annotated else ():
        axes.annotate(
            f"{cell.n_collapsed}/{cell.n_runs}", (cell.k, cell.eta), xytext=(6, 0), textcoords="offset points",
            va="center", zorder=7, path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )  # fmt: skip


def scatter(axes: Axes, cells: Sequence[MeasuredCell | Prediction], **looks: Any) -> None:
    """Mark cells in the same way; do nothing if there are none."""
    if cells:
        axes.scatter([cell.k for cell in cells], [cell.eta for cell in cells], **looks)


def cell_marks(cells: Sequence[MeasuredCell]) -> list[Artist]:
    """The legend of `draw_cells`."""

    def mark(label: str, **looks: Any) -> Line2D:
        return Line2D([], [], linestyle="none", markersize=5, markeredgewidth=0.7, label=label, **looks)

    handles: list[Artist] = [mark("stable", marker="o", markerfacecolor="white", markeredgecolor=style.BLACK)]
    if any(cell.n_collapsed for cell in cells):
        red = {"markerfacecolor": style.VERMILION, "markeredgecolor": style.BLACK}
        handles.append(mark("collapsed (share)", marker="o", **red))
    if any(cell.n_degraded for cell in cells):
        handles.append(mark("some degraded", marker="s", markerfacecolor="none", markeredgecolor=style.BLACK))
    if any(not cell.n_runs for cell in cells):
        handles.append(mark("no finished run", marker="x", color=style.GREY))
    return handles


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
    over_grid(observed, ks, etas, sorted([*etas, *near]), ((width - 0.85) / 2, height(etas) - 1.4), 0.15)
    for axes in (observed, rule):
        axes.set_xlabel("staleness k")
        _limits(axes, model)
    draw_cells(observed, model.cells, annotated=False)
    _predictions(rule, predictions)
    return style.finished(figure, [*cell_marks(model.cells), *rule.get_legend_handles_labels()[0]])


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
