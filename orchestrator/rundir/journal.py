"""The journal: one append-only file per attempt, written and flushed to disk before the database is tried.

A line holds one record: the CRC-32 of its body as eight hex digits, a space, and the body, a JSON object.
``record`` names its kind: ``begin`` (whose attempt, resumed from where), the worker's ``start``, ``eval``, ``sync`` and
``finish`` (`grpo_worker.schema.records`), ``fail`` (an exception's last word), and ``beat`` (nothing but: alive). A
journal that begins with ``cancel`` or ``stop`` is no attempt's: it ends those before it
(`orchestrator.runs.cancelling`).
``elapsed_s`` is the time since the attempt began, by a clock that nobody sets: what an absent database is told
later does not depend on the wall clock of any host. To read one: ``cut -c10- attempt-0001.journal | jq``.

A writer that dies may leave a torn last line; readers leave it out, `mend` cuts it off. A damaged line is left out as
well, and reported with its place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic_core import from_json, to_json

from orchestrator.base.errors import JournalError, UsageError
from orchestrator.base.life import Writer, lives, lock
from orchestrator.rundir import folder, records

WORDS = ("cancel", "stop")
"""The records of who ends a run from outside."""

_NAME = re.compile(r"attempt-(\d{4,})\.journal")
_HEAD = re.compile(rb'[0-9a-f]{8} \{"record":')
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of a journal, from ``start`` to ``end`` in bytes.

    Attributes:
        entries: The records, oldest first; each with ``record`` and ``elapsed_s`` beside its own fields.
        damage: Of each line that was left out, its place and what is wrong.
        tail: The same of lines at the end that no good one follows; they lie past `end`.
    """

    entries: list[dict[str, Any]]
    start: int
    end: int
    damage: list[str]
    tail: list[str] = field(default_factory=list)


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
            number = max([after, *numbers(directory)]) + 1
            path = path_of(directory, number)
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
        found = numbers(self.path.parent)
        later = (path_of(self.path.parent, number) for number in found if number > self.number)
        begun = any(size_of(path) > 0 and not _is_strangers(path) for path in later)  # an empty one is reserved only
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


def path_of(directory: Path, number: int) -> Path:
    """The journal of an attempt."""
    return directory / f"attempt-{number:04d}.journal"


def numbers(directory: Path | str) -> list[int]:
    """The attempts that have a journal in a run directory, in order; none where there is no directory."""
    try:
        names = os.listdir(directory)  # noqa: PTH208  # asked before each record; pathlib takes twice as long
    except FileNotFoundError:
        return []
    return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))


def size_of(path: Path) -> int:
    """Bytes of a journal; 0 where there is none any more."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def read(path: Path, start: int = 0, limit: int = 10_000, until: int | None = None) -> Chunk:
    """Read records from a place in a journal on.

    What stands after the last good line is left for later: it may still be being written.

    Args:
        path: The journal.
        start: Where to begin, in bytes: 0 or the `Chunk.end` of an earlier read.
        limit: Read about so many records at most.
        until: Where to end, in bytes; None = at the end of the file.

    Raises:
        OSError: The file cannot be read.
    """
    entries: list[dict[str, Any]] = []
    damage: list[str] = []
    bad: list[str] = []
    end = start
    with path.open("rb", buffering=_BLOCK) as file:
        file.seek(start)
        line_end = start
        for line in file:
            line_end += len(line)
            if not line.endswith(b"\n") or (until is not None and line_end > until):
                break
            if (entry := _decoded(line)) is None:
                number = path.read_bytes()[:line_end].count(b"\n")
                bad.append(f"{path}, line {number}: damaged, left out")
                if (entry := _behind_damage(line)) is None:
                    continue
            entries.append(entry)
            damage += bad
            bad.clear()
            end = line_end
            if len(entries) >= limit:
                break
    return Chunk(entries, start, end, damage, bad)


def last(path: Path) -> dict[str, Any] | None:
    """Read the last good record of a journal; None where there is none. Raises OSError as `read`."""
    lines = [line + b"\n" for line in _last_block(path).split(b"\n")[:-1]]
    return next((entry for line in reversed(lines) if (entry := _decoded(line) or _behind_damage(line))), None)


def has_writer(path: Path) -> bool | None:
    """Whether the process that writes a journal is alive; None where that cannot be known from here.

    Raises:
        ValueError: Its first record does not say which process writes it, as those of earlier versions.
        OSError: The file cannot be read.
    """
    begin = next(iter(read(path, 0, 1).entries), {})
    return lives(path, begin.get("writer") or {})


def stranger(path: Path, identity: tuple[str, str]) -> str | None:
    """Say whose a journal is if its first record names another run than its folder's, or another attempt.

    None where it names these, no one, or does not exist. Raises OSError as `read`.

    Args:
        path: The journal.
        identity: `orchestrator.rundir.folder.RunFile.identity` of the run.
    """
    own = {"sweep": identity[0], "config_digest": identity[1], "attempt": int(path.stem.removeprefix("attempt-"))}
    try:
        entries = read(path, limit=1).entries
    except FileNotFoundError:
        return None
    entry = entries[0] if entries and entries[0]["record"] in ("begin", *WORDS) else {}
    theirs = {name: entry.get(name, value) for name, value in own.items()}  # older versions named less
    if theirs == own:
        return None
    said = "attempt {attempt} of a run of sweep {sweep!r} with config {config_digest:.12}".format
    return f"{path} is the journal of {said(**theirs)}, and belongs to none of its folder, {said(**own)}: left out"


def mend(directory: Path, before: int) -> None:
    """Cut torn last lines off the journals of attempts before the one that has the run: they may not write any more.

    Raises:
        JournalError: A file cannot be written.
    """
    for path in [path_of(directory, number) for number in numbers(directory) if number < before]:
        try:
            if not _last_block(path).endswith(b"\n"):
                os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        except OSError as error:
            raise _unwritable(path, error) from error


def _is_strangers(path: Path) -> bool:
    try:
        return stranger(path, folder.load(path.parent).identity) is not None
    except (OSError, UsageError):
        return False


def _last_block(path: Path) -> bytes:
    """The end of a file, which holds more than one record."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _BLOCK))
        return file.read()


def _decoded(line: bytes) -> dict[str, Any] | None:
    body = line[9:-1]
    if line[:9] != b"%08x " % zlib.crc32(body):
        return None
    try:
        entry: dict[str, Any] = from_json(body)
    except ValueError:
        return None
    return entry if records.fits(entry) else None


def _behind_damage(line: bytes) -> dict[str, Any] | None:
    """The record at the end of a line that is two, because the first one's line break is damaged."""
    heads = [found.start() for found in _HEAD.finditer(line)]
    return next((entry for head in heads if (entry := _decoded(line[head:])) is not None), None)


def _flush_folder(directory: Path) -> None:
    """Flush the name of a new file to disk too; some file systems do that by themselves, and refuse to be asked."""
    with contextlib.suppress(OSError):
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _unwritable(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"cannot write {path}: {error.strerror or error}; what is on disk stays valid: make room or give the right "
        "back, then `stalesweep launch` again"
    )
