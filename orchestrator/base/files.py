"""Files that appear whole or not at all; and private ones, which only their owner can read.

Private files hold what no command line, environment, script or log may show. They lie in the user's home, as
``~/.pgpass`` does, and not in the run folder, which people copy and publish.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.base.errors import UsageError

log = logging.getLogger(__name__)


@contextmanager
def whole(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Let a file be written beside its place, and put it there at the end; where that fails, nothing is left of it.

    A file that is there is replaced. Of a ``private`` one only the owner may read anything, from its first byte on.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        if private:
            aside.unlink(missing_ok=True)  # of a killed process that had our number
            aside.touch(mode=0o600, exist_ok=False)
        yield aside
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | str, *, private: bool = False) -> Path:
    """Write a file, text as UTF-8, see `whole`; return its path."""
    with whole(path, private=private) as aside:
        aside.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read_line(path: Path, what: str) -> str:
    """Read a file that holds one line, which messages call e.g. ``the database's URL``.

    Raises:
        UsageError: It cannot be read, or holds something else than one line.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UsageError(f"{what} cannot be read from {path}: {reason}") from None
    if len(lines) != 1:
        raise UsageError(f"{path} must hold {what} on one line and nothing else; it has {len(lines)} lines")
    return lines[0]


def config_dir() -> Path:
    """The folder of the user's configuration."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "stalesweep"


def keep_url(folder: str, url: str, known_as: str) -> Path:
    """Write a URL into a private file in a folder of the user's configuration.

    Its name depends on ``known_as``, so that a later URL known as the same replaces it.

    Raises:
        OSError: It cannot be written.
    """
    home = config_dir() / folder
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{hashlib.sha256(known_as.encode()).hexdigest()[:16]}.url"
    return write_whole(home / name, f"{url}\n", private=True)


def warn_of_readers(path: Path, what: str) -> None:
    """Warn where others than its owner may read a file."""
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        log.warning("others can read %s in %s: chmod 600 %s", what, path, path)


def tail(path: Path, size: int = 4000) -> str:
    """Read the last bytes of a file as text, "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
