"""Waits that end when what a test needs to see is there, and that say what was missing where it does not come."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

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
        pytest.fail.Exception: It took too long, or the program ended. Code under test that catches every `Exception`
            does not catch it.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        asked = time.monotonic()
        if found := condition():
            return found
        now = time.monotonic()
        if now >= deadline:
            pytest.fail(f"waited {timeout_s:g} s for {what}")
        if during is not None and during.poll() is not None:
            pytest.fail(f"it ended before {what}: {during.communicate()}")
        time.sleep(max(every_s, now - asked))
