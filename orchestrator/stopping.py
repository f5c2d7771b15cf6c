"""Asking a job to end: by a signal, or by its own clock. The run in hand saves a checkpoint after its learner step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping


class Stop(threading.Event):
    """Set when a job is to end; the first who sets it says why.

    Attributes:
        why: The failure class of the attempt that is interrupted, see `orchestrator.db.models.FAILURE_CLASSES`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.why = "stopped"

    def request(self, why: str) -> None:
        """Ask for the end. Safe in a signal handler."""
        if not self.is_set():
            self.why = why
            self.set()


USUAL = {signal.SIGTERM: "stopped", signal.SIGINT: "stopped", signal.SIGUSR2: "stopped"}
"""What each signal means to a job whose executor gives it no other meaning."""


@contextlib.contextmanager
def on_signals(stop: Stop, meanings: Mapping[signal.Signals, str] = USUAL) -> Iterator[None]:
    """Let signals end the run in hand in good order; outside a main thread they stay as they are.

    Args:
        stop: What they set.
        meanings: Why, by signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _: object) -> None:
        stop.request(meanings[signal.Signals(number)])

    previous = {number: signal.signal(number, handle) for number in meanings}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
