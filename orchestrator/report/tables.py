"""A fit in every format: for the terminal, and ``render`` for markdown, LaTeX (booktabs), CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.base.errors import UsageError
from orchestrator.base.files import write_whole
from orchestrator.base.safe_text import as_cell
from orchestrator.laws.result import Laws, ModelLaws
from orchestrator.report.columns import listing, narrow
from orchestrator.report.console import SafeConsole
from orchestrator.report.text_tables import TextTable, missing, tables_of
from orchestrator.report.verdicts import left_out_texts, summary, verdicts

Format = Literal["table", "markdown", "latex", "csv", "json"]

FORMATS: tuple[str, ...] = get_args(Format)

CSV_COLUMNS = (
    "model", "k", "eta", "axes", "n_runs", "n_collapsed", "n_degraded", "n_left_out", "horizon",
    "collapse_step_lo", "collapse_step_hi", "collapse_step_median", "collapse_sync",
    "eta_k", "eta_T", "p_collapse",
    "rule_limit", "rule_binds", "rule_predicts", "rule_predicts_from_others", "rule_right",
)  # fmt: skip

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "η_max": r"$\eta_{\max}$", "k^−a": "$k^{-a}$", "η^−b": r"$\eta^{-b}$",
    "k^−q": "$k^{-q}$", "T*": "$T^*$", "C_local": r"$C_{\mathrm{local}}$", "η": r"$\eta$", "σ": r"$\sigma$",
    "C_horizon": r"$C_{\mathrm{horizon}}$", "·": r"$\cdot$", "∝": r"$\propto$", "²": "$^2$", "±": r"$\pm$",
    "○": r"$\circ$", "●": r"$\bullet$", "✗": r"$\times$",
    "Δ": r"$\Delta$", "≤": r"$\leq$", "≥": r"$\geq$", "−": "$-$", "–": "--", "…": r"\ldots{}",
}  # fmt: skip
_LATEX_TOKEN = re.compile("|".join(re.escape(token) for token in sorted(_LATEX, key=len, reverse=True)))


def render(laws: Laws, format: str, *, width: int = 80) -> str:
    """Write the laws in one of `FORMATS`, without colour; only ``table`` wraps, at ``width`` columns.

    Raises:
        UsageError: The format is not known.
    """
    writers: dict[str, Callable[[], str]] = {
        "table": lambda: _plain(terminal(laws, width), width),
        "markdown": lambda: _markdown_page(laws),
        "latex": lambda: _latex_page(laws),
        "csv": lambda: _csv(laws),
        "json": lambda: json.dumps(laws.to_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n",
    }
    if format not in writers:
        raise UsageError(f"unknown format {format!r}; allowed: {', '.join(FORMATS)}")
    return writers[format]()


def write_all(laws: Laws, folder: Path) -> list[Path]:
    """Write every format to a folder, JSON as ``laws.json``. Each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {"markdown": "laws.md", "latex": "laws.tex", "csv": "cells.csv", "json": "laws.json", "table": "laws.txt"}
    return [write_whole(folder / name, render(laws, format, width=100).encode()) for format, name in names.items()]


def _lists(model: ModelLaws) -> dict[str, list[str]]:
    """Sentences under their headings."""
    says = [*verdicts(model), *missing(model)]
    return {"What the fit says": says, "What to know, and what to run next": list(model.warnings)}


def terminal(laws: Laws, width: int) -> RenderableType:
    """What ``fit-laws`` prints on a rich console of ``width`` columns."""
    parts: list[RenderableType] = []
    for name, model in laws.models.items():
        parts += [Text(name, style="bold"), Text(f"{summary(model)}.")]
        for table in tables_of(model):
            parts.append(Text(table.heading, style="bold"))
            parts += [Text(table.about, style="dim")] if table.about else []
            parts += [part for one in _listings(table, width) for part in (one, Text())]
        for heading, sentences in _lists(model).items():
            parts += _bullets(heading, sentences)
    if not laws.models:
        parts.append(Text("No runs to fit."))
    return Group(*parts, *_bullets("Left out of every fit", left_out_texts(laws)))


def _listings(table: TextTable, width: int) -> Iterable[Table]:
    """The table; several if its columns do not fit."""
    if table.fixed:
        return narrow(table.header, table.rows, width, table.fixed, show_edge=False)
    sections = table.header[0] == "from"
    header, rows = (["", *table.header[3:]], _sectioned(table.rows)) if sections else (table.header, table.rows)
    return [listing(header, rows, right=("k",), show_edge=False)]


