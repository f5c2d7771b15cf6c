"""The figures of a fit: which ones there are, their captions, and why one is missing. Imports matplotlib."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from orchestrator.base.files import write_whole
from orchestrator.laws.evidence import evidence, groups
from orchestrator.laws.result import Laws, ModelLaws
from orchestrator.report import curves
from orchestrator.report.figures import over_steps, style
from orchestrator.report.figures.phase import phase_diagram, two_constraint
from orchestrator.report.figures.steps import MOST, constant_by_k, steps_by_eta
from orchestrator.report.text_tables import missing
from orchestrator.store.database import Store

NOT_MEASURED = "No {what} is stored for the drawn runs. Runs that were imported as one row each have none."


@dataclass(frozen=True, eq=False, slots=True)
class Drawn:
    """A figure of one model, or the reason why it is missing."""

    name: str  # of its file, without the model
    title: str
    caption: str  # what it shows, or why there is none
    figure: Figure | None
    dense: bool = False  # whether it has so many points that a page shows pixels instead of vectors


def figures_of(store: Store, laws: Laws, runs: pd.DataFrame) -> Iterator[tuple[str, Drawn]]:
    """Yield each model's name in ``laws`` with a figure of it, given the export's ``runs`` that they were fitted to."""
    for name, members in groups(evidence(runs)):
        finished = members[members["why"] == ""]
        for drawn in _of_model(store, laws.models[name], finished):
            yield name, drawn


def write_figures(store: Store, laws: Laws, runs: pd.DataFrame, folder: Path) -> Iterator[Path | str]:
    """Write every figure of `figures_of` as png, svg and pdf to an existing folder, each file whole or not at all.

    Yields the files, and a sentence for each missing figure.
    """
    prefixes = _file_names(list(laws.models))
    for model, drawn in figures_of(store, laws, runs):
        if drawn.figure is None:
            yield f"{model}: no figure {drawn.name}. {drawn.caption}"
            continue
        for format in style.FORMATS:
            path = folder / f"{prefixes[model]}-{drawn.name}.{format}"
            yield write_whole(path, style.content(drawn.figure, format))


def _of_model(store: Store, model: ModelLaws, finished: pd.DataFrame) -> Iterator[Drawn]:
    if finished.empty:
        yield Drawn("phase-diagram", "Phase diagram", "No run has finished, so there is nothing to draw yet.", None)
        return
    yield Drawn("phase-diagram", "Phase diagram", _about_phase(model), phase_diagram(model))
    why_not = missing(model)
    about = why_not[0] if why_not else _about_rule(model)
    yield Drawn("two-constraint", "Two-constraint rule", about, None if why_not else two_constraint(model))
    yield Drawn("collapse-steps", "T* against η", _about_steps(model, finished), steps_by_eta(model, finished))
    any_collapsed = finished["collapsed"].any()
    about = _about_constant(model, finished) if any_collapsed else "No run collapsed, so there is no η·T* to draw."
    yield Drawn("eta-T", "η·T* against k", about, constant_by_k(model, finished) if any_collapsed else None)
    yield from _over_steps(over_steps.load(store, finished))


def _over_steps(drawn: over_steps.Trajectories) -> Iterator[Drawn]:
    grids = [
        ("reward", "Training reward", "training reward", drawn.syncs),
        ("val_reward", "Validation reward", "validation reward", drawn.evals),
        ("cosine_gradient_within", "Cosine of consecutive raw gradients", "raw-gradient cosine", drawn.syncs),
        ("cosine_update_within", "Cosine of consecutive applied updates", "update cosine", drawn.syncs),
    ]
    about = f"One line per run; a triangle marks T*. {drawn.chosen}".rstrip()
    for column, title, label, metrics in grids:
        name = f"{column.replace('_', '-').removesuffix('-within')}-over-steps"
        if not metrics[column].notna().any():
            yield Drawn(name, title, NOT_MEASURED.format(what=label), None)
            continue
        within = ", within a rollout cycle and averaged over it" if column in over_steps.COSINES else ""
        caption = f"Over learner steps, rows k, columns η{within}. {about}"
        yield Drawn(name, title, caption, over_steps.cell_grid(drawn.runs, metrics, column, label), dense=True)
    columns = {name: label for name, label in over_steps.COSINES.items() if drawn.syncs[name].notna().any()}
    if not (drawn.syncs["drift_from_start"] > 0).any():
        yield Drawn("drift", "Drift", NOT_MEASURED.format(what="drift from the start"), None)
        return
    caption = (
        f"Distance from the start and cosines over learner steps, by outcome. {about} Dotted and dashed: drift "
        f"∝ √t (diffusive) and ∝ t (ballistic)."
    )
    yield Drawn("drift", "Drift", caption, over_steps.drift_and_cosines(drawn.runs, drawn.syncs, columns), dense=True)


def _about_phase(model: ModelLaws) -> str:
    at = curves.over([cell.k for cell in model.cells], 2)
    shaded = ", shaded: its 95 % interval" if curves.boundary_interval(model) is not None else ""
    return _joined(
        "Each disc is a cell. Its filled part is the share of finished runs that collapsed, with collapsed/runs beside "
        "it if there is room. Grey bars are the brackets of η_max; an arrow means that only one side is known.",
        curves.boundary(model, at) is not None
        and f"Solid line: the η at which half of the runs collapse within their horizon{shaded}.",
        curves.slope_one(model, at) is not None and "Dashed line: η ∝ 1/k through the geometric mean of the brackets.",
    )


def _about_rule(model: ModelLaws) -> str:
    cells = model.two_constraint.predictions
    return _joined(
        "The line is min(C_local/k, C_horizon/T), dashed where C_horizon/T is smaller and solid where C_local/k is. "
        "Left: the runs. Right: the rule, which predicts safe cells up to the line and collapse above it.",
        not all(one.right for one in cells) and "Crossed out: at least half of the runs did otherwise.",
        any(one.uncertain for one in cells)
        and "Dotted rings: without this cell's own runs the rule predicts otherwise, or nothing.",
        len({one.horizon for one in cells}) > 1 and "There is a dashed level for each horizon T of the cells.",
    )


def _about_steps(model: ModelLaws, finished: pd.DataFrame) -> str:
    law = curves.collapse_law(model)
    return _joined(
        "Bars: the interval of each collapsed run's T*, with a dot at its upper end. Symbols, a little to the right: "
        "the median of each cell. Arrows: the last step of runs that did not collapse. Runs of one η stand side by "
        "side.",
        over_steps.which_shown("k", sorted(finished["k"].unique()), MOST),
        law is not None and f"Lines: the fit {law}.",
    )


def _about_constant(model: ModelLaws, finished: pd.DataFrame) -> str:
    fit, taken = curves.horizon_fit(model)
    shaded = ", shaded: its 95 % interval" if fit.constant.ci95 else ""
    return _joined(
        "η times T*. Bars: the interval of each collapsed run. Symbols, a little to the right: the median of each "
        "cell.",
        over_steps.which_shown("η", sorted(finished.loc[finished["collapsed"], "eta"].unique()), MOST),
        fit.constant.estimate is not None and f"Line: C_horizon = {fit.constant.estimate:.3g}, {taken}{shaded}.",
    )


def _joined(*sentences: str | bool) -> str:
    """The sentences that apply."""
    return " ".join(sentence for sentence in sentences if isinstance(sentence, str) and sentence)


def _file_names(models: list[str]) -> dict[str, str]:
    """A beginning of file names for each model. They differ even if upper and lower case are the same."""
    names: dict[str, str] = {}
    for model in models:
        plain = re.sub(r"[^A-Za-z0-9._=-]+", "-", model).strip("-.")[:60] or "model"
        taken = {name.lower() for name in names.values()}
        tried = [plain, *(f"{plain}-{number}" for number in range(2, len(models) + 2))]
        names[model] = next(name for name in tried if name.lower() not in taken)
    return names
