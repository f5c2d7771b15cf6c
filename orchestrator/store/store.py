"""An open results database, as commands and jobs use it; named reads and writes are functions of this room."""

from __future__ import annotations

from orchestrator.store.attempts import AttemptOrigin, Claim
from orchestrator.store.database import Database
from orchestrator.store.outcomes import Outcome
from orchestrator.store.queries import RunFolder, RunningAttempt, RunProgress

__all__ = ["AttemptOrigin", "Claim", "Outcome", "RunFolder", "RunProgress", "RunningAttempt", "Store"]


class Store(Database):
    """A results database."""
