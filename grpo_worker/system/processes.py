"""What every further process of a run does: it leaves signals to the first one, and ends when that is gone."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext

from torch import multiprocessing


def further_processes() -> ForkServerContext:
    """Where a run's further processes come from: one server, which has imported what any of them needs.

    Importing takes seconds, so it is done once a job. The server takes no new list once it has started.
    """
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["grpo_worker.system.preload"])
    return context


def end_with_parent() -> None:
    """Leave this process's signals to its parent, and end it when the parent has ended, however that ended.

    A signal to a whole job is the first process's to answer: it saves a checkpoint, for which it needs the others.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a child process has a parent to wait for"
    wait([parent.sentinel])
    os._exit(1)
