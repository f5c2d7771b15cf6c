"""The locks of a SQLite file: opening a store keeps those of this process, and a writer waits for that of another."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.store import queries, schema
from orchestrator.store.database import Store
from orchestrator.store.sqlite_files import begin_writing

pytestmark = pytest.mark.services

LEAVE_WAL = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0)
try:
    print(connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0])
except sqlite3.OperationalError as error:
    print(error)
"""


def test_opening_a_store_keeps_the_locks_of_this_process(tmp_path: Path) -> None:
    # POSIX gives up all locks of a process on a file when it closes that file anywhere; SQLite's with them.
    path = tmp_path / "sweeps.db"
    schema.upgrade(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM run").fetchone()
        with Store(f"sqlite:///{path}") as store:
            queries.sweep_names(store)
        # Leaving the write-ahead log takes the whole file, which another process must not get now.
        asked = subprocess.run([sys.executable, "-c", LEAVE_WAL, str(path)], capture_output=True, text=True, check=True)
        assert asked.stdout == "database is locked\n"


def test_who_writes_has_the_lock_from_the_beginning_and_who_reads_never(tmp_path: Path) -> None:
    path = tmp_path / "sweeps.db"
    schema.upgrade(f"sqlite:///{path}")
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    with closing(other), Store(f"sqlite:///{path}") as store:
        with store.write(), pytest.raises(sqlite3.OperationalError, match="database is locked"):
            other.execute("BEGIN IMMEDIATE")
        with store.read() as connection:
            queries.sweep_names(connection)
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")


HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[float], Path]]:
    """Another process holds a file's write lock, and is killed or ends with it."""
    processes: list[subprocess.Popen[str]] = []

    def hold(seconds: float) -> Path:
        path = tmp_path / "held.db"
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=-1, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return path

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def test_a_writer_takes_the_lock_soon_after_another_has_let_go(holder: Callable[[float], Path]) -> None:
    with closing(sqlite3.connect(holder(0.5), isolation_level=None, timeout=7.0)) as connection:
        started = time.monotonic()
        begin_writing(connection)
        assert connection.in_transaction
        assert 0.2 < time.monotonic() - started < 5.0
        connection.execute("ROLLBACK")


def test_waiting_ends(holder: Callable[[float], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.store.sqlite_files.BUSY_TIMEOUT_S", 0.3)
    with closing(sqlite3.connect(holder(60.0), isolation_level=None)) as connection:
        started = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            begin_writing(connection)
        assert 0.3 <= time.monotonic() - started < 5.0
        assert not connection.in_transaction
        # Other statements wait as before, as SQLite does it.
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (300,)
