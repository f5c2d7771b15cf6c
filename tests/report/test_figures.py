"""Figures of all kinds of data: drawn without a warning, with readable text, and with the same bytes each time."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from orchestrator.laws.evidence import evidence, groups
from orchestrator.laws.fit import fit_laws
from orchestrator.laws.result import ModelLaws
from orchestrator.report import curves
from orchestrator.report.figures import _file_names, style
from orchestrator.report.figures.over_steps import cell_grid, drift_and_cosines, which_shown
from orchestrator.report.figures.phase import phase_diagram, two_constraint
from orchestrator.report.figures.steps import MOST, constant_by_k, steps_by_eta
from tests.support.laws_data import frame, paper_shape, run, tiny_sweep

pytestmark = pytest.mark.slow

ETAS = (2.5e-4, 5e-4, 1e-3, 2e-3)


def grid(ks: tuple[int, ...], etas: tuple[float, ...], seeds: int = 1) -> pd.DataFrame:
    """Runs that collapse above η·k = 4e-3, at T* = 0.1/η."""
    return frame([
        run(k, eta, seed, round(0.1 / eta) if eta * k > 4e-3 else None, collapse_step_lo=None)
        for k in ks for eta in etas for seed in range(seeds)
    ])  # fmt: skip


DATA = {
    "tiny": tiny_sweep(),
    "paper": paper_shape(),
    "all stable": frame([run(k, eta) for k in (2, 8) for eta in ETAS]),
    "all collapsed": frame([run(k, eta, step=round(0.1 / eta)) for k in (2, 8) for eta in ETAS]),
    "one stable run": frame([run(8, 1e-3)]),
    "one collapsed run": frame([run(8, 1e-3, step=8)]),
    "two runs": frame([run(8, 1e-3, step=64, collapse_step_lo=56), run(8, 5e-4)]),
    "every ending": frame([
        run(2, 1e-3, 0, 64), run(2, 1e-3, 1), run(2, 1e-3, 2, state="degraded"), run(2, 5e-4, state="degraded"),
        run(2, 2.5e-4, 1, state="running"), run(8, 5e-4, state="failed", failure="out of memory"), run(8, 1e-3, 0, 8),
    ]),
    "4 x 7 x 3": grid((2, 4, 8, 16), tuple(np.geomspace(1e-4, 6.4e-3, 7)), 3),
    "many of both": grid((1, 2, 4, 8, 16, 32, 64, 128, 256, 1024), tuple(np.geomspace(1e-6, 1e-2, 13))),
    "one eta": grid((2, 8, 32), (1e-3,)),
    "long numbers": grid((3, 7), (1.23456e-4, 1.23457e-4, 9.87654e-3)),
}  # fmt: skip


@functools.cache
def fitted(name: str) -> tuple[ModelLaws, pd.DataFrame]:
    """The laws of the only model of some data, and the evidence of its finished runs."""
    runs = DATA[name]
    [(_, members)] = groups(evidence(runs))
    [model] = fit_laws(runs).models.values()
    return model, members[members["why"] == ""]


def shown_texts(figure: Figure) -> Iterator[tuple[str, Bbox, float]]:
    """Every drawn text, its place in pixels, and its size in points."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    ticks: set[int] = set()
    beyond: set[int] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                ticks |= {id(tick.label1), id(tick.label2)}
                if not low <= tick.get_loc() <= high:
                    beyond |= {id(tick.label1), id(tick.label2)}
    for text in figure.findobj(Text):
        drawn = text.get_visible() and text.get_text().strip() and id(text) not in beyond
        if drawn:
            yield text.get_text(), text.get_window_extent(renderer), text.get_fontsize()


def assert_readable(figure: Figure) -> None:
    """Nothing is cut off, printed over something else, or too small."""
    figure.draw_without_rendering()
    texts = list(shown_texts(figure))
    assert texts
    whole = figure.bbox
    for text, box, size in texts:
        assert size >= 7, f"{text!r} is of {size} points"
        inside = whole.x0 <= box.x0 and whole.y0 <= box.y0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
        assert inside, f"{text!r} leaves the figure: {box}"
    for (a, of_a, _), (b, of_b, _) in itertools.combinations(texts, 2):
        common = Bbox.intersection(of_a, of_b)
        assert common is None or min(common.width, common.height) < 1, f"{a!r} and {b!r} overlap"


