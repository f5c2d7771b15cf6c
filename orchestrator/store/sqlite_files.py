"""Check a SQLite file before it is opened, open it, wait for its write lock, and back it up.

SQLite opens a file that it cannot write, or that ends in the middle of a page, and fails much later or never. When it
cannot open a file it gives the same message for every reason.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import sqlite3
import time
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from orchestrator.base.errors import StoreUnavailable
from orchestrator.base.files import whole
from orchestrator.store.failures import BUSY_TIMEOUT_S

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.04


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open a database file, by its absolute path, leaving to the caller when transactions begin.

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
        _refuse_a_cut_file(path, connection)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def begin_writing(connection: sqlite3.Connection) -> None:
    """Begin a transaction that has the write lock; waits for it as long as the connection waits for any lock.

    SQLite itself asks ever more seldom, down to every 100 ms: who has waited longest is the least likely to come next,
    and with many writers the lock lies idle while all sleep.

    Raises:
        sqlite3.OperationalError: It cannot be had.
    """
    give_up_at = time.monotonic() + BUSY_TIMEOUT_S
    longest_s = _FIRST_PAUSE_S
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                    raise
            else:
                return
            time.sleep(random.uniform(0.0, longest_s))
            longest_s = min(2.0 * longest_s, _LONGEST_PAUSE_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1e3:.0f}")


def backup(path: Path, revision: str) -> Path:
    """Copy a database beside itself; complete, also while other processes have it open.

    The caller holds the write lock, so that nothing is written after the copy. The copy is read through another
    connection, because SQLite copies nothing from one that is writing. It is named ``FILE.schema-REVISION.backup``,
    with a number behind it where there is one already.

    Raises:
        StoreUnavailable: There is no room for it, or it cannot be written. No part of it is left.
    """
    files = (path, path.with_name(f"{path.name}-wal"))
    size, free = sum(file.stat().st_size for file in files if file.exists()), shutil.disk_usage(path.parent).free
    # Besides the copy, a migration may write every table anew: in the journal, and then in the file.
    if free < 3 * size:
        _refuse(path, f"an upgrade needs {3 * size / 1e6:,.1f} MB of free space in {path.parent}, for a backup and for "
                f"tables written anew; there are {free / 1e6:,.1f} MB: make room there")  # fmt: skip
    target = _unused(path.with_name(f"{path.name}.schema-{revision}.backup"))
    for left in path.parent.glob(f".{path.name}.schema-*.partial"):
        left.unlink()  # of an upgrade that was killed
    try:
        with whole(target, private=True) as aside:
            _copy(path, aside)
            shutil.copymode(path, aside)
        _synchronise(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(f"SQLite file {path}: no backup can be written before the upgrade, so there was none: "
                               f"{error}") from error  # fmt: skip
    return target


def _copy(path: Path, target: Path) -> None:
    with contextlib.closing(connect(path, create=False)) as source, contextlib.closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    _synchronise(target)


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unused(path: Path) -> Path:
    numbered = (path.with_name(f"{path.name}.{number}") for number in itertools.count(2))
    return next(name for name in itertools.chain([path], numbered) if not name.exists())


def _examine(path: Path, *, create: bool) -> None:
    folder = path.parent
    if not folder.is_dir():
        _refuse(path, f"there is no folder {folder}; create it, or name another file with --db or STALESWEEP_DB")
    if path.is_dir():
        _refuse(path, "this is a folder; name a file in it")
    # Never open the file here: closing it would drop the locks of every SQLite connection in this process.
    if not path.exists():
        if not create:
            _refuse(path, "there is no such file yet; `stalesweep launch` or `stalesweep db upgrade` creates it")
    elif not os.access(path, os.R_OK, effective_ids=True):
        _refuse(path, "no permission to open it; its owner can give it to you (chmod), or name another file")
    _examine_rights(path)


def _examine_rights(path: Path) -> None:
    """Refuse what cannot be written. Readers need that too, because they write their part of the lock.

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


def _refuse_a_cut_file(path: Path, connection: sqlite3.Connection) -> None:
    # SQLite writes whole pages and takes what is missing of the last one for zeros.
    connection.execute("PRAGMA schema_version")  # reads the header, and refuses what is not a database
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    size = path.stat().st_size
    if size % page_bytes:
        _refuse(path, f"the file was cut off, it ends after {size:,} bytes in the middle of a page; restore a backup")


def _refuse(path: Path, reason: str) -> NoReturn:
    raise StoreUnavailable(f"SQLite file {path}: {reason}")
