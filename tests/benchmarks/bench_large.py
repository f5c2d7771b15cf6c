"""`status`, `fit-laws` and `export` on a large database: 10,000 runs, 5 million weight syncs; asserts nothing.

    .venv/bin/python -m tests.benchmarks.bench_large [--folder DIR] [--syncs 500] [--rounds 3]

The database is a SQLite file of 2 GB with the run directories beside it, made within some minutes by the driver alone;
it is kept in the folder, if one is named, for the next time. One run in ten is not finished: of those, half run, a
quarter wait, an eighth failed and an eighth is lost; each has its directory, and its journal is stored to the end.
Commands are whole processes: seconds of the wall clock, seconds of CPU, peak of the resident memory.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from orchestrator.data.importing.columns import METRICS
from orchestrator.grid.sweep import load_sweep
from orchestrator.jobs import training
from orchestrator.rundir import journal
from orchestrator.store import queries, registration, schema
from orchestrator.store.database import Store
from orchestrator.store.models import SyncMetric
from tests.benchmarks.rows import sync_records

HORIZON = 10_000
GRID = f"""name: large
grid:
  model: [tiny]
  k: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
  eta: {{logspace: {{start: 1.0e-5, stop: 1.0e-2, num: 20}}}}
  seed: {{range: {{start: 0, stop: 50}}}}
