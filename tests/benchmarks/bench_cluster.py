"""Slurm: what a launch of 10,000 runs takes, and jobs beside plain submitit; asserts nothing.

    .venv/bin/python -m tests.benchmarks.bench_cluster [--runs 200] [--only launch|cluster] [--folder DIR]

`launch` meets a stand-in for Slurm's commands that only counts and answers, in whole processes. Everything else is done
on a real cluster of slurm/cluster, four nodes of two CPUs with accounting, all on this machine: read ratios.
The runs are those of `GRID`; plain submitit trains the same with `grpo_worker` alone, one `executor.submit` a run.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import submitit
from sqlalchemy import select

from grpo_worker.schema.config import WorkerConfig
from orchestrator.grid.sweep import load_sweep
from orchestrator.jobs.slurm.survey import survey
from orchestrator.store import queries
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt
from tests.cluster.devcluster import DevCluster
from tests.end_to_end.sweeps import Workspace, workspace
from tests.support.stand_in import StandIn
from tests.support.waiting import wait_for

LARGE = """name: large
grid:
  model: [tiny]
  k: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
  eta: {logspace: {start: 1.0e-5, stop: 1.0e-2, num: 20}}
  seed: {range: {start: 0, stop: 50}}
"""
GRID = """name: small
grid: {{model: [tiny], k: [2], eta: {{logspace: {{start: 1.0e-4, stop: 1.0e-3, num: {runs}}}}}, seed: [0]}}
fixed: {{horizon: {horizon}, group_size: 2, prompts_per_batch: 2, eval_every_steps: {horizon}}}
resources: {{cpus: 1, mem_gb: 1, time_min: 60, runs_per_job: {per_job}}}
"""
"""One seed, so that the warm-up before the first run serves all: it is a matter of seeds, not of jobs."""

HORIZON = 4


def launch_10_000(folder: Path) -> None:
    """Expand, register and submit; again, when there is nothing to do; look at it; take all of it back."""
    ws = workspace(folder, folder / "cache")
    stand_in = StandIn.make(folder / "bin")
    ws.environment["PATH"] = f"{stand_in.folder}:{os.environ['PATH']}"
    grid = ws.grid(LARGE)
    launch = ["launch", grid, "--executor", "slurm", "--yes"]
    for what, command, expected in (
        ("launch of 10,000 runs", launch, 0),
        ("the same again: nothing to do", launch, 3),
        ("its status", ["status"], 0),
        ("cancel of 10,000 runs", ["cancel", "large", "--yes"], 0),
    ):
        began = time.perf_counter()
        done = ws.run(*command, timeout_s=600)
        took_s = time.perf_counter() - began
        assert done.returncode == expected, done.stderr
        print(f"{what:32} {took_s:6.1f} s, {len(stand_in.submitted)} sbatch in all", flush=True)


def train_plainly(config: WorkerConfig, cache_dir: Path, run_dir: Path) -> None:
    """What a user of plain submitit would submit."""
    from grpo_worker.loop import run

    run_dir.mkdir(parents=True)
    run(config, lambda _: None, cache_dir=cache_dir, run_dir=run_dir)


def plain_submitit(ws: Workspace, runs: int) -> float:
    """Seconds of a loop over all runs, until the last has ended."""
    grid = ws.grid(GRID.format(runs=runs, horizon=HORIZON, per_job=1))
    configs = [run.config for run in load_sweep(ws.folder / grid).runs]
    began = time.perf_counter()
    executor = submitit.SlurmExecutor(ws.folder / "jobs")
    executor.update_parameters(time=60, cpus_per_task=1, mem="1GB")
    cache = Path(ws.environment["STALESWEEP_CACHE"])
    jobs = [
        executor.submit(train_plainly, config, cache, ws.folder / "plain" / str(number))
        for number, config in enumerate(configs)
    ]
    submitted_s = time.perf_counter() - began
    # Its own `result()` polls ever more slowly; the files tell at once.
    wait_for(lambda: all(job.paths.result_pickle.exists() for job in jobs), "all jobs to end", 3600, every_s=0.1)
    took_s = time.perf_counter() - began
    print(f"{'plain submitit, a job a run':32} {took_s:6.1f} s, of which submission {submitted_s:.1f} s", flush=True)
    return took_s


def ours(ws: Workspace, runs: int, per_job: int) -> float:
    """Seconds of a launch that waits."""
    grid = ws.grid(GRID.format(runs=runs, horizon=HORIZON, per_job=per_job))
    began = time.perf_counter()
    done = ws.run("launch", grid, "--executor", "slurm", "--wait", "--yes", timeout_s=3600)
    took_s = time.perf_counter() - began
    assert done.returncode == 0, done.stderr
    print(f"{f'stalesweep, runs_per_job {per_job}':32} {took_s:6.1f} s", flush=True)
    overheads(ws)
    return took_s


def overheads(ws: Workspace) -> None:
    """From a job's start to its first learner step, and from a run's end to the next one's first step."""
    with ws.store() as store, store.read() as connection:
        rows = connection.execute(
            select(Attempt.job_id, Attempt.task_id, Attempt.started_at, Attempt.ready_at, Attempt.ended_at).order_by(
                Attempt.job_id, Attempt.task_id, Attempt.started_at
            )
        ).all()
    first, later = [], []
    for (job_id, task_id), group in itertools.groupby(rows, key=lambda row: (row.job_id, row.task_id)):
        attempts: list[Any] = list(group)
        command = ["sacct", "-n", "-P", "-X", "-j", f"{job_id}_{task_id}", "-o", "Start"]
        environment = {**ws.environment, "SLURM_TIME_FORMAT": "%s"}
        start = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
        first.append(attempts[0].ready_at.timestamp() - float(start[-1]))
        later += [(b.ready_at - a.ended_at).total_seconds() for a, b in itertools.pairwise(attempts)]
    print(f"{'  job start → first step, median':32} {statistics.median(first):6.1f} s (the start to a second)")
    if later:
        print(f"{'  run end → next first step':32} {statistics.median(later):6.1f} s")


