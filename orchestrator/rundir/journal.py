"""The journal: one append-only file per attempt, written and flushed to disk before the database is tried.

A line holds one record: the CRC-32 of its body as eight hex digits, a space, and the body, a JSON object.
``record`` names its kind: ``begin`` (whose attempt, resumed from where), the worker's ``start``, ``eval``, ``sync`` and
``finish`` (`grpo_worker.schema.records`), ``fail`` (an exception's last word), and ``beat`` (nothing but: alive). A
journal that begins with ``cancel`` or ``stop`` is no attempt's: it ends those before it
(`orchestrator.runs.cancelling`).
``elapsed_s`` is the time since the attempt began, by a clock that nobody sets: what an absent database is told
later does not depend on the wall clock of any host. To read one: ``cut -c10- attempt-0001.journal | jq``.

A writer that dies may leave a torn last line; readers leave it out, `orchestrator.rundir.writing.mend` cuts it off. A
damaged line is left out as well, and reported with its place.
"""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from orchestrator.base.life import lives
from orchestrator.rundir import records

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
    lines = [line + b"\n" for line in last_block(path).split(b"\n")[:-1]]
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


def last_block(path: Path) -> bytes:
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
