"""Rows a second of many writing processes, beside Optuna's RDBStorage in turns; prints ratios, asserts nothing.

    .venv/bin/python -m tests.benchmarks.bench_store [--writers 1 8 32 64] [--seconds 8] [--rounds 3]
    .venv/bin/python -m tests.benchmarks.bench_store --writers 64 --sides ours --rate 5

Ours: each process emits records of weight syncs to a `orchestrator.attempt.recording.Recording` of its own run, as a
job does: an append to the journal with its fsync, and the thread that brings the journal to the database. Only rows
that are in the database count. Optuna's: `trial.report` of one float, each process a trial of its own. Both write as
fast as they can, or at a rate, to SQLite files on the same disk, and to one Postgres server, which waits for the disk
at every commit.

A row's delay is the time from the return of `emit` to the first look of another process that finds it in the database;
there is a look every 50 ms. Errors are counted, and every row that was acknowledged is looked for afterwards.
"""

from __future__ import annotations

import argparse
import bisect
import contextlib
import dataclasses
import logging
import multiprocessing
import os
import random
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

from orchestrator.attempt.recording import Recording
from orchestrator.grid.sweep import load_sweep
from orchestrator.jobs import training
from orchestrator.rundir import folder as rundirs
from orchestrator.store import queries, registration, schema
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt, SyncMetric
from tests.benchmarks.rows import sync_records
from tests.support.lives import START, begun
from tests.support.servers import own_server

TARGETS = {"sqlite": 20, "postgresql": 4}
TARGET_DELAY_S = 2.0
_LOOK_EVERY_S = 0.05
_WARM_UP_S = 2.0  # connections and statements are made once a process, and the first rows are on their way
Looks = list[tuple[float, dict[int, int]]]


@dataclasses.dataclass(frozen=True)
class Written:
    """What one process wrote.

    Attributes:
        run_id: Its run; 0 for Optuna's.
        times: When each write returned, on this machine's monotonic clock.
        places: Bytes of the journal that were on disk then.
        errors: Errors and warnings.
    """

    run_id: int
    times: list[float]
    places: list[int]
    errors: int


@dataclasses.dataclass(frozen=True)
class Turn:
    """What the writers of one side did in one turn.

    Attributes:
        rows_s: Rows a second, all together.
        delay_s: 99th percentile of the time from a row's write to its sight in the database; of ours.
        errors: Writes that failed, and warnings.
        lost: Rows that were acknowledged and are not there.
    """

    rows_s: float
    delay_s: float | None
    errors: int
    lost: int


class Errors(logging.Handler):
    """Counts warnings and errors, prints the first of a process, and goes on after an exception."""

    def __init__(self, number: int) -> None:
        super().__init__(logging.WARNING)
        self.count = 0
        self._number = number

    def emit(self, record: logging.LogRecord) -> None:
        """Count what is logged."""
        self.add(record.getMessage())

    def add(self, message: str) -> None:
        """Count one."""
        self.count += 1
        if self.count == 1:
            print(f"  writer {self._number}: {' '.join(message.split())[:120]}", flush=True)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count an exception instead of raising it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self.add(f"{type(error).__name__}: {error}")


def until(end: Any, rate: float | None) -> Iterator[None]:
    """Wait for the turn of each row, until the end."""
    next_at = time.monotonic() + (random.random() / rate if rate else 0.0)
    while time.monotonic() < end.value:
        if rate:
            time.sleep(max(0.0, next_at - time.monotonic()))
            next_at += 1 / rate
        yield


def ours(url: str, folder: Path, number: int, start: Barrier, end: Any, rate: float | None) -> Written:
    """Emit records of one run until the end."""
    errors, records = Errors(number), sync_records()
    logging.getLogger().addHandler(errors)
    written = Written(number + 1, [], [], 0)
    with Store(url) as store:
        attempt = begun(store, folder / "runs" / rundirs.name_of(number + 1))
        with errors.counting(), Recording(attempt.journal, attempt.claim, store) as recording:
            recording.emit(START)
            start.wait()
            for _ in until(end, rate):
                recording.emit(next(records))
                written.times.append(time.monotonic())
                written.places.append(attempt.journal.flushed)
    return dataclasses.replace(written, errors=errors.count)


def optunas(url: str, folder: Path, number: int, start: Barrier, end: Any, rate: float | None) -> Written:
    """Report floats of one trial until the end."""
    errors = Errors(number)
    times: list[float] = []
    trial = optuna.load_study(study_name="bench", storage=RDBStorage(_driver(url))).ask()
    start.wait()
    for step, _ in enumerate(until(end, rate)):
        with errors.counting():
            trial.report(0.5, step)
            times.append(time.monotonic())
    return Written(0, times, [], errors.count)


