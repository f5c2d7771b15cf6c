"""Asking a job to end: by a signal, or by its own clock. The run in hand saves a checkpoint after its learner step."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Mapping

from orchestrator.base.states import FailureClass

_POLL_S = 0.1


class Stop:
    """Whether a job is to end, and why: the first request counts. It has no lock, because signal handlers set it.

    (`threading.Event` has one: a second signal during the first one's ``set`` would wait for itself for ever.)

    Attributes:
        why: The failure class of the attempt that is interrupted, see `orchestrator.base.states.FailureClass`.
    """

    def __init__(self) -> None:
        self.why: str = FailureClass.STOPPED
        self._asked = False

    def request(self, why: str) -> None:
        """Ask the job to end."""
        if not self._asked:
            self.why = why
            self._asked = True

    def is_set(self) -> bool:
        """Whether the job is to end."""
        return self._asked

    def wait(self, timeout_s: float) -> bool:
        """Wait until the job is to end, at most so long; returns whether it is."""
        deadline = time.monotonic() + timeout_s
        while not self._asked and (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(left_s, _POLL_S))
        return self._asked


USUAL = dict.fromkeys((signal.SIGTERM, signal.SIGINT, signal.SIGUSR2), FailureClass.STOPPED)
"""What each signal means to a job whose executor gives it no other meaning."""


@contextlib.contextmanager
def on_signals(stop: Stop, meanings: Mapping[signal.Signals, str] = USUAL) -> Iterator[None]:
    """Let signals end the run in hand in good order, and say why; outside a main thread they stay as they are."""
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
