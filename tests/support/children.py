"""Functions in processes of their own, forked, to be killed or to have a disk of their own; and programs that end."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_PRIVATE, _BIND, _REMOUNT, _READ_ONLY = 1 << 18 | 1 << 14, 1 << 12, 1 << 5, 1


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
    os.kill(child, signal.SIGABRT)  # it prints where it hangs: pytest has faulthandler on
    os.waitpid(child, 0)
    raise AssertionError(f"a child did not end within {timeout_s} s")


def kill(child: int) -> None:
    """Kill -9 a child, unless it has been waited for already."""
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        return
    end(child)


def run(function: Callable[[], object], timeout_s: float = 120) -> None:
    """Run a function in a child; it must end well."""
    assert end(start(function), timeout_s) == 0


@contextmanager
def program(*command: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a program that is killed, and its pipes closed, where the test ends before it: later tests would fail."""
    with subprocess.Popen([*map(str, command)], text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def mount_small_disk(path: Path, size: str) -> None:
    """Mount a tmpfs of a size, e.g. ``64k``, that only this process and its children see: call it in a child."""
    _mount(b"none", path, b"tmpfs", 0, f"size={size}".encode())


def make_read_only(path: Path) -> None:
    """Let this process and its children no longer write into a folder: call it in a child."""
    _mount(os.fsencode(path), path, None, _BIND, None)
    _mount(os.fsencode(path), path, None, _BIND | _REMOUNT | _READ_ONLY, None)


@functools.cache
def _libc() -> ctypes.CDLL:
    """In a name space of mounts of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    _check(libc.unshare(_NEW_MOUNTS if uid == 0 else _NEW_MOUNTS | _NEW_USER))
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _check(libc.mount(None, b"/", None, _PRIVATE, None))
    return libc


def _mount(source: bytes, path: Path, kind: bytes | None, flags: int, options: bytes | None) -> None:
    _check(_libc().mount(source, os.fsencode(path), kind, flags, options))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"a disk for tests needs root, or a user namespace: {os.strerror(number)}")
