"""End the services that tests start when the process ends that started them, also where that is killed with -9.

A watcher, which is a process of its own, waits for that. It then kills every process that works in one of the folders
that it was given, or whose arguments or environment name one.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_one_thread = threading.Lock()
_PAUSE_S = 0.5
_QUIET_ROUNDS = 4
"""A program that starts a service may outlive who called it, so the watcher looks again for so many rounds."""


def end_services_with_me(folder: Path) -> None:
    """Have everything that runs in a folder killed once this process has ended.

    Args:
        folder: Of one service; nothing else may work in it.
    """
    with _one_thread:  # several start clusters at once
        watcher = _watcher(os.getpid())
        assert watcher.stdin is not None
        watcher.stdin.write(f"{folder.resolve()}\n".encode())
        watcher.stdin.flush()


def die_with_parent() -> None:
    """Have this process killed once the one has ended that started it."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def processes_in(folder: Path) -> list[int]:
    """The processes that work in a folder, or whose arguments or environment name it; zombies have neither."""
    named = os.fsencode(folder) + b"/"
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _names(entry, named)]


def _names(process: Path, folder: bytes) -> bool:
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        if (os.fsencode((process / "cwd").readlink()) + b"/").startswith(folder):
            return True
    for part in ("cmdline", "environ"):
        with contextlib.suppress(OSError):
            if folder in (process / part).read_bytes():
                return True
    return False


@functools.cache
def _watcher(pid: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, str(pid)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _watch(parent: int) -> None:
    folders = _folders_until_death(parent)
    quiet = 0
    signals = [signal.SIGQUIT]  # Postgres then ends at once, and leaves no shared memory behind
    while folders and quiet < _QUIET_ROUNDS:
        found = {pid for folder in folders for pid in processes_in(folder)} - {os.getpid()}
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signals[0] if signals else signal.SIGKILL)
        signals.clear()
        quiet = 0 if found else quiet + 1
        time.sleep(_PAUSE_S)


def _folders_until_death(parent: int) -> list[Path]:
    """Collect the folders that the parent names on stdin, until it has ended."""
    written = b""
    with contextlib.suppress(ProcessLookupError):
        ended = os.pidfd_open(parent)
        # The pipe alone would not do: processes that the parent forks hold its other end.
        while os.getppid() == parent and ended not in (ready := select.select([ended, 0], [], [])[0]):
            written += (piece := os.read(0, 4096))
            if not piece and 0 in ready:
                select.select([ended], [], [])
    os.set_blocking(0, False)
    with contextlib.suppress(BlockingIOError):
        written += os.read(0, 1 << 16)
    return [Path(os.fsdecode(line)) for line in written.splitlines()]


if __name__ == "__main__":
    _watch(int(sys.argv[1]))
