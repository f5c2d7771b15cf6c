"""When runs collapse: T* against η for each k, and η·T* against k."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation, Transform
from numpy.typing import NDArray

from orchestrator.laws.result import ModelLaws
from orchestrator.report import curves
from orchestrator.report.figures import style
from orchestrator.report.figures.over_steps import evenly

MOST = 5
"""Most series that one can distinguish side by side."""

_LABELS, _SLOT = 0.8, 0.09
"""Inches beside the axes, and for the marks of one series at one value of the axis."""

_SHARE = 0.8
"""Share of the space between two values of the axis that marks may take."""

_ASIDE = 2.2
"""Points by which runs are drawn left of their value and their median right of it, so that both are visible."""

Colour = tuple[float, float, float, float]
Numbers = NDArray[np.float64] | pd.Series


@style.styled
def steps_by_eta(model: ModelLaws, runs: pd.DataFrame) -> Figure:
    """Draw T* against η, given the laws of one model and the evidence of its finished runs."""
    etas, dense = sorted(runs["eta"].unique()), len(runs) > style.DENSE
    ks = evenly(sorted(runs["k"].unique()), MOST)
    runs = runs[runs["k"].isin(ks)]
    figure, axes = _side_by_side(etas, len(ks), _step_limits(runs), as_eta=True, legends=len(ks) + 2)
    axes.set(xlabel="learning rate η", ylabel="T* (learner steps)")
    for k, shift, colour, marker in zip(ks, *_looks(len(ks), etas), strict=False):
        of_k = runs[runs["k"] == k]
        line = curves.collapse_step(model, curves.over(etas), int(k))
        if line is not None:
            axes.plot(line.x, line.y, color=colour, linewidth=0.9, zorder=2)
        ended, outlived = of_k[of_k["collapsed"]], of_k[~of_k["collapsed"]]
        _mark(axes, outlived["eta"] * shift, outlived["lo"], r"$\uparrow$", colour, size=36, filled=True, dense=dense)
        medians = [(cell.eta * shift, cell.collapse_step.median) for cell in model.cells
                   if cell.k == k and cell.collapse_step]  # fmt: skip
        _bars(axes, ended["eta"] * shift, ended["lo"], ended["hi"], colour, dense)
        _medians(axes, medians, ended["eta"] * shift, marker, colour, f"k = {k}")
    if not runs["collapsed"].all():
        axes.scatter([], [], marker=r"$\uparrow$", s=36, color=style.BLACK, label="did not collapse")
    return style.finished(figure, axes.get_legend_handles_labels()[0])


@style.styled
def constant_by_k(model: ModelLaws, runs: pd.DataFrame) -> Figure:
    """Draw η·T* against k, over the interval of C_horizon; arguments as for `steps_by_eta`, with a collapsed run."""
    collapsed, ks = runs[runs["collapsed"]], sorted(runs["k"].unique())
    etas, dense = evenly(sorted(collapsed["eta"].unique()), MOST), len(collapsed) > style.DENSE
    collapsed = collapsed[collapsed["eta"].isin(etas)]
    constant = curves.horizon_fit(model)[0].constant
    level = [] if constant.estimate is None else [constant.estimate]
    bottom, top = style.log_limits([*(collapsed["eta"] * collapsed["hi"]), *level], 2.0)
    figure, axes = _side_by_side(ks, len(etas), (bottom, top), as_eta=False, legends=len(etas) + 1)
    axes.set(xlabel="staleness k (learner steps)", ylabel="η·T*")
    if level and constant.ci95:
        lower, upper = curves.opened(constant.ci95)
        ends = max(lower, bottom / 2), min(upper, top * 2)
        axes.axhspan(*ends, color=style.SKY, alpha=0.3, linewidth=0, label="C_horizon, 95 % interval")
    for value in level:
        axes.axhline(value, color=style.BLUE, linewidth=0.9)
    for eta, shift, colour, marker in zip(etas, *_looks(len(etas), ks), strict=False):
        of_eta = collapsed[collapsed["eta"] == eta]
        _bars(axes, of_eta["k"] * shift, eta * of_eta["lo"], eta * of_eta["hi"], colour, dense)
        medians = [(cell.k * shift, cell.eta_T) for cell in model.cells if cell.eta == eta and cell.eta_T]
        _medians(axes, medians, of_eta["k"] * shift, marker, colour, f"η = {style.eta_text(eta)}")
    return style.finished(figure, axes.get_legend_handles_labels()[0])


def _side_by_side(
    values: Sequence[float], series: int, limits: tuple[float, float], *, as_eta: bool, legends: int
) -> tuple[Figure, Axes]:
    """Logarithmic axes that are wide enough for this many series at each value."""
    factor = max(style.apart(values) ** 0.6, (values[-1] / values[0]) ** 0.08)  # beyond the outermost values
    low, high = style.log_limits(values, factor)
    needed = series * _SLOT / _SHARE * math.log(high / low) / math.log(style.apart(values))
    width = (style.COLUMN if needed <= style.COLUMN - _LABELS else style.PAGE) - _LABELS
    figure = style.new_figure(width + _LABELS, 2.6 + 0.12 * math.ceil(legends / 3))
    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=limits)
    style.log_ticks(axes.xaxis, values, width, 0.42 if as_eta else 0.22, as_eta=as_eta)
    style.decades(axes.yaxis)
    return figure, axes


def _looks(count: int, values: Sequence[float]) -> tuple[list[float], list[Colour], str]:
    """Of each series: the factor that puts it beside the others within the space of one value, colour and marker."""
    shifts = [style.apart(values) ** (_SHARE * ((place + 0.5) / count - 0.5)) for place in range(count)]
    return shifts, style.shades(count), style.MARKERS * count


def _step_limits(runs: pd.DataFrame) -> tuple[float, float]:
    ends = [*runs.loc[runs["collapsed"], "hi"], *runs.loc[~runs["collapsed"], "lo"]]
    starts = [lo for lo in runs.loc[runs["collapsed"], "lo"] if lo > 0]
    return max(min([*starts, *ends]), 1.0) / 1.8, max(ends) * 1.8


def _bars(axes: Axes, x: pd.Series, lo: pd.Series, hi: pd.Series, colour: Colour, dense: bool) -> None:
    """The interval of T* of each collapsed run. If a run was last seen alive at step 0, its bar reaches the edge."""
    bottom, several = axes.get_ylim()[0], x.duplicated(keep=False)
    for chosen, aside in ((several, -_ASIDE), (~several, 0.0)):
        if not chosen.any():
            continue
        at, ends, place = x[chosen], (np.maximum(lo[chosen], bottom / 2), hi[chosen]), _aside(axes, aside)
        axes.vlines(at, *ends, colors=[colour], linewidth=1.6, alpha=0.45, zorder=3, rasterized=dense, transform=place)
        axes.scatter(at, hi[chosen], s=3, color=[colour], zorder=3, rasterized=dense, transform=place)


def _medians(
    axes: Axes, medians: Sequence[tuple[float, float]], runs: pd.Series, marker: str, colour: Colour, label: str
) -> None:
    """The median (x and y) of each cell, beside its runs, given their x; if there is only one run, on it."""
    several = set(runs[runs.duplicated()])
    for aside in (_ASIDE, 0.0):
        points = [point for point in medians if (point[0] in several) is (aside > 0)]
        if points:
            x, y = np.array(points).T
            _mark(axes, x, y, marker, colour, transform=_aside(axes, aside))
    _mark(axes, np.array([]), np.array([]), marker, colour, label=label)


def _aside(axes: Axes, points: float) -> Transform:
    """The place of data, moved to the right by some points."""
    return axes.transData + ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)


def _mark(
    axes: Axes, x: Numbers, y: Numbers, marker: str, colour: Colour, *,
    label: str | None = None, size: float = 20, filled: bool = False, dense: bool = False,
    transform: Transform | None = None,
) -> None:  # fmt: skip
    edge = "none" if filled else "black"
    axes.scatter(
        x, y, marker=marker, s=size, color=[colour], edgecolors=edge, linewidths=0.5, zorder=4, label=label,
        rasterized=dense, transform=transform or axes.transData,
    )  # fmt: skip
