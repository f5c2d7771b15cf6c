"""A copied project is a second project, a moved one goes on: real files, copied and moved as users do."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.grid.sweep import Sweep
from orchestrator.store import registration, schema
from orchestrator.store.database import Store
from tests.support.lives import launched, select, trained

Grid = Callable[..., Sweep]


@pytest.fixture
def project(tmp_path: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a database and the runs of a sweep beside it: one collapsed, one stable, the others wait."""
    monkeypatch.delenv("STALESWEEP_RUNS", raising=False)
    monkeypatch.delenv("STALESWEEP_DB", raising=False)
    folder = tmp_path / "project"
    make_project(folder, grid, monkeypatch)
    return folder


def make_project(folder: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = grid()
    folder.mkdir()
    monkeypatch.chdir(folder)
    schema.upgrade("sqlite:///stalesweep.db")
    with Store("sqlite:///stalesweep.db") as store:
        directories = launched(store, registration.register(store, sweep))
        trained(store, directories[1], "collapsed")
        trained(store, directories[2])


def copied(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = project.with_name("copy")
    subprocess.run(["cp", "-r", project, copy], check=True)
    monkeypatch.chdir(copy)
    return copy


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stalesweep(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("command", [("rm", "demo", "-y"), ("gc", "--all", "-y"), ("gc", "-y")])
def test_what_is_removed_in_a_copy_is_the_copys(
    command: tuple[str, ...], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copied(project, monkeypatch)
    before, of_copy = files_in(project), files_in(copy)
    done = stalesweep(*command)
    assert done.exit_code == 0, done.output
    assert files_in(project) == before
    assert len(files_in(copy)) < len(of_copy)
    assert not list((copy / "stalesweep-runs").rglob("checkpoint-*.pt"))


def test_a_moved_project_goes_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = project.rename(project.with_name("moved"))
    monkeypatch.chdir(moved)
    with Store("sqlite:///stalesweep.db") as store:
        assert [run.directory for run in select(store, "demo")] == [
            str(moved / "stalesweep-runs" / f"run-{number:06d}") for number in (1, 2, 3, 4)
        ]
    assert stalesweep("rm", "1", "-y").exit_code == 0
    assert not (moved / "stalesweep-runs" / "run-000001").exists()


def test_a_dry_run_names_the_paths(project: Path) -> None:
    for command in (("rm", "1", "--dry-run"), ("gc", "--all", "--dry-run")):
        shown = stalesweep(*command)
        assert (shown.exit_code, str(project / "stalesweep-runs" / "run-000001") in shown.stdout) == (0, True)
    assert (project / "stalesweep-runs" / "run-000001").is_dir()


def test_runs_beside_neither_database_nor_run_folder_are_refused(
    tmp_path: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STALESWEEP_DB", raising=False)
    monkeypatch.setenv("STALESWEEP_RUNS", str(tmp_path / "scratch"))
    make_project(tmp_path / "project", grid, monkeypatch)
    copied(tmp_path / "project", monkeypatch)
    monkeypatch.delenv("STALESWEEP_RUNS")
    before = files_in(tmp_path / "scratch")
    for command in (("rm", "demo", "-y"), ("gc", "--all", "-y")):
        refused = stalesweep(*command)
        assert refused.exit_code == 2
        said = " ".join(refused.stderr.split())
        assert str(tmp_path / "scratch" / "run-000001") in said
        assert "if this project is a copy, it is the original's" in said
    assert files_in(tmp_path / "scratch") == before
    monkeypatch.setenv("STALESWEEP_RUNS", str(tmp_path / "scratch"))
    assert stalesweep("rm", "demo", "-y").exit_code == 0


def test_runs_that_were_moved_are_found_where_the_setting_says(
    tmp_path: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STALESWEEP_RUNS", str(tmp_path / "scratch"))
    make_project(tmp_path / "project", grid, monkeypatch)
    (tmp_path / "scratch").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("STALESWEEP_RUNS", str(tmp_path / "elsewhere"))
    with Store("sqlite:///stalesweep.db") as store:
        assert select(store, "1")[0].directory == str(tmp_path / "elsewhere" / "run-000001")


def test_a_folder_with_the_id_of_another_is_left_alone(project: Path) -> None:
    run_json = project / "stalesweep-runs" / "run-000001" / "run.json"
    with Store("sqlite:///stalesweep.db") as store:
        folder_id = str(select(store, "1")[0].folder_id)
    assert folder_id in run_json.read_text()
    run_json.write_text(run_json.read_text().replace(folder_id, "0" * 32))
    done = stalesweep("rm", "1", "-y")
    assert "does not say that it is run 1 of this database; left alone" in " ".join(done.stderr.split())
    assert run_json.exists()


def test_a_link_is_not_followed(project: Path, tmp_path: Path) -> None:
    runs = project / "stalesweep-runs"
    (runs / "run-000001").rename(tmp_path / "mine")
    (runs / "run-000001").symlink_to(tmp_path / "mine")
    before = files_in(tmp_path / "mine")
    for command in (("gc", "-y"), ("gc", "--all", "-y"), ("rm", "1", "-y")):
        refused = stalesweep(*command)
        assert refused.exit_code == 2, refused.output
        assert "is a link to" in " ".join(refused.stderr.split())
    assert files_in(tmp_path / "mine") == before
    assert not (runs / "run-000002").exists(), "the others are freed"


def test_a_copied_link_to_the_folder_of_runs_is_not_followed(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "stalesweep-runs").rename(tmp_path / "scratch")
    (project / "stalesweep-runs").symlink_to(tmp_path / "scratch")
    copied(project, monkeypatch)
    before = files_in(tmp_path / "scratch")
    for command in (("gc", "--all", "-y"), ("rm", "demo", "-y")):
        refused = stalesweep(*command)
        assert refused.exit_code == 2, refused.output
        assert f"set STALESWEEP_RUNS={tmp_path / 'scratch'}" in " ".join(refused.stderr.split())
    assert files_in(tmp_path / "scratch") == before


def test_gc_keeps_a_users_copy_of_a_checkpoint(project: Path) -> None:
    directory = project / "stalesweep-runs" / "run-000001"
    shutil.copy(directory / "checkpoint-00000040.pt", directory / "checkpoint-00000040-good.pt")
    assert stalesweep("gc", "--checkpoints", "-y").exit_code == 0
    assert [path.name for path in directory.glob("*.pt")] == ["checkpoint-00000040-good.pt"]


@pytest.mark.parametrize("copied_before", [False, True])
def test_an_older_database_is_upgraded_also_in_a_copy(
    copied_before: bool, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect("stalesweep.db")) as file:  # as the schema before had it
        file.execute("UPDATE run SET directory = ? || '/' || directory", [str(project)])
        file.execute("ALTER TABLE run DROP COLUMN folder_id")
        file.execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '0006'")
        file.commit()
    here = copied(project, monkeypatch) if copied_before else project
    assert schema.upgrade("sqlite:///stalesweep.db") is not None
    with Store("sqlite:///stalesweep.db") as store:
        assert [run.directory for run in select(store, "demo")] == [
            str(here / "stalesweep-runs" / f"run-{number:06d}") for number in (1, 2, 3, 4)
        ]
    before = files_in(project)
    assert stalesweep("rm", "demo", "-y").exit_code == 0
    assert (files_in(project) == before) == copied_before