@pytest.mark.parametrize("name", DATA)
def test_figures_of_the_fit_are_readable(name: str) -> None:
    model, runs = fitted(name)
    assert_readable(phase_diagram(model))
    assert_readable(steps_by_eta(model, runs))
    if runs["collapsed"].any():
        assert_readable(constant_by_k(model, runs))
    if model.two_constraint.predictions:
        assert_readable(two_constraint(model))


def trajectories(runs: pd.DataFrame) -> pd.DataFrame:
    """Twenty syncs of each run."""
    steps = np.tile(np.arange(0, 480, 24), len(runs))
    values = np.cos(steps / 50)
    numbers = np.repeat(runs["run"].to_numpy(), 20)
    columns = {"run": numbers, "learner_step": steps, "end_step": steps + 24, "reward": values}
    return pd.DataFrame(columns | {"drift_from_start": np.sqrt(steps + 24.0), "cosine_gradient_within": values})


@pytest.mark.parametrize("name", ["tiny", "every ending", "one collapsed run"])
def test_figures_over_steps_are_readable(name: str) -> None:
    _, runs = fitted(name)
    metrics = trajectories(runs)
    assert_readable(cell_grid(runs, metrics, "reward", "training reward"))
    assert_readable(drift_and_cosines(runs, metrics, {"cosine_gradient_within": "raw-gradient cosine"}))


def test_metrics_that_are_missing_or_not_finite_leave_gaps() -> None:
    _, runs = fitted("tiny")
    metrics = trajectories(runs)
    metrics.loc[::3, ["reward", "drift_from_start"]] = np.nan
    metrics.loc[1::3, ["reward", "drift_from_start"]] = np.inf
    metrics.loc[metrics["run"] == 1, "reward"] = np.nan
    assert_readable(cell_grid(runs, metrics, "reward", "training reward"))
    assert_readable(drift_and_cosines(runs, metrics, {}))


@pytest.mark.parametrize("format", style.FORMATS)
def test_a_figure_drawn_again_is_the_same_file(format: str) -> None:
    model, runs = fitted("tiny")
    first, second = (style.content(steps_by_eta(model, runs), format) for _ in range(2))
    assert first == second and len(first) > 1000


def test_a_run_s_mark_stands_at_its_step() -> None:
    model, runs = fitted("two runs")
    axes = steps_by_eta(model, runs).axes[0]
    offsets = [tuple(point) for mark in axes.collections for point in mark.get_offsets()]
    at_collapse = [y for x, y in offsets if x == pytest.approx(1e-3)]
    assert at_collapse == [64.0, 64.0], "the run's dot and the cell's symbol"
    assert any(y == 480 for _, y in offsets)


def test_medians_and_runs_do_not_cover_each_other() -> None:
    model, runs = fitted("4 x 7 x 3")
    for figure in (steps_by_eta(model, runs), constant_by_k(model, runs)):
        marks = [
            mark for mark in figure.axes[0].collections if isinstance(mark, PathCollection) and mark.get_offsets().size
        ]
        places = {size: np.vstack([mark.get_offset_transform().transform(mark.get_offsets())
                                   for mark in marks if mark.get_sizes()[0] == size]) for size in (3, 20)}  # fmt: skip
        apart = np.linalg.norm(places[3][:, None] - places[20][None], axis=-1).min(axis=1)
        assert apart.min() > np.sqrt(20) / 2 * figure.dpi / 72, "a dot lies under a symbol"


def test_of_many_series_some_are_drawn_and_named() -> None:
    model, runs = fitted("many of both")
    labels = [text.get_text() for text in steps_by_eta(model, runs).legends[0].get_texts()]
    assert labels == ["k = 1", "k = 4", "k = 16", "k = 128", "k = 1024", "did not collapse"]
    assert which_shown("k", sorted(runs["k"].unique()), MOST) == "5 of 10 k are shown (1, 4, 16, 128, 1024)."
    assert which_shown("k", [1, 2], MOST) == ""


def lines_of(axes: Axes) -> list[tuple[bool, list[float], list[float]]]:
    """Whether a line is dashed, its x and its y."""
    return [(line.is_dashed(), *map(list, line.get_data())) for line in axes.lines]


