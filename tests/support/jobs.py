"""Runs of the fake worker through the real job, each attempt in a process that may be killed, frozen or cut off.

Imports neither pytest nor torch, so that a process made for it forks in milliseconds.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select

from orchestrator.attempt.job import JobSpec, run_share
from orchestrator.attempt.recording import Pace
from orchestrator.base.processes import this_host
from orchestrator.base.provenance import checkout
from orchestrator.grid.sweep import load_sweep
from orchestrator.jobs import collecting, training
from orchestrator.rundir import folder as rundirs
from orchestrator.rundir import journal
from orchestrator.store import queries, registration, schema, submissions
from orchestrator.store.collect import Collected, collect
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt, Evaluation, RunRow, SyncMetric
from tests.support import children, fake_worker
from tests.support.faults import Faults
from tests.support.waiting import wait_for

QUICK = Pace(heartbeat_s=5.0, patience_s=10.0, every_s=0.02, hold_s=0.3, longest_pause_s=0.1)
CUT_OFF = Pace(heartbeat_s=0.05, patience_s=0.02, every_s=0.01, hold_s=0.3, longest_pause_s=0.02)
"""For a database that does not come back while the attempt lives."""


class Jobs:
    """A sweep of equal runs in a folder, and what `stalesweep launch` does with it, one step at a time.

    Args:
        url: An empty database.
        folder: Where run directories go.
        runs: How many runs.
        horizon: Learner steps of each.
        writes: What jobs write to, ``database`` or ``journal``.
    """

    def __init__(self, url: str, folder: Path, runs: int, horizon: int = 10, writes: str = "database") -> None:
        self.url, self.folder, self.writes = url, folder, writes
        self.worker: Any = fake_worker
        os.environ["STALESWEEP_RUNS"] = str(folder / "runs")
        checkout()  # once, not in every child
        grid = folder / "grid.yaml"
        grid.write_text(
            f"name: demo\ngrid: {{model: [tiny], k: [2], eta: [1e-3], seed: {list(range(runs))}}}\n"
            f"fixed: {{horizon: {horizon}, eval_every_steps: 4, checkpoint_every_steps: 3}}\n"
        )
        self.sweep = load_sweep(grid)
        self.register()

    def register(self) -> None:
        """Create the database, and the runs in it."""
        schema.upgrade(self.url)
        self._store = Store(self.url)
        with self._store as store:
            self.sweep_id = registration.register(store, self.sweep)
            training.place(store, self.sweep_id)

    def submit(self, *run_ids: int) -> list[Path]:
        """As `stalesweep launch` before it starts jobs: the directories of those runs that are not finished."""
        with self._store as store:
            found = collect(store, self.sweep_id)
            assert found.notes == [], found.notes
            collecting.recover(store, self.sweep_id)
            unfinished = queries.unfinished_runs(store, self.sweep_id)
            wanted = [run_id for run_id in run_ids if run_id in unfinished]
            if not wanted:
                return []
            submissions.set_pending(store, wanted)
            directories = training.prepare(store, self.sweep_id, wanted)
            submissions.set_queued(store, wanted)
            return list(directories.values())

    def spec(self, directories: list[Path], url: str | None = None) -> JobSpec:
        return JobSpec(
            directories=tuple(directories), cache_dir=self.folder, database=url or self.url, executor="local",
            launched_from=this_host(), writes=self.writes,
        )  # fmt: skip

    def train(self, *directories: Path, pace: Pace = QUICK, url: str | None = None) -> dict[int, str]:
        """A job, in this process: a child's, if it is pytest's."""
        sys.modules["grpo_worker.loop"] = self.worker  # what `run_share` imports
        return {one.run_id: one.outcome for one in run_share(self.spec(list(directories), url), pace)}

    def training(self, *directories: Path, step_s: float = 0.05) -> int:
        """Start a job that trains slowly; returns once its first run has a checkpoint."""

        def train() -> None:
            fake_worker.STEP_S = step_s
            self.train(*directories, pace=QUICK)

        child = children.start(train)
        wait_for(lambda: list(directories[0].glob("checkpoint-*.pt")), "a checkpoint")
        return child

    def end_one_and_kill_one(self) -> None:
        """Submit three runs: the first ends, the job of the second is killed while it trains, the third waits."""
        first, second, _ = self.submit(1, 2, 3)
        children.run(lambda: self.train(first))
        child = self.training(second)
        os.kill(child, signal.SIGKILL)
        children.end(child)

    def states(self) -> list[str]:
        """Of all runs, as they are stored."""
        with self._store as store:
            return [run.state for run in queries.progress(store, self.sweep_id)]

    def collect(self) -> Collected:
        with self._store as store:
            return collect(store, self.sweep_id)

    @property
    def expected(self) -> dict[str, Any]:
        """The rows of a run that was never interrupted."""
        return expected(self.sweep.runs[0].config.horizon)

    def rows(self, run_id: int) -> dict[str, Any]:
        """All of a run that must not depend on how often it was interrupted."""
        with self._store as store, store.read() as connection:
            return {
                "run": _all(connection, RunRow, run_id, "state learner_steps collapse_step collapse_step_lo "
                            "collapse_sync collapse_detector failure"),
                "syncs": _all(connection, SyncMetric, run_id, without="run_id attempt"),
                "evals": _all(connection, Evaluation, run_id, without="run_id attempt"),
            }  # fmt: skip

    def attempts(self, run_id: int) -> list[Any]:
        with self._store as store, store.read() as connection:
            return list(connection.execute(select(Attempt.__table__).where(Attempt.run_id == run_id)).mappings())

    def directory(self, run_id: int) -> Path:
        return self.folder / "runs" / rundirs.name_of(run_id)

    def check(self, run_id: int) -> None:
        """A run that is done has the rows of one that was never interrupted, and its attempts add up."""
        assert self.rows(run_id) == self.expected
        attempts = sorted(self.attempts(run_id), key=lambda attempt: attempt["number"])
        stored = {a["number"]: a["journal_bytes"] for a in attempts}
        sizes = {n: journal.path_of(self.directory(run_id), n).stat().st_size for n in stored}
        assert stored == sizes, "every byte of every journal is stored"
        heard = [n for n in journal.numbers(self.directory(run_id)) if n not in stored]
        assert all(journal.last(journal.path_of(self.directory(run_id), n)) is None for n in heard)
        assert [a["outcome"] for a in attempts[:-1]] == ["lost"] * (len(attempts) - 1)
        assert (attempts[-1]["outcome"], attempts[-1]["failure"]) == ("collapsed", None)
        assert all(a["started_at"] <= a["heartbeat_at"] <= a["ended_at"] for a in attempts)


def _all(connection: Any, table: Any, run_id: int, names: str = "", without: str = "") -> list[Any]:
    columns = [c for c in table.__table__.columns if c.name in names.split() or (not names and c.name not in without)]
    its_id = table.__table__.c.get("run_id", table.__table__.c.get("id"))
    rows = connection.execute(select(*columns).where(its_id == run_id))
    return sorted(repr([_bits(value) for value in row]) for row in rows)


def _bits(value: object) -> object:
    return value.hex() if isinstance(value, float) and not math.isnan(value) else value


@functools.cache
def expected(horizon: int) -> dict[str, Any]:
    """The rows of an uninterrupted run, from the fake worker itself."""
    columns = [c.name for c in SyncMetric.__table__.columns if c.name not in ("run_id", "attempt")]
    syncs = [dataclasses.asdict(fake_worker.sync(number, 2)) for number in range(-(-horizon // 2))]
    evals = [fake_worker.evaluation(step) for step in range(horizon + 1) if step % 4 == 0 or step == horizon]
    return {
        "run": [repr(["collapsed", horizon, 4, 2, 2, "half", None])],
        "syncs": sorted(repr([_bits(sync[name]) for name in columns]) for sync in syncs),
        "evals": sorted(repr([_bits(v) for v in (e.learner_step, e.val_reward, e.val_n)]) for e in evals),
    }


def killed_at(kill_at: int, function: Callable[[], object]) -> tuple[bool, str]:
    """Run a function in a child that is killed before its n-th operation.

    Returns:
        Whether it was killed; and before what, or else how many operations there were.
    """
    reading, writing = os.pipe()

    def armed() -> None:
        faults = Faults(kill_at, writing)
        faults.arm()
        function()
        faults.total()

    status = children.end(children.start(armed))
    os.close(writing)
    with os.fdopen(reading) as report:
        said = report.read()
    assert status in (0, -9), f"exit {status}"
    return status == -9, said
