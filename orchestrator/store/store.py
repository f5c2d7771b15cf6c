"""The store: every write to the database, each one transaction, and the reads by name.

What the transactions do stands in `orchestrator.store.registration`, `orchestrator.store.removal` and
`orchestrator.store.queries`; this is their face. What attempts ask stands in `orchestrator.store.attempt_store`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select, update

from orchestrator.grid import sweep as grid
from orchestrator.store import endings as ends
from orchestrator.store import fits, imports, notices, outcomes, queries, registration, removal, submissions
from orchestrator.store.attempt_store import AttemptStore
from orchestrator.store.attempts import AttemptOrigin, Claim
from orchestrator.store.endings import Ending
from orchestrator.store.models import Cell, Run
from orchestrator.store.outcomes import Outcome
from orchestrator.store.queries import RunFolder, RunningAttempt, RunProgress
from orchestrator.store.submissions import Place, Submitted
from orchestrator.store.types import now

__all__ = ["AttemptOrigin", "Claim", "Outcome", "RunFolder", "RunProgress", "RunningAttempt", "Store"]


class Store(AttemptStore):
    """A results database, as the command line sees it."""

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
        with self.write() as connection:
            return registration.register(connection, sweep, extend=extend)

    def begin(self, sweep: grid.Sweep) -> int:
        """Store a sweep whose runs are chosen one after the other, without any; a stored one keeps its runs.

        Args:
            sweep: With all runs that may be chosen.

        Returns:
            The sweep's id.

        Raises:
            SweepConflict: The name is taken by runs that are not among these, or are of another config.
        """
        with self.write() as connection:
            return registration.begin(connection, sweep)

    def grow(self, sweep_id: int, sweep: grid.Sweep, chosen: Collection[grid.Run]) -> list[int]:
        """Add runs to a sweep, those that it has apart.

        Args:
            sweep_id: From `begin`.
            sweep: As given there.
            chosen: Some of its runs.

        Returns:
            The numbers of the chosen runs.
        """
        with self.write() as connection:
            keys = {(registration.cell_key(run.cell), run.seed) for run in chosen}
            return registration.grow(connection, sweep_id, sweep, keys)

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
        with self.write() as connection:
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
        """List the runs that have something to do, in grid order; not one that diverged, or was ended early."""
        with self.read() as connection:
            return queries.unfinished_runs(connection, sweep_id)

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

    def step_times(self, models: Iterable[str]) -> dict[str, list[float]]:
        """List, by model, how many seconds a learner step took in each finished run of any sweep, set-up left out."""
        with self.read() as connection:
            return queries.step_times(connection, models)

    def outcomes(self, models: Iterable[str]) -> list[Outcome]:
        """List how each finished or stopped run of models ended, in any sweep."""
        with self.read() as connection:
            return outcomes.outcomes(connection, models)

    def seeds(self, sweep_id: int) -> set[tuple[tuple[str, str], tuple[int, float], int]]:
        """List the runs of a sweep by (model, axes as JSON), (k, η) and seed."""
        columns = (Cell.model, Cell.axes, Cell.k, Cell.eta, Run.seed)
        with self.read() as connection:
            rows = connection.execute(
                select(*columns).join(Run, Run.cell_id == Cell.id).where(Cell.sweep_id == sweep_id)
            )
            return {((model, axes), (k, eta), seed) for model, axes, k, eta, seed in rows}

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
            with self.write() as connection:
                connection.execute(
                    update(Run).where(Run.id == bindparam("run")).values(directory=bindparam("path")), rows
                )

    def open_submission(
        self,
        sweep_id: int,
        *,
        token: str,
        job_name: str,
        folder: str,
        resources: Mapping[str, Any],
        shares: Sequence[Sequence[int]],
    ) -> None:
        """Write down a job array before it is submitted, and queue its runs.

        Args:
            sweep_id: The sweep.
            token: The submission's own, by which the cluster can be asked for it.
            job_name: Of its jobs; holds the token.
            folder: Where its jobs find their shares and write their logs, absolute.
            resources: What its jobs ask for, as JSON.
            shares: The runs of each task, by their numbers.
        """
        with self.write() as connection:
            submissions.open_submission(
                connection,
                sweep_id,
                token=token,
                job_name=job_name,
                folder=folder,
                resources=resources,
                shares=shares,
            )

    def answer_submission(self, token: str, job_id: str) -> None:
        """Store under which id the cluster has taken a submission."""
        with self.write() as connection:
            submissions.answer(connection, token, job_id)

    def withdraw_submission(self, token: str) -> None:
        """Take back a submission that the cluster has not taken: its queued runs are pending."""
        with self.write() as connection:
            submissions.withdraw(connection, token)

    def submissions(self, sweep_id: int) -> list[Submitted]:
        """List the job arrays that unfinished runs of a sweep were submitted in last, oldest first."""
        with self.read() as connection:
            return submissions.of_sweep(connection, sweep_id)

    def submission(
        self, sweep_id: int, *, submission_id: int | None = None, job_id: str | None = None
    ) -> Submitted | None:
        """Find a job array of a sweep by its number here, or the newest that the cluster has given a job id."""
        with self.read() as connection:
            return submissions.find(connection, sweep_id, submission_id=submission_id, job_id=job_id)

    def run_states(self, sweep_ids: Iterable[int]) -> dict[int, str]:
        """Say in which state each run of some sweeps is."""
        with self.read() as connection:
            return queries.run_states(connection, sweep_ids)

    def places(self, sweep_id: int) -> list[Place]:
        """Say of the unfinished runs of a sweep, in grid order, who has them as far as the database knows."""
        with self.read() as connection:
            return submissions.places(connection, sweep_id)

    def settle(self, place: Place, state: str, failure: str, failure_class: str) -> bool:
        """Store what has become of a queued run whose job is gone; returns whether it was still as it was seen."""
        with self.write() as connection:
            return submissions.settle(connection, place, state, failure, failure_class)

    def end_runs(self, fences: Mapping[int, int], endings: Mapping[int, Ending]) -> None:
        """End runs that have no result from outside, and refuse from now on what attempts of theirs write.

        Args:
            fences: By run, a number that no later attempt will have, and no earlier one had.
            endings: How and why, by run.
        """
        with self.write() as connection:
            ends.end_runs(connection, fences, endings)

    def attempts_by_class(self, run_ids: Iterable[int]) -> dict[int, dict[str, int]]:
        """Count the attempts of runs that ended early, by run and failure class."""
        with self.read() as connection:
            return submissions.attempts_by_class(connection, run_ids)

    def failed_hosts(self, run_ids: Iterable[int]) -> dict[int, set[str]]:
        """List the nodes that failed under attempts of runs, as Slurm names them, by run."""
        with self.read() as connection:
            return submissions.failed_hosts(connection, run_ids)

    def set_queued(self, run_ids: Iterable[int]) -> None:
        """Mark runs of a sweep as submitted; those that are running or have a result stay as they are."""
        self._reset(run_ids, "queued")

    def set_pending(self, run_ids: Iterable[int]) -> None:
        """Mark runs of a sweep as to be submitted; those that are running or have a result stay as they are."""
        self._reset(run_ids, "pending")

    def remove_runs(self, leaving: Iterable[removal.Leaving]) -> list[int]:
        """Delete what runs have measured, and their attempts; they stay, ``cancelled``, to be trained anew.

        Returns:
            The runs that are running: they stay as they are.
        """
        with self.write() as connection:
            return removal.remove(connection, leaving)

    def remove_imports(self, sweep_ids: Iterable[int]) -> list[str]:
        """Delete those of some sweeps that are imports and whose runs were all removed; returns their names."""
        with self.write() as connection:
            return removal.remove_imports(connection, sweep_ids)

    def save_fit(self, *, sweeps: list[str], run_ids: list[int], detector: str, result: Mapping[str, Any]) -> int:
        """Store a fit with its inputs; one of the same sweeps and runs with equal ``result["inputs"]`` is kept once.

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
        with self.write() as connection:
            return fits.save(connection, sweeps=sweeps, run_ids=run_ids, detector=detector, result=result)

    def detector_settings(self, sweeps: Sequence[str]) -> list[dict[str, Any]]:
        """List the different settings of the collapse detector that runs of sweeps were trained with."""
        with self.read() as connection:
            return fits.detector_settings(connection, sweeps)

    def _reset(self, run_ids: Iterable[int], state: str) -> None:
        rows = [{"run": run_id} for run_id in run_ids]
        if not rows:
            return
        cleared: dict[str, Any] = dict.fromkeys(("failure", "failure_class", "collapse_step_lo"))
        with self.write() as connection:
            notices.expect(connection, rows[0]["run"])
            # One by one, by primary key: a statement cannot hold 100,000 ids everywhere.
            connection.execute(
                update(Run)
                .where(Run.id == bindparam("run"), submissions.RESETTABLE)
                .values(state=state, submission_id=None, task=None, updated_at=now(), **cleared),
                rows,
            )
