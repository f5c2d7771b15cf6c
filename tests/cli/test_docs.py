"""Every command has help and a place in the documentation, and what the README quotes exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from orchestrator.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> list[list[str]]:
    """Every command of the tool, groups opened up."""
    found = []
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [[name, sub] for sub in inner] if inner else [[name]]
    return found


def anchors(page: Path) -> list[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help_and_is_documented(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output
    assert any(f"stalesweep {' '.join(command)}" in page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_commands_of_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        linked = page.parent / target if target else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}#{anchor}"
    known = {command[0] for command in commands()}
    assert set(re.findall(r"^ {0,4}stalesweep ([a-z-]+)", text, re.MULTILINE)) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_checkout_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"(?:tests|sweeps|slurm|grpo_worker|orchestrator)/[\w/-]+\.(?:py|yaml|sh)\b", page.read_text())
    missing = [path for path in named if not (ROOT / path).exists()]
    assert not missing, f"{page.name} names {', '.join(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_line_of_a_page_is_wider_than_100_columns(page: Path) -> None:
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    wide = [
        f"{number}: {line}"
        for number, line in lines
        if len(line) > 100 and not re.fullmatch(r"\s*<?https?://\S+", line)
    ]
    assert not wide, f"{page.name}: {len(wide)} lines are wider than 100 columns:\n" + "\n".join(wide)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_table_cell_holds_at_most_a_dozen_words(page: Path) -> None:
    rows = re.findall(r"^\|(.+)\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", row)]
    long = [cell for cell in cells if len(re.findall(r"\S*\w\S*", cell)) > 12]
    assert not long, f"{page.name}: cells of more than 12 words:\n" + "\n".join(long)