def _sectioned(rows: Sequence[Sequence[str]]) -> Iterator[list[RenderableType]]:
    """The fitted numbers, with a heading where the fit changes that they are from."""
    last = None
    for source, symbol, meaning, *numbers in rows:
        if source != last:
            yield [Text(source, style="italic")]
        last = source
        yield [f"  {symbol:9} {meaning}", *numbers]


def _bullets(heading: str, sentences: Sequence[str]) -> list[RenderableType]:
    grid = Table.grid(padding=(0, 1))
    for sentence in sentences:
        grid.add_row(Text("-"), Text(sentence))
    return [Text(heading, style="bold"), grid, Text()] if sentences else []


def _plain(content: RenderableType, width: int) -> str:
    file = io.StringIO()
    SafeConsole(file=file, width=width, color_system=None, force_terminal=False).print(content)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).rstrip() + "\n"


def _csv(laws: Laws) -> str:
    """One row per cell. What is not known is empty."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    words = {True: "safe", False: "collapses", None: None}
    for name, model in laws.models.items():
        rule = {(one.k, one.eta): one for one in model.two_constraint.predictions}
        for cell in model.cells:
            row: dict[str, Any] = {"model": name, **asdict(cell), "axes": json.dumps(dict(cell.axes), sort_keys=True)}
            if cell.collapse_step:
                row |= {f"collapse_step_{end}": step for end, step in asdict(cell.collapse_step).items()}
            if one := rule.get((cell.k, cell.eta)):
                row |= {"rule_limit": one.limit, "rule_binds": one.binds, "rule_right": int(one.right)}
                row |= {"rule_predicts": words[one.stable], "rule_predicts_from_others": words[one.stable_left_out]}
            writer.writerow({name: as_cell(value) if isinstance(value, str) else value for name, value in row.items()})
    return file.getvalue()


def _markdown_page(laws: Laws) -> str:
    """Tables and sentences. Names from the database are escaped, so that they stay in their cell."""
    lines = []
    for name, model in laws.models.items():
        lines += [f"## {_markdown(name)}", "", f"{summary(model)}.", ""]
        for table in tables_of(model):
            lines += [f"### {_markdown(table.heading)}", ""]
            lines += [_markdown(table.about), ""] if table.about else []
            lines += [*markdown_table(table.header, table.rows), ""]
        for heading, sentences in _lists(model).items():
            lines += _markdown_list(heading, sentences)
    if not laws.models:
        lines += ["No runs to fit.", ""]
    lines += _markdown_list("Left out of every fit", left_out_texts(laws))
    return "\n".join(lines).rstrip("\n") + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    texts = [[_markdown(text.replace("\n", ", ")) for text in row] for row in (header, *rows)]
    texts.insert(1, ["---"] * len(header))
    return [f"| {' | '.join(row)} |" for row in texts]


def _markdown_list(heading: str, sentences: Sequence[str]) -> list[str]:
    return [f"### {heading}", "", *(f"- {_markdown(text)}" for text in sentences), ""] if sentences else []


def _markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]|#])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")
    return " ".join(escaped.splitlines())


def _latex_page(laws: Laws) -> str:
    """One table environment for each table (needs booktabs), in ASCII. Sentences follow as comments."""
    lines = ["% needs \\usepackage{booktabs}"]
    for name, model in laws.models.items():
        for table in tables_of(model):
            rows = [[_latex(text.replace("\n", ", ")) for text in row] for row in (table.header, *table.rows)]
            first, *rest = [" & ".join(row) + r" \\" for row in rows]
            caption = ". ".join(filter(None, (f"{name}: {table.heading}", table.about)))
            lines += [r"\begin{table}", r"\centering", rf"\caption{{{_latex(caption)}}}"]
            lines += [rf"\begin{{tabular}}{{{'l' * len(table.header)}}}", r"\toprule", first, r"\midrule", *rest]
            lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        lines += [f"% {_latex(sentence)}" for sentences in _lists(model).values() for sentence in sentences]
    lines += [f"% left out: {_latex(text)}" for text in left_out_texts(laws)]
    return "\n".join(" ".join(line.splitlines()) for line in lines) + "\n"


def _latex(text: str) -> str:
    return _LATEX_TOKEN.sub(lambda token: _LATEX[token.group()], text).encode("ascii", "replace").decode()
