"""The tables of a fit as texts, for the outputs that do not wrap: markdown, LaTeX and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.laws.result import ModelLaws
from orchestrator.report import predicted
from orchestrator.report.selection import labels
from orchestrator.report.verdicts import bracket_texts, cell_lines, quantities


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table.

    Attributes:
        heading: What it shows.
        about: How to read it; may be empty.
        header: Headings of the columns.
        rows: One text for each column.
    """

    heading: str
    about: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def phase_table(model: ModelLaws) -> TextTable:
    """The phase diagram, rows k and columns η, both rising."""
    headings, by_place = labels(model), {(cell.k, cell.eta): cell for cell in model.cells}
    rows = []
    for k in sorted({cell.k for cell in model.cells}):
        places = (by_place.get((k, eta)) for eta in headings)
        rows.append([str(k), *(", ".join(cell_lines(cell)) if cell else "" for cell in places)])
    return TextTable("Phase diagram", "", ["k", *(f"η = {text}" for text in headings.values())], rows)


def tables_of(model: ModelLaws) -> list[TextTable]:
    """All other tables that are not empty: predictions of the rule, brackets of η_max, fitted numbers."""
    header, marks = predicted.rows(model, list(labels(model)))
    brackets = [[str(b.k), *texts] for b, texts in zip(model.local.brackets, bracket_texts(model), strict=True)]
    numbers = [
        [section, line.symbol, line.meaning, line.estimate, line.interval, line.grid]
        for section, lines in quantities(model)
        for line in lines
    ]
    tables = [
        TextTable(predicted.HEADING, predicted.legend(model), header, marks),
        TextTable(
            "Where η_max(k) lies", "",
            ["k", "stable up to η", "collapses from η", "k·η_max", "half collapse at η (95 %)"], brackets,
        ),
        TextTable(
            "Fitted laws", "", ["from", "symbol", "meaning", "estimate", "95 % interval", "grid allows"], numbers
        ),
    ]  # fmt: skip
    return [table for table in tables if table.rows]
