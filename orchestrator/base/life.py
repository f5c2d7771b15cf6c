"""Whether the process that writes a file is alive.

A writer locks its file for as long as it lives. The kernel frees the lock when the process dies, however it dies, and
shows it to other containers and pid namespaces, which see no process of its number or another one. Where locks tell
nothing, because the file system has none or does not show them to other hosts, what the writer said of itself decides.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from orchestrator.base.filesystems import network_filesystem
from orchestrator.base.processes import is_alive, started_at, this_host

_TRIES = 100


@dataclass(frozen=True, slots=True)
class Writer:
    """The process that writes a file, as it says itself."""

    host: str
    boot_id: str  # made by the kernel when the machine started; "" where there is no /proc
    pid_namespace: str  # in which its number holds; containers have namespaces of their own
    pid: int
    started_at: float  # as `orchestrator.base.processes.started_at`
    locked: bool  # whether it could lock the file

    @classmethod
    def this_process(cls, *, locked: bool) -> Self:
        """Describe this process."""
        pid = os.getpid()
        return cls(this_host(), _boot_id(), _pid_namespace(), pid, started_at(pid) or 0.0, locked)

    def to_json(self) -> dict[str, Any]:
        """What a file says of its writer, for `lives`."""
        return dataclasses.asdict(self)


def lock(file: int) -> bool:
    """Lock an open file until it is closed or this process dies; False where the file system has no locks."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody tries it just now, see `is_locked`
            time.sleep(0.01)
        except OSError:
            return False
        else:
            return True
    return False


def is_locked(path: Path) -> bool | None:
    """Whether a process holds the `lock` of a file; None where there is no file, or locks cannot be tried."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def lives(path: Path, said: Mapping[str, Any]) -> bool | None:
    """Whether the process that writes a file is alive; None where that cannot be known from here.

    Args:
        path: The file.
        said: What it says of its writer: `Writer.to_json`.

    Raises:
        ValueError: It does not say that.
    """
    try:
        writer = Writer(**said)
    except TypeError as error:
        raise ValueError(f"{path} does not name its writer") from error
    locked = is_locked(path)
    if locked:
        return True
    same_kernel = writer.boot_id == _boot_id() if writer.boot_id else writer.host == this_host()
    if locked is False and writer.locked and (same_kernel or network_filesystem(path) is None):
        return False
    if same_kernel and writer.pid_namespace == _pid_namespace():
        return is_alive(writer.pid, writer.started_at)
    rebooted = not same_kernel and writer.host == this_host()
    return False if rebooted else None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
