"""Files that only their owner can read, for what no command line, environment, script or log may show.

They lie in the user's home, as ``~/.pgpass`` does, and not in the run folder, which people copy and publish.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from orchestrator.base.errors import UsageError


def read_line(path: Path, what: str) -> str:
    """Read a file that holds one line.

    Args:
        path: The file.
        what: What the line is, for people, e.g. ``the database's URL``.

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


def write_line(folder: str, name: str, line: str) -> Path:
    """Write a file of ours in the user's configuration.

    Args:
        folder: A folder there.
        name: The file's name.
        line: What it is to hold.

    Raises:
        OSError: It cannot be written.
    """
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "stalesweep" / folder
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, aside = tempfile.mkstemp(dir=home)  # only its owner can read it, from its first byte on
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(line + "\n")
    return Path(aside).replace(home / name)


def has_other_readers(path: Path) -> bool:
    """Whether others than its owner may read a file."""
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
