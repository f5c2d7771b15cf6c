"""The journal that an attempt writes: each record is flushed to disk before the next."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic_core import to_json

from orchestrator.base.errors import JournalError, UsageError
from orchestrator.base.life import Writer, lock
from orchestrator.rundir import folder, journal


class Journal:
    """An attempt's journal, open for appending. Threads take turns.

    Attributes:
        path: The file, which is locked until it is closed or this process dies.
        number: The attempt's number.
        writer: What the first record is to say of this process, so that others can see whether it lives.
    """

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self.number = number
        self._lock = threading.Lock()
        self._began = self._appended = time.monotonic()
        self._end = 0
        self._uncut = False
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self.writer = Writer.this_process(locked=lock(self._file))
        _flush_folder(path.parent)

    @classmethod
    def reserve(cls, directory: Path, after: int) -> Self:
        """Create the journal of the next attempt: of those who try at once, each gets a larger number of its own.

        Raises:
            JournalError: The directory cannot be written to.
        """
        while True:
            number = max([after, *journal.numbers(directory)]) + 1
            path = journal.path_of(directory, number)
            try:
                directory.mkdir(parents=True, exist_ok=True)
                return cls(path, number)
            except FileExistsError:
                continue
            except OSError as error:
                raise _unwritable(path, error) from error

    @property
    def flushed(self) -> int:
        """Bytes of whole records that are on disk."""
        return self._end

    @property
    def elapsed_s(self) -> float:
        """What a record that were added now would say."""
        return time.monotonic() - self._began

    def append(self, record: str, values: Mapping[str, Any] | None = None) -> None:
        """Add a record; it is on disk when this returns.

        Raises:
            JournalError: It could not be written, e.g. because the disk is full; the file is as it was.
        """
        with self._lock:
            self._append(record, values or {})

    def beat(self, after_s: float) -> None:
        """Add a ``beat`` as by `append`, if the journal has a record, and the last one is older than that."""
        with self._lock:
            if self._end > 0 and time.monotonic() - self._appended > after_s:
                self._append("beat", {})

    def _append(self, record: str, values: Mapping[str, Any]) -> None:
        self._appended = time.monotonic()
        content = {"record": record, "elapsed_s": round(self._appended - self._began, 3), **values}
        body = to_json(content, inf_nan_mode="constants")
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        try:
            if self._uncut:
                self._cut()
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            self._uncut = True
            with contextlib.suppress(OSError):
                self._cut()
            raise _unwritable(self.path, error) from error
        self._end += len(line)

    def _cut(self) -> None:
        os.ftruncate(self._file, self._end)
        self._uncut = False

    def overtaken(self) -> bool:
        """Whether a later attempt of the run has begun, or the run was removed with its directory."""
        found = journal.numbers(self.path.parent)
        later = (journal.path_of(self.path.parent, number) for number in found if number > self.number)
        begun = any(
            journal.size_of(path) > 0 and not _is_strangers(path) for path in later
        )  # an empty one is reserved only
        return begun or self.number not in found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            os.close(self._file)
            self._file = -1  # the number may soon be another file's

    def discard(self) -> None:
        """Close and remove the file of an attempt that did not begin."""
        self.close()
        self.path.unlink(missing_ok=True)


def mend(directory: Path, before: int) -> None:
    """Cut torn last lines off the journals of attempts before the one that has the run: they may not write any more.

    Raises:
        JournalError: A file cannot be written.
    """
    for path in [journal.path_of(directory, number) for number in journal.numbers(directory) if number < before]:
        try:
            if not journal.last_block(path).endswith(b"\n"):
                os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        except OSError as error:
            raise _unwritable(path, error) from error


def _is_strangers(path: Path) -> bool:
    try:
        return journal.stranger(path, folder.load(path.parent).identity) is not None
    except (OSError, UsageError):
        return False


def _flush_folder(directory: Path) -> None:
    """Flush the name of a new file to disk too; some file systems do that by themselves, and refuse to be asked."""
    with contextlib.suppress(OSError):
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _unwritable(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"cannot write {path}: {error.strerror or error}; what is on disk stays valid: make room or give the right "
        "back, then `stalesweep launch` again"
    )
