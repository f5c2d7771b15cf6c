"""Starts further processes of a run; they ignore signals and end when the first process ends."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext

from torch import multiprocessing


def further_processes() -> ForkServerContext:
    """The context that starts further processes: a server, which has imported what they need, forks them.

    The imports take seconds, so they are done once per job. A server that has started cannot be given further imports.
    """
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["grpo_worker.system.preload"])
    return context


def end_with_parent() -> None:
    """Make this process ignore signals, and end it when its parent ends, even if that is killed.

    When a whole job gets a signal, only the first process may act on it: it saves a checkpoint, and needs the other
    processes for that.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a child process has a parent to wait for"
    wait([parent.sentinel])
    os._exit(1)
