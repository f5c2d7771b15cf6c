"""Whether a process is still alive, and not a later one of the same number; and the environment of new processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def this_host() -> str:
    """Name of this machine, as attempts record it."""
    return socket.gethostname()


def started_at(pid: int) -> float | None:
    """When a process of this machine began, in ticks since the machine started; None where it has ended or is a zombie.

    Where there is no /proc the start is not known: a living process then answers 0.0.
    """
    try:
        # Field 2 is the name in parentheses and may hold anything; fields count from behind it.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0 if not Path("/proc/self/stat").exists() and _answers(pid) else None
    except ProcessLookupError:
        return None
    return None if fields[0] == "Z" else float(fields[19])


def is_alive(pid: int, began: float) -> bool:
    """Whether the process that began then still runs."""
    return started_at(pid) == began


@contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Change environment variables of this process until the block ends, and of those it starts; None removes one."""
    before = {name: os.environ.get(name) for name in changes}
    _change(changes)
    try:
        yield
    finally:
        _change(before)


def _change(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True
