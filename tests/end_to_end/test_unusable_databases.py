"""Every command on a database file that it cannot use: exit 2, what to do, and the file as it was."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.jobs import doctor
from orchestrator.store import schema
from tests.store import frozen
from tests.support.users import as_a_plain_user

COMMANDS = {
    "status": ["status"],
    "launch": ["launch", "grid.yaml", "--executor", "local", "--yes"],
    "fit-laws": ["fit-laws"],
    "export": ["export", "--out", "out"],
    "db upgrade": ["db", "upgrade"],
    "db current": ["db", "current"],
    "db check": ["db", "check"],
    "doctor": ["doctor"],
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A working directory that other users can enter."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o777)
        shutil.copyfile(frozen.FOLDER / "finished.yaml", path / "grid.yaml")
        os.chdir(path)
        yield path
        os.chdir(before)


def damage(kind: str, path: Path) -> str:
    """Make a file of a kind, and return what is to be said of it."""
    if kind == "folder":
        path.mkdir()
        return "this is a folder; name a file in it"
    shutil.copyfile(frozen.FOLDER / f"{schema.REVISIONS[-1]}.db", path)
    if kind == "newer schema":
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
        return "has schema 9999, newer than this stalesweep"
    if kind == "read-only":
        path.chmod(0o444)
        return "no permission to write"
    if kind == "no database":
        path.write_text("k,eta\n2,0.001\n" * 100)
        return "not a SQLite database, or a damaged one"
    if kind == "of other programs":
        path.write_bytes(b"abc")
        return "not a SQLite database, or a damaged one"
    whole = path.read_bytes()
    path.write_bytes(whole[: {"cut in a page": len(whole) - 100, "cut between pages": 4096 * 4}[kind]])
    return "the file was cut off" if kind == "cut in a page" else "a damaged SQLite database: restore a backup"


def run(command: str, url: str) -> Result:
    environment = {"STALESWEEP_DB": url, "STALESWEEP_RUNS": "runs", "STALESWEEP_CACHE": "cache"}
    return CliRunner().invoke(app, COMMANDS[command], env=environment)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "kind",
    ["folder", "newer schema", "read-only", "no database", "of other programs", "cut in a page", "cut between pages"],
)
def test_an_unusable_file(kind: str, command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "torch", lambda: "nothing, for it takes seconds")
    path = folder / "a.db"
    message = damage(kind, path)
    content = path.read_bytes() if path.is_file() else None
    changed_at = path.stat().st_mtime_ns

    if kind == "read-only":
        run(command, f"sqlite:///{folder}")  # fails at the same place; a plain user could not import what root may
        with as_a_plain_user():
            result = run(command, f"sqlite:///{path}")
    else:
        result = run(command, f"sqlite:///{path}")

    assert result.exit_code == 2, result.output
    said = [line for line in result.output.splitlines() if message in line]
    assert len(said) == 1, result.output
    assert ("BAD  database" if command == "doctor" else "error: ") in said[0]
    assert str(path) in said[0]
    if content is not None:
        assert path.read_bytes() == content
    assert path.stat().st_mtime_ns == changed_at
    left = {each.name for each in folder.iterdir()} - {"runs"}
    assert left == {"grid.yaml", "a.db"}, "nothing lies beside it"


def test_an_empty_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own empty database: nothing can be lost in it, so it may be set up, but not silently."""
    path = folder / "a.db"
    path.touch()
    path.chmod(0o666)
    for command in ("status", "fit-laws", "export", "db check"):
        refused = run(command, f"sqlite:///{path}")
        assert refused.exit_code == 2
        assert "holds no stalesweep tables yet: run `stalesweep db upgrade`" in refused.stderr
        assert path.stat().st_size == 0
    current = run("db current", f"sqlite:///{path}")
    assert (current.exit_code, current.stdout) == (0, "none: the database is empty\n")
    assert path.stat().st_size == 0
    assert {each.name for each in folder.iterdir()} == {"grid.yaml", "a.db"}
    upgraded = run("db upgrade", f"sqlite:///{path}")
    assert upgraded.stdout == f"SQLite file {path}: created schema {schema.REVISIONS[-1]}\n"
    assert run("db upgrade", f"sqlite:///{path}").stdout == f"schema {schema.REVISIONS[-1]}: up to date\n"
