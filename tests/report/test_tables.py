"""Outputs of the laws: the terminal at two widths, and files that other programs can read."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from orchestrator.base.errors import UsageError
from orchestrator.laws.fit import fit_laws
from orchestrator.laws.result import Prediction
from orchestrator.report.numbers import scientific
from orchestrator.report.tables import Format, render, terminal
from orchestrator.report.text_tables import mark, rule_rows
from tests.support.laws_data import frame, paper_shape, run, simulated, tiny_sweep

FORMATS: tuple[Format, ...] = ("table", "markdown", "latex", "csv", "json")


def table(runs: list[dict[str, object]], width: int = 80) -> str:
    return render(fit_laws(frame(runs)), "table", width=width)


@pytest.mark.parametrize("width", [80, 120])
def test_a_grid_of_three_by_four_fits_a_terminal(width: int) -> None:
    text = render(fit_laws(paper_shape()), "table", width=width)
    assert max(map(len, text.splitlines())) <= width
    header = next(line for line in text.splitlines() if line.lstrip().startswith("k   η"))
    assert header.split()[1:] == ["η", "=", "1e-6", "η", "=", "2e-6", "η", "=", "5e-6", "η", "=", "1e-5"]
    row = next(line for line in text.splitlines() if line.strip().startswith("16 "))
    assert row.split() == ["16", "0/1", "stable", "1/1", "T*", "160", "1/1", "T*", "64", "1/1", "T*", "32"]
    assert "η·T* 3.2e-4" in text and "0.50 to 2.32" in text
    assert "not a confidence interval" in " ".join(text.split())


def test_a_wide_grid_is_split_and_loses_no_cell() -> None:
    etas = [1e-4 * 1.5**i for i in range(13)]
    text = table([run(k, eta, step=64) for k in (2, 8) for eta in etas])
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert all(f"η = {scientific(float(f'{eta:.3g}'))}" in text for eta in etas)
    assert text.count("1/1 T* 64") == 26


def test_learning_rates_have_as_many_digits_as_tell_them_apart() -> None:
    text = table([run(2, eta) for eta in (1.2344e-4, 1.2341e-4, 2e-4 / 3)])
    assert all(f"η = {shown}" in text for shown in ("1.2344e-4", "1.2341e-4", "6.6667e-5"))


def test_every_outcome_has_its_mark() -> None:
    text = table([
        run(2, 1e-3, 0, 64), run(2, 1e-3, 1), run(2, 1e-3, 2, state="degraded"),
        run(2, 5e-4, state="degraded"), run(2, 2.5e-4), run(2, 2.5e-4, 1, state="running"),
        run(8, 5e-4, state="failed", failure="out of memory"),
    ])  # fmt: skip
    assert "1/3 T* 64" in text and "1 degraded" in text and "0/1 stable" in text and "… 1 left out" in text
    assert "failed: out of memory (run 7)" in text and "running (run 6)" in text
    assert "4 cells, 5 finished runs: 1 collapsed, 2 degraded, 2 stable; 2 more left out." in text


def test_verdicts_name_every_estimator_and_the_paper_s_law() -> None:
    text = " ".join(render(fit_laws(tiny_sweep()), "table", width=80).split())
    assert "A model in which some runs never collapse fits better (ΔAIC 18.6)." in text
    assert "T* is proportional to η^−b·k^−q with b = 1.81 (95 %: 1.52 to 2.12) and q = 0.04" in text
    assert "T* = C/η at every k (b = 1, q = 0) is rejected, p = 7.08e-6" in text
    each = "2.14 (95 %: 1.83 to 2.52) if all runs collapse in the end and 1.72 (95 %: 1.41 to 2.03) from the collapsed"
    assert f"b depends on how runs that did not collapse are treated: it is {each} runs alone." in text
    assert "a = 1 lies outside it" in text


def test_verdicts_where_no_run_is_immune() -> None:
    text = " ".join(render(fit_laws(simulated(1.6, 0.0, 0.5, 1)), "table", width=80).split())
    assert "never collapse" not in text
    assert "if all runs collapse in the end" in text and "from the collapsed runs alone (" in text
    assert "b depends on" not in text, "1.65 and 1.52 agree well enough"


def test_what_the_rule_predicts_stands_beside_what_happened() -> None:
    laws = fit_laws(tiny_sweep())
    lines = [line.strip() for line in render(laws, "table", width=80).splitlines()]
    start = lines.index("What the rule η ≤ min(C_local/k, C_horizon/T) predicts")
    assert lines[start + 1] == "○ safe, ● collapses; ✗ at least half of the runs did otherwise."
    assert lines[start + 2].split() == ["k", "safe", "up", "to", "binds", "1.25e-4", "2.5e-4", "5e-4", "1e-3", "2e-3"]
    assert [line.split() for line in lines[start + 4 : start + 7]] == [
        ["2", "1.33e-4", "horizon", "○", "●", "✗", "●", "✗", "●", "●"],
        ["8", "1.33e-4", "horizon", "○", "●", "✗", "●", "●", "●"],
        ["32", "6.06e-5", "local", "●", "✗", "●", "✗", "●", "●", "●"],
    ]
    assert r"| 8 | 1.33e-4 | horizon | ○ | ● ✗ | ● | ● | ● |" in render(laws, "markdown")
    assert r"8 & 1.33e-4 & horizon & $\circ$ & $\bullet$ $\times$ &" in render(laws, "latex")
    [model] = laws.models.values()
    for row, said in zip(
        csv.DictReader(io.StringIO(render(laws, "csv"))), model.two_constraint.predictions, strict=True
    ):
        assert (row["rule_predicts"], row["rule_binds"]) == ("safe" if said.stable else "collapses", said.binds)
        assert row["rule_right"] == str(int(said.stable is (float(row["p_collapse"]) < 0.5)))
        assert (float(row["eta"]) <= float(row["rule_limit"])) is said.stable


def test_cells_of_several_horizons_have_a_line_for_each() -> None:
    runs = tiny_sweep()
    runs.loc[(runs["eta"] == 1.25e-4) & (runs["k"] == 2), ["horizon", "learner_steps"]] = 960
    [model] = fit_laws(runs).models.values()
    header, lines = rule_rows(model, (1.25e-4, 2.5e-4))
    assert header == ["k", "T", "safe up to", "binds", "1.25e-4", "2.5e-4"]
    shorter, longer = lines[:2]
    assert (shorter[:2], shorter[4]) == (["2", "480"], "") and (longer[:2], longer[5]) == (["2", "960"], "")
    assert float(shorter[2]) == pytest.approx(2 * float(longer[2]), rel=0.01)


def test_a_prediction_that_hangs_on_its_own_cell_is_marked() -> None:
    said = Prediction(2, 1e-3, 480, 2e-3, stable=True, stable_left_out=False, binds="local", observed_stable=False)
    assert mark(said) == "○ ✗?"
    assert mark(replace(said, observed_stable=True)) == "○ ?"
    assert mark(replace(said, observed_stable=True, stable_left_out=True)) == "○"


LATE = [run(k, eta, step=round(0.1 / eta)) for k in (2, 8) for eta in (5e-4, 1e-3, 2e-3)]


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        ([run(2, 1e-3, state="pending")], "no run has finished"),
        ([run(2, 1e-3), run(8, 1e-3)], "no run collapsed"),
        ([run(2, 1e-3, step=64), run(2, 5e-4)], "the runs do not identify the exponents of T*"),
        ([*LATE, run(2, 2.5e-4)], "fewer than 2 runs did not collapse"),
        ([*LATE, *(run(k, 1e-4) for k in (2, 8))], "a model without immune runs fits at least as well"),
    ],
)
def test_why_the_rule_predicts_nothing_is_said(runs: list[dict[str, object]], why: str) -> None:
    laws = fit_laws(frame(runs))
    for format in ("table", "markdown"):
        text = " ".join(render(laws, format).replace("\\", "").split())
        assert f"The rule η ≤ min(C_local/k, C_horizon/T) predicts nothing here: {why}" in text
        assert "safe up to" not in text
    assert {row["rule_predicts"] for row in csv.DictReader(io.StringIO(render(laws, "csv")))} == {""}


def test_nothing_to_fit_is_said() -> None:
    laws = fit_laws(frame([]))
    assert render(laws, "table") == "No runs to fit.\n"
    assert render(laws, "markdown") == "No runs to fit.\n"
    assert json.loads(render(laws, "json")) == {"models": {}, "runs": 0, "left_out": []}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("state", ["stable", "pending", "degraded"])
def test_every_format_takes_poor_data(format: Format, state: str) -> None:
    text = render(fit_laws(frame([run(2, 1e-3, state=state)])), format)
    assert text.endswith("\n") and "nan" not in text.lower() and "None" not in text


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown format 'yaml'; allowed: table, markdown"):
        render(fit_laws(frame([])), "yaml")  # type: ignore[arg-type]  # what a user may type


def test_names_from_the_store_are_text_in_every_format() -> None:
    name = r"[bold]a|b_c & 50% {x} <script>\alpha[/bold]"
    laws = fit_laws(frame([run(2, 1e-3, model=name, step=64)]))
    assert name in render(laws, "table", width=120)
    marked = render(laws, "markdown")
    assert "<script" not in marked and r"\[bold\]a\|b\_c &amp; 50% {x} &lt;script>\\alpha" in marked
    assert r"a|b\_c \& 50\% \{x\} \textless{}script\textgreater{}\textbackslash{}alpha" in render(laws, "latex")
    (row,) = csv.DictReader(io.StringIO(render(laws, "csv")))
    assert row["model"] == name


def test_a_failure_cannot_leave_its_latex_comment_or_markdown_item() -> None:
    laws = fit_laws(frame([run(2, 1e-3, state="failed", failure="boom\n\\input{evil}\n# heading")]))
    lines = render(laws, "latex").splitlines()
    assert next(line for line in lines if "evil" in line).startswith("% ")
    assert not any(line.startswith("# ") for line in render(laws, "markdown").splitlines())


def test_latex_is_ascii_and_balanced() -> None:
    text = render(fit_laws(tiny_sweep()), "latex")
    assert text.isascii() and "?" not in text
    for tabular in re.findall(r"\\begin\{tabular\}\{(l+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        columns, body = tabular
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows and all(len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1 for row in rows)
        assert body.count("$") % 2 == 0
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 4


def test_markdown_tables_are_rectangular() -> None:
    blocks = re.findall(r"(?:^\|.*\n)+", render(fit_laws(tiny_sweep()), "markdown"), re.MULTILINE)
    assert len(blocks) == 4
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_csv_has_one_row_per_cell_with_exact_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(render(fit_laws(tiny_sweep()), "csv"))))
    assert len(rows) == 15
    cell = next(row for row in rows if row["k"] == "8" and float(row["eta"]) == 5e-4)
    assert (cell["n_runs"], cell["n_collapsed"], cell["collapse_step_median"]) == ("5", "4", "236")
    assert float(cell["eta_T"]) == 5e-4 * 236
    assert next(row for row in rows if row["n_collapsed"] == "0")["eta_T"] == ""


def test_json_is_the_laws() -> None:
    laws = fit_laws(tiny_sweep())
    assert json.loads(render(laws, "json")) == laws.to_json()


def test_a_console_gets_colour_only_where_it_can() -> None:
    laws = fit_laws(paper_shape())
    plain, coloured = io.StringIO(), io.StringIO()
    Console(file=plain, width=80).print(terminal(laws, 80))
    Console(file=coloured, width=80, force_terminal=True, color_system="standard").print(terminal(laws, 80))
    assert "\x1b[" not in plain.getvalue() and "\x1b[" in coloured.getvalue()


@pytest.mark.parametrize(
    ("number", "text"), [(2.5e-4, "2.5e-4"), (1e-5, "1e-5"), (1.0, "1e0"), (1.23456e-3, "1.23456e-3")]
)
def test_learning_rates_are_written_as_people_do(number: float, text: str) -> None:
    assert scientific(number) == text
