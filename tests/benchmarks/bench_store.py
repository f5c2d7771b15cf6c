"""Rows a second of many writing processes, beside Optuna's RDBStorage in turns; prints ratios, asserts nothing.

    .venv/bin/python -m tests.benchmarks.bench_store [--writers 1 8 32 64] [--seconds 4] [--rounds 3]

Ours: what `orchestrator.attempt.recording` does for each record, one by one: the journal's append with its fsync, then
one transaction with all metrics of a weight sync; each process writes a run of its own. Optuna's: `trial.report` of one
float, each process a trial of its own. Both write to SQLite files on the same disk and to one Postgres server, which
waits for the disk at a commit that asks for it (fsync on). A write's time is from the call to its return; errors are
counted, and every row that was acknowledged is looked for afterwards.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import func, select

from orchestrator.attempt.recording import as_entry
from orchestrator.grid.sweep import load_sweep
from orchestrator.rundir.journal import Journal
from orchestrator.store import queries, registration, schema
from orchestrator.store.models import SyncMetric
from orchestrator.store.store import AttemptOrigin, Claim, Store
from tests.benchmarks.rows import sync_records
from tests.support.servers import own_server

TARGETS = {"sqlite": 20, "postgresql": 4}
TARGET_P99_MS = 250
_WARM_UP = 3  # connections and compiled statements are made once a process
Writer = Callable[[str, Path, int], Iterator[Callable[[], None]]]


@dataclasses.dataclass(frozen=True)
class Turn:
    """What the writers of one side did in one turn.

    Attributes:
        rows_s: Rows a second, all together.
        p99_ms: 99th percentile of a write.
        errors: Writes that failed.
        lost: Rows that were acknowledged and are not there.
    """

    rows_s: float
    p99_ms: float
    errors: int
    lost: int


def ours(url: str, folder: Path, number: int) -> Iterator[Callable[[], None]]:
    """Yield the writing of one record, for a run of its own."""
    records = sync_records()
    with Store(url) as store:
        run_id = number + 1
        journal = Journal.reserve(folder / f"run-{run_id}-{time.time_ns()}", queries.run_folder(store, run_id).fence)  # type: ignore[union-attr]
        claim = Claim(run_id, journal.number, 2)
        origin = AttemptOrigin("local", None, None, 1, "here", os.getpid(), 0.0, "0")
        store.begin_attempt(claim, origin, resumed_from_sync=None, resumed_from_step=None, take_over=True)
        stored = 0

        def write() -> None:
            nonlocal stored
            assert not journal.overtaken()
            journal.append(*as_entry(next(records)))
            chunk = journal.read(stored)
            store.ingest(claim, chunk)
            stored = chunk.end

        yield write


def optunas(url: str, folder: Path, number: int) -> Iterator[Callable[[], None]]:
    """Yield the reporting of one float, for a trial of its own."""
    trial = optuna.load_study(study_name="bench", storage=RDBStorage(_driver(url))).ask()
    steps = iter(range(10**9))
    yield lambda: trial.report(0.5, next(steps))


def prepare_ours(url: str, folder: Path, writers: int) -> None:
    """A database with a run for each writer."""
    grid = folder / "bench.yaml"
    seeds = f"{{range: {{start: 0, stop: {writers}}}}}"
    grid.write_text(
        f"name: bench\ngrid: {{model: [tiny], k: [2], eta: [1.0e-3], seed: {seeds}}}\nfixed: {{horizon: 1000000}}\n"
    )
    schema.upgrade(url)
    with Store(url) as store:
        registration.register(store, load_sweep(grid))


def prepare_optunas(url: str, folder: Path, writers: int) -> None:
    """A database with a study."""
    optuna.create_study(study_name="bench", storage=RDBStorage(_driver(url)))


def count_ours(url: str) -> int:
    """Rows of syncs."""
    with Store(url) as store, store.read() as connection:
        return connection.execute(select(func.count()).select_from(SyncMetric)).scalar_one()


def count_optunas(url: str) -> int:
    """Reported floats."""
    storage = RDBStorage(_driver(url))
    trials = storage.get_all_trials(storage.get_study_id_from_name("bench"))
    return sum(len(trial.intermediate_values) for trial in trials)


SIDES = {"ours": (prepare_ours, ours, count_ours), "Optuna": (prepare_optunas, optunas, count_optunas)}


def turn(side: str, url: str, folder: Path, writers: int, seconds: float) -> Turn:
    """Let so many processes write for so long into a new database."""
    prepare, writer, count = SIDES[side]
    prepare(url, folder, writers)
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(writers), context.Queue()
    processes = [
        context.Process(target=_write, args=(writer, url, folder, number, seconds, barrier, results))
        for number in range(writers)
    ]
    for process in processes:
        process.start()
    found: list[Written] = [results.get() for _ in processes]
    for process in processes:
        process.join()
    times_ms = [time_ms for one in found for time_ms in one.times_ms]
    written = sum(len(one.times_ms) + one.early for one in found)
    return Turn(
        rows_s=(len(times_ms) - sum(one.late for one in found)) / seconds,
        p99_ms=statistics.quantiles(times_ms, n=100)[98],
        errors=sum(one.errors for one in found),
        lost=written - count(url),
    )


def _write(
    writer: Writer, url: str, folder: Path, number: int, seconds: float, barrier: Barrier, results: Queue[Any]
) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    times_ms: list[float] = []
    early = late = 0
    for write in writer(url, folder, number):
        errors = Errors(number)
        for _ in range(_WARM_UP):
            with errors:
                write()
                early += 1
        barrier.wait()
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            with errors:
                write()
                ended = time.perf_counter()
                times_ms.append(1e3 * (ended - started))
                late += ended > end
        results.put(Written(times_ms, early, late, errors.count))


@dataclasses.dataclass(frozen=True)
class Written:
    """What one process wrote.

    Attributes:
        times_ms: What each write took.
        early: Writes before the time began: they make connections and compile statements.
        late: How many of the timed ones ended after the time: they wait for their turn when it is over.
        errors: Writes that failed.
    """

    times_ms: list[float]
    early: int
    late: int
    errors: int


class Errors:
    """A context that counts errors and goes on; it prints the first of a process."""

    def __init__(self, number: int) -> None:
        self.count = 0
        self._number = number

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Exception):
            self.count += 1
            if self.count == 1:
                print(
                    f"  writer {self._number}: {type(error).__name__}: {' '.join(str(error).split())[:100]}", flush=True
                )
            return True
        return False


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, Callable[[], str]]]:
    """Make new databases of each kind, on this disk."""
    with own_server(fsync="on", max_connections=300) as server:

        def postgres() -> str:
            name = f"bench{time.time_ns()}"
            server.execute(f"CREATE DATABASE {name}")
            return server.url("postgres", database=name)

        yield {"sqlite": lambda: f"sqlite:///{folder}/{time.time_ns()}.db", "postgresql": postgres}


def _driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--seconds", type=float, default=4, help="how long a turn is")
    parser.add_argument("--rounds", type=int, default=3, help="turns that each side takes")
    parser.add_argument("--kinds", nargs="+", default=list(TARGETS))
    parser.add_argument("--sides", nargs="+", default=list(SIDES))
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    row = "{:<12}{:>8}  {:<8}{:>10}{:>18}{:>10}{:>8}{:>6}{:>14}{:>8}"
    print(row.format("", "writers", "", "rows/s", "range", "p99 ms", "errors", "lost", "ours/Optuna", "load"))
    with tempfile.TemporaryDirectory(prefix="stalesweep-bench-") as scratch, databases(Path(scratch)) as make:
        for kind in arguments.kinds:
            for writers in arguments.writers:
                turns: dict[str, list[Turn]] = {side: [] for side in arguments.sides}
                for _ in range(arguments.rounds):
                    for side in arguments.sides:
                        turns[side].append(turn(side, make[kind](), Path(scratch), writers, arguments.seconds))
                rates = {side: statistics.median(t.rows_s for t in taken) for side, taken in turns.items()}
                for side, taken in turns.items():
                    spread = f"{min(t.rows_s for t in taken):,.0f}-{max(t.rows_s for t in taken):,.0f}"
                    ratio = f"{rates['ours'] / rates['Optuna']:.1f}" if side == "ours" and len(rates) == 2 else ""
                    p99 = f"{statistics.median(t.p99_ms for t in taken):.0f}"
                    counts = sum(t.errors for t in taken), sum(t.lost for t in taken)
                    load = f"{os.getloadavg()[0]:.1f}"
                    print(
                        row.format(kind, writers, side, f"{rates[side]:,.0f}", spread, p99, *counts, ratio, load),
                        flush=True,
                    )


if __name__ == "__main__":
    main()
