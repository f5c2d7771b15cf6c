"""Which code this is: the commit of the checkout that the package runs from, and how its files differ from it."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.urls import harmless_environment

# Whatever the user's own git is set to.
_APPLICABLE = (
    "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative", "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout at one moment: its full hash, whether tracked files differ, and how, as ``git apply`` reads it."""

    commit: str
    dirty: bool
    diff: bytes

    def __str__(self) -> str:
        return f"{self.commit}+dirty" if self.dirty else self.commit


@functools.cache
def checkout() -> Checkout | None:
    """Read the package's own checkout, once a process, see `read_checkout`."""
    return read_checkout(Path(__file__).parents[1])


def read_checkout(package: Path) -> Checkout | None:
    """Read the checkout that tracks a package's folder.

    None when no checkout tracks it (an environment inside someone's project is not that project) or git does not
    answer in time.
    """
    try:
        _git(package, "ls-files", "--error-unmatch", ".")
        commit, diff = _git(package, "rev-parse", "HEAD"), _git(package, "diff", *_APPLICABLE, "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None
    return Checkout(commit.decode().strip(), bool(diff), diff)


def _git(folder: Path, *arguments: str) -> bytes:
    # Without the option, looking for changes would take the index lock away from the user's own git.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    return subprocess.run(command, env=harmless_environment(), capture_output=True, timeout=10, check=True).stdout
