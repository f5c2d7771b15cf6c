"""Kills a process between any two of its operations on files and databases. The product has no hooks for it.

What a process does is patched from outside, in a forked child: before each operation a counter goes up, and at a given
number the process kills itself. A write is killed in its midst as well: half of it is done.
"""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import psycopg

_FILES = ("open", "write", "fsync", "ftruncate", "truncate", "rename", "link", "unlink")


class Faults:
    """Counts operations, and kills the process at one of them.

    Args:
        kill_at: The operation before which to die, from 1; 0 = none.
        report: A file descriptor; it is told what was about to happen, or, at `total`, how many operations there were.
    """

    def __init__(self, kill_at: int, report: int) -> None:
        self._kill_at, self._report = kill_at, report
        self._count = 0
        self._lock = threading.Lock()
        self._write = os.write

    def arm(self) -> None:
        for name in _FILES:
            setattr(os, name, self._watched(name, getattr(os, name)))
        self._watch_sqlite()
        for kind, name in (
            (psycopg.Cursor, "execute"),
            (psycopg.Cursor, "executemany"),
            (psycopg.Connection, "commit"),
        ):
            setattr(kind, name, self._before(name, getattr(kind, name)))

    def _watch_sqlite(self) -> None:
        before = self._before

        class Cursor(sqlite3.Cursor):
            execute = before("execute", sqlite3.Cursor.execute)
            executemany = before("executemany", sqlite3.Cursor.executemany)

        class Connection(sqlite3.Connection):
            execute = before("execute", sqlite3.Connection.execute)
            commit = before("commit", sqlite3.Connection.commit)

            def cursor(self, factory: type[sqlite3.Cursor] = Cursor) -> sqlite3.Cursor:
                return super().cursor(factory)

        sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)

    def total(self) -> None:
        """Report how many operations there were."""
        self._write(self._report, b"%d" % self._count)

    def point(self, what: str) -> None:
        with self._lock:
            self._count += 1
            if self._count == self._kill_at:
                self._write(self._report, what.encode())
                os.kill(os.getpid(), signal.SIGKILL)

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            self.point(name)
            if name == "write":
                if self._count + 1 == self._kill_at:
                    file, content = arguments
                    self._write(file, content[: len(content) // 2])
                self.point("half of a write")
            return function(*arguments, **options)

        return watched

    def _before(self, name: str, function: Callable[..., Any]) -> Any:
        def watched(connection: Any, *arguments: Any, **options: Any) -> Any:
            self.point("COMMIT" if name == "commit" else " ".join(str(arguments[0]).split()[:3]))
            return function(connection, *arguments, **options)

        return watched
