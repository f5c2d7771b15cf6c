"""Read a grid file: YAML to plain values that remember their lines, and the list of its mistakes.

YAML lets much pass that a sweep must not: of a key given twice the last one wins, ``1e-4`` is text,
``no`` is false, ``1:30`` is 90. Here scalars follow the YAML 1.2 core schema, ``1e-4`` is a number, and what
could be read in two ways is a mistake with its line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestrator.base.errors import GridError

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_VALUES = 50_000
"""Counted with aliases unfolded, so that a short file cannot grow without end."""

_LIMIT = f"{MAX_VALUES:,} values or {MAX_DEPTH} levels"

KeyPath = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)


@dataclass(slots=True)
class GridFile:
    """A grid file's content, the line of every key and value in it, and the mistakes found so far."""

    path: Path
    text: str
    content: Any = None  # Plain dicts with text keys, lists, and scalars
    # Line of each key path, counted from 1; the root is ``()``
    lines: dict[KeyPath, int] = field(default_factory=lambda: {(): 1})
    wrong: set[KeyPath] = field(default_factory=set)  # Key paths with a mistake
    _mistakes: dict[str, int] = field(default_factory=dict)

    def sections(self) -> dict[str, Any]:
        """The content without the keys that stand there with nothing."""
        return {key: value for key, value in self.content.items() if value is not None}

    def line(self, place: KeyPath) -> int:
        """Return the line of a key path, or of the innermost one around it that exists."""
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]

    def mistake(self, place: KeyPath, what: str, line: int | None = None) -> None:
        """Note what is wrong at a key path, in another line if that is given."""
        self.wrong.add(place)
        line = line or self.line(place)
        self._mistakes.setdefault(f"{self.path}:{line}: {dotted(place)}: {what}", line)

    def raise_mistakes(self) -> None:
        """Raise what was noted, sorted by line.

        Raises:
            GridError: There are mistakes.
        """
        if self._mistakes:
            raise GridError(sorted(self._mistakes, key=self._mistakes.__getitem__))


def read_grid_file(path: Path) -> GridFile:
    """Read a file's content and the line of each of its values.

    Raises:
        GridError: The file cannot be read, is not a YAML mapping, or has a mistake that hides all others.
    """
    file = GridFile(path, _read_text(path))
    if (root := _compose(file)) is None:
        raise GridError([f"{path}:1: the file is empty; a grid file needs at least 'grid:' with its axes"])
    file.content = _Reader(file).read(root, ())
    if not isinstance(file.content, dict):
        found = show(file.content)
        raise GridError([f"{path}:{_line(root)}: must be a mapping with the key 'grid' (found {found})"])
    return file


def show(value: Any) -> str:
    """Write a value as it would stand in a grid file, shortened to one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        written = f"{{{', '.join(f'{_printable(key)}: {show(item)}' for key, item in value.items())}}}"
    elif isinstance(value, list):
        written = f"[{', '.join(map(show, value))}]"
    else:
        written = f"{value:.12g}" if isinstance(value, float) else repr(value)
    return written if len(written) <= 80 else f"{written[:77]}..."


def suggest(word: str, known: Iterable[str]) -> str:
    """Give ``did you mean 'x'?; `` for the known word that is closest, or nothing."""
    close = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?; " if close else ""


def dotted(place: KeyPath) -> str:
    """Write a key path as people do: ``grid.eta[2]``. The root is called so."""
    if not place:
        return "top level"
    keys = (f"[{key}]" if isinstance(key, int) else f".{_printable(key)}" for key in place)
    return "".join(keys).removeprefix(".")


def _printable(key: str) -> str:
    return key if key.isprintable() and len(key) <= 80 else show(key)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise GridError([f"{path}: is larger than {MAX_BYTES:,} bytes, so it is hardly a grid file"])
        return content.decode("utf-8-sig")
    except OSError as error:
        raise GridError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        line, found = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise GridError([f"{path}:{line}: is not a text file in UTF-8 (found byte 0x{found:02x})"]) from error


class _Composer(yaml.BaseLoader):
    """Leaves every plain scalar text. Stops at the first value too many: composing a whole megabyte takes minutes."""

    values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise RecursionError
        return super().compose_node(parent, index)


def _compose(file: GridFile) -> yaml.Node | None:
    try:
        composer = _Composer(file.text)
        return composer.get_single_node()
    except RecursionError:
        raise GridError([f"{file.path}:1: holds more than {_LIMIT}"]) from None
    except yaml.reader.ReaderError as error:
        line = file.text.count("\n", 0, error.position) + 1
        what = f"holds a character that is not text (found U+{error.character:04X})"
        raise GridError([f"{file.path}:{line}: {what}"]) from error
    except (ValueError, OverflowError) as error:  # PyYAML's own, for an escape beyond Unicode or a huge version
        raise GridError([f"{file.path}: cannot be read as YAML: {error}"]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = f"{error.context} {error.problem}" if error.context else str(error.problem)
        hint = "; indent with spaces, not tabs" if "'\\t'" in str(error.problem) else ""
        raise GridError([f"{file.path}:{line}: cannot be read as YAML: {what}{hint}"]) from error


@dataclass(slots=True)
class _Reader:
    """Turns nodes into plain values and notes the line of each."""

    file: GridFile
    values: int = 0

    def read(self, node: Any, place: KeyPath) -> Any:
        self.values += 1
        if self.values > MAX_VALUES or len(place) > MAX_DEPTH:
            raise GridError([f"{self.file.path}:{_line(node)}: its aliases unfold to more than {_LIMIT}"])
        self.file.lines.setdefault(place, _line(node))
        match node.id, node.tag:
            case "mapping", "tag:yaml.org,2002:map":
                return self._mapping(node, place)
            case "sequence", "tag:yaml.org,2002:seq":
                return [self.read(item, (*place, index)) for index, item in enumerate(node.value)]
            case "scalar", "tag:yaml.org,2002:str":
                if not node.value.isprintable():
                    self.file.mistake(place, f"has characters that cannot be printed (found {show(node.value)})")
                return node.value if node.style else self._plain(node.value, place)
        self.file.mistake(place, f"has a YAML tag; write the plain value (found {show(node.tag)})")
        return None

    def _mapping(self, node: Any, place: KeyPath) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.file.mistake(place, "has a list or mapping as a key", _line(key_node))
                continue
            at = (*place, key_node.value)
            if key_node.value in content:
                self.file.mistake(at, f"given twice (first in line {self.file.lines[at]})", _line(key_node))
                continue
            self.file.lines[at] = _line(key_node)
            content[key_node.value] = self.read(value_node, at)
        return content

    def _plain(self, written: str, place: KeyPath) -> Any:
        if written in ("", "~", "null", "Null", "NULL"):
            return None
        word = written.lower()
        if word in ("true", "false"):
            return word == "true"
        if word in ("yes", "no", "on", "off"):
            self.file.mistake(place, f"write true or false, or quote it if it is text (found {written})")
        if _INTEGER.fullmatch(written):
            if len(written) > 20 or not -(2**63) <= int(written) < 2**63:
                self.file.mistake(place, f"whole numbers must fit in 64 bits (found {show(written)})")
                return 0
            return int(written)
        if _NUMBER.fullmatch(written):
            return float(written)
        return float(word.replace(".", "")) if _NOT_FINITE.fullmatch(written) else written


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
