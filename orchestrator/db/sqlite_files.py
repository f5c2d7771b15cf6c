"""SQLite files: what to look at before SQLite opens one, how to open it, and a copy of it.

SQLite opens a file of which it can write nothing, or which ends in the middle of a page, and complains much later or
never; and it names every reason that a file cannot be opened with the same three words.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from orchestrator.db.failures import BUSY_TIMEOUT_S
from orchestrator.errors import StoreUnavailable

_MAGIC = b"SQLite format 3\0"


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open a database file, leaving to the caller when transactions begin.

    Args:
        path: The file, absolute.
        create: Whether to create it where it is missing.

    Raises:
        StoreUnavailable: It is missing, no database, or may not be written. It is left as it is.
    """
    _examine(path, create=create)
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={'rwc' if create else 'rw'}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # the driver must not begin transactions of its own
        check_same_thread=False,  # the pool hands its connection to one thread at a time
    )
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _examine(path: Path, *, create: bool) -> None:
    folder = path.parent
    if not folder.is_dir():
        _refuse(path, f"there is no folder {folder}; create it, or name another file with --db or STALESWEEP_DB")
    if path.is_dir():
        _refuse(path, "this is a folder; name a file in it")
    try:
        with path.open("rb") as file:
            header, size = file.read(100), os.fstat(file.fileno()).st_size
    except PermissionError:
        _refuse(path, "no permission to open it; its owner can give it to you (chmod), or name another file")
    except FileNotFoundError:
        if not create:
            _refuse(path, "there is no such file yet; `stalesweep launch` or `stalesweep db upgrade` creates it")
        header, size = b"", 0
    if header and not header.startswith(_MAGIC):
        _refuse(path, "this is not a SQLite database; name another file")
    # SQLite writes whole pages and takes what is missing of the last one for zeros.
    if header and (len(header) < 100 or size % _page_bytes(header)):
        _refuse(path, f"the file was cut off, it ends after {size:,} bytes in the midst of a page; restore a backup")
    _examine_rights(path)


def _examine_rights(path: Path) -> None:
    """Refuse what cannot be written, to readers too: their part of the lock is written as well.

    A reader who can create the files beside the database but not write the database would leave files behind that its
    owner cannot write.
    """
    for part in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))):
        if part.exists() and not os.access(part, os.W_OK, effective_ids=True):
            _refuse(path, f"no permission to write {part}, which SQLite needs even to read; copy the database to "
                    "a folder of your own and name the copy")  # fmt: skip
    if not os.access(path.parent, os.W_OK, effective_ids=True):
        _refuse(path, f"no permission to create files in {path.parent}, where SQLite keeps its journal; copy it "
                "to a folder of your own, or name another file")  # fmt: skip


def _page_bytes(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    return 65536 if size == 1 else size or 1


def _refuse(path: Path, reason: str) -> NoReturn:
    raise StoreUnavailable(f"SQLite file {path}: {reason}")
