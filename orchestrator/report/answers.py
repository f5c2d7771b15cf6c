"""The answers of a search, and what simulated designs of `plan --power` would answer: tables, and sentences on them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.base.words import counted
from orchestrator.grid.sweep import group_name
from orchestrator.report.columns import listing
from orchestrator.report.numbers import short
from orchestrator.report.tables import markdown_table
from orchestrator.search.beliefs import BEYOND, EXPONENTS
from orchestrator.search.knowledge import USUAL_EXPONENT, SearchAnswer
from orchestrator.search.simulation import Design, Known, PowerPlan, Quantiles

STANDINGS = {
    "known": "known well enough",
    "above": "no boundary in this range: above it",
    "below": "no boundary in this range: below it",
    "open": "not known well enough",
    "unasked": "",
}

HEADINGS = {"eta_max": "η_max at k={k}", "exponent": "exponent a of η_max = C·k^−a", "constant": "constant C"}

NAMES = {"exponent": "exponent a, ±", "constant": "constant C, factor"}


def answers_view(answers: Sequence[SearchAnswer], confidence: float, ending: str) -> RenderableType:
    """A table of answers with intervals of this confidence; below it, why the search ended, and its cost."""
    several = len({answer.group for answer in answers}) > 1
    rows = []
    for answer in answers:
        low, high = answer.interval
        which = HEADINGS[answer.quantity].format(k=answer.k)
        numbers = short(answer.estimate), f"{short(low)} to {short(high)}"
        rows.append([answer.group] * several + [which, *numbers, STANDINGS[answer.standing], str(answer.runs)])
    header = ["model"] * several + ["", "estimate", f"{100 * confidence:g} % interval", "", "runs"]
    return Group(listing(header, rows, right=("runs",)), Text(ending))


def answers_json(answers: Sequence[SearchAnswer], ending: str, learner_steps: int) -> dict[str, Any]:
    """The same for JSON, with the learner steps of the search's own runs."""
    known = [dataclasses.asdict(answer) | {"interval": list(answer.interval)} for answer in answers]
    return {"answers": known, "ending": ending, "learner_steps": learner_steps}


def power_view(plan: PowerPlan, designs: Sequence[Design], simulations: int) -> RenderableType:
    """A table with a column for each design, and sentences on how they were simulated, for a terminal."""
    heading, *rows = _rows(plan, designs)
    table = listing(heading, rows, right=tuple(heading[1:]))
    return Group(table, *(Text(sentence) for sentence in _sentences(plan, designs, simulations)))


def power_markdown(plan: PowerPlan, designs: Sequence[Design], simulations: int) -> str:
    """The same as Markdown."""
    heading, *rows = _rows(plan, designs)
    return "\n".join([*markdown_table(heading, rows), "", *_sentences(plan, designs, simulations)])


def power_json(plan: PowerPlan, designs: Sequence[Design], simulations: int) -> dict[str, Any]:
    """The same for JSON; half-widths of logarithms are not turned into factors."""
    return {
        "simulations": simulations,
        "seed": plan.seed,
        "confidence": plan.known.wanted.confidence,
        "stored_runs": {group_name(*group): len(one.ended) for group, one in plan.known.groups.items()},
        "step_s": {model: pace.step_s for model, pace in plan.paces.items()},
        "designs": [dataclasses.asdict(one) | {"known": [*map(_known_json, one.known)]} for one in designs],
        "notes": _sentences(plan, designs, simulations),
    }


def _known_json(known: Known) -> dict[str, Any]:
    found = dataclasses.asdict(known)
    answer = found.pop("answer")
    return {name: answer[name] for name in ("group", "quantity", "k")} | found


def _rows(plan: PowerPlan, designs: Sequence[Design]) -> list[list[str]]:
    """The heading, then a row for each property of the designs."""

    def row(name: str, text: Callable[[Design], str]) -> list[str]:
        return [name, *map(text, designs)]

    at_most = ", at most" if any(run.cell.model not in plan.paces for run in plan.known.sweep.runs) else ""
    rows = [
        row("median (nine in ten)", lambda one: one.name),
        row("new runs", lambda one: _counts(one.runs)),
        row("learner steps", lambda one: _counts(one.learner_steps)),
        row(f"hours of runs{at_most}", lambda one: _hours(one.hours)),
    ]
    if any(one.gpu_hours.most for one in designs):
        rows.append(row(f"GPU-hours{at_most}", lambda one: _hours(one.gpu_hours)))
    several = len(plan.known.groups) > 1
    for of_designs in zip(*(one.known for one in designs), strict=True):
        answer = of_designs[0].answer
        name = NAMES.get(answer.quantity, f"η_max at k = {answer.k}, factor")
        rows.append([f"{answer.group}: {name}" if several else name, *map(_width, of_designs)])
    rows.append(row("all known that is wanted", lambda one: f"{100 * one.reached:.0f} %"))
    rows.append(row("intervals that held the truth", lambda one: f"{100 * one.held:.0f} %"))
    return rows


def _counts(found: Quantiles) -> str:
    low, high = f"{found.median:,.0f}", f"{found.most:,.0f}"
    return low if low == high else f"{low} ({high})"


def _hours(found: Quantiles) -> str:
    return f"{short(found.median)} ({short(found.most)})"


def _width(known: Known) -> str:
    if known.half_width is None:
        return "–"
    low, high = known.half_width.median, known.half_width.most
    if known.answer.quantity != "exponent":
        low, high = math.exp(low), math.exp(high)
    return f"{low:.3g} ({high:.3g})"


def _sentences(plan: PowerPlan, designs: Sequence[Design], simulations: int) -> list[str]:
    """Say how the designs were simulated."""
    confidence = 100 * plan.known.wanted.confidence
    said = [
        f"{simulations} simulations of each design, seed {plan.seed}: medians; in brackets what nine in ten keep to.",
        f"Half-widths of {confidence:g} % intervals, where the range of eta holds the boundary.",
    ]
    for group, of_group in plan.known.groups.items():
        collapsed = sum(one.collapse_step is not None for one in of_group.ended)
        said.append(f"{group_name(*group)}: {_basis(len(of_group.ended), collapsed)}")
    outside = [known for known in designs[0].known if known.answer.quantity == "eta_max" and known.in_range < 1]
    if outside:
        shares = ", ".join(f"{100 * one.in_range:.0f} % at {_place(plan, one)}" for one in outside)
        said.append(f"The range of eta holds the boundary in so many simulations: {shares}.")
    for model in dict.fromkeys(run.cell.model for run in plan.known.sweep.runs):
        by = "at most, by time limits"
        if pace := plan.paces.get(model):
            by = f"at {pace.step_s:.3g} s a learner step, the pace of {pace.runs:,} finished runs"
        said.append(f"{model}: hours {by}.")
    return [*said, "Nothing was written."]


def _basis(runs: int, collapsed: int) -> str:
    if not runs:
        return (
            f"no run of these settings is stored, so boundaries up to {BEYOND:g} times outside the range of eta, "
            f"exponents from {EXPONENTS[0]:g} to {EXPONENTS[-1]:g} and any steepness are simulated, and T* at half of "
            "the horizon. A few stored runs narrow this."
        )
    steps = f"as of {collapsed} that collapsed, in eta^-{USUAL_EXPONENT:g}" if collapsed else "at half of the horizon"
    return f"simulated from what {counted(runs, 'stored run')} of these settings leave open, T* {steps}."


def _place(plan: PowerPlan, known: Known) -> str:
    answer = known.answer
    return f"{answer.group}, k={answer.k}" if len(plan.known.groups) > 1 else f"k={answer.k}"
