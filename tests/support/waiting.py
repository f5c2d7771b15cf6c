"""Waits that end when what a test needs to see is there, and that say what was missing where it does not come."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T],
    what: str,
    timeout_s: float = 120,
    *,
    every_s: float = 0.02,
    during: subprocess.Popen[str] | None = None,
) -> T:
    """Ask until a condition holds; returns what it found.

    Args:
        condition: Asked again after a pause, which is as long as the answer took where that is longer than ``every_s``:
            what is waited for needs the processor too.
        what: What is waited for, for the message.
        timeout_s: How long at most.
        every_s: The shortest pause.
        during: A program that has to run meanwhile.

    Raises:
        AssertionError: It took too long, or the program ended.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        asked = time.monotonic()
        if found := condition():
            return found
        now = time.monotonic()
        assert now < deadline, f"waited {timeout_s:g} s for {what}"
        assert during is None or during.poll() is None, f"it ended before {what}: {during.communicate()}"
        time.sleep(max(every_s, now - asked))
