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
from orchestrator import grid
from orchestrator.db import attempts, imports, queries, refill, registration, removal
from orchestrator.db.attempts import AttemptOrigin, Claim
from orchestrator.db.ingest import add_one, ingest
from orchestrator.db.models import Cell, Fit, Run
from orchestrator.db.queries import RunFolder, RunningAttempt, RunProgress
from orchestrator.db.schema import check_revision
from orchestrator.db.session import create_engine_for, driver_connection, transaction
from orchestrator.db.types import now
from orchestrator.errors import SelectionError, StoreError
from orchestrator.journal import Chunk
from orchestrator.settings import code_version
from orchestrator.urls import absolute

__all__ = ["AttemptOrigin", "Claim", "RunFolder", "RunProgress", "RunningAttempt", "Store"]

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
        self._url = absolute(url)
        self._engine = create_engine_for(url)
        if check_schema:
            try:
                self.check()
            except StoreError:
                self.close()
                raise

    @property
    def url(self) -> str:
        """The database's URL, valid in any working directory. Holds the password, if there is one."""
        return self._url

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

    def close(self) -> None:
        """Give the connection back; the next call takes one again."""
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

    def import_sweep(self, sweep: imports.ImportedSweep) -> int:
        """Store runs made elsewhere, with what they measured: all or nothing.

        Args:
            sweep: The runs, checked.

        Returns:
            The sweep's id.

        Raises:
            NothingToDo: The same was imported under this name before.
            SweepConflict: The name stands for something else.
        """
        with self._write() as connection:
            return imports.import_sweep(connection, sweep)

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

    def run_configs(self, run_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Read the configs of runs as they are stored, as JSON, by run number."""
        with self.read() as connection:
            wanted = set(run_ids)
            rows = connection.execute(select(Run.id, Run.config).where(Run.id.between(min(wanted), max(wanted))))
            return {run_id: config for run_id, config in rows if run_id in wanted}

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

    def run_folders(self, sweep_id: int | None = None) -> list[RunFolder]:
        """List the runs that are not finished, in order, and how much of their journals is stored.

        Args:
            sweep_id: Of one sweep; None = of all.
        """
        with self.read() as connection:
            return queries.run_folders(connection, sweep_id)

    def run_folder(self, run_id: int) -> RunFolder | None:
        """As `run_folders`, of one run; None when it is finished.

        Raises:
            SelectionError: There is no such run.
        """
        with self.read() as connection:
            return queries.run_folder(connection, run_id)

    def set_directories(self, directories: Mapping[int, str]) -> None:
        """Store where runs keep their files.

        Args:
            directories: Absolute paths by run number.
        """
        rows = [{"run": run_id, "path": path} for run_id, path in directories.items()]
        if rows:
            with self._write() as connection:
                connection.execute(
                    update(Run).where(Run.id == bindparam("run")).values(directory=bindparam("path")), rows
                )

    def set_queued(self, run_ids: Iterable[int]) -> None:
        """Mark runs as submitted; those that are running or have a result stay as they are."""
        self._reset(run_ids, "queued")

    def set_pending(self, run_ids: Iterable[int]) -> None:
        """Mark runs as to be submitted; those that are running or have a result stay as they are."""
        self._reset(run_ids, "pending")

    def remove_runs(self, leaving: Iterable[removal.Leaving]) -> list[int]:
        """Delete what runs have measured, and their attempts; they stay, ``cancelled``, to be trained anew.

        Returns:
            The runs that are running: they stay as they are.
        """
        with self._write() as connection:
            return removal.remove(connection, leaving)

    def remove_imports(self, sweep_ids: Iterable[int]) -> list[str]:
        """Delete those of some sweeps that are imports and whose runs were all removed; returns their names."""
        with self._write() as connection:
            return removal.remove_imports(connection, sweep_ids)

    # Attempts

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
        with self._write() as connection:
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
        with self._write() as connection:
            ingest(connection, claim, chunk, age_s=age_s, live=live)

    def lacks(self, run_id: int, *, syncs: int, evals: int, learner_steps: int) -> bool:
        """Whether not all rows of a run are stored up to a place: so many syncs, and so many evaluations by a step."""
        with self.read() as connection:
            return refill.lacks(connection, run_id, syncs=syncs, evals=evals, learner_steps=learner_steps)

    def refill(self, claim: Claim, syncs: list[dict[str, Any]], evals: list[dict[str, Any]]) -> None:
        """Store those records of an attempt that are missing; nothing where the database does not know the attempt."""
        with self._write() as connection:
            refill.refill(connection, claim, syncs, evals)

    def heartbeat(self, claim: Claim) -> None:
        """Say that the attempt is alive.

        Raises:
            Fenced: A newer attempt has taken over.
            Unheard: The database has not heard of the attempt.
        """
        with self._write() as connection:
            attempts.heartbeat(connection, claim)

    def fail(self, claim: Claim, failure: str) -> None:
        """Store that an exception ended the attempt, where its journal cannot say so.

        Args:
            claim: The attempt's claim.
            failure: One line for people: the error's class and message.

        Raises:
            Fenced: A newer attempt has taken over; nothing is stored.
            Unheard: The database has not heard of the attempt.
        """
        with self._write() as connection:
            attempts.refuse_older(connection, claim, attempts.hold(connection, claim))
            attempts.fail(connection, claim, failure)

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
