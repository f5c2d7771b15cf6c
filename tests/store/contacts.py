"""Many processes that contact one database at the same moment."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from orchestrator.store import schema

CONTACTS = 100


def contacts_at_once(url: str) -> list[str]:
    """What each of a hundred processes found to upgrade, sorted; what failed tells of itself on stderr."""
    # From a process of its own: a forkserver takes no second list of modules, and tests of the worker need theirs.
    command = [sys.executable, "-m", __name__, url]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    answers: list[str] = json.loads(done.stdout)
    return answers


def main(url: str) -> None:
    """Print what `contacts_at_once` returns, as JSON."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.store.contacts", "alembic.command", "psycopg"])
    together, found = context.Barrier(CONTACTS), context.SimpleQueue()
    processes = [context.Process(target=_contact, args=(url, together, found)) for _ in range(CONTACTS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    answers = []
    while not found.empty():
        answers.append(found.get())
    print(json.dumps(sorted(answers)))


def _contact(url: str, together: Barrier, found: SimpleQueue[str]) -> None:
    together.wait(120)
    done = schema.upgrade(url)
    found.put("nothing to do" if done is None else f"{done.before} upgraded")


if __name__ == "__main__":
    main(sys.argv[1])
