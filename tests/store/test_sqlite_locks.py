"""A process may have other SQLite connections to the same file: opening a store must not take their locks away."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.store import queries, schema
from orchestrator.store.store import Store

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
