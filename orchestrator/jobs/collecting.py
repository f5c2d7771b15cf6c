"""Bring the database up to what journals hold and what has become of processes, and say what was brought in."""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from orchestrator.attempt.notice import tell_end
from orchestrator.base.errors import SchemaError, StoreUnavailable, UsageError
from orchestrator.base.processes import is_alive, this_host
from orchestrator.base.words import Say, counted
from orchestrator.rundir import journal
from orchestrator.store import attempts, queries
from orchestrator.store.attempts import Claim
from orchestrator.store.collect import Collected, collect, collect_run
from orchestrator.store.database import Store
from orchestrator.store.queries import RunningAttempt

_OUTAGE_POLL_S = 2.0

log = logging.getLogger(__name__)

R = TypeVar("R")


def bring_in(store: Store, name: str, say: Say) -> None:
    """Bring in the journals of a sweep, and notify the webhook if the sweep has ended."""
    say_collected(collect(store, queries.sweep_id(store, name)), say)
    tell_end(store, name)


def say_collected(found: Collected, say: Say) -> None:
    """Say what was brought in from journals, and what could not be."""
    if found.records:
        say(f"brought {found.records:,} records of {counted(found.runs, 'run')} from journals into the database")
    for note in found.notes:
        say(f"note: {note}")


def collect_aloud(store: Store, sweep_id: int, noted: set[str]) -> None:
    """Bring in journals; each note is logged once."""
    notes = collect(store, sweep_id).notes
    for note in notes:
        if note not in noted:
            log.warning("%s", note)
    noted.update(notes)


def recover(store: Store, sweep_id: int) -> None:
    """Mark the runs whose process is gone as lost, so that they can be launched again; Slurm's jobs are left to Slurm.

    A run whose process cannot be seen from here stays as it is: ``cancel`` is the user's word that it is gone.
    """
    for running in queries.running_attempts(store, sweep_id):
        if running.executor == "slurm":
            continue
        folder = queries.run_folder(store, running.run_id)
        if folder is None or not _is_gone(running, folder.directory):
            continue
        try:  # its process may have ended in good order
            collect_run(store, folder, [])
        except (StoreUnavailable, SchemaError):
            raise
        except (OSError, UsageError) as error:  # the next command that collects says it to the user
            log.debug("%s", error)
        reason = f"process {running.pid} on {running.host} ended and recorded no reason"
        attempts.lose(store, Claim(running.run_id, running.attempt), reason)


def _is_gone(running: RunningAttempt, directory: str | None) -> bool:
    if directory is not None:
        with contextlib.suppress(OSError, ValueError):
            return journal.has_writer(journal.path_of(Path(directory), running.attempt)) is False
    # The journal is not there, or an earlier version wrote it.
    return running.host == this_host() and not is_alive(running.pid, running.process_started_at)


def patiently(store: Store, ask: Callable[[], R]) -> R:
    """Ask the database something; while it is away, wait and ask again."""
    while True:
        try:
            return ask()
        except StoreUnavailable as error:
            wait_for_database(store, error)


def wait_for_database(store: Store, error: StoreUnavailable) -> None:
    """Wait until the database answers and takes writes, asking every few seconds. The jobs go on without it."""
    log.warning("%s; the jobs go on, and this waits", error)
    while True:
        time.sleep(random.uniform(0.5, 1.5) * _OUTAGE_POLL_S)
        try:
            store.check()
            store.check_writes()
        except StoreUnavailable:
            continue
        log.warning("the database answers again")
        return
