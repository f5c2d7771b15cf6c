"""Metrics over learner steps: grids of cells with rows k and columns η, and drift and cosines of all runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from orchestrator.base.states import RunState
from orchestrator.report.figures import style

NARROW = 3
"""Most columns of a grid that fit the width of a column of text."""


@style.styled
def cell_grid(runs: pd.DataFrame, metrics: pd.DataFrame, column: str, label: str) -> Figure:
    """Draw one metric over learner steps, a panel per cell and a thin line per run.

    Args:
        runs: Evidence of the runs to draw.
        metrics: Their ``run``, ``learner_step`` and the metric.
        column: Name of the metric.
        label: Its name on the axis.
    """
    ks, etas = sorted(runs["k"].unique()), sorted(runs["eta"].unique())
    width = style.COLUMN if len(etas) <= NARROW else style.PAGE
    figure = style.new_figure(width, 1.0 + 0.75 * len(ks))
    panels = figure.subplots(len(ks), len(etas), sharex=True, sharey=True, squeeze=False)
    series = dict(_lines(metrics, column))
    for row, k in enumerate(ks):
        for place, eta in enumerate(etas):
            axes: Axes = panels[row, place]
            of_cell = runs[(runs["k"] == k) & (runs["eta"] == eta)]
            for run in of_cell.to_dict("records"):
                _line(axes, run, *series.get(run["run"], ((), ())))
            if row == 0:
                axes.set_title(f"η = {style.eta_text(eta)}", pad=3)
            if of_cell.empty:
                axes.set_facecolor("#f2f2f2")
        _right_label(panels[row, -1], f"k = {k}")
    first: Axes = panels[0, 0]
    first.set_xlim(0, float(runs["learner_steps"].astype(float).max()) * 1.04)
    first.xaxis.set_major_locator(MaxNLocator(2 if width == style.COLUMN else 3, integer=True, prune="upper"))
    first.yaxis.set_major_locator(MaxNLocator(3))
    for axes in panels[-1, :]:
        axes.set_xlabel("learner step", fontsize=7)
    figure.supylabel(label, fontsize=8)
    _legend(figure, runs)
    return style.laid_out(figure)


@style.styled
def drift_and_cosines(runs: pd.DataFrame, metrics: pd.DataFrame, columns: dict[str, str]) -> Figure:
    """Draw the drift from the start (logarithmic, with lines of slopes 1/2 and 1) and cosines, coloured by outcome.

    Args:
        runs: As for `cell_grid`.
        metrics: ``run``, ``end_step``, ``drift_from_start`` and the columns, all known at the end of a cycle.
        columns: Cosines to draw, with the name of each.
    """
    figure = style.new_figure(style.COLUMN, 2.2 + 1.3 * len(columns))
    panels = figure.subplots(1 + len(columns), 1, squeeze=False, height_ratios=[1.5, *([1.0] * len(columns))])
    drift: Axes = panels[0, 0]
    names = {"drift_from_start": "‖θ_t − θ_0‖", **columns}
    by_run = {run["run"]: run for run in runs.to_dict("records")}
    for axes, (column, label) in zip(panels[:, 0], names.items(), strict=True):
        axes.set_ylabel(label)
        for run, (steps, values) in _lines(metrics, column, "end_step"):
            shown = (values > 0) & (steps > 0) if axes is drift else steps > 0
            _line(axes, by_run[run], steps[shown], values[shown])
        axes.set_xscale("log")
    drift.set_yscale("log")
    for axes in panels[:, 0]:
        style.decades(axes.xaxis)
    style.decades(drift.yaxis)
    _slopes(drift)
    panels[-1, 0].set_xlabel("learner step")
    _legend(figure, runs, drift.get_legend_handles_labels()[0])
    return style.laid_out(figure)


def _lines(metrics: pd.DataFrame, column: str, over: str = "learner_step") -> Iterator[tuple[Any, tuple[Any, Any]]]:
    measured = metrics[metrics[column].notna()]
    for run, rows in measured.groupby("run", sort=True):
        steps, values = (rows[name].to_numpy(dtype=float, na_value=np.nan) for name in (over, column))
        order = np.argsort(steps, kind="stable")
        yield run, (steps[order], np.where(np.isfinite(values[order]), values[order], np.nan))


def _line(axes: Axes, run: dict[Any, Any], steps: Any, values: Any) -> None:
    """A run's line, with a mark at T*."""
    colour, dashes = style.OUTCOMES[run["state"]]
    axes.plot(steps, values, color=colour, linestyle=dashes, linewidth=0.6, alpha=0.85)
    seen = np.isfinite(values) if len(values) else np.array([], dtype=bool)
    if run["collapsed"] and np.any(seen):
        at = float(run["hi"])
        axes.plot(
            [at], [np.interp(at, steps[seen], values[seen])],
            marker="v", markersize=3.5, color="white", markeredgecolor=colour, markeredgewidth=0.8, linestyle="none",
        )  # fmt: skip


def _slopes(axes: Axes) -> None:
    """Lines of slope 1/2 and 1 from the middle of the left edge."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set(xlim=(left, right), ylim=(bottom, top))
    at, start = np.array([left, right]), float(np.sqrt(bottom * top)) / 3
    for slope, name, dashes in ((0.5, "slope 1/2", (1, 1)), (1.0, "slope 1", (4, 2))):
        axes.plot(at, start * (at / left) ** slope, color=style.BLACK, linewidth=0.7, dashes=dashes, label=name)


def _right_label(axes: Axes, text: str) -> None:
    axes.annotate(
        text, (1, 0.5), xytext=(3, 0), xycoords="axes fraction", textcoords="offset points",
        rotation=270, va="center", ha="left",
    )  # fmt: skip


def _legend(figure: Figure, runs: pd.DataFrame, more: Any = ()) -> None:
    present = [state for state in style.OUTCOMES if (runs["state"] == state).any()]
    handles = []
    for state in present:
        colour, dashes = style.OUTCOMES[state]
        handles.append(Line2D([], [], color=colour, linestyle=dashes, linewidth=1.0, label=state))
    if RunState.COLLAPSED in present:
        mark = Line2D([], [], linestyle="none", marker="v", markersize=4, color="white", label="T*")
        mark.set_markeredgecolor(style.VERMILION)
        handles.append(mark)
    style.legend_below(figure, [*handles, *more])
