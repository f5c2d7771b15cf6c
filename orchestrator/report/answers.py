"""The answers of a search: a table of η_max by k, of the exponent and of the constant, and why the search ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.report.columns import listing
from orchestrator.report.numbers import short
from orchestrator.search.search import SearchAnswer

STANDINGS = {
    "known": "known well enough",
    "above": "no boundary in this range: above it",
    "below": "no boundary in this range: below it",
    "open": "not known well enough",
    "unasked": "",
}

HEADINGS = {"eta_max": "η_max at k={k}", "exponent": "exponent a of η_max = C·k^−a", "constant": "constant C"}


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
    return {
        "answers": [{**dataclasses.asdict(answer), "interval": list(answer.interval)} for answer in answers],
        "ending": ending,
        "learner_steps": learner_steps,
    }
