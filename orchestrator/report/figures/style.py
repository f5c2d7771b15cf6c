"""How figures look and become files: print sizes, colours for colour-blind readers, the same bytes each time."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullLocator

from orchestrator.base.states import RunState
from orchestrator.report.numbers import scientific

COLUMN, PAGE = 3.3, 7.0
"""Width of a column and of a page, in inches."""

# The colours of Okabe and Ito, which colour-blind readers can distinguish.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, GREY = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#767676",
)  # fmt: skip

MARKERS = "osD^vPX*<>hd"

Dashes = Literal["-"] | tuple[float, Sequence[float]]

OUTCOMES: dict[str, tuple[str, Dashes]] = {
    RunState.STABLE: (BLUE, "-"),
    RunState.DEGRADED: (ORANGE, (0, (3, 1))),
    RunState.COLLAPSED: (VERMILION, "-"),
}
"""Colour and dashes of a run's line."""

DENSE = 2_000
"""If there are more runs than this, svg and pdf draw them as pixels, because the files would be too large."""

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 7, "axes.labelsize": 8, "axes.titlesize": 7, "axes.linewidth": 0.6,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#dddddd", "grid.linewidth": 0.4,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "legend.fontsize": 7, "legend.frameon": False, "legend.handlelength": 1.8, "legend.columnspacing": 1.2,
    "lines.linewidth": 1.0, "hatch.linewidth": 0.6, "figure.facecolor": "white",
    "figure.constrained_layout.use": True, "svg.hashsalt": "stalesweep", "svg.fonttype": "path", "pdf.fonttype": 42,
}  # fmt: skip

_METADATA: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
FORMATS = tuple(_METADATA)


styled = context(["default", _STYLE])
"""Makes or saves a figure in this style, whatever the user's matplotlibrc sets."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that needs no screen; sizes in inches."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


@styled
def content(figure: Figure, format: str) -> bytes:
    """A figure as the bytes of a file in one of `FORMATS`, the same each time; png has 200 dots per inch."""
    file = io.BytesIO()
    figure.savefig(file, format=format, dpi=200, metadata=_METADATA[format])
    return file.getvalue()


def shades(count: int) -> list[tuple[float, float, float, float]]:
    """Colours for the values of an axis, from dark to light, all dark enough for white paper."""
    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.85, max(count, 2)))
    return [(red, green, blue, opacity) for red, green, blue, opacity in colours[:count].tolist()]


def log_ticks(axis: Axis, values: Sequence[float], inches: float, room: float, *, as_eta: bool = False) -> None:
    """Put the ticks of a log axis, its limits set, at as many of these rising values of the grid as fit.

    The axis is as many ``inches`` long, and a label needs ``room`` inches. ``as_eta``: they are learning rates.
    """
    low, high = axis.get_view_interval()
    scale = inches / math.log(high / low)
    kept: list[float] = []
    for value in reversed(values):
        if not kept or math.log(kept[-1] / value) * scale >= room:
            kept.append(value)
    kept.reverse()
    axis.set_major_locator(FixedLocator(kept))
    axis.set_major_formatter(FixedFormatter([eta_text(v) if as_eta else number(v) for v in kept]))
    axis.set_minor_locator(NullLocator())


def apart(values: Sequence[float], alone: float = 2.0) -> float:
    """The smallest factor between neighbouring values; ``alone`` if there is only one value."""
    return min((after / before for before, after in itertools.pairwise(values)), default=alone)


def least_gap(axis: Axis, values: Sequence[float], inches: float) -> float:
    """Inches between the two nearest values on a log axis of this length, its limits set."""
    low, high = axis.get_view_interval()
    return inches * math.log(apart(values, high / low)) / math.log(high / low)


def eta_text(eta: float) -> str:
    """A learning rate with three digits, because there is no room for more."""
    return scientific(float(f"{eta:.3g}"))


def number(value: float) -> str:
    """A tick's label: plain digits if they are few, else an exponent that is not raised, so that it can be read."""
    return f"{value:g}" if 0.01 <= abs(value) < 1e5 or not value else eta_text(value)


def decades(axis: Axis) -> None:
    """Put the ticks of a log axis at powers of ten, and also at 1, 2, 5 or all digits if those are few."""
    low, high = axis.get_view_interval()
    subs = [1.0] if high / low > 200 else [1.0, 2.0, 5.0] if high / low > 4 else [float(n) for n in range(1, 10)]
    axis.set_major_locator(LogLocator(subs=subs, numticks=9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_locator(NullLocator())


def log_limits(values: Sequence[float], margin: float) -> tuple[float, float]:
    """Limits of a log axis: a factor below and above the values."""
    return min(values) / margin, max(values) * margin


def finished(figure: Figure, handles: Sequence[Artist]) -> Figure:
    """Put the legend below the axes, in as few rows as fit, and fix the layout, so that all files have the same."""
    canvas: Any = figure.canvas
    renderer = canvas.get_renderer()
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns)
        if columns == 1 or legend.get_window_extent(renderer).width <= figure.bbox.width:
            break
        legend.remove()
    rows = math.ceil(len(handles) / columns)
    if rows > 1:
        legend.remove()
        figure.legend(handles=handles, loc="outside lower center", ncols=math.ceil(len(handles) / rows))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure
