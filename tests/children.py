"""Functions in processes of their own, forked: to be killed, to run beside one another, to have a disk of their own."""

from __future__ import annotations

import ctypes
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_PRIVATE = 1 << 18 | 1 << 14  # MS_PRIVATE | MS_REC


def start(function: Callable[[], object]) -> int:
    """Run a function in a child; its process id is returned at once."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        function()
        status = 0
    except BaseException:  # noqa: BLE001  # the child must not go on as its parent would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def end(child: int, timeout_s: float = 120) -> int:
    """Wait for a child: its exit code, or the signal that killed it as a negative number."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError(f"a child did not end within {timeout_s} s")


def run(function: Callable[[], object], timeout_s: float = 120) -> None:
    """Run a function in a child; it must end well."""
    assert end(start(function), timeout_s) == 0


def mount_small_disk(path: Path, size: str) -> None:
    """Mount a tmpfs of a size, e.g. ``64k``, that only this process and its children see: call it in a child."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()

    def check(result: int) -> None:
        if result:
            number = ctypes.get_errno()
            raise OSError(
                number, f"a disk for tests needs root, or the right to user namespaces: {os.strerror(number)}"
            )

    check(libc.unshare(_NEW_MOUNTS if uid == 0 else _NEW_MOUNTS | _NEW_USER))
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    check(libc.mount(None, b"/", None, _PRIVATE, None))
    check(libc.mount(b"none", os.fsencode(path), b"tmpfs", 0, f"size={size}".encode()))
