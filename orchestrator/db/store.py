"""The store: every write to the database, each one transaction, and the reads by name.

What the transactions do stands in `orchestrator.db.registration`, `orchestrator.db.attempts` and
`orchestrator.db.queries`; this is their face.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Self

from pydantic import ValidationError
from sqlalchemy import Connection, bindparam, insert, or_, select, update

from grpo_worker.config import WorkerConfig
from grpo_worker.records import EvalRecord, FinishRecord, StartRecord, SyncRecord
from orchestrator import grid
from orchestrator.db import attempts, queries, registration
from orchestrator.db.attempts import AttemptOrigin, Claim
from orchestrator.db.models import Cell, Fit, Run
from orchestrator.db.queries import RunningAttempt, RunProgress
from orchestrator.db.schema import check_revision
from orchestrator.db.session import create_engine_for, transaction
from orchestrator.db.types import now
from orchestrator.errors import SelectionError, StoreError
from orchestrator.settings import code_version

__all__ = ["AttemptOrigin", "Claim", "RunProgress", "RunningAttempt", "Store"]

_RESETTABLE = ("pending", "queued", "lost", "failed", "cancelled")


class Store:
    """A results database. Holds at most one connection; threads take turns.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``.
        check_schema: Whether to make sure at once that the schema is this version's.

    Raises:
        StoreError: The database cannot be reached or used. Any method may raise it.
        SchemaError: The schema is missing, older or newer.
    """

    def __init__(self, url: str, *, check_schema: bool = True) -> None:
        self._engine = create_engine_for(url)
        if check_schema:
            try:
                with self.read() as connection:
                    check_revision(connection)
            except StoreError:
                self.close()
                raise

    @property
    def url(self) -> str:
        """The database's URL, valid in any working directory. Holds the password, if there is one."""
        return self._engine.url.render_as_string(hide_password=False)

    def close(self) -> None:
        """Give the connection back."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self) -> AbstractContextManager[Connection]:
        """Open a transaction that sees one state of the database throughout. No other call until it ends."""
        return transaction(self._engine, write=False)

    # Sweeps and runs

    def register(self, sweep: grid.Sweep, *, extend: bool = False) -> int:
        """Store a sweep's cells and runs; what is stored already stays as it is.

        Args:
            sweep: The expanded grid.
            extend: Whether a grid with other content may add cells and runs to the sweep of its name.

        Returns:
            The sweep's id.

        Raises:
            SweepConflict: The name is taken by another grid, or the new one removes or changes stored runs.
        """
        with self._write() as connection:
            return registration.register(connection, sweep, extend=extend)

    def sweep_names(self) -> list[str]:
        """List the sweeps, oldest first."""
        with self.read() as connection:
            return queries.sweep_names(connection)

    def sweep_id(self, name: str) -> int:
        """Find a sweep by name.

        Raises:
            SelectionError: There is none; the message offers the nearest name, or all.
        """
        with self.read() as connection:
            return queries.sweep_id(connection, name)

    def unfinished_runs(self, sweep_id: int) -> list[int]:
        """List the runs without a result, in grid order; a run that diverged has one."""
        with self.read() as connection:
            return queries.unfinished_runs(connection, sweep_id)

    def run_config(self, run_id: int) -> WorkerConfig:
        """Read a run's config.

        Raises:
            SelectionError: There is no such run.
            StoreError: The stored config does not fit this version's fields.
        """
        with self.read() as connection:
            config = connection.scalar(select(Run.config).where(Run.id == run_id))
        if config is None:
            raise SelectionError(f"no run {run_id}")
        try:
            return WorkerConfig.model_validate(config)
        except ValidationError as error:
            raise StoreError(f"run {run_id} has a config that this version cannot use: {error}") from error

    def run_resources(self, sweep_id: int) -> dict[int, grid.Resources]:
        """Read what each run of a sweep asks of a cluster, by run number."""
        with self.read() as connection:
            rows = connection.execute(select(Run.id, Run.resources).join(Cell).where(Cell.sweep_id == sweep_id))
            return {run_id: grid.Resources.model_validate(resources) for run_id, resources in rows}

    def running_attempts(self, sweep_id: int) -> list[RunningAttempt]:
        """List the newest attempt of every run in state ``running``, in grid order."""
        with self.read() as connection:
            return queries.running_attempts(connection, sweep_id)

    def progress(self, sweep_id: int) -> list[RunProgress]:
        """Say how far every run is, in grid order."""
        with self.read() as connection:
            return queries.progress(connection, sweep_id)

    def set_queued(self, run_ids: Iterable[int]) -> None:
        """Mark runs as submitted; those that are running or have a result stay as they are."""
        self._reset(run_ids, "queued")

    def set_pending(self, run_ids: Iterable[int]) -> None:
        """Mark runs as to be submitted; those that are running or have a result stay as they are."""
        self._reset(run_ids, "pending")

    # Attempts

    def begin_attempt(
        self,
        run_id: int,
        origin: AttemptOrigin,
        *,
        resumed_from_sync: int | None,
        resumed_from_step: int | None,
        take_over: bool = False,
    ) -> Claim | None:
        """Start a new attempt and drop, in the same transaction, what lies past its checkpoint.

        Args:
            run_id: The run.
            origin: What executes the attempt.
            resumed_from_sync: The last weight sync that the checkpoint holds; later ones are dropped, all
                if None.
            resumed_from_step: Learner steps that the checkpoint holds; evaluations after them are dropped,
                all if None.
            take_over: Whether to fence off an attempt that is still running.

        Returns:
            The claim; None when the run has its result, or is running and not to be taken over.

        Raises:
            SelectionError: There is no such run.
        """
        with self._write() as connection:
            return attempts.begin(
                connection,
                run_id,
                origin,
                resumed_from_sync=resumed_from_sync,
                resumed_from_step=resumed_from_step,
                take_over=take_over,
            )

    def write(self, claim: Claim, record: StartRecord | EvalRecord | SyncRecord) -> None:
        """Store one record; a record of the same key takes the place of the stored one.

        Raises:
            Fenced: A newer attempt has taken over; nothing is stored.
            StoreError: The worker resumed from another checkpoint than the attempt was begun with.
        """
        with self._write() as connection:
            attempts.write(connection, claim, record)

    def heartbeat(self, claim: Claim) -> None:
        """Say that the attempt is alive.

        Raises:
            Fenced: A newer attempt has taken over.
        """
        with self._write() as connection:
            attempts.hold(connection, claim)

    def finish(self, claim: Claim, record: FinishRecord) -> None:
        """Store how the attempt ended, and the run's result if it has one.

        Raises:
            Fenced: A newer attempt has taken over; nothing is stored.
        """
        with self._write() as connection:
            attempts.finish(connection, claim, record)

    def fail(self, claim: Claim, failure: str) -> None:
        """Store that an exception ended the attempt.

        Args:
            claim: The attempt's claim.
            failure: One line for people: the error's class and message.

        Raises:
            Fenced: A newer attempt has taken over; nothing is stored.
        """
        with self._write() as connection:
            attempts.end(connection, claim, "failed", {"state": "failed", "failure": failure})

    def lose(self, claim: Claim, failure: str) -> None:
        """Store that the attempt's process is gone; nothing if it has ended or is fenced off."""
        with self._write() as connection:
            attempts.lose(connection, claim, failure)

    # Fits

    def save_fit(self, *, sweeps: list[str], run_ids: list[int], detector: str, result: Mapping[str, Any]) -> int:
        """Store a fit with its inputs.

        Args:
            sweeps: Names of the sweeps it was asked for.
            run_ids: The runs that entered it.
            detector: Which collapse detector it used.
            result: The JSON of `fit-laws`; what is not identified is None, never NaN.

        Returns:
            The fit's id.

        Raises:
            ValueError: The result holds NaN or an infinity, which is not JSON.
        """
        json.dumps(result, allow_nan=False)  # Postgres refuses it, SQLite does not
        values = {"sweeps": sweeps, "run_ids": run_ids, "detector": detector, "result": dict(result)}
        with self._write() as connection:
            return connection.execute(
                insert(Fit).values(**values, code_version=code_version(), created_at=now()).returning(Fit.id)
            ).scalar_one()

    def _write(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine, write=True)

    def _reset(self, run_ids: Iterable[int], state: str) -> None:
        rows = [{"run": run_id} for run_id in run_ids]
        if not rows:
            return
        with self._write() as connection:
            # One by one, by primary key: a statement cannot hold 100,000 ids everywhere.
            connection.execute(
                update(Run)
                .where(Run.id == bindparam("run"), or_(*(Run.state == old for old in _RESETTABLE)))
                .values(state=state, failure=None, updated_at=now()),
                rows,
            )