def status_and_death(ws: Workspace) -> None:
    """What one `status` takes beside a running sweep, and how soon a survey shows that a process was killed."""
    done = ws.run("launch", ws.grid(GRID.format(runs=2, horizon=100_000, per_job=1)), "--executor", "slurm", "--yes")
    assert done.returncode == 0, done.stderr
    with ws.store() as store:
        sweep_id = queries.sweep_id(store, "small")
        wait_for(lambda: len(queries.running_attempts(store, sweep_id)) == 2, "two attempts", 300, every_s=0.1)
        wait_for(lambda: all(run.learner_steps for run in queries.progress(store, sweep_id)), "learner steps", 300)
        whole = [timed(lambda: ws.run("status")) for _ in range(5)]
        surveys = [timed(lambda: survey(store, sweep_id)) for _ in range(20)]
        print(f"{'status, the whole command':32} {statistics.median(whole):6.2f} s")
        print(f"{'  of which asking Slurm':32} {statistics.median(surveys):6.2f} s", flush=True)
        victim = queries.running_attempts(store, sweep_id)[0]
        os.kill(victim.pid, signal.SIGKILL)
        took_s = timed(
            lambda: wait_for(lambda: state_of(store, sweep_id, victim.run_id) != "running", "its end", 300, every_s=0.1)
        )
        said = survey(store, sweep_id).standings[victim.run_id]
        print(f"{'kill -9 → status shows it':32} {took_s:6.2f} s ({said.state}: {said.detail})")


def state_of(store: Store, sweep_id: int, run_id: int) -> str:
    return survey(store, sweep_id).standings[run_id].state


def timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def on_a_cluster(folder: Path, runs: int) -> None:
    """All that needs a real Slurm."""
    cluster = DevCluster(folder / "slurm")
    cluster.up()
    os.environ["SLURM_CONF"] = str(cluster.slurm_conf)
    try:
        spaces = []
        for name in ("warm", "plain", "ours-1", "ours-25", "status"):
            (folder / name).mkdir()
            spaces.append(workspace(folder / name, folder / "cache"))
        warm, plain, one, many, status = spaces
        warm.run("launch", warm.grid(GRID.format(runs=2, horizon=HORIZON, per_job=1)), "--executor", "local")
        reference = plain_submitit(plain, runs)
        for ws, per_job in ((one, 1), (many, 25)):
            print(f"{'  beside plain submitit':32} {ours(ws, runs, per_job) / reference:6.2f}", flush=True)
        status_and_death(status)
    finally:
        cluster.command("down")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="short runs on the cluster")
    parser.add_argument("--only", choices=["launch", "cluster"])
    parser.add_argument("--folder", type=Path, help="short, for Slurm's sake; default: one of its own under /tmp")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.folder) as name:
        folder = Path(name)
        if arguments.only != "cluster":
            (folder / "large").mkdir()
            launch_10_000(folder / "large")
        if arguments.only != "launch":
            on_a_cluster(folder, arguments.runs)


if __name__ == "__main__":
    sys.exit(main())
