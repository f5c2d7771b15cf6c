"""The report page as a reader sees it: in a real browser, at two widths, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from tests.end_to_end.sweeps import workspace
from tests.support.browser import CLIPPED, MISSING, Browser, browser
from tests.support.measured import write_syncs

pytestmark = pytest.mark.slow

NAME = "<script>alert(1)</script>"
LONG = "a-model-of-a-very-long-name-" * 8


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A running browser."""
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of four models: one whose name is a script, one with a very long name, two without metrics."""
    folder = tmp_path_factory.mktemp("report")
    space = workspace(folder, folder)
    results = [
        f"{model},{k},{eta},{seed},640,{round(0.1 / eta) * (seed + 7) // 8 if k * eta > 5e-3 else ''}"
        for model in ("tiny", f"{NAME} again") for k in (4, 8, 16)
        for eta in (2.5e-4, 5e-4, 1e-3, 2e-3) for seed in (0, 1)
    ]  # fmt: skip
    (folder / "results.csv").write_text("\n".join(["model,k,eta,seed,horizon,collapse_step", *results]))
    write_syncs(folder / "script.csv", NAME)
    write_syncs(folder / "long.csv", LONG, ks=(8,), etas=(1.23456789e-4,))
    for sweep in ("script", "long", "results"):
        arguments = [str(folder / f"{sweep}.csv"), "--sweep", sweep, "--db", space.environment["STALESWEEP_DB"]]
        assert CliRunner().invoke(app, ["import", *arguments]).exit_code == 0
    done = space.run("report", "--out", "report.html")
    assert (done.returncode, done.stdout) == (0, "report.html\n"), done.stderr
    return folder / "report.html"


@pytest.mark.parametrize(("width", "dark"), [(400, False), (1280, False), (1280, True)])
def test_a_reader_sees_all_of_it(chromium: Browser, report: Path, width: int, dark: bool) -> None:
    page = chromium.new_page()
    page.open(report, width, dark=dark)
    assert page.evaluate("document.images.length") == 8 + 7 + 4 + 4
    assert page.evaluate(MISSING) == []
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate("[...document.querySelectorAll('h2')].map(h => h.textContent)")[:1] == [NAME]
    assert page.evaluate("document.scripts.length") == 0
    brightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0] > 128")
    assert brightness is not dark
    assert page.complaints == []


def test_the_browser_would_have_seen_it(chromium: Browser, tmp_path: Path) -> None:
    """A page with every fault that the test above looks for."""
    file = tmp_path / "bad.html"
    file.write_text(
        "<p style='width:50px;overflow:hidden;white-space:nowrap'>clipped, as it does not fit</p>"
        "<img src='data:image/png;base64,AAAA' alt='broken'><script>nothing()</script>"
        "<img src='http://127.0.0.1:9/far.png' alt='far'>"
    )
    page = chromium.new_page()
    page.open(file, 400)
    assert page.evaluate(MISSING) == ["broken", "far"]
    assert [found.split(":")[0] for found in page.evaluate(CLIPPED)] == ["P "]
    assert any("nothing is not defined" in complaint for complaint in page.complaints)
    assert any("http://127.0.0.1:9/far.png" in complaint for complaint in page.complaints)
