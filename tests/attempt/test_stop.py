"""Asking a job to end: by signals, however many come at once, and by its clock."""

from __future__ import annotations

import os
import signal
import threading
import time

from orchestrator.attempt.stop import Stop, on_signals


def test_the_first_who_asks_says_why() -> None:
    stop = Stop()
    assert (stop.is_set(), stop.wait(0.01), stop.why) == (False, False, "stopped")
    stop.request("time_limit")
    stop.request("preempted")
    assert (stop.is_set(), stop.wait(60), stop.why) == (True, True, "time_limit")


def test_who_waits_is_told() -> None:
    stop = Stop()
    threading.Timer(0.2, stop.request, ["preempted"]).start()
    began = time.monotonic()
    assert stop.wait(60)
    assert time.monotonic() - began < 30


def test_signals_that_come_at_once() -> None:
    meanings = {signal.SIGTERM: "stopped", signal.SIGUSR2: "preempted"}
    before = [signal.getsignal(number) for number in meanings]
    for _ in range(200):
        stop = Stop()
        with on_signals(stop, meanings):
            os.kill(os.getpid(), signal.SIGUSR2)
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.wait(60)
        assert stop.why in meanings.values()
    assert [signal.getsignal(number) for number in meanings] == before


def test_outside_the_main_thread_signals_stay_as_they_are() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def look() -> None:
        with on_signals(Stop()):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]
