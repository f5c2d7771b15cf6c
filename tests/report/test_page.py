"""The content of the report page, as text. tests/end_to_end/test_report.py opens it in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.data import frames
from orchestrator.laws.advice import Advice, advise
from orchestrator.laws.evidence import cells, evidence
from orchestrator.laws.fit import fit_laws
from orchestrator.report.advising import ADVICE_COLUMNS, advice_table
from orchestrator.report.numbers import short
from orchestrator.report.page import page, write_page
from orchestrator.store.database import Store
from tests.support.laws_data import frame, run, tiny_sweep
from tests.support.measured import write_syncs

pytestmark = pytest.mark.slow

NAME = "<script>alert(1)</script> & \"q\" '{{ 7 * 7 }}'"


class Elements(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def imported(url: str, *arguments: str) -> None:
    result = CliRunner().invoke(app, ["import", *arguments, "--db", url])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a sweep that has metrics and a model name to escape, and one that has only results."""
    folder = tmp_path_factory.mktemp("page")
    url = f"sqlite:///{folder}/store.db"
    steps = {(2, 2e-3): 32, (8, 1e-3): 72, (8, 2e-3): 32}
    rows = [f"tiny,{k},{eta},0,320,{steps.get((k, eta), '')}" for k in (2, 8) for eta in (2.5e-4, 5e-4, 1e-3, 2e-3)]
    (folder / "results.csv").write_text("\n".join(["model,k,eta,seed,horizon,collapse_step", *rows]))
    imported(url, str(write_syncs(folder / "syncs.csv", NAME)), "--sweep", "measured")
    imported(url, str(folder / "results.csv"), "--sweep", "results")
    columns = ["model", "k", "eta", "seed", "horizon", "collapse_step", "collapse_step_lo"]
    both = pd.concat([tiny_sweep().assign(model=model)[columns] for model in ("tiny", NAME)])
    both.to_csv(folder / "both.csv", index=False)
    imported(url, str(folder / "both.csv"), "--sweep", "both")
    return url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as opened:
        yield opened


def of(store: Store, sweep: str, runs: pd.DataFrame | None = None) -> str:
    """The page of one sweep."""
    runs = frames.runs(store, [sweep]) if runs is None else runs
    return page(store, fit_laws(runs), runs)


def test_names_are_text_and_the_page_needs_nothing_else(store: Store) -> None:
    text = of(store, "measured")
    elements = Elements(text)
    tags = {tag for tag, _ in elements.tags}
    assert NAME in elements.text
    assert not tags & {"script", "link", "iframe", "object", "embed", "form"}
    for _, attributes in elements.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "data"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    assert "url(" not in text and "@import" not in text
    sources = [attributes["src"] for tag, attributes in elements.tags if tag == "img"]
    assert len(sources) == 8 and all(source and len(source) > 2000 for source in sources)


def test_runs_without_metrics_have_no_empty_figures(store: Store) -> None:
    elements = Elements(of(store, "results"))
    assert [a["alt"] for tag, a in elements.tags if tag == "img"] == ["Phase diagram", "T* against η", "η·T* against k"]
    assert elements.text.count("Runs that were imported as one row each have none") == 5
    assert "What was imported, as stored" in elements.text and "results.csv" in elements.text


def test_all_parts_are_there(store: Store) -> None:
    runs = frames.runs(store, ["results"])
    runs.loc[0, ["state", "collapse_step"]] = ["failed", pd.NA]
    runs.loc[0, "failure"] = "OSError: postgresql://me:secret@host/db is gone"
    text = Elements(of(store, "results", runs)).text
    for part in ("8 cells, 7 finished runs", "a in the range", "Where η_max(k) lies", "Fitted laws", "What to know",
                 "Left out of every fit", "Runs and attempts",
                 "Where the numbers come from", "a SQLite file"):  # fmt: skip
        assert part in text
    assert "postgresql://me:***@host/db is gone (run " in text and "secret" not in text
    assert re.search(r"made \d{4}-\d\d-\d\d \d\d:\d\d UTC", text)


