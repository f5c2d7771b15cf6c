"""The same tables as text for other programs: markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence

from orchestrator.laws.result import Laws
from orchestrator.report import predicted
from orchestrator.report.text_tables import phase_table, tables_of
from orchestrator.report.verdicts import left_out_texts, summary, verdicts

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


def csv_cells(laws: Laws) -> str:
    """One row per cell. What is not known is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for name, model in laws.models.items():
        rule = predicted.predicted(model)
        for c in model.cells:
            step = c.collapse_step
            steps = (step.lo, step.hi, step.median) if step else (None, None, None)
            counts = (c.n_runs, c.n_collapsed, c.n_degraded, c.n_left_out, c.horizon)
            axes = json.dumps(dict(c.axes), sort_keys=True)
            derived = (c.collapse_sync, c.eta_k, c.eta_T, c.p_collapse)
            writer.writerow([name, c.k, c.eta, axes, *counts, *steps, *derived, *_csv_rule(rule.get((c.k, c.eta)))])
    return file.getvalue()


def _csv_rule(cell: predicted.Predicted | None) -> Sequence[object]:
    if cell is None:
        return [None] * 5
    words = {True: "safe", False: "collapses", None: None}
    return (
        cell.limit,
        cell.prediction.binds,
        words[cell.prediction.stable],
        words[cell.prediction.stable_left_out],
        int(cell.right),
    )


def markdown(laws: Laws) -> str:
    """Tables and sentences. Names from the database are escaped, so that they stay in their cell."""
    lines = []
    for name, model in laws.models.items():
        lines += [f"## {_markdown(name)}", "", f"{summary(model)}.", ""]
        for table in (phase_table(model), *tables_of(model)):
            lines += [f"### {_markdown(table.heading)}", ""]
            lines += [_markdown(table.about), ""] if table.about else []
            lines += [markdown_row(table.header), markdown_row(["---"] * len(table.header))]
            lines += [*map(markdown_row, table.rows), ""]
        lines += _markdown_list("What the fit says", [*verdicts(model), *predicted.missing(model)])
        lines += _markdown_list("What to know, and what to run next", model.warnings)
    if not laws.models:
        lines += ["No runs to fit.", ""]
    lines += _markdown_list("Left out of every fit", left_out_texts(laws))
    return "\n".join(lines).rstrip("\n") + "\n"


def latex(laws: Laws) -> str:
    """One table environment for each table (needs booktabs), in ASCII. Sentences follow as comments."""
    lines = ["% needs \\usepackage{booktabs}"]
    for name, model in laws.models.items():
        for table in (phase_table(model), *tables_of(model)):
            first, *rest = [" & ".join(map(_latex, row)) + r" \\" for row in (table.header, *table.rows)]
            caption = ". ".join(filter(None, (f"{name}: {table.heading}", table.about)))
            lines += [r"\begin{table}", r"\centering", rf"\caption{{{_latex(caption)}}}"]
            lines += [rf"\begin{{tabular}}{{{'l' * len(table.header)}}}", r"\toprule", first, r"\midrule", *rest]
            lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        lines += [
            f"% {_latex(sentence)}" for sentence in (*verdicts(model), *predicted.missing(model), *model.warnings)
        ]
    lines += [f"% left out: {_latex(text)}" for text in left_out_texts(laws)]
    return "\n".join(" ".join(line.splitlines()) for line in lines) + "\n"


def _markdown_list(heading: str, sentences: Iterable[str]) -> list[str]:
    items = [f"- {_markdown(sentence)}" for sentence in sentences]
    return [f"### {heading}", "", *items, ""] if items else []


def markdown_row(texts: Sequence[str]) -> str:
    """A row of a table, or the line of ``---`` below its header."""
    return f"| {' | '.join(text if text == '---' else _markdown(text) for text in texts)} |"


def _markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]|#])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")
    return " ".join(escaped.splitlines())


def _latex(text: str) -> str:
    return _LATEX_TOKEN.sub(lambda token: _LATEX[token.group()], text).encode("ascii", "replace").decode()
