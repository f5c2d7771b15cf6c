"""The tables of a fit as texts, and what the two-constraint rule predicts as marks, shared by all outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.laws.estimates import Estimate
from orchestrator.laws.horizon import LEAST_SURVIVORS
from orchestrator.laws.result import HorizonFit, MeasuredCell, ModelLaws, Prediction
from orchestrator.report.numbers import decimal, range_text, scientific, short

HEADING = "What the rule η ≤ min(C_local/k, C_horizon/T) predicts"

SAFE, COLLAPSES, WRONG, UNCERTAIN = "○", "●", "✗", "?"

EACH_CELL = "Each cell: collapsed/runs, median T* in learner steps, η·T*."


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table: what it shows, how to read it (may be empty), headings of columns, and rows."""

    heading: str
    about: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]  # one text for each column; one of the phase diagram may have several lines
    fixed: int = 0  # how many columns are repeated if the others do not fit beside each other


def tables_of(model: ModelLaws) -> list[TextTable]:
    """All tables that are not empty: the phase diagram, predictions of the rule, brackets of η_max, fitted numbers."""
    etas, by_place = labels(model), {(cell.k, cell.eta): cell for cell in model.cells}
    phase = [
        [str(k), *("\n".join(cell_lines(by_place[k, eta])) if (k, eta) in by_place else "" for eta in etas)]
        for k in sorted({cell.k for cell in model.cells})
    ]
    header, marks = rule_rows(model, list(etas))
    brackets = ["k", "η stable", "η collapses", "k·η_max", "half collapse at η (95 %)"]
    numbers = ["from", "symbol", "meaning", "estimate", "95 % interval", "grid allows"]
    tables = [
        TextTable("Phase diagram", EACH_CELL, ["k", *(f"η = {text}" for text in etas.values())], phase, 1),
        TextTable(HEADING, legend(model), header, marks, len(header) - len(etas)),
        TextTable("Where η_max(k) lies", "", brackets, _brackets(model)),
        TextTable("Fitted laws", "", numbers, _numbers(model)),
    ]
    return [table for table in tables if table.rows]


def labels(model: ModelLaws) -> dict[float, str]:
    """Each learning rate of a grid as text, with three digits or as many as keep them different (at most twelve)."""
    etas = sorted({cell.eta for cell in model.cells})
    for digits in range(3, 13):
        texts = {eta: scientific(float(f"{eta:.{digits - 1}e}")) for eta in etas}
        if len(set(texts.values())) == len(etas):
            break
    return texts


def cell_lines(cell: MeasuredCell) -> list[str]:
    """The lines of a cell of the phase diagram: collapsed/runs, median T*, η·T*, degraded runs, left-out runs."""
    lines = []
    if cell.collapse_step and cell.eta_T is not None:
        lines.append(f"{cell.n_collapsed}/{cell.n_runs} T* {cell.collapse_step.median:.15g}")
        lines.append(f"η·T* {short(cell.eta_T)}")
    elif cell.n_runs:
        lines.append(f"0/{cell.n_runs}{' stable' if cell.n_degraded < cell.n_runs else ''}")
    lines += [f"{cell.n_degraded} degraded"] if cell.n_degraded else []
    return lines + ([f"… {cell.n_left_out} left out"] if cell.n_left_out else [])


def _brackets(model: ModelLaws) -> list[list[str]]:
    """For each k: largest stable and smallest collapsing η, k·η_max between them, η at which half collapse."""
    etas, rows = labels(model), []
    for b in model.local.brackets:
        ends = (b.eta_stable, b.eta_collapsed)
        lo, hi = (None if eta is None else short(b.k * eta) for eta in ends)
        product = f"{lo} to {hi}" if lo and hi else f"above {lo}" if lo else f"below {hi}" if hi else "–"
        half, interval = "–" if b.eta_half.estimate is None else short(b.eta_half.estimate), b.eta_half.ci95
        texts = ["–" if eta is None else etas[eta] for eta in ends]
        among = f" ({range_text(interval, short)})" if range_text(interval, short) else ""
        rows.append([str(b.k), *texts, product, half + among])
    return rows


