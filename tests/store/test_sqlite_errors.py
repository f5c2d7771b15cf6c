"""SQLite files that cannot be used, or not now: what is said of them, and that they stay as they are."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from orchestrator.base.errors import StoreError, StoreUnavailable
from orchestrator.store import schema, sqlite_files
from orchestrator.store.database import Store
from orchestrator.store.session import create_engine_for, transaction
from tests.support.users import as_a_plain_user

pytestmark = pytest.mark.services


def write(engine: Engine, statement: str = "UPDATE noted SET n = n + 1 WHERE id = 1") -> None:
    with transaction(engine, write=True) as connection:
        connection.exec_driver_sql(statement)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    schema.upgrade(f"sqlite:///{tmp_path}/a.db")
    engine = create_engine_for(f"sqlite:///{tmp_path}/a.db")
    write(engine, "CREATE TABLE noted (id INTEGER PRIMARY KEY, n INTEGER CHECK (n < 100))")
    write(engine, "INSERT INTO noted VALUES (1, 0)")
    engine.dispose()
    return tmp_path / "a.db"


@contextmanager
def opened(file: Path) -> Iterator[Engine]:
    engine = create_engine_for(f"sqlite:///{file}")
    write(engine)
    try:
        yield engine
    finally:
        engine.dispose()


def test_a_locked_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "BUSY_TIMEOUT_S", 0.05)
    with opened(file) as engine, opened(file) as other, transaction(other, write=True):
        with pytest.raises(StoreUnavailable, match=r"another process has held its lock .*try again when it is done"):
            write(engine)
        with transaction(engine, write=False) as connection:
            assert connection.exec_driver_sql("SELECT n FROM noted").scalar_one() == 2


def test_a_full_disk(file: Path) -> None:
    with opened(file) as engine:
        write(engine, "PRAGMA max_page_count = 1")  # at most the pages that it has
        with pytest.raises(StoreUnavailable, match="the disk is full, or your quota is used up: make room there"):
            write(engine, "INSERT INTO noted SELECT value, 1 FROM json_each('[' || repeat_of || ']')".replace(
                "repeat_of", "(SELECT group_concat(value) FROM (WITH RECURSIVE c(value) AS (SELECT 2 UNION ALL "
                "SELECT value + 1 FROM c WHERE value < 9000) SELECT value FROM c))"))  # fmt: skip
    with opened(file) as engine:
        write(engine)


def test_a_file_that_is_moved_away_or_replaced_while_it_is_open(file: Path) -> None:
    """Its connection would go on writing into what has no name any more."""
    other = file.with_name("b.db")
    shutil.copyfile(file, other)
    with opened(file) as engine:
        file.rename(file.with_name("away.db"))
        with pytest.raises(StoreUnavailable, match="there is no such file yet"):
            write(engine)
        assert not file.exists()
        file.with_name("away.db").rename(file)
        write(engine)
        for suffix in ("-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        other.rename(file)
        write(engine)
    with closing(sqlite3.connect(file)) as plain:
        assert plain.execute("SELECT n FROM noted").fetchone() == (1,)  # of the other file, after one write


def test_a_file_that_may_only_be_read_while_it_is_open(file: Path) -> None:
    with opened(file) as engine:
        with transaction(engine, write=False) as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
        with pytest.raises(StoreUnavailable, match="it cannot be written: give yourself the right"):
            write(engine)


def test_a_damaged_page(file: Path) -> None:
    pages = bytearray(file.read_bytes())
    for at in range(4096, len(pages), 4096):
        pages[at : at + 64] = b"\xff" * 64
    file.write_bytes(pages)
    engine = create_engine_for(f"sqlite:///{file}")
    with pytest.raises(StoreUnavailable, match="a damaged SQLite database: restore a backup, or name another"):
        write(engine)
    engine.dispose()


def test_our_own_faults_stay_loud_in_sqlite_too(file: Path) -> None:
    with opened(file) as engine:
        for statement in ("INSERT INTO noted VALUES (1, 0)", "UPDATE noted SET n = 1000", "UPDATE nothing SET n = 1"):
            with pytest.raises(StoreError) as caught:
                write(engine, statement)
            assert type(caught.value) is StoreError


CONTACTS = [schema.upgrade, schema.check, schema.current, Store]


@pytest.mark.parametrize("contact", CONTACTS)
def test_unusable_sqlite_files_are_left_as_they_are(contact: Callable[[str], object], file: Path) -> None:
    folder = file.parent / "files"
    folder.mkdir()
    whole = file.read_bytes()
    contents = {
        "text.db": (
            b"not a database, and long enough to look like a header" * 40,
            "not a SQLite database, or a damaged one: name another",
        ),
        "short.db": (b"abc", "not a SQLite database, or a damaged one: name another file"),
        "header.db": (whole[:60], "the file was cut off, it ends after 60 bytes"),
        "midst.db": (
            whole[:-1000],
            r"the file was cut off, it ends after [\d,]+ bytes in the middle of a page; restore",
        ),
        "pages.db": (whole[: 4096 * 3], "a damaged SQLite database: restore a backup, or name another file"),
    }
    for name, (content, message) in contents.items():
        (folder / name).write_bytes(content)
        before = (folder / name).stat().st_mtime_ns
        with pytest.raises(StoreUnavailable, match=message):
            contact(f"sqlite:///{folder}/{name}")
        assert (folder / name).read_bytes() == content
        assert (folder / name).stat().st_mtime_ns == before
    assert {path.name for path in folder.iterdir()} == set(contents)
    with pytest.raises(StoreUnavailable, match="this is a folder; name a file in it"):
        contact(f"sqlite:///{folder}")
    with pytest.raises(StoreUnavailable, match=r"there is no folder .*nowhere; create it, or name another file"):
        contact(f"sqlite:///{folder}/nowhere/a.db")


def test_looking_at_a_missing_file_does_not_create_it(tmp_path: Path) -> None:
    message = f"SQLite file {tmp_path}/a.db: there is no such file yet; `stalesweep launch` or `stalesweep db upgrade`"
    with pytest.raises(StoreUnavailable, match=rf"^{message} creates it$"):
        Store(f"sqlite:///{tmp_path}/a.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("contact", CONTACTS)
def test_files_and_folders_without_permission(contact: Callable[[str], object], file: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy = folder / "a.db"
        shutil.copyfile(file, copy)
        content = copy.read_bytes()
        for mode, of_folder, message in (
            (0o000, 0o777, "no permission to open it; its owner can give it to you"),
            (0o444, 0o777, rf"no permission to write {copy}, which SQLite needs even to read; copy the database"),
            (0o666, 0o555, rf"no permission to create files in {folder}, where SQLite keeps its journal"),
        ):
            copy.chmod(mode)
            folder.chmod(of_folder)
            with as_a_plain_user(), pytest.raises(StoreUnavailable, match=message):
                contact(f"sqlite:///{copy}")
            assert [path.name for path in folder.iterdir()] == ["a.db"]
            assert copy.read_bytes() == content
        with as_a_plain_user(), pytest.raises(StoreUnavailable, match=f"no permission to create files in {folder}"):
            schema.upgrade(f"sqlite:///{folder}/new.db")
        folder.chmod(0o700)


def test_what_another_user_left_beside_the_file(file: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(file, folder / "a.db")
        folder.chmod(0o777)
        (folder / "a.db").chmod(0o666)
        (folder / "a.db-wal").touch(mode=0o444)
        with as_a_plain_user(), pytest.raises(StoreUnavailable, match=r"no permission to write .*a\.db-wal"):
            Store(f"sqlite:///{folder}/a.db")
