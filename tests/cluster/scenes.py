"""Sweeps on a cluster whose runs act as a test says: they fail, or wait where things can be done to them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from tests.cluster.devcluster import DevCluster
from tests.end_to_end.sweeps import Workspace, assert_same, results, workspace
from tests.support import waiting

GRID = """
name: scenes
grid: {{model: [tiny], k: [2], eta: [{etas}], seed: [0]}}
fixed:
  horizon: 16
  prompts_per_batch: 4
  group_size: 2
  eval_every_steps: 4
  checkpoint_every_steps: 5  # within a rollout cycle
  task: {{verifier: "acting:verify", val_prompts: 8}}
  tiny: {{warmup_steps: 40, warmup_batch_size: 64}}
resources: {{cpus: 1, mem_gb: 1, {resources}}}
"""

MOST_RUNS = 8

Results = dict[str, pd.DataFrame]
"""Of `tests.end_to_end.sweeps.results`."""

wait_for = partial(waiting.wait_for, every_s=0.2)
"""For questions to Slurm, and commands of ours: they take the processor from what is waited for."""

SceneMaker = Callable[..., "Scene"]
"""The fixture `make_scene`: a name, then as `scene` from its cluster on."""

ACTING = """
import os, pathlib, signal, time

HERE = pathlib.Path(__file__).parent
TASK = os.environ.get("SLURM_ARRAY_TASK_ID", "none")
calls = 0

def verify(completion, answer):
    global calls
    calls += 1
    if calls == 41:  # learner steps 5 and 6 are behind it, and the checkpoint of step 5
        act()
    return sum(map(ord, completion)) % 8 / 7  # something to learn, even for a policy that has learnt next to nothing

def act():
    asked = HERE / f"do-{TASK}"
    if asked.exists():
        what = asked.read_text()
        asked.rename(HERE / f"done-{TASK}")  # once: not in a later attempt
        exec(what)

def hold(deaf=False):
    # Until a signal comes, or the test lets it go on.
    signalled = []
    for number in (signal.SIGTERM, signal.SIGUSR2):
        before = signal.getsignal(number)
        heed = lambda n, frame, before=before: (signalled.append(n), before(n, frame))
        signal.signal(number, signal.SIG_IGN if deaf else heed)
    held = HERE / f"held-{TASK}"
    held.with_suffix(".new").write_text(str(os.getpid()))
    held.with_suffix(".new").rename(held)
    while held.exists() and not signalled:
        time.sleep(0.05)
