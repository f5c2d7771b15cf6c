"""The phase-diagram table and the fitted laws: for the terminal, and ``render`` for every other format."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.base.errors import UsageError
from orchestrator.base.files import write_whole
from orchestrator.laws.result import Laws, ModelLaws
from orchestrator.report import predicted
from orchestrator.report.columns import GAP, blocks
from orchestrator.report.files import csv_cells, latex, markdown
from orchestrator.report.selection import labels
from orchestrator.report.verdicts import (
    bracket_texts,
    cell_lines,
    left_out_texts,
    quantities,
    summary,
    verdicts,
)

Format = Literal["table", "markdown", "latex", "csv", "json"]

FORMATS: tuple[str, ...] = get_args(Format)


def render(laws: Laws, format: str, *, width: int = 80) -> str:
    """Write the laws as text without colour.

    Args:
        laws: What was fitted.
        format: One of `FORMATS`. ``csv`` has one row per cell and no laws.
        width: Columns of the ``table``; other formats do not wrap.

    Raises:
        UsageError: The format is not known.
    """
    writers: dict[str, Callable[[], str]] = {
        "table": lambda: _plain(terminal(laws, width), width),
        "markdown": lambda: markdown(laws),
        "latex": lambda: latex(laws),
        "csv": lambda: csv_cells(laws),
        "json": lambda: json.dumps(laws.to_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n",
    }
    if format not in writers:
        raise UsageError(f"unknown format {format!r}; allowed: {', '.join(FORMATS)}")
    return writers[format]()


def write_all(laws: Laws, folder: Path) -> list[Path]:
    """Write every format to a folder, JSON as ``laws.json``. Each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {"markdown": "laws.md", "latex": "laws.tex", "csv": "cells.csv", "json": "laws.json", "table": "laws.txt"}
    paths = []
    for format, name in names.items():
        paths.append(write_whole(folder / name, render(laws, format, width=100).encode()))
    return paths


def terminal(laws: Laws, width: int) -> RenderableType:
    """What ``fit-laws`` prints on a rich console of ``width`` columns."""
    parts: list[RenderableType] = []
    for name, model in laws.models.items():
        parts += [Text(name, style="bold"), Text(f"{summary(model)}.")]
        parts += [Text("Each cell: collapsed/runs, median T* in learner steps, η·T*.", style="dim")]
        parts += [*_spaced(phase_table(model, width)), *_rule(model, width), *_brackets(model), *_numbers(model)]
        parts += _sentences("What the fit says", [*verdicts(model), *predicted.missing(model)])
        parts += _sentences("What to know, and what to run next", model.warnings)
    if not laws.models:
        parts.append(Text("No runs to fit."))
    parts += _sentences("Left out of every fit", left_out_texts(laws))
    return Group(*parts)


def phase_table(model: ModelLaws, width: int) -> list[Table]:
    """The phase diagram, rows k and columns η, both rising; several tables if the columns do not fit.

    Args:
        model: The laws of one model.
        width: Columns of the terminal.
    """
    headings = {eta: f"η = {text}" for eta, text in labels(model).items()}
    by_place = {(cell.k, cell.eta): cell for cell in model.cells}
    lines = [line for cell in model.cells for line in cell_lines(cell)]
    widest = max(map(len, [*lines, *headings.values()]), default=0)
    room = width - max((len(str(cell.k)) for cell in model.cells), default=1)
    tables = []
    for block in blocks(list(headings), max(1, room // (widest + GAP))):
        table = _listing("k")
        for eta in block:
            table.add_column(headings[eta], no_wrap=True)
        for k in sorted({cell.k for cell in model.cells}):
            places = [by_place.get((k, eta)) for eta in block]
            table.add_row(str(k), *("\n".join(cell_lines(cell)) if cell else "" for cell in places))
        tables.append(table)
    return tables


def _rule(model: ModelLaws, width: int) -> list[RenderableType]:
    """What the two-constraint rule predicts for the cells; several tables if the columns do not fit."""
    cells = predicted.predicted(model)
    if not cells:
        return []
    header, rows = predicted.rows(model, ())
    taken = sum(max(map(len, column)) + GAP for column in zip(header, *rows, strict=True))
    headings = labels(model)
    widest = max(len(text) for text in [*headings.values(), *(cell.mark for cell in cells.values())])
    tables = []
    for block in blocks(list(headings), max(1, (width - taken) // (widest + GAP))):
        header, rows = predicted.rows(model, block)
        table = _listing(*header)
        for row in rows:
            table.add_row(*row)
        tables.append(table)
    return [Text(predicted.HEADING, style="bold"), Text(predicted.legend(model), style="dim"), *_spaced(tables)]


def _brackets(model: ModelLaws) -> list[RenderableType]:
    if not model.local.brackets:
        return []
    table = _listing("k", "η stable", "η collapses", "k·η_max", "half collapse at η (95 %)")
    for bracket, texts in zip(model.local.brackets, bracket_texts(model), strict=True):
        table.add_row(str(bracket.k), *texts)
    return [Text("Where η_max(k) lies", style="bold"), *_spaced([table])]


def _numbers(model: ModelLaws) -> list[RenderableType]:
    sections = quantities(model)
    if not sections:
        return []
    table = _listing("", "estimate", "95 % interval", "grid allows")
    for heading, lines in sections:
        table.add_row(Text(heading, style="italic"))
        for line in lines:
            table.add_row(f"  {line.symbol:9} {line.meaning}", line.estimate, line.interval, line.grid)
    return [Text("Fitted laws", style="bold"), *_spaced([table])]


def _listing(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    for heading in headings:
        table.add_column(heading, justify="right" if heading == "k" else "left")
    return table


def _spaced(tables: Sequence[Table]) -> list[RenderableType]:
    return [part for table in tables for part in (table, Text())]


def _sentences(heading: str, sentences: Sequence[str]) -> list[RenderableType]:
    if not sentences:
        return []
    grid = Table.grid(padding=(0, 1))
    for sentence in sentences:
        grid.add_row(Text("-"), Text(sentence))
    return [Text(heading, style="bold"), grid, Text()]


def _plain(content: RenderableType, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None, force_terminal=False).print(content)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).rstrip() + "\n"
