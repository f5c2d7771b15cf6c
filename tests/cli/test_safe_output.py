"""Names and failures from outside steer no terminal: every command shows their control characters as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from orchestrator.base.errors import GridError
from orchestrator.cli.app import app
from orchestrator.data.importing.columns import Options
from orchestrator.data.importing.read import read_import
from orchestrator.store.database import Store

NASTY = "\x1b]0;owned\x07\x1b[31m\u202e[/red][link=x]:smile:"
RUNS = Path(__file__).parents[1] / "data" / "tiny-runs.csv"

COMMANDS = {
    "status": ["status"],
    "status as JSON": ["status", "--format", "json"],
    "show": ["show", "mine"],
    "show as JSON": ["show", "mine", "--format", "json"],
    "logs": ["logs", "1"],
    "fit-laws": ["fit-laws", "mine"],
    **{f"fit-laws as {form}": ["fit-laws", "--format", form] for form in ("markdown", "latex", "csv", "json")},
    "advise": ["advise", "mine", "--k", "2", "--horizon", "480"],
    "a model that is not there": ["advise", "mine", "--k", "2", "--horizon", "480", "--model", NASTY],
    "a sweep that is not there": ["status", NASTY],
    "an attempt that is not there": ["logs", "1", "--attempt", "7"],
    "export": ["export", "mine", "--out", "out"],
    "rm": ["rm", "mine", "--dry-run"],
}


@pytest.fixture
def stalesweep(
    new_database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run a command on a database in which every name and failure holds escape sequences, as an old one may."""
    url = new_database("sqlite", upgraded=True)
    monkeypatch.setenv("STALESWEEP_DB", url)
    monkeypatch.setenv("STALESWEEP_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    header, *rows = RUNS.read_text().splitlines()
    table = [f"{header},state,failure,failure_class", *(f"{row},,," for row in rows)]
    failed = f"tiny,2,1e-3,77,480,,,failed,{NASTY},exception"
    (tmp_path / "runs.csv").write_text("\n".join([*table, failed]) + "\n")
    folder = tmp_path / "runs" / f"run-{NASTY}"
    folder.mkdir(parents=True)
    (folder / "attempt-0001.log").write_text(f"before {NASTY}\r50 %\r100 % after\n")
    runner = CliRunner()
    done = runner.invoke(app, ["import", "runs.csv", "--sweep", "mine"])
    assert done.exit_code == 0, done.output
    with Store(url) as store, store.write() as connection:
        for change in (
            "UPDATE cell SET model = model || :n",
            "UPDATE attempt SET host = :n, node = :n, code_version = :n, executor = executor || :n",
            "UPDATE run SET code_version = :n, config_digest = :n, collapse_detector = collapse_detector || :n",
            "UPDATE run SET directory = :d WHERE id = 1",
        ):
            connection.execute(
                text(change),
                {name: value for name, value in (("n", NASTY), ("d", str(folder))) if f":{name}" in change},
            )
    return lambda *arguments: runner.invoke(app, [*arguments])


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_steers_the_terminal(stalesweep: Callable[..., Result], name: str) -> None:
    done = stalesweep(*COMMANDS[name])
    assert not isinstance(done.exception, Exception), done.exception
    assert set(re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.output)) == set()
    if name in ("status", "show", "logs", "fit-laws"):
        assert "u001b]0;owned" in done.output.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize("column", ["model", "collapse_detector", "run"])
def test_an_import_with_such_a_name_is_refused(tmp_path: Path, column: str) -> None:
    values = {"model": "m", "k": "2", "eta": "1e-3", "seed": "0", "horizon": "480", "collapse_step": "96"} | {
        column: NASTY
    }
    path = tmp_path / "runs.csv"
    path.write_text(",".join(values) + "\n" + ",".join(values.values()) + "\n")
    with pytest.raises(
        GridError, match=r"row 2: (model|collapse_detector|label) should have printable characters only"
    ):
        read_import(path, Options())


@pytest.mark.parametrize(
    ("header", "value"), [("axes", '"{""a"": ""\x1b[31m""}"'), ("axes", r'"{""\u001b"": 1}"'), ("b\x1b", "1")]
)
def test_an_import_with_such_an_axis_is_refused(tmp_path: Path, header: str, value: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(f"model,k,eta,seed,horizon,collapse_step,{header}\nm,2,1e-3,0,480,96,{value}\n")
    with pytest.raises(GridError, match=r"row 2: axes (should have printable|must be a JSON)"):
        read_import(path, Options())
