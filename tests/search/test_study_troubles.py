"""No trouble of Optuna's stops a search: away, locked, full or foreign tables, and kills; and what it leaves alone."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from orchestrator.data import frames
from orchestrator.grid.sweep import Sweep
from orchestrator.search import study_storage
from orchestrator.store import queries, schema
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress
from tests.search.searches import HORIZON, Scene, alchemy, lost_study, lost_tables, seen, sql
from tests.support import children
from tests.support.jobs import killed_at
from tests.support.passwords import shows_nothing
from tests.support.servers import PASSWORD, own_server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scene(url: str, store: Store, grid: Callable[..., Sweep]) -> Scene:
    return Scene(url, store, grid(k=[2, 8], horizon=HORIZON))


def searched(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command, with a budget that is spent."""
    text = (folder / "demo.yaml").read_text() + "search: {learner_steps: 1, early_stops: {confirmed: 0}}\n"
    (folder / "search.yaml").write_text(text)
    command = [sys.executable, "-m", "orchestrator.cli.app", "search", folder / "search.yaml", "--executor", "local"]
    environment = {**os.environ, "STALESWEEP_DB": url}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged since the last time."""

    def take() -> list[str]:
        messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        caplog.clear()
        return messages

    return take


def test_a_study_of_the_users_own_stays_as_it_is(scene: Scene, warned: Callable[[], list[str]]) -> None:
    seen(scene.url, lambda storage: optuna.create_study(storage=storage, study_name="demo").ask())
    scene.add(1)
    study = scene.study()
    scene.mirror(study)
    scene.add(1)
    scene.mirror(study, [scene.sweep.runs[1]])
    (trial,) = scene.trials()
    assert trial.state.name == "RUNNING" and not trial.user_attrs
    (said,) = warned()
    assert "'demo' that stalesweep did not make" in said


def test_another_version_of_optunas_tables(scene: Scene, warned: Callable[[], list[str]]) -> None:
    runs = scene.add(2)
    scene.mirror()
    current = seen(scene.url, lambda storage: storage.get_current_version())
    for other in ("v3.0.0.d", "v99"):
        sql(scene.url, f"UPDATE alembic_version SET version_num = '{other}'")
        study = scene.study()
        scene.mirror(study)
        scene.mirror(study, scene.sweep.runs[:2])
        (said,) = warned()
        assert "no longer compatible with the table schema" in said and "\n" not in said
    sql(scene.url, f"UPDATE alembic_version SET version_num = '{current}'")
    scene.put(runs[0], "cancelled")
    scene.mirror()
    assert [one[1] for one in scene.told()] == ["FAIL", "RUNNING"] and warned() == []


@pytest.mark.slow  # Optuna tries five times, with pauses
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_locked_file(scene: Scene, warned: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_storage, "PATIENCE_S", 0.1)
    runs = scene.add(2)
    study = scene.study()
    scene.mirror(study)
    scene.put(runs[0], "cancelled")
    with contextlib.closing(sqlite3.connect(scene.url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        scene.mirror(study, scene.sweep.runs[1:2])
        (said,) = warned()
        assert "another process has held its lock" in said and "the search goes on" in said
        scene.mirror(study)
        assert warned() == []
    scene.mirror(study)
    assert [one[1] for one in scene.told()] == ["FAIL", "RUNNING"]


@pytest.mark.slow
def test_a_search_killed_in_the_midst_of_a_mirror(scene: Scene, url: str) -> None:
    runs = scene.add(3)
    scene.train(runs[0], "collapsed", 0.5, 0.1)
    scene.train(runs[1], None, 0.5)
    scene.mirror()
    expected = scene.told()
    scene.store.close()

    def anew() -> None:
        with Store(url) as store:
            scene.study().mirror(store, scene.sweep_id)

    kills = 0
    for lose, places in ((lost_study, range(3, 999, 23)), (lost_tables, range(1, 80, 9))):
        for place in places:
            lose(url)
            killed, said = killed_at(place, anew)
            anew()
            assert scene.told() == expected, f"killed before {said}, operation {place}"
            if not killed:
                break
            kills += 1
    assert kills >= 12


def test_optuna_disturbs_nothing(scene: Scene, recwarn: pytest.WarningsRecorder) -> None:
    scene.train(*scene.add(1), "stable", 0.5)
    before = frames.runs(scene.store, ["demo"])
    scene.mirror()
    assert not recwarn.list
    schema.check(scene.url)
    assert schema.upgrade(scene.url) is None
    assert frames.runs(scene.store, ["demo"]).equals(before)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_optuna_says_nothing(scene: Scene, tmp_path: Path) -> None:
    scene.train(*scene.add(1), "stable", 0.5)
    for _ in ("made", "found"):
        done = searched(scene.url, tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert [one[1] for one in scene.told()] == ["COMPLETE"]


def test_a_folder_whose_name_optuna_would_take_for_a_template(tmp_path: Path, grid: Callable[..., Sweep]) -> None:
    (tmp_path / "{a}").mkdir()
    url = f"sqlite:///{tmp_path}/{{a}}/100%.db"
    schema.upgrade(url)
    with Store(url) as store:
        scene = Scene(url, store, grid(k=[2, 8]))
        scene.add(1)
        scene.mirror()
        with contextlib.closing(sqlite3.connect(tmp_path / "{a}" / "100%.db")) as file:
            stored = file.execute("SELECT key, value_json FROM trial_user_attributes")
            told = {key: json.loads(value) for key, value in stored}
        assert told == {"run": 1, "state": "pending", "learner_steps": 0}


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path, grid: Callable[..., Sweep], warned: Callable[[], list[str]]) -> None:
    sweep = grid(k=[2, 8], horizon=HORIZON)
    (tmp_path / "disk").mkdir()
    url = f"sqlite:///{tmp_path}/disk/sweeps.db"

    def search() -> None:
        children.mount_small_disk(tmp_path / "disk", "1m")
        schema.upgrade(url)
        with Store(url) as store:
            scene = Scene(url, store, sweep)
            runs = scene.add(2)
            rest = tmp_path / "disk" / "rest"
            study = scene.study()
            with contextlib.suppress(OSError):
                rest.write_bytes(bytes(2**20))
            study.mirror(store, scene.sweep_id)
            (said,) = warned()
            assert "the disk is full" in said
            rest.unlink()
            study.mirror(store, scene.sweep_id)
            assert [one[3]["run"] for one in scene.told()] == runs

    children.run(search)


def test_a_server_that_goes_away_and_a_password(
    tmp_path: Path,
    grid: Callable[..., Sweep],
    warned: Callable[[], list[str]],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    with own_server() as server:
        server.execute("CREATE DATABASE sweeps OWNER me")
        url = server.url("me", PASSWORD, "sweeps")
        schema.upgrade(url)
        with Store(url) as store:
            scene = Scene(url, store, grid(k=[2, 8], horizon=HORIZON))
            for run_id in scene.add(2):
                scene.train(run_id, "stable", 0.5)
            study = scene.study()
            study.mirror(store, scene.sweep_id)
            read = queries.progress

            def read_before_it_stops(*arguments: Any) -> list[RunProgress]:
                found = read(*arguments)
                server.stop("immediate")
                return found

            with monkeypatch.context() as patch:
                patch.setattr(queries, "progress", read_before_it_stops)
                study.mirror(store, scene.sweep_id)
            server.start()
            (said,) = [line for line in warned() if "optuna-dashboard" in line]
            assert "the search goes on: Postgres database 'sweeps' at me@" in said
            store.close()  # its connection is gone too
            study.mirror(store, scene.sweep_id)
            tables = study_storage._Tables(url, check_version=True)
            shows_nothing(f"{said} {tables.engine!r} {tables.url}")
            tables.close()
            assert [one[3]["run"] for one in scene.told()] == [1, 2]
            sql(url, "UPDATE alembic_version SET version_num = 'v99'")
            done = searched(url, tmp_path)
            assert done.returncode == 0 and done.stderr.count("optuna-dashboard does not show") == 1, done.stderr
            assert "The budget is spent" in done.stdout
            shows_nothing(done.stdout + done.stderr)
            server.execute("ALTER ROLE me PASSWORD 'another'")
            scene.mirror()
            (said,) = [line for line in warned() if "optuna-dashboard" in line]
            assert "refuses this user or password" in said
    shows_nothing(caplog.text + "".join(capfd.readouterr()))


def test_optuna_dashboard_opens_it(scene: Scene) -> None:
    runs = scene.add(4)
    scene.train(runs[0], "collapsed", 0.5, 0.1)
    scene.train(runs[1], "stable", 0.5, 0.6)
    scene.train(runs[2], None, 0.5)
    scene.mirror()
    with dashboard(scene.url) as ask:
        (study,) = ask("/api/studies")["study_summaries"]
        assert (study["study_name"], study["directions"]) == ("demo", ["maximize"])
        trials = ask(f"/api/studies/{study['study_id']}")["trials"]
    assert [(trial["state"], trial.get("values")) for trial in trials] == [
        ("Complete", [0.6]), ("Complete", [1.0]), ("Running", None), ("Running", None),
    ]  # fmt: skip
    first = {param["name"]: param["param_external_value"] for param in trials[0]["params"]}
    assert first == {"k": "2", "eta": "0.001", "seed": "0", "model": "tiny"}
    assert [one["step"] for one in trials[0]["intermediate_values"]] == [0, 8]
    assert {one["key"]: one["value"] for one in trials[0]["user_attrs"]}["state"] == "collapsed"


@contextlib.contextmanager
def dashboard(url: str) -> Iterator[Callable[[str], Any]]:
    """Run optuna-dashboard, and ask its interface."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("optuna-dashboard"), alchemy(url), "--port", port, "--server", "wsgiref"]
    with children.program(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:

        def listening() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        def ask(path: str) -> Any:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                return json.load(answer)

        wait_for(listening, "the dashboard", during=server)
        yield ask
