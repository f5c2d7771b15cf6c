"""Bring journals into the database, and say what was brought in."""

from __future__ import annotations

from orchestrator.attempt.notifying import tell_end
from orchestrator.base.words import Say, counted
from orchestrator.store import queries
from orchestrator.store.collect import Collected, collect
from orchestrator.store.database import Store


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