def _numbers(model: ModelLaws) -> list[list[str]]:
    """The fitted numbers that are known, each with the fit it is from; ``–`` where a range is not known."""
    local, horizon, joint = model.local, model.horizon, model.joint
    both = "Both laws, runs immune"
    rows = [
        *_of_boundary("Boundary", local.exponent, local.constant),
        *_of_boundary(both, joint.exponent, joint.constant),
        *_of_steps(both, joint.horizon),
        *(_of_steps("T*, all collapse at last", horizon.censored) if horizon.censored.n_censored else ()),
        *_of_steps("T*, collapsed runs alone", horizon.collapsed_only),
    ]
    return [row for row in rows if row[3] + row[5] != "––"]


def _of_boundary(source: str, exponent: Estimate, constant: Estimate) -> list[list[str]]:
    return [
        [source, "a", "η_max ∝ k^−a", *_texts(exponent)],
        [source, "C_local", "k·η_max if a=1", *_texts(constant, positive=True)],
    ]


def _of_steps(source: str, fit: HorizonFit) -> list[list[str]]:
    return [
        [source, "b", "T* ∝ η^−b", *_texts(fit.eta_exponent)],
        [source, "q", "T* ∝ k^−q", *_texts(fit.k_exponent)],
        [source, "C_horizon", "η·T* if b=1", *_texts(fit.constant, positive=True)],
        [source, "σ", "sd of log T*", *_texts(fit.sigma, positive=True)],
    ]


def _texts(value: Estimate, *, positive: bool = False) -> list[str]:
    """The estimate, the 95 % interval and the identified set."""
    text = short if positive else decimal
    estimate = "–" if value.estimate is None else text(value.estimate)
    return [estimate, *(range_text(ends, text) or "–" for ends in (value.ci95, value.identified_set))]


def mark(one: Prediction) -> str:
    """A disc, filled if collapse is predicted, and marks for wrong and uncertain predictions."""
    notes = (WRONG if not one.right else "") + (UNCERTAIN if one.uncertain else "")
    return f"{SAFE if one.stable else COLLAPSES} {notes}".rstrip()


def missing(model: ModelLaws) -> list[str]:
    """A sentence that says why the rule predicts nothing; none if it does."""
    if model.two_constraint.predictions:
        return []
    runs, collapsed = (sum(getattr(cell, name) for cell in model.cells) for name in ("n_runs", "n_collapsed"))
    joint = model.joint
    if not runs:
        why = "no run has finished"
    elif not collapsed:
        why = "no run collapsed"
    elif model.horizon.censored.k_exponent.estimate is None:
        why = "the runs do not identify the exponents of T*"
    elif runs - collapsed < LEAST_SURVIVORS:
        why = f"fewer than {LEAST_SURVIVORS} runs did not collapse"
    elif joint.aic is not None and joint.aic_all_susceptible is not None and joint.aic_all_susceptible <= joint.aic:
        why = "a model without immune runs fits at least as well, so C_local is not known"
    else:
        why = "the boundary of immune runs is not known, so C_local is not either"
    return [f"The rule η ≤ min(C_local/k, C_horizon/T) predicts nothing here: {why}."]


def legend(model: ModelLaws) -> str:
    """What the marks that occur mean."""
    cells = model.two_constraint.predictions
    parts = [f"{SAFE} safe, {COLLAPSES} collapses"]
    if not all(one.right for one in cells):
        parts.append(f"{WRONG} at least half of the runs did otherwise")
    if any(one.uncertain for one in cells):
        parts.append(f"{UNCERTAIN} predicted otherwise without this cell's runs")
    return "; ".join(parts) + "."


def rule_rows(model: ModelLaws, etas: Sequence[float]) -> tuple[list[str], list[list[str]]]:
    """A header and rows by k (and T, if cells differ in it): the limit, what binds, and a mark for each η."""
    cells = {(one.k, one.eta): one for one in model.two_constraint.predictions}
    of_rows = {(one.k, one.horizon): one for one in cells.values()}
    several = len({horizon for _, horizon in of_rows}) > 1
    header = ["k", *(["T"] if several else []), "safe up to", "binds", *map(labels(model).__getitem__, etas)]
    lines = []
    for (k, horizon), first in sorted(of_rows.items()):
        at = (cells.get((k, eta)) for eta in etas)
        marks = [mark(one) if one and one.horizon == horizon else "" for one in at]
        lines.append([str(k), *([str(horizon)] if several else []), short(first.limit), first.binds, *marks])
    return header, lines
