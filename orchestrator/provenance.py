"""Which code this is: the commit of the checkout that the package runs from, and how its files differ from it."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout at one moment.

    Attributes:
        commit: The full hash.
        dirty: Whether tracked files differ from it.
        diff: How they differ, as ``git apply`` reads it; empty where they do not.
    """

    commit: str
    dirty: bool
    diff: bytes


@functools.cache
def checkout() -> Checkout | None:
    """Read the package's own checkout, once a process.

    Returns:
        None when no checkout tracks the package (an environment inside someone's project is not that project) or
        git does not answer in time.
    """
    if _git("ls-files", "--error-unmatch", ".") is None:
        return None
    commit = _git("rev-parse", "HEAD")
    diff = _git("diff", "--binary", "HEAD")
    if commit is None or diff is None:
        return None
    return Checkout(commit.decode().strip(), bool(diff), diff)


def _git(*arguments: str) -> bytes | None:
    # Without the option, looking for changes would take the index lock away from the user's own git.
    command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
