"""Journals: how fast they are replayed into the database, and what a record takes from training; asserts nothing.

    .venv/bin/python -m tests.benchmarks.bench_journal [--records 40000] [--rounds 3]

Replay is `orchestrator.store.collect.collect`, from journal files to committed rows of SQLite and Postgres, beside a
floor in the same turn: the same lines decoded and thrown away. Emitting is what `Recording.emit` takes from the thread
that trains, one record every few milliseconds, with the database at hand and with a server that does not answer.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from grpo_worker.schema.records import FinishRecord, StartRecord
from orchestrator.attempt.recording import ORDINARY, Recording, as_entry
from orchestrator.jobs import training
from orchestrator.rundir import journal
from orchestrator.rundir.writing import Journal
from orchestrator.store import attempts, queries
from orchestrator.store.attempts import AttemptOrigin, Claim
from orchestrator.store.collect import collect
from orchestrator.store.database import Store
from tests.benchmarks.bench_store import databases, prepare_ours
from tests.benchmarks.rows import sync_records

TARGET_S = 50_000
RUNS = 4
PACE = dataclasses.replace(ORDINARY, patience_s=1.0)
ORIGIN = AttemptOrigin("local", None, None, 0, "here", 1, 0.0, "0")


@contextmanager
def unsynchronised() -> Iterator[None]:
    """Spare the disk where writing journals is not what is measured."""
    fsync, os.fsync = os.fsync, lambda fd: None
    try:
        yield
    finally:
        os.fsync = fsync


def write_journals(store: Store, records: int) -> list[Path]:
    """Write journals of whole attempts that the database has not heard of; returns their paths."""
    sweep_id = queries.sweep_id(store, "bench")
    training.prepare(store, sweep_id, queries.unfinished_runs(store, sweep_id))
    training.place(store, sweep_id)
    paths = []
    for run in queries.run_folders(store, sweep_id):
        attempt = Journal.reserve(Path(str(run.directory)), 0)
        run_fields = {"run": run.run_id, "sweep": run.sweep, "config_digest": run.config_digest, "attempt": 1}
        resumed = {"resumed_from_sync": None, "resumed_from_step": None}
        attempt.append("begin", {**run_fields, **resumed, "origin": dataclasses.asdict(ORIGIN)})
        attempt.append(*as_entry(StartRecord(None, None, 1, "cpu", {}, 1, 0.0)))
        syncs = sync_records(seed=run.run_id)
        for _ in range(records // RUNS - 3):
            attempt.append(*as_entry(next(syncs)))
        attempt.append(*as_entry(FinishRecord("stable", records, "none")))
        attempt.close()
        paths.append(attempt.path)
    return paths


def replay(url: str, folder: Path, records: int) -> tuple[float, float]:
    """Records a second: replayed, and only decoded."""
    prepare_ours(url, folder, RUNS)
    os.environ["STALESWEEP_RUNS"] = str(folder / f"runs-{time.time_ns()}")
    with Store(url) as store:
        with unsynchronised():
            paths = write_journals(store, records)
        started = time.perf_counter()
        for path in paths:
            at = 0
            while (chunk := journal.read(path, at)).entries:
                at = chunk.end
        decoded_s = time.perf_counter() - started
        started = time.perf_counter()
        found = collect(store)
        brought_s = time.perf_counter() - started
    if found.notes or found.records != records // RUNS * RUNS:
        raise RuntimeError(f"{found.records} of {records} records were brought; {found.notes}")
    return found.records / brought_s, found.records / decoded_s


def floor(folder: Path, records: int, every_ms: float) -> list[float]:
    """Milliseconds of the disk alone: as many bytes as a record has, written and synchronised."""
    times_ms = []
    with (folder / f"floor-{time.time_ns()}").open("wb", buffering=0) as file:
        for _ in range(records):
            started = time.perf_counter()
            file.write(b"x" * 1270)
            os.fsync(file.fileno())
            times_ms.append(1e3 * (time.perf_counter() - started))
            time.sleep(every_ms / 1e3)
    return times_ms


def emit(url: str | None, folder: Path, records: int, every_ms: float) -> list[float]:
    """Milliseconds that each record takes from the thread that emits it; ``url`` None: a database that is away."""
    os.environ["STALESWEEP_RUNS"] = str(folder)
    home = url or "postgresql://nobody@127.0.0.1:9/away"
    times_ms = []
    with Store(home, check_schema=False) as store:
        fence = getattr(queries.run_folder(store, 1), "fence", 0) if url else 0
        attempt = Journal.reserve(folder / f"emit-{time.time_ns()}", fence)
        claim = Claim(1, attempt.number, 2)
        if url:
            attempts.begin(store, claim, ORIGIN, resumed_from_sync=None, resumed_from_step=None, take_over=True)
        syncs = sync_records()
        with Recording(attempt, claim, store, pace=PACE) as recording:
            for _ in range(records):
                record = next(syncs)
                started = time.perf_counter()
                recording.emit(record)
                times_ms.append(1e3 * (time.perf_counter() - started))
                time.sleep(every_ms / 1e3)
    return times_ms


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every-ms", type=float, default=5.0, help="time between two records that are emitted")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # a database that is away says so at each turn
    with tempfile.TemporaryDirectory(prefix="stalesweep-bench-") as scratch, databases(Path(scratch)) as make:
        print(f"replay, records a second (target {TARGET_S:,}), median of {arguments.rounds} turns (their range)")
        for kind, new in make.items():
            rates, floors = zip(
                *(replay(new(), Path(scratch), arguments.records) for _ in range(arguments.rounds)), strict=True
            )
            print(f"  {kind:<12}{statistics.median(rates):>9,.0f} ({min(rates):,.0f}-{max(rates):,.0f}); only decoded "
                  f"{statistics.median(floors):,.0f}; load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
        print("emit, ms of the training thread a record: mean, p99")
        homes = {"SQLite": make["sqlite"](), "Postgres": make["postgresql"](), "database away": None}
        for home in filter(None, homes.values()):
            prepare_ours(home, Path(scratch), 1)
        sides: dict[str, Callable[[], list[float]]] = {
            name: functools.partial(emit, home, Path(scratch), 300, arguments.every_ms) for name, home in homes.items()
        }
        sides["the disk alone"] = functools.partial(floor, Path(scratch), 300, arguments.every_ms)
        times_ms: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, side in sides.items():
                times_ms[name] += side()
        for name, taken in times_ms.items():
            p99 = statistics.quantiles(taken, n=100)[98]
            print(f"  {name:<16}{statistics.mean(taken):6.2f}{p99:8.2f}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
