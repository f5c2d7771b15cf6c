"""What an attempt asks of the database, each call one transaction.

The transactions themselves are in `orchestrator.store.attempts`, ``ingest`` and ``refill``.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from grpo_worker.schema.config import WorkerConfig
from orchestrator.base.errors import SelectionError, StoreError
from orchestrator.rundir.journal import Chunk
from orchestrator.store import attempts, imports, notices, refill
from orchestrator.store.attempts import AttemptOrigin, Claim
from orchestrator.store.database import Database
from orchestrator.store.ingest import add_one, ingest
from orchestrator.store.models import Run
from orchestrator.store.schema import check_revision
from orchestrator.store.session import driver_connection


class AttemptStore(Database):
    """The database as an attempt, or who brings its journal, sees it."""

    def check(self, claim: Claim | None = None) -> None:
        """Make sure that the schema is this version's.

        Args:
            claim: Make sure as well that its run is the one that has its number here.

        Raises:
            SchemaError: The schema is missing, older or newer.
            StoreUnavailable: It is another run.
        """
        with self.read() as connection:
            check_revision(connection)
            if claim is not None:
                attempts.recognise(connection, claim)

    def run_config(self, run_id: int) -> WorkerConfig:
        """Read a run's config.

        Raises:
            SelectionError: There is no such run.
            UsageError: The run was imported, so it has none.
            StoreError: The stored config does not fit this version's fields.
        """
        with self.read() as connection:
            config = connection.scalar(select(Run.config).where(Run.id == run_id))
        if config is None:
            raise SelectionError(f"no run {run_id}")
        imports.refuse_imported(run_id, config)
        try:
            return WorkerConfig.model_validate(config)
        except ValidationError as error:
            raise StoreError(f"run {run_id} has a config that this version cannot use: {error}") from error

    def begin_attempt(
        self,
        claim: Claim,
        origin: AttemptOrigin,
        *,
        resumed_from_sync: int | None,
        resumed_from_step: int | None,
        take_over: bool = False,
    ) -> bool:
        """Start a new attempt and drop, in the same transaction, what lies past its checkpoint.

        Args:
            claim: The run and the number that the attempt wants, larger than any before.
            origin: What executes the attempt. The same process may ask again.
            resumed_from_sync: The last weight sync that the checkpoint holds; later ones are dropped, all
                if None.
            resumed_from_step: Learner steps that the checkpoint holds; evaluations after them are dropped,
                all if None.
            take_over: Whether to fence off an attempt that is still running.

        Returns:
            Whether it has begun: not when the run has its result, or is running and not to be taken over, or
            another attempt came first.

        Raises:
            SelectionError: There is no such run.
        """
        with self.write() as connection:
            return attempts.begin(
                connection,
                claim,
                origin,
                resumed_from_sync=resumed_from_sync,
                resumed_from_step=resumed_from_step,
                take_over=take_over,
            )

    def ingest(self, claim: Claim, chunk: Chunk, *, age_s: float = 0.0, live: bool = True) -> None:
        """Store consecutive records of an attempt's journal, all or none.

        An attempt that the database has not heard of begins by its journal's first record, where another one brings it.

        Args:
            claim: The attempt.
            chunk: The records, at least one.
            age_s: How long ago the last of them was written.
            live: Whether the attempt itself asks. Anyone may bring the journal of an attempt that a newer one has
                taken over: what the newer one has not dropped is stored.

        Raises:
            Fenced: A newer attempt has taken over from the one that asks, or the attempt was removed.
            OutOfStep: Not as much of the journal is stored as lies before the chunk; nothing was done.
            Unheard: The attempt itself asks, and is newer than any that the database has heard of; or its worker
                resumed from another checkpoint than it was begun with.
        """
        if live:
            with driver_connection(self._engine) as driver:
                if add_one(driver, self._engine.dialect.name, claim, chunk):
                    return
        with self.write() as connection:
            ingest(connection, claim, chunk, age_s=age_s, live=live)

    def lacks(self, run_id: int, *, syncs: int, evals: int, learner_steps: int) -> bool:
        """Whether not all rows of a run are stored up to a place: so many syncs, and so many evaluations by a step."""
        with self.read() as connection:
            return refill.lacks(connection, run_id, syncs=syncs, evals=evals, learner_steps=learner_steps)

    def refill(self, claim: Claim, syncs: list[dict[str, Any]], evals: list[dict[str, Any]]) -> None:
        """Store those records of an attempt that are missing; nothing where the database does not know the attempt."""
        with self.write() as connection:
            refill.refill(connection, claim, syncs, evals)

    def heartbeat(self, claim: Claim) -> None:
        """Say that the attempt is alive.

        Raises:
            Fenced: A newer attempt has taken over.
            Unheard: The database has not heard of the attempt.
        """
        with self.write() as connection:
            attempts.heartbeat(connection, claim)

    def fail(self, claim: Claim, failure: str, failure_class: str = "exception") -> None:
        """Store that an exception ended the attempt, where its journal cannot say so.

        Args:
            claim: The attempt's claim.
            failure: One line for people: the error's class and message.
            failure_class: One of `orchestrator.base.states.FailureClass`.

        Raises:
            Fenced: A newer attempt has taken over; nothing is stored.
            Unheard: The database has not heard of the attempt.
        """
        with self.write() as connection:
            attempts.refuse_older(connection, claim, attempts.hold(connection, claim))
            attempts.fail(connection, claim, failure, failure_class)

    def lose(self, claim: Claim, failure: str, failure_class: str = "lost", state: str = "lost") -> None:
        """Store that the attempt's process is gone; nothing if it has ended or is fenced off.

        Args:
            claim: The attempt's claim.
            failure: Why, one line for people.
            failure_class: One of `orchestrator.base.states.FailureClass`.
            state: What the run is then: ``lost``, ``failed`` or ``cancelled``.
        """
        with self.write() as connection:
            attempts.lose(connection, claim, failure, failure_class, state)

    def claim_end(self, sweep: str, *, searched: bool = False) -> dict[str, int] | None:
        """Claim to tell that a sweep has ended: of those who ask, one gets it, once until runs of it are launched.

        Args:
            sweep: Its name.
            searched: Whether a search asks, which has ended; none but it tells the end of its sweep.

        Returns:
            How many runs are in which state; None where some have yet to end, or it was told.
        """
        with self.read() as connection:  # most ask in vain, and need not write for it
            if not notices.is_untold(connection, sweep):
                return None
        with self.write() as connection:
            return notices.claim(connection, sweep, searched=searched)

    def unclaim_end(self, sweep: str) -> None:
        """Give the claim back, where nobody could be told."""
        with self.write() as connection:
            notices.unclaim(connection, sweep)
