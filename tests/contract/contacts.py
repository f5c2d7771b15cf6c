"""Many processes that contact one database at the same moment."""

from __future__ import annotations

import multiprocessing
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from orchestrator.db import schema

CONTACTS = 100


def contacts_at_once(url: str) -> list[str]:
    """What each of a hundred processes found to upgrade, sorted; what failed tells of itself on stderr."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "alembic.command", "psycopg"])
    together, found = context.Barrier(CONTACTS), context.SimpleQueue()
    processes = [context.Process(target=_contact, args=(url, together, found)) for _ in range(CONTACTS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    answers = []
    while not found.empty():
        answers.append(found.get())
    return sorted(answers)


def _contact(url: str, together: Barrier, found: SimpleQueue[str]) -> None:
    together.wait(120)
    done = schema.upgrade(url)
    found.put("nothing to do" if done is None else f"{done.before} upgraded")
