"""The whole quickstart after the installation, in an empty folder with an empty cache: where the time goes.

    python -m tests.benchmarks.bench_quickstart

Targets on two cores: 90 s in all, of which at most 45 s are training.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from orchestrator.base.settings import shipped
from orchestrator.store.database import Store

STALESWEEP = [sys.executable, "-m", "orchestrator.cli.app"]


def main() -> None:
    """Run it once and print."""
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/stalesweep.db"
        environment = {
            **os.environ,
            "STALESWEEP_DB": database,
            "STALESWEEP_RUNS": f"{folder}/runs",
            "STALESWEEP_CACHE": f"{folder}/cache",
        }
        grid = str(shipped("sweeps") / "quickstart.yaml")
        launch_s = timed([*STALESWEEP, "launch", grid, "--executor", "local"], environment, Path(folder))
        fit_s = timed([*STALESWEEP, "fit-laws", "quickstart"], environment, Path(folder))
        with Store(database) as store, store.read() as connection:
            columns = "run_id, pid, started_at, ready_at, ended_at, setup_s"
            attempts = pd.read_sql(f"select {columns} from attempt order by started_at", connection)
            cpu_s = pd.read_sql("select sum(rollout_s + learner_s + sync_s) from sync_metric", connection).iloc[0, 0]
    times = attempts[["started_at", "ready_at", "ended_at"]].apply(pd.to_datetime)
    first_ready, last_end = times["ready_at"].min(), times["ended_at"].max()
    warm_up_s = attempts["setup_s"].max()
    training_s = (last_end - first_ready).total_seconds()
    rows = [
        ("start: command, database, processes, imports", launch_s - warm_up_s - training_s),
        ("warm-up of the tiny policy", warm_up_s),
        ("training, from the first learner step to the last", training_s),
        ("fit-laws", fit_s),
        ("in all", launch_s + fit_s),
    ]
    print(f"quickstart on {len(os.sched_getaffinity(0))} cores, {len(attempts)} runs")
    for name, seconds in rows:
        print(f"  {name:52}{seconds:7.1f} s")
    print(f"  of the training: {cpu_s:.1f} s in rollouts and learner steps, over {attempts['pid'].nunique()} processes")


def timed(command: list[str], environment: dict[str, str], folder: Path) -> float:
    """Seconds that a command takes; its failure is ours."""
    started = time.perf_counter()
    subprocess.run(
        command, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