"""

HOLD, HOLD_DEAF = "hold()", "hold(deaf=True)"


@dataclass(frozen=True)
class Scene:
    """A workspace on a cluster, with a sweep of a few runs."""

    ws: Workspace
    cluster: DevCluster | None
    runs: int

    def launch(self, *options: str, timeout_s: float = 150) -> subprocess.CompletedProcess[str]:
        """Launch the sweep, on the cluster."""
        return self.ws.run("launch", "grid.yaml", "--executor", "slurm", *options, timeout_s=timeout_s)

    @contextmanager
    def setting(self, **variables: str) -> Iterator[None]:
        """Start commands with other variables for a while."""
        before = {name: self.ws.environment[name] for name in variables}
        self.ws.environment.update(variables)
        yield
        self.ws.environment.update(before)

    def status(self, timeout_s: float = 90) -> list[dict[str, Any]]:
        """What `status` says of each run, by task of the first array."""
        done = self.ws.run("status", "--format", "json", timeout_s=timeout_s)
        assert done.returncode in (0, 1), done.stderr
        return [run for cell in json.loads(done.stdout)[0]["cells"] for run in cell["runs"]]

    def act(self, task: int, what: str = HOLD) -> None:
        """Let a task execute Python in its fourth rollout cycle, once."""
        (self.ws.folder / f"do-{task}").write_text(what)

    def pid_of(self, task: int, timeout_s: float = 120) -> int:
        """Wait until a task holds; its process."""
        held = self.ws.folder / f"held-{task}"
        wait_for(held.exists, f"task {task} to hold", timeout_s)
        return int(held.read_text())

    def release(self, task: int) -> None:
        """Let a task that holds go on."""
        (self.ws.folder / f"held-{task}").unlink(missing_ok=True)

    def job_id(self) -> str:
        """Of the newest array."""
        with self.ws.store() as store, store.read() as connection:
            return str(connection.exec_driver_sql("select job_id from submission order by id desc").scalar())

    def attempts(self, run_id: int) -> list[tuple[str, str, int | None]]:
        """Of each attempt of a run: how it ended, its failure class, and after which sync it went on."""
        with self.ws.store() as store, store.read() as connection:
            rows = connection.exec_driver_sql(
                f"select outcome, failure_class, resumed_from_sync from attempt where run_id = {run_id} order by number"
            )
            return [tuple(row) for row in rows]

    def slurm(self, *command: str, check: bool = True) -> str:
        """Run one of Slurm's commands."""
        done = subprocess.run(command, env=self.ws.environment, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def state_of(self, task: int) -> str:
        """squeue's word on a task of the newest array."""
        array = f"--jobs={self.job_id()}_{task}"
        return self.slurm("squeue", "--noheader", "--states=all", array, "--format=%T", check=False)

    def wait_for_jobs(self, timeout_s: float = 180) -> None:
        """Wait until Slurm has none of the newest array any more, waiting or running."""
        of_it = f"--jobs={self.job_id()}"
        wait_for(lambda: not self.slurm("squeue", "--noheader", of_it, check=False), "the jobs to end", timeout_s)

    def finish(self, reference: Results) -> None:
        """Launch until all is done, and compare with what was never interrupted."""
        launched = self.launch("--wait")
        assert launched.returncode in (0, 3), launched.stderr  # 3: its jobs were there already
        self.wait_for_jobs()
        self.assert_whole(reference)

    def assert_whole(self, reference: Results) -> None:
        """All runs are there, with the rows of runs that were never interrupted."""
        with self.ws.store() as store:
            assert_same(results(store), {name: frame[frame["run"] <= self.runs] for name, frame in reference.items()})


def scene(
    folder: Path,
    cache: Path,
    cluster: DevCluster | None,
    runs: int,
    resources: str = "time_min: 5",
    database: str | None = None,
    train: bool = True,
    **environment: str,
) -> Scene:
    """A sweep of the first few of `MOST_RUNS` runs, not yet launched.

    Args:
        folder: Made for it.
        cache: Of policies.
        cluster: Where it is to be launched; None = on none.
        runs: How many.
        resources: More of the grid file's block.
        database: Its URL; None = SQLite in the folder.
        train: Whether the real worker trains the runs, or `tests.support.acting_worker`: importing the real one takes
            longer than everything else that a short job does.
        environment: More variables.
    """
    folder.mkdir(parents=True)
    ws = workspace(folder, cache, database)
    if cluster is not None:
        ws.environment["SLURM_CONF"] = str(cluster.slurm_conf)
    ws.environment.update(environment)
    if not train:
        ws.train_nothing("acting_worker")
    (folder / "acting.py").write_text(ACTING)
    etas = ", ".join(f"{number}e-4" for number in range(1, runs + 1))
    ws.grid(GRID.format(etas=etas, resources=resources))
    return Scene(ws, cluster, runs)


def make_reference(folder: Path, cache: Path, *, train: bool = True) -> Results:
    """What the sweeps come to where nothing happens to them."""
    whole = scene(folder, cache, None, MOST_RUNS, train=train)
    launched = whole.ws.run("launch", "grid.yaml", "--executor", "debug")
    assert launched.returncode == 0, launched.stderr
    with whole.ws.store() as store:
        return results(store)


def sbatch_that(folder: Path, before: str = "", after: str = "") -> str:
    """A PATH whose sbatch does something else as well.

    Args:
        folder: Made for it.
        before: Shell commands before the submission.
        after: Between the submission and its answer.
    """
    folder.mkdir()
    script = f'#!/bin/sh\n{before}\nsaid=$({shutil.which("sbatch")} "$@"); status=$?\n{after}\n'
    (folder / "sbatch").write_text(f'{script}echo "$said"\nexit $status\n')
    (folder / "sbatch").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(pid: int) -> None:
    """As kill -9 does."""
    os.kill(pid, 9)