def test_the_rule_is_drawn_as_it_predicts() -> None:
    model, _ = fitted("tiny")
    observed, rule = two_constraint(model).axes
    c_local, c_horizon = model.joint.constant.estimate, model.joint.horizon.constant.estimate
    assert c_local is not None and c_horizon is not None
    assert lines_of(observed) == lines_of(rule)
    (dashed, ks, levels), (solid, more_ks, falling) = lines_of(rule)
    assert dashed and not solid
    assert levels == pytest.approx([c_horizon / 480] * 2) and ks[1] == more_ks[0] == pytest.approx(
        480 * c_local / c_horizon
    )
    assert falling == pytest.approx([c_local / k for k in more_ks])
    said = model.two_constraint.predictions
    marks = [(mark.get_sizes()[0], [tuple(at) for at in mark.get_offsets()]) for mark in rule.collections]
    assert marks == [
        (34, [(one.k, one.eta) for one in said if one.stable]),
        (34, [(one.k, one.eta) for one in said if not one.stable]),
        (60, [(one.k, one.eta) for one in said if one.stable != one.observed_stable]),
    ]
    assert [bool(mark.get_facecolor()[0][2] > 0.9) for mark in rule.collections[:2]] == [True, False]


def test_cells_of_several_horizons_have_a_level_for_each() -> None:
    runs = tiny_sweep()
    runs.loc[runs["k"] == 2, ["horizon", "learner_steps"]] = 960
    [model] = fit_laws(runs).models.values()
    figure = two_constraint(model)
    assert_readable(figure)
    assert [dashed for dashed, _, _ in lines_of(figure.axes[1])] == [True, True, False]


def test_a_line_below_the_grid_is_in_sight() -> None:
    model, _ = fitted("paper")
    axes = two_constraint(model).axes[1]
    assert model.two_constraint.cells_right == 9
    assert axes.get_ylim()[0] < min(y for _, _, ys in lines_of(axes) for y in ys) < 1e-6


def test_a_prediction_that_hangs_on_its_own_cell_is_ringed() -> None:
    model, _ = fitted("tiny")
    first, *others = model.two_constraint.predictions
    rule = replace(model.two_constraint, predictions=(replace(first, stable_left_out=None), *others))
    figure = two_constraint(replace(model, two_constraint=rule))
    assert_readable(figure)
    [ring] = [mark for mark in figure.axes[1].collections if mark.get_sizes()[0] == 90]
    assert [tuple(at) for at in ring.get_offsets()] == [(first.k, first.eta)]
    assert "depends on this cell" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_boundary_is_the_fit_s() -> None:
    model, _ = fitted("tiny")
    ks = np.array([float(bracket.k) for bracket in model.local.brackets])
    line, ribbon, one = curves.boundary(model, ks), curves.boundary_interval(model), curves.slope_one(model, ks)
    assert line is not None and ribbon is not None and one is not None
    assert len(ribbon.x) > 30 and (min(ribbon.x), max(ribbon.x)) == (min(ks), max(ks))
    for bracket in model.local.brackets:
        place = list(ribbon.x).index(bracket.k)
        assert (ribbon.lower[place], ribbon.upper[place]) == pytest.approx(bracket.eta_half.ci95)
    halves = [bracket.eta_half.estimate for bracket in model.local.brackets]
    assert line.y == pytest.approx(halves, rel=0.05)
    middle = np.exp(np.interp(np.log(ribbon.x), np.log(ks), np.log(line.y)))
    assert all(ribbon.lower < middle) and all(middle < ribbon.upper)
    assert np.ptp(one.y * ks) < 1e-12 and line.name == f"half collapse, ∝ k^−{model.local.exponent.estimate:.2f}"


@pytest.mark.parametrize("name", ["all stable", "one stable run"])
def test_what_is_not_identified_is_not_drawn(name: str) -> None:
    model, _ = fitted(name)
    assert curves.slope_one(model, np.array([2.0, 8.0])) is None
    assert curves.collapse_step(model, np.array(ETAS), 8) is None
    assert curves.collapse_law(model) is None and curves.horizon_fit(model)[0].constant.estimate is None


def test_an_end_of_the_boundary_that_is_not_known_is_drawn_out_of_sight() -> None:
    model, _ = fitted("tiny")
    first, *others = model.local.brackets
    opened = replace(first, eta_half=replace(first.eta_half, ci95=(None, 1e-3)))
    ribbon = curves.boundary_interval(replace(model, local=replace(model.local, brackets=(opened, *others))))
    assert ribbon is not None and np.isfinite(ribbon.upper).all()
    assert ribbon.lower[0] < 1e-10 and ribbon.lower[-1] > 1e-4


def test_names_of_files_are_safe_and_distinct() -> None:
    names = ["org/model", "org model", "ORG-model", "<script>", "..", "a · clip_eps=0.2", "ü", "x" * 300]
    files = _file_names(names)
    assert len({file.lower() for file in files.values()}) == len(names)
    assert all(Path(file).name == file and file.isascii() and len(file) < 80 for file in files.values())
