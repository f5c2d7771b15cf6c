"""A password shows nowhere, in whatever form the database's URL carries it; and every way to keep it works."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.base import urls
from orchestrator.base.errors import StoreError, StoreUnavailable, UsageError
from orchestrator.base.settings import database_url
from orchestrator.cli.app import app
from orchestrator.jobs import doctor
from orchestrator.store.database import Store
from orchestrator.store.session import create_engine_for, transaction
from tests.support.passwords import FORMS, NAMES, form, shows_nothing
from tests.support.servers import Server, own_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_server() as server:
        server.execute("CREATE DATABASE sweeps OWNER me")
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder for what this writes, and none of the settings of whoever runs the tests."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


def run(environment: dict[str, str], *arguments: str) -> Result:
    """Run a command; neither its output nor the traceback of what ended it shows a password."""
    result = CliRunner().invoke(app, arguments, env=environment)
    shows_nothing(result.output)
    shows_nothing(result.stderr)
    if result.exc_info:
        shows_nothing("".join(traceback.format_exception(*result.exc_info)))
    return result


def doctor_on_the_database() -> doctor.Finding:
    return next(found for found in doctor.examine(None) if found.name == "database")


@pytest.mark.parametrize("name", FORMS)
def test_every_way_to_keep_a_password_works(name: str, server: Server, tmp_path: Path) -> None:
    environment = form(name, server, tmp_path)
    assert run(environment, "db", "upgrade").exit_code == 0
    assert run(environment, "db", "check").stdout == "the schema is this version's\n"
    assert run(environment, "status").exit_code == 3


@pytest.mark.parametrize("name", FORMS)
def test_no_message_shows_a_wrong_password(name: str, server: Server, tmp_path: Path) -> None:
    environment = form(name, server, tmp_path, "tr0ub4dor hunter2")
    for command in (["db", "upgrade"], ["db", "current"], ["status"], ["fit-laws"], ["export", "--out", str(tmp_path)]):
        refused = run(environment, *command)
        assert refused.exit_code == 2
        assert "the server refuses this user or password" in refused.stderr


@pytest.mark.parametrize("name", FORMS)
def test_what_is_made_of_a_url_shows_none(
    name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in form(name, server, tmp_path).items():
        monkeypatch.setenv(variable, value)
    url = database_url(None)
    engine = create_engine_for(url)
    with Store(url, check_schema=False) as store:
        shows_nothing(f"{engine!r} {engine.url} {engine.url!r} {tuple(engine.url)} {store!r}")
        shows_nothing(str(doctor_on_the_database()))
    with pytest.raises(StoreError) as caught, transaction(engine, write=True) as connection:
        connection.exec_driver_sql("SELECT nonsense")
    shows_nothing("".join(traceback.format_exception(caught.value)))
    engine.dispose()
    monkeypatch.setenv("STALESWEEP_DB", url.replace("host=", "hosts="))
    assert doctor_on_the_database().good is (name == "service")
    shows_nothing(str(doctor_on_the_database()))


@pytest.mark.parametrize("name", FORMS)
def test_other_processes_are_handed_a_reference(
    name: str, server: Server, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in form(name, server, tmp_path).items():
        monkeypatch.setenv(variable, value)
    before = dict(os.environ)
    with urls.handed_over(database_url(None)) as reference:
        shows_nothing(pickle.dumps(reference).decode("latin1"))
        listed = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
        shows_nothing(listed)
        # What a child makes of its environment, and of the reference, is the same database.
        code = "import sys; from orchestrator.base.settings import database_url; "
        code += "from orchestrator.store import queries; from orchestrator.store.database import Store; "
        code += "from orchestrator.base.urls import resolve; "
        code += "print([queries.sweep_names(Store(url)) for url in (database_url(None), resolve(sys.argv[1]))])"
        child = [sys.executable, "-c", code, reference]
        assert subprocess.run(child, capture_output=True, text=True, check=True).stdout == "[[], []]\n"
    assert dict(os.environ) == before
    ours = list(home.rglob("*.url"))
    assert len(ours) == (0 if name in ("?passfile=", "PGPASSFILE", "service", "STALESWEEP_DB_FILE") else 1)
    for file in ours:
        assert file.stat().st_mode & 0o077 == 0
        assert file.parent.stat().st_mode & 0o077 == 0
        assert reference == f"file:{file}"


def test_a_new_password_reaches_jobs_that_are_queued(home: Path) -> None:
    with urls.handed_over("postgresql://me:old@host/db") as queued:
        pass
    with urls.handed_over("postgresql://me:new@host/db") as newer:
        assert newer == queued
    assert urls.resolve(queued) == "postgresql+psycopg://me:new@host/db"
    Path(queued.removeprefix("file:")).unlink()
    with pytest.raises(StoreUnavailable, match=r"URL cannot be read on this host: .*No such file"):
        urls.resolve(queued)


def test_where_no_file_can_be_kept(home: Path) -> None:
    url = "postgresql://me:hunter2@host/db"  # not in the line that the traceback shows
    home.write_text("a file where the folder should be")
    message = r"cannot hand the database's password to jobs .*STALESWEEP_DB_FILE"
    with pytest.raises(UsageError, match=message) as caught, urls.handed_over(url):
        pass
    shows_nothing("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@host/db", "postgresql://me@host/db?password=hunter2", "postgres://host/db?sslpassword=hunter2",
        "postgresql://me:hun%74er2@host/db", "postgresql://host/db?oauth_client_secret=hunter2",
    ],
)  # fmt: skip
def test_a_password_in_an_argument_is_refused(url: str) -> None:
    refused = run({}, "status", "--db", url)
    assert refused.exit_code == 2
    assert "--db: everybody on this machine can read a password in the arguments" in refused.stderr
    assert "~/.pgpass" in refused.stderr


@pytest.mark.parametrize(
    "url",
    [
        "host=h user=me password=hunter2", "postgresql://me:hunter2@host:port/db", "postgresql://me:tr0ub@hunter2@host/db",
        "postgresql://me:hunter2@host/a@b", "hunter2", "mysql://me:hunter2@host/db", "sqlite://me:hunter2@host/db",
        "postgresql://me:hunter2@host:5432x/db", "postgresql://me:hunter2@[::1/db", "//me:hunter2@host",
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_read_is_not_shown(url: str) -> None:
    for arguments, environment in ((["--db", url], {}), ([], {"STALESWEEP_DB": url})):
        for command in (["status"], ["db", "upgrade"], ["fit-laws"], ["export", "--out", "out"]):
            refused = run(environment, *command, *arguments)
            assert refused.exit_code == 2
            assert "error: " in refused.stderr


def test_doctor_tells_of_a_url_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STALESWEEP_DB", "host=h password=hunter2")
    finding = doctor_on_the_database()
    assert (finding.good, finding.name) == (False, "database")
    assert finding.detail.startswith("the database URL cannot be read; allowed: sqlite:///FILE")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("", "must hold the database's URL on one line and nothing else; it has 0 lines"),
        ("\n  \n", "it has 0 lines"),
        ("postgresql://me:hunter2@host/db\nanother", "it has 2 lines"),
        (b"\xff\xfe", "not text"),
    ],
)
def test_a_file_that_holds_no_url(content: str | bytes | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    refused = run({"STALESWEEP_DB_FILE": str(file)}, "status")
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert str(file) in refused.stderr


def test_a_file_that_others_can_read_is_warned_of(tmp_path: Path, server: Server) -> None:
    environment = form("STALESWEEP_DB_FILE", server, tmp_path)
    file = Path(environment["STALESWEEP_DB_FILE"])
    command = [sys.executable, "-m", "orchestrator.cli.app", "db", "check"]

    def stderr() -> str:
        return subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **environment}, check=True
        ).stderr

    assert stderr() == ""
    file.chmod(0o640)
    assert stderr() == f"others can read the password in {file}: chmod 600 {file}\n"
    file.write_text("sqlite:////nowhere/a.db\n")
    assert "others" not in run(environment, "status").stderr


def test_which_setting_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert database_url(None) == "sqlite:///stalesweep.db"
    (tmp_path / "url").write_text("sqlite:////data/my sweeps.db\n")
    monkeypatch.setenv("STALESWEEP_DB_FILE", str(tmp_path / "url"))
    assert database_url(None) == "sqlite:////data/my sweeps.db"
    monkeypatch.setenv("STALESWEEP_DB", "sqlite:///b.db")
    assert database_url(None) == "sqlite:///b.db"
    assert database_url("sqlite:///c.db") == "sqlite:///c.db"