def prepare_ours(url: str, folder: Path, writers: int) -> None:
    """A database with a run for each writer, and their directories."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["STALESWEEP_RUNS"] = str(folder / "runs")
    grid = folder / "bench.yaml"
    seeds = f"{{range: {{start: 0, stop: {writers}}}}}"
    grid.write_text(
        f"name: bench\ngrid: {{model: [tiny], k: [2], eta: [1.0e-3], seed: {seeds}}}\nfixed: {{horizon: 1000000}}\n"
    )
    schema.upgrade(url)
    with Store(url) as store:
        sweep_id = registration.register(store, load_sweep(grid))
        training.place(store, sweep_id)
        training.prepare(store, sweep_id, queries.unfinished_runs(store, sweep_id))


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


def turn(side: str, url: str, folder: Path, writers: int, seconds: float, rate: float | None) -> Turn:
    """Let so many processes write for so long into a new database."""
    prepare, writer, count = SIDES[side]
    prepare(url, folder, writers)
    context = multiprocessing.get_context("fork")
    start, end, results = context.Barrier(writers + 1), context.Value("d", float("inf")), context.Queue()
    processes = [
        context.Process(target=_write, args=(writer, url, folder, number, start, end, rate, results))
        for number in range(writers)
    ]
    for process in processes:
        process.start()
    start.wait()
    began = time.monotonic() + _WARM_UP_S
    ended = end.value = began + seconds
    looks = _looks(url, ended) if side == "ours" else []
    found: list[Written] = [results.get() for _ in processes]
    for process in processes:
        process.join()
    seen = [_seen(one, looks) for one in found] if looks else [one.times for one in found]
    delays = sorted(
        at - written
        for one, places in zip(found, seen, strict=True)
        for written, at in zip(one.times, places, strict=False)
        if written >= began
    )
    return Turn(
        rows_s=sum(began <= at < ended for places in seen for at in places) / seconds,
        delay_s=statistics.quantiles(delays, n=100)[98] if looks else None,
        errors=sum(one.errors for one in found),
        lost=sum(len(one.times) for one in found) - count(url),
    )


def _write(
    writer: Callable[..., Written], url: str, folder: Path, number: int, start: Barrier, end: Any, rate: float | None,
    results: Queue[Any],
) -> None:  # fmt: skip
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    results.put(writer(url, folder, number, start, end, rate))


def _looks(url: str, ended: float) -> Looks:
    """Look at how much of each journal is stored, for a while longer than there are writers; as `status` would."""
    looks: Looks = []
    with Store(url) as store:
        while time.monotonic() < ended + 2 * TARGET_DELAY_S:
            with contextlib.suppress(IndexError), store.read() as connection:
                stored = {
                    row.run_id: row.journal_bytes
                    for row in connection.execute(select(Attempt.run_id, Attempt.journal_bytes))
                }
                looks.append((time.monotonic(), stored))
            time.sleep(_LOOK_EVERY_S)
    return looks


def _seen(one: Written, looks: Looks) -> list[float]:
    """When each row of a writer was first seen, as far as it was."""
    sizes = [stored.get(one.run_id, 0) for _, stored in looks]
    found = [bisect.bisect_left(sizes, place) for place in one.places]
    return [looks[look][0] for look in found if look < len(looks)]


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
    parser.add_argument("--seconds", type=float, default=8, help="how long a turn is")
    parser.add_argument("--rounds", type=int, default=3, help="turns that each side takes")
    parser.add_argument("--rate", type=float, help="rows a second of each writer; as fast as it can if not given")
    parser.add_argument("--kinds", nargs="+", default=list(TARGETS))
    parser.add_argument("--sides", nargs="+", default=list(SIDES))
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    row = "{:<12}{:>8}  {:<8}{:>10}{:>18}{:>12}{:>8}{:>6}{:>14}{:>8}"
    print(row.format("", "writers", "", "rows/s", "range", "delay s", "errors", "lost", "ours/Optuna", "load"))
    with tempfile.TemporaryDirectory(prefix="stalesweep-bench-") as scratch, databases(Path(scratch)) as make:
        for kind in arguments.kinds:
            for writers in arguments.writers:
                turns: dict[str, list[Turn]] = {side: [] for side in arguments.sides}
                for _ in range(arguments.rounds):
                    for side in arguments.sides:
                        folder = Path(scratch) / f"{time.time_ns()}"
                        taken = turn(side, make[kind](), folder, writers, arguments.seconds, arguments.rate)
                        turns[side].append(taken)
                rates = {side: statistics.median(t.rows_s for t in taken) for side, taken in turns.items()}
                for side, all_taken in turns.items():
                    spread = f"{min(t.rows_s for t in all_taken):,.0f}-{max(t.rows_s for t in all_taken):,.0f}"
                    ratio = f"{rates['ours'] / rates['Optuna']:.1f}" if side == "ours" and len(rates) == 2 else ""
                    delays = [t.delay_s for t in all_taken if t.delay_s is not None]
                    delay = f"{statistics.median(delays):.2f}" if delays else ""
                    counts = sum(t.errors for t in all_taken), sum(t.lost for t in all_taken)
                    load = f"{os.getloadavg()[0]:.1f}"
                    print(
                        row.format(kind, writers, side, f"{rates[side]:,.0f}", spread, delay, *counts, ratio, load),
                        flush=True,
                    )


if __name__ == "__main__":
    main()