def test_models_are_advised_and_predicted(store: Store) -> None:
    text = of(store, "both")
    elements = Elements(text)
    assert "<script" not in text and NAME in elements.text
    assert len([1 for tag, a in elements.tags if tag == "img" and a["alt"] == "Two-constraint rule"]) == 2
    for label, first in (("What the rule η ≤ min(C_local/k, C_horizon/T) predicts", "1.33e-4"), ("Advice", "480")):
        assert text.count(f'aria-label="{label}"') == 2
        assert first in text.split(f'aria-label="{label}"')[1].split("</table>")[0]


def test_advice_is_what_the_command_answers_at_each_k() -> None:
    members = evidence(tiny_sweep())
    table = advice_table(members)
    assert [row[:2] for row in table.rows] == [("2", "480"), ("8", "480"), ("32", "480")]
    answer = advise(members[members["bounds"]], cells(members), 8, 480)
    assert isinstance(answer, Advice) and answer.eta.estimate and answer.eta.ci95 and answer.eta_at_risk
    assert table.rows[1][2] == short(answer.eta.estimate) and table.rows[1][4] == answer.binds
    assert table.rows[1][6] == short(answer.eta_at_risk) and table.rows[1][7] == "yes"
    assert len(table.rows[1]) == len(ADVICE_COLUMNS)


def test_advice_that_reaches_past_the_runs_says_so_and_for_which_k() -> None:
    members = evidence(tiny_sweep())
    table = advice_table(members[(members["eta"] >= 5e-4) | (members["k"] == 32) & (members["eta"] > 1.5e-4)])
    reaching = [row[0] for row in table.rows if row[7] == "no"]
    assert reaching and all(
        any(note.startswith(f"k = {k}: This extrapolates") for note in table.notes) for k in reaching
    )


@pytest.mark.parametrize(("state", "notes"), [("stable", 1), ("pending", 0)])
def test_where_the_runs_cannot_tell_there_is_no_advice(state: str, notes: int) -> None:
    table = advice_table(evidence(frame([run(2, 1e-3, state=state)])))
    assert not table.rows and len(table.notes) == notes


def test_nothing_finished_is_said(store: Store) -> None:
    runs = frames.runs(store, ["results"]).assign(state="running", collapse_step=pd.NA)
    elements = Elements(of(store, "results", runs))
    assert "No run has finished, so there is nothing to draw yet." in elements.text
    assert not [tag for tag, _ in elements.tags if tag == "img"]


def test_the_command_writes_it_whole(url: str, tmp_path: Path) -> None:
    def report(*options: str) -> Result:
        return CliRunner().invoke(app, ["report", "results", "--db", url, *options])

    file = tmp_path / "new" / "page.html"
    result = report("--out", str(file))
    assert (result.exit_code, result.output.strip()) == (0, str(file))
    assert file.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [path.name for path in file.parent.iterdir()] == ["page.html"]
    nothing = report("--model", "other")
    assert nothing.exit_code == 3 and "no runs to report on of model 'other'" in nothing.output
    in_file = report("--out", str(file / "page.html"))
    assert in_file.exit_code == 2 and f"cannot write {file}/page.html: " in in_file.output


def test_fit_laws_writes_the_figures_beside_the_tables(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    (tmp_path / "runs.csv").write_text("model,k,eta,seed,horizon,collapse_step\norg/model,8,1e-3,0,64,24\n")
    imported(url, str(tmp_path / "runs.csv"), "--sweep", "one")
    result = CliRunner().invoke(app, ["fit-laws", "--out", str(tmp_path / "laws"), "--db", url])
    assert result.exit_code == 0
    names = sorted(path.name for path in (tmp_path / "laws").iterdir() if path.name.startswith("org-model"))
    kinds = ("collapse-steps", "eta-T", "phase-diagram")
    assert names == [f"org-model-{kind}.{format}" for kind in kinds for format in ("pdf", "png", "svg")]
    assert "org/model: no figure drift. No drift from the start is stored" in result.stderr
    begins = {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}
    for name in names:
        assert (tmp_path / "laws" / name).read_bytes().startswith(begins[name[-3:]])


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    write_page("old", tmp_path / "page.html")
    with pytest.raises(UnicodeEncodeError):
        write_page("new \ud800", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "old"