fixed: {{horizon: {HORIZON}}}
"""
COMMANDS = {
    "status": (["status"], "at most 1 s, 300 MB"),
    "status --format json": (["status", "--format", "json"], ""),
    "fit-laws": (["fit-laws"], "at most 15 s, 1 GB with 200 syncs a run"),
    "export to Parquet": (["export", "--out", "out"], "at most 500 MB"),
    "read a million syncs": (["import", "million.csv", "--sweep", "m", "--dry-run"], "at most 20 s, 800 MB"),
}


def make(folder: Path, syncs: int) -> None:
    """Make the database and the run directories."""
    path = folder / "large.db"
    (folder / "large.yaml").write_text(GRID)
    schema.upgrade(f"sqlite:///{path}")
    os.environ["STALESWEEP_RUNS"] = str(folder / "runs")
    with Store(f"sqlite:///{path}") as store:
        sweep_id = registration.register(store, load_sweep(folder / "large.yaml"))
        run_ids = queries.unfinished_runs(store, sweep_id)
        unfinished = run_ids[::10]
        training.prepare(store, sweep_id, unfinished)
        training.place(store, sweep_id)
    for run_id in unfinished:
        journal.path_of(folder / "runs" / f"run-{run_id:06d}", 1).write_bytes(b"x" * 1000)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        with connection:
            _add_attempts(connection, run_ids, set(unfinished))
        with connection:
            _add_syncs(connection, run_ids, syncs)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def make_table(path: Path) -> None:
    """Make a table of a million weight syncs with all metrics, as `import` reads it: 600 MB."""
    rng = np.random.default_rng(0)
    runs, syncs = 1_000, 1_000
    run = np.repeat(np.arange(runs), syncs)
    columns: dict[str, Any] = {"model": ["m"] * len(run), "k": np.full(len(run), 4), "eta": 1e-3 * (1 + run // 10)}
    columns |= {"seed": run % 10, "horizon": np.full(len(run), 4 * syncs), "sync": np.tile(np.arange(syncs), runs)}
    for name, kind in METRICS.items():
        columns[name] = rng.random(len(run)) if kind == pa.float64() else rng.integers(0, 1000, len(run))
    pyarrow.csv.write_csv(pa.table(columns), path)


def _add_attempts(connection: sqlite3.Connection, run_ids: list[int], unfinished: set[int]) -> None:
    rng = random.Random(0)
    now = "2026-01-01 00:00:00.000"
    attempt = ("run_id, number, executor, restart_count, host, pid, process_started_at, started_at, ready_at, "
               "heartbeat_at, ended_at, outcome, code_version, journal_bytes")  # fmt: skip
    finished_as = {"stable": 0.4, "collapsed": 1.0}
    unfinished_as = {"running": 0.5, "pending": 0.75, "failed": 0.875, "lost": 1.0}
    for run_id in run_ids:
        drawn = rng.random()
        share = unfinished_as if run_id in unfinished else finished_as
        state = next(state for state, below in share.items() if drawn < below)
        outcome = {"running": None, "pending": "interrupted"}.get(state, state)
        ended = None if outcome is None else now
        collapse = rng.randrange(100, 10_000) if state == "collapsed" else None
        connection.execute(
            f"INSERT INTO attempt ({attempt}) VALUES (?, 1, 'local', 0, 'node', 1, 0.0, ?, ?, ?, ?, ?, '0.1.0', 1000)",
            (run_id, now, now, now, ended, outcome),
        )
        connection.execute(
            "UPDATE run SET state = ?, fence = 1, learner_steps = ?, collapse_step = ?, collapse_step_lo = ?, "
            "collapse_sync = ?, collapse_detector = ?, failure = ? WHERE id = ?",
            (state, 5000 if run_id in unfinished else collapse or 10_000, collapse, collapse and collapse - 50,
             collapse and collapse // 10, collapse and "entropy",
             "RuntimeError: out of memory" if state in ("failed", "lost") else None, run_id),
        )  # fmt: skip
        connection.execute("INSERT INTO evaluation VALUES (?, 5000, 1, ?, 256)", (run_id, rng.random()))


def _add_syncs(connection: sqlite3.Connection, run_ids: list[int], syncs: int) -> None:
    keys = ("run_id", "attempt", "sync")
    names = [column.name for column in SyncMetric.__table__.columns if column.name not in keys]
    statement = f"INSERT INTO sync_metric ({', '.join((*keys, *names))}) VALUES ({', '.join('?' * (3 + len(names)))})"
    record = next(sync_records())
    values = [getattr(record, name) for name in names]
    for run_id in run_ids:
        head = [random.random() for _ in values]
        floats = [h if isinstance(v, float) else v for h, v in zip(head, values, strict=True)]
        # learner steps rise to the horizon, of which early warnings read the first quarter
        at = names.index("learner_step")
        rows = (
            [run_id, 1, sync, *floats[:at], (sync + 1) * HORIZON // syncs, *floats[at + 1 :]] for sync in range(syncs)
        )
        connection.executemany(statement, rows)


def measure(arguments: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds, CPU-seconds and peak MB of a command."""
    environment = {**os.environ, "STALESWEEP_DB": f"sqlite:///{folder}/large.db", "COLUMNS": "160"}
    program = str(Path(sys.executable).with_name("stalesweep"))
    started = time.perf_counter()
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen([program, *arguments], cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise RuntimeError((folder / "output.txt").read_text()[-1000:])
    return wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep the database there, and use what is there")
    parser.add_argument("--syncs", type=int, default=500, help="a run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=list(COMMANDS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stalesweep-bench-") as scratch:
        folder: Path = (arguments.folder or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "large.db").exists():
            started = time.perf_counter()
            make(folder, arguments.syncs)
            print(f"made in {time.perf_counter() - started:.0f} s")
        if "read a million syncs" in arguments.commands and not (folder / "million.csv").exists():
            make_table(folder / "million.csv")
        print(f"SQLite file of {(folder / 'large.db').stat().st_size / 1e9:.1f} GB; median of {arguments.rounds} turns")
        row = "{:<24}{:>8}{:>8}{:>10}   {}"
        print(row.format("", "s", "CPU-s", "peak MB", "target"))
        for name, (command, target) in COMMANDS.items():
            if name in arguments.commands:
                turns = [measure(command, folder) for _ in range(arguments.rounds)]
                wall_s, cpu_s, peak_mb = (statistics.median(column) for column in zip(*turns, strict=True))
                target += f"; load {os.getloadavg()[0]:.1f}"
                print(row.format(name, f"{wall_s:.2f}", f"{cpu_s:.2f}", f"{peak_mb:.0f}", target), flush=True)


if __name__ == "__main__":
    main()
