"""Helpers that drive the command line as a user would, in a folder and a database of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from orchestrator.base.errors import StalesweepError
from orchestrator.data import frames
from orchestrator.store import queries
from orchestrator.store.database import Store

ROOT = Path(__file__).parents[2]

FAKE = """
import sys
if any(name in " ".join(sys.orig_argv) for name in ("orchestrator", "submitit")):
    import tests.support.{worker}
    sys.modules["grpo_worker.loop"] = tests.support.{worker}
"""

TIMINGS = ["rollout_s", "learner_s", "sync_s", "idle_s", "attempt"]


@dataclass(frozen=True)
class Workspace:
    """A folder to run commands in."""

    folder: Path
    environment: dict[str, str]

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start ``stalesweep`` and go on; Ctrl-C reaches it even where the tests run in the background.

        Whatever the test leaves of it is ended: a test that fails must not make later ones fail.
        """
        with subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli.app", *arguments],
            cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()  # so that a launch ends its jobs
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=60)
                    process.kill()

    def run(self, *arguments: str, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
        """Run ``stalesweep`` to its end."""
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def grid(self, text: str, name: str = "grid.yaml") -> str:
        """Write a grid file."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def store(self) -> Store:
        """The workspace's database."""
        return Store(self.environment["STALESWEEP_DB"])

    def runs_of(self, sweep: str) -> list[tuple[int, float, int]]:
        """The stored runs of a sweep, by k, η and seed; none where there is no database, or no sweep, yet."""
        try:
            with self.store() as store:
                runs = frames.runs(store, [sweep])
        except StalesweepError:
            return []
        return list(zip(runs["k"], runs["eta"], runs["seed"], strict=True))

    def jobs_of(self, sweep: str) -> list[int]:
        """The processes that train runs of a sweep; none where there is no database, or no sweep, yet."""
        try:
            with self.store() as store:
                return [running.pid for running in queries.running_attempts(store, queries.sweep_id(store, sweep))]
        except StalesweepError:
            return []

    def train_nothing(self, worker: str = "fake_worker") -> None:
        """Let a module of the tests train the runs of its sweeps, where training is not what is looked at."""
        fake = self.folder / "fake"
        fake.mkdir()
        (fake / "sitecustomize.py").write_text(FAKE.format(worker=worker), encoding="utf-8")
        self.environment["PYTHONPATH"] = f"{fake}:{ROOT}"


def workspace(folder: Path, cache: Path, database: str | None = None) -> Workspace:
    """A workspace with its own database (SQLite in its folder, unless a URL is given) and the shared policy cache."""
    environment = {
        **os.environ,
        "STALESWEEP_DB": database or f"sqlite:///{folder}/stalesweep.db",
        "STALESWEEP_RUNS": str(folder / "stalesweep-runs"),
        "STALESWEEP_CACHE": str(cache),
        "STALESWEEP_PROFILE": "",
        "COLUMNS": "100",
    }
    return Workspace(folder, environment)


def results(store: Store) -> dict[str, pd.DataFrame]:
    """All that training decides, without what two equal runs may differ in: timings and attempts."""
    runs = frames.runs(store).drop(columns=["gpu_s", "wall_s"])
    syncs = frames.syncs(store).drop(columns=TIMINGS)
    return {"runs": runs, "syncs": syncs, "evals": frames.evals(store).drop(columns=["attempt"])}


def assert_same(a: dict[str, pd.DataFrame], b: dict[str, pd.DataFrame]) -> None:
    """Both hold the same rows, to the bit."""
    for table, frame in a.items():
        assert len(frame) > 0
        pd.testing.assert_frame_equal(frame, b[table], check_exact=True)
