"""Upgrades: once, whoever comes together; wholly or not at all; with a backup; and never by a worker."""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, text

from orchestrator.base.errors import SchemaError, StoreError, StoreUnavailable
from orchestrator.store import schema, sqlite_files
from orchestrator.store.database import Store
from orchestrator.store.models import RunRow
from orchestrator.store.queries import UNFINISHED
from orchestrator.store.session import create_engine_for, transaction
from tests.store import frozen
from tests.store.contacts import CONTACTS, contacts_at_once
from tests.support.servers import Server, own_server

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def large_server() -> Iterator[Server]:
    with own_server(max_connections=CONTACTS + 20) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def roomy(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database that a hundred processes may contact at once."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    server: Server = request.getfixturevalue("large_server")
    server.execute("DROP DATABASE IF EXISTS roomy", "CREATE DATABASE roomy")
    return server.url("postgres", database="roomy")


@pytest.mark.parametrize("before", [None, schema.REVISIONS[-2]])
def test_of_a_hundred_processes_that_come_at_once_one_migrates(before: str | None, roomy: str, tmp_path: Path) -> None:
    if before is not None:
        frozen.restore(before, roomy)
    assert contacts_at_once(roomy) == sorted([f"{before} upgraded", *["nothing to do"] * (CONTACTS - 1)])
    schema.check(roomy)
    engine = create_engine_for(roomy)
    with transaction(engine, write=False) as connection:
        assert connection.scalar(text(f"SELECT count(*) FROM {schema.VERSION_TABLE}")) == 1
        if engine.dialect.name == "sqlite":
            assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    engine.dispose()
    backups = [path.name for path in tmp_path.iterdir() if "backup" in path.name or "partial" in path.name]
    assert backups == ([f"a.db.schema-{before}.backup"] if before and roomy.startswith("sqlite") else [])


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A SQLite file of the schema before the newest."""
    frozen.restore(schema.REVISIONS[-2], f"sqlite:///{tmp_path}/a.db")
    return tmp_path / "a.db"


def runs_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM run").fetchone()[0])


def test_a_backup_holds_what_is_in_the_log_and_never_takes_the_place_of_another(old: Path) -> None:
    backup = old.with_name(f"{old.name}.schema-{schema.REVISIONS[-2]}.backup")
    backup.write_text("an earlier one")
    old.chmod(0o640)
    with closing(sqlite3.connect(old)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        size = old.stat().st_size
        columns = "cell_id, state, config, config_digest, resources, horizon, learner_steps, fence, code_version"
        columns += ", updated_at"
        writer.execute(f"INSERT INTO run (id, seed, {columns}) SELECT 100, 77, {columns} FROM run WHERE id = 1")
        writer.commit()
        assert old.stat().st_size == size  # the new row lies in the log
        done = schema.upgrade(f"sqlite:///{old}")
    assert done is not None
    assert done.backup == backup.with_name(f"{backup.name}.2")
    assert backup.read_text() == "an earlier one"
    assert runs_in(done.backup) == runs_in(old) == 6
    assert done.backup.stat().st_mode & 0o777 == 0o640
    assert {path.name for path in old.parent.iterdir()} == {"a.db", backup.name, done.backup.name}


def test_the_way_back_that_an_upgrade_names(old: Path) -> None:
    done = schema.upgrade(f"sqlite:///{old}")
    assert done is not None
    assert done.backup is not None
    assert str(done).endswith("delete the file, its -wal and its -shm, and rename the backup)")
    for suffix in ("", "-wal", "-shm"):
        old.with_name(old.name + suffix).unlink(missing_ok=True)
    done.backup.rename(old)
    assert schema.current(f"sqlite:///{old}") == schema.REVISIONS[-2]
    assert runs_in(old) == 5


def test_without_room_for_a_backup_nothing_is_upgraded(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(old.parent)
    free = 2 * old.stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    message = (
        rf"an upgrade needs {1.5 * free / 1e6:.1f} MB of free space in .* there are {free / 1e6:.1f} MB: make room"
    )
    with pytest.raises(StoreUnavailable, match=message):
        schema.upgrade(f"sqlite:///{old}")
    monkeypatch.setattr(sqlite_files, "_copy", fails)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StoreUnavailable, match="no backup can be written before the upgrade, so there was none"):
        schema.upgrade(f"sqlite:///{old}")
    assert schema.current(f"sqlite:///{old}") == schema.REVISIONS[-2]
    assert [path.name for path in old.parent.iterdir()] == ["a.db"]


def fails(_: Path, target: Path) -> None:
    target.write_text("half of it")
    raise OSError(28, "No space left on device")


ON_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size=700k {source} {disk}
cp {frozen} {disk}/a.db
dd if=/dev/zero of={disk}/filler bs=1k count={filler} status=none
{python} -m orchestrator.cli.app db upgrade --db sqlite:///{disk}/a.db || echo exit $?
ls {disk}
cmp {frozen} {disk}/a.db && echo unchanged
rm {disk}/filler
{python} -m orchestrator.cli.app db upgrade --db sqlite:///{disk}/a.db && echo upgraded
{python} -c "import sqlite3; print(sqlite3.connect('{disk}/a.db').execute('PRAGMA journal_mode').fetchone()[0])"
"""


def on_a_small_disk(tmp_path: Path, *, filler: int, source: str = "small") -> str:
    """What a shell prints that fills a small disk of its own, which nobody else sees."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = ON_A_SMALL_DISK.format(
        disk=disk, frozen=frozen.FOLDER / "0001.db", filler=filler, source=source, python=sys.executable
    )
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    done = subprocess.run([*unshare, "bash", "-c", script], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_a_disk_that_is_full_in_earnest(tmp_path: Path) -> None:
    output = on_a_small_disk(tmp_path, filler=550)
    assert "error: SQLite file" in output
    assert "make room" in output
    assert "exit 2\n" in output
    assert "a.db\nfiller\nunchanged\n" in output
    assert "upgraded\nwal\n" in output


def test_on_a_network_file_system_no_log_is_shared(tmp_path: Path) -> None:
    output = on_a_small_disk(tmp_path, filler=1, source="server:/export")
    assert "upgraded\ndelete\n" in output


@pytest.mark.parametrize("revision", [None, *schema.REVISIONS[:-1], "9999"])
def test_workers_and_readers_never_migrate(
    revision: str | None, new_database: Callable[[str], str], tmp_path: Path
) -> None:
    """Neither a store, which is all that a job opens, nor a look at the schema changes a bit."""
    url = new_database("sqlite")
    path = Path(url.removeprefix("sqlite:///"))
    if revision is None:
        path.touch()
    elif revision in schema.REVISIONS:
        frozen.restore(revision, url)
    else:
        frozen.restore(schema.REVISIONS[-1], url)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{revision}'")
    content = path.read_bytes()
    contacts: list[Callable[[str], object]] = [Store, schema.check]
    if revision == "9999":
        contacts.append(schema.upgrade)
    for each in contacts:
        with pytest.raises(SchemaError):
            each(url)
    assert schema.current(url) == revision
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_failed_migration_leaves_nothing(url: str) -> None:
    engine = create_engine_for(url, create=True)
    with transaction(engine, write=True) as connection:
        connection.execute(text("CREATE TABLE fit (mine INTEGER)"))  # the last one that the migration creates
    with pytest.raises(StoreError, match=r"fit.* already exists"):
        schema.upgrade(url)
    with transaction(engine, write=False) as connection:
        assert schema.revision(connection) is None
        assert connection.dialect.get_table_names(connection) == ["fit"]
    engine.dispose()


@pytest.fixture
def without_stops(tmp_path: Path) -> Path:
    """A SQLite file of the last schema that knows no stopped runs."""
    frozen.restore("0004", f"sqlite:///{tmp_path}/a.db")
    return tmp_path / "a.db"


def test_states_and_sentences_of_before_become_values(url: str) -> None:
    frozen.restore("0005", url)
    engine = create_engine_for(url)
    before = {
        1: ("stopped", "97 of 100 such runs collapse", "predicted_collapse"),
        2: ("stopped", "all is known", "decided"),
        3: ("cancelled", "removed by `stalesweep rm`", None),
        4: ("failed", "diverged: loss is not finite", None),
        5: ("cancelled", "cancelled by you", "cancelled"),
    }
    put = "state = :state, failure = :failure, failure_class = :of"
    no_result = "collapse_step = NULL, collapse_step_lo = NULL, collapse_sync = NULL"
    with transaction(engine, write=True) as connection:
        for run_id, (state, failure, failure_class) in before.items():
            connection.execute(
                text(f"UPDATE run SET {put}, {no_result} WHERE id = :run"),
                {"run": run_id, "state": state, "failure": failure, "of": failure_class},
            )
    schema.upgrade(url)
    after = {
        1: ("cancelled", before[1][1], "predicted_collapse"),
        2: ("cancelled", before[2][1], "decided"),
        3: ("cancelled", before[3][1], "removed"),
        4: ("failed", before[4][1], "diverged"),
        5: before[5],
    }
    query = "SELECT id, state, failure, failure_class FROM run ORDER BY id"
    with transaction(engine, write=False) as connection:
        assert {run_id: tuple(row) for run_id, *row in connection.execute(text(query))} == after
        unfinished = connection.scalars(select(RunRow.id).where(UNFINISHED).order_by(RunRow.id)).all()
    engine.dispose()
    assert unfinished == [3, 5], "nothing that was final before is trained again"


def test_constraints_are_widened_for_who_has_the_file_open(without_stops: Path) -> None:
    stop = "UPDATE run SET state = 'cancelled', failure_class = 'decided' WHERE id = 5"
    with closing(sqlite3.connect(without_stops)) as other:
        with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed: ck_run"):
            other.execute(stop)
        other.rollback()
        schema.upgrade(f"sqlite:///{without_stops}")
        other.execute(stop)
        other.execute("UPDATE attempt SET failure_class = 'predicted_collapse' WHERE run_id = 5")
        other.commit()
        with pytest.raises(sqlite3.IntegrityError, match="ck_run_state"):
            other.execute("UPDATE run SET state = 'other' WHERE id = 5")
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert other.execute("PRAGMA foreign_key_check").fetchall() == []


def defended(connection: sqlite3.Connection) -> sqlite3.Connection:
    """As SQLite opens all in macOS: its tables' texts may not be edited."""
    [library] = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libsqlite3" in line}
    handle = ctypes.c_void_p.from_address(id(connection) + object.__basicsize__)
    defensive = 1010
    assert ctypes.CDLL(library).sqlite3_db_config(handle, defensive, 1, None) == 0
    return connection


@pytest.mark.parametrize("before", [None, "0004"])
def test_a_library_that_lets_nobody_edit_tables(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, url = sqlite_files.connect, f"sqlite:///{tmp_path}/a.db"
    monkeypatch.setattr(sqlite_files, "connect", lambda *args, **options: defended(connect(*args, **options)))
    if before:
        frozen.restore(before, url)
    schema.upgrade(url)
    schema.check(url)
    with closing(sqlite_files.connect(tmp_path / "a.db", create=False)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        with pytest.raises(sqlite3.OperationalError, match="may not be modified"):
            connection.execute("UPDATE sqlite_master SET sql = '' WHERE name = 'run'")


def rows_of(connection: sqlite3.Connection, table: str) -> list[list[tuple[str, object]]]:
    """Every row by column, but for those that later schemas added."""
    found = connection.execute(f"SELECT rowid, * FROM {table}")
    names = [column[0] for column in found.description]
    return [[(name, value) for name, value in zip(names, row, strict=True) if name != "folder_id"] for row in found]


def test_what_users_have_added_to_a_table_stays(without_stops: Path) -> None:
    with closing(sqlite3.connect(without_stops)) as connection, connection:
        connection.execute("CREATE VIEW ended AS SELECT * FROM run JOIN attempt ON run_id = id WHERE state = 'stable'")
        connection.execute("CREATE INDEX mine ON attempt (host)")
        connection.execute("CREATE TABLE heard (id INTEGER)")
        connection.execute("CREATE TRIGGER hear AFTER UPDATE ON run BEGIN INSERT INTO heard VALUES (new.id); END")
        before = [rows_of(connection, table) for table in ("run", "ended")]
    schema.upgrade(f"sqlite:///{without_stops}")
    with closing(sqlite3.connect(without_stops)) as connection:
        assert [rows_of(connection, table) for table in ("run", "ended")] == before
        connection.execute("UPDATE run SET seed = 9 WHERE id = 5")
        assert connection.execute("SELECT * FROM heard").fetchall() == [(5,)]
        [plan] = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM attempt WHERE host = 'a'").fetchall()
        assert "USING INDEX mine" in plan[-1]
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            connection.executescript("PRAGMA foreign_keys = ON; DELETE FROM run WHERE id = 1;")


def test_searches_are_told_from_grids(url: str) -> None:
    frozen.restore("0004", url)
    engine = create_engine_for(url)
    with transaction(engine, write=True) as connection:
        ids = connection.scalars(text("SELECT id FROM sweep ORDER BY id")).all()
        rename = text("UPDATE sweep SET grid_text = :text WHERE id = :id")
        connection.execute(rename, {"id": ids[0], "text": "grid: {}\n# search: it\nsearch:\n  learner_steps: 100\n"})
        connection.execute(rename, {"id": ids[1], "text": "grid: {}\n# search: it\nname: search\n"})
    schema.upgrade(url)
    with transaction(engine, write=False) as connection:
        assert connection.scalars(text("SELECT source FROM sweep ORDER BY id")).all() == ["search", "grid"]
    engine.dispose()


def test_a_table_that_was_changed_by_hand_is_named_and_all_stays(without_stops: Path) -> None:
    with closing(sqlite3.connect(without_stops)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, '''lost'')', '''gone'')') WHERE name = 'attempt'"
        )
    with pytest.raises(SchemaError, match=r"table attempt was changed by hand: put back CHECK \(failure_class IN"):
        schema.upgrade(f"sqlite:///{without_stops}")
    with closing(sqlite3.connect(without_stops)) as connection:
        [texts] = connection.execute("SELECT group_concat(sql) FROM sqlite_master").fetchall()
    assert "'decided'" not in texts[0]
    assert schema.current(f"sqlite:///{without_stops}") == "0004"
