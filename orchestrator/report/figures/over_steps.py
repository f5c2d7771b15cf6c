"""Metrics over learner steps: which runs are drawn, grids of cells with rows k and columns η, drift and cosines.

Only metrics of drawn runs are read: a database may have millions of weight syncs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from orchestrator.base.states import RunState
from orchestrator.data import measured
from orchestrator.report.figures import style
from orchestrator.store.database import Store

MOST_KS, MOST_ETAS, MOST_RUNS = 4, 5, 8
"""Most rows and columns of a grid of cells, and runs in each, that one can still distinguish."""

MOST_POINTS = 500
"""Most points of a line."""

COSINES = {"cosine_gradient_within": "raw-gradient cosine", "cosine_update_within": "update cosine"}
METRICS = ("reward", "drift_from_start", *COSINES)

NARROW = 3
"""Most columns of a grid that fit the width of a column of text."""


@style.styled
def cell_grid(runs: pd.DataFrame, metrics: pd.DataFrame, column: str, label: str) -> Figure:
    """Draw one metric over learner steps, a panel per cell and a thin line per run.

    ``runs`` are evidence, and ``metrics`` their ``run``, ``learner_step`` and the column, called ``label`` on the axis.
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
        panels[row, -1].annotate(
            f"k = {k}", (1, 0.5), xytext=(3, 0), xycoords="axes fraction", textcoords="offset points",
            rotation=270, va="center", ha="left",
        )  # fmt: skip
    first: Axes = panels[0, 0]
    first.set_xlim(0, float(runs["learner_steps"].astype(float).max()) * 1.04)
    first.xaxis.set_major_locator(MaxNLocator(2 if width == style.COLUMN else 3, integer=True, prune="upper"))
    first.yaxis.set_major_locator(MaxNLocator(3))
    for axes in panels[-1, :]:
        axes.set_xlabel("learner step", fontsize=7)
    figure.supylabel(label, fontsize=8)
    return style.finished(figure, _legend(runs))


@style.styled
def drift_and_cosines(runs: pd.DataFrame, metrics: pd.DataFrame, columns: dict[str, str]) -> Figure:
    """Draw the drift from the start (logarithmic, with lines of slopes 1/2 and 1) and cosines, coloured by outcome.

    ``metrics`` are ``run``, ``end_step``, ``drift_from_start`` and the ``columns``, cosines with the name of
    each; all are known at the end of a cycle.
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
    return style.finished(figure, [*_legend(runs), *drift.get_legend_handles_labels()[0]])


def _lines(metrics: pd.DataFrame, column: str, over: str = "learner_step") -> Iterator[tuple[Any, tuple[Any, Any]]]:
    for run, rows in metrics[metrics[column].notna()].groupby("run", sort=True):
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


def _legend(runs: pd.DataFrame) -> list[Line2D]:
    present = [state for state in style.OUTCOMES if (runs["state"] == state).any()]
    handles = []
    for state in present:
        colour, dashes = style.OUTCOMES[state]
        handles.append(Line2D([], [], color=colour, linestyle=dashes, linewidth=1.0, label=state))
    if RunState.COLLAPSED in present:
        looks: dict[str, Any] = {"marker": "v", "markersize": 4, "color": "white", "markeredgecolor": style.VERMILION}
        handles.append(Line2D([], [], linestyle="none", label="T*", **looks))
    return handles


@dataclass(frozen=True, eq=False, slots=True)
class Trajectories:
    """The metrics of the drawn runs of one model."""

    runs: pd.DataFrame  # their evidence
    syncs: pd.DataFrame  # run, learner_step of the sync and end_step of its rollout cycle, and METRICS
    evals: pd.DataFrame  # run, learner_step, val_reward
    chosen: str  # sentences that say what is left out; empty if nothing is


def load(store: Store, runs: pd.DataFrame) -> Trajectories:
    """Choose runs to draw from the evidence of one model's finished runs, and read their metrics."""
    drawn, chosen = _choose(runs)
    numbers = [int(run) for run in drawn["run"]]
    syncs = _as_floats(measured.thinned_syncs(store, numbers, METRICS, MOST_POINTS))
    evals = _as_floats(measured.evals_of(store, numbers))
    last = syncs["run"].map(dict(zip(numbers, drawn["learner_steps"].astype(float), strict=True)))
    syncs["end_step"] = syncs["end_step"].fillna(last)
    return Trajectories(runs=drawn, syncs=syncs, evals=_thinned(evals), chosen=chosen)


def _choose(runs: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    ks, etas = sorted(runs["k"].unique()), sorted(runs["eta"].unique())
    shown_ks, shown_etas = evenly(ks, MOST_KS), evenly(etas, MOST_ETAS)
    of_cells = runs[runs["k"].isin(shown_ks) & runs["eta"].isin(shown_etas)].sort_values(["k", "eta", "seed", "run"])
    drawn = of_cells.groupby(["k", "eta"]).head(MOST_RUNS)
    sentences = [which_shown("k", ks, MOST_KS), which_shown("η", etas, MOST_ETAS)]
    if len(drawn) < len(of_cells):
        sentences.append(f"Only the first {MOST_RUNS} runs of each cell are shown.")
    if (drawn["learner_steps"] > MOST_POINTS).any():
        sentences.append(f"Of runs with more than {MOST_POINTS} points, only every n-th point is drawn.")
    return drawn, " ".join(filter(None, sentences))


def _as_floats(frame: pd.DataFrame) -> pd.DataFrame:
    """Metrics as floats. Missing values and NaN are both gaps in a line."""
    return frame.astype(dict.fromkeys(frame.columns[2:], float))


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    by_run = frame.groupby("run")["learner_step"]
    return frame[by_run.cumcount() % (by_run.transform("size") // (MOST_POINTS + 1) + 1) == 0]


def evenly(values: Sequence[float], most: int) -> list[float]:
    """At most this many of the values, evenly spaced, with the first and the last."""
    places = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
    return [values[place] for place in places]


def which_shown(name: str, values: Sequence[float], most: int) -> str:
    """A sentence that says which values of k or η are drawn; empty if all are. The arguments are as for `evenly`."""
    if len(values) <= most:
        return ""
    shown = evenly(values, most)
    texts = (str(value) if name == "k" else style.eta_text(value) for value in shown)
    return f"{len(shown)} of {len(values)} {name} are shown ({', '.join(texts)})."
