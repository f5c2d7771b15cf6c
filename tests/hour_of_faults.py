"""An hour of random faults over a sweep of 48 runs, beside an undisturbed twin; at the end the rows of both are equal.

    python -m tests.hour_of_faults --on sqlite --seed 1 [--minutes 60] [--keep FOLDER]

A seed gives the same faults at the same distances; which process of several each one meets is drawn too. Processes of
the sweep are killed, stopped and asked to end, its disk fills up, its clock jumps, its database is locked, stopped or
crashes, Slurm's daemons are killed. A launcher that has ended is started again. Needs root on Linux, for a file system
of the sweep's own, and a C compiler for its clock.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.cluster.devcluster import DevCluster
from tests.end_to_end.sweeps import Workspace, assert_same, results, workspace
from tests.support.servers import PASSWORD, Server, own_server

SWEEP = "hour"
GRID = """
name: {name}
grid: {{model: [tiny], k: [2, 8], eta: [2.5e-4, 1e-3, 2e-3], seed: [0, 1, 2, 3, 4, 5, 6, 7]}}
fixed: {{horizon: {horizon}, clip_eps: 1.0, kl_coef: 0.0, checkpoint_every_steps: 16}}
resources: {{cpus: 1, mem_gb: 1, time_min: 600}}
"""
STEPS_A_MINUTE = 25
"""The horizon for each minute of faults, so that two cores train twice 48 runs in about that time."""

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile long long *seconds;
__attribute__((constructor)) static void begin(void) {
    seconds = mmap(0, 8, PROT_READ, MAP_SHARED, open(getenv("HOUR_CLOCK"), O_RDONLY | O_CLOEXEC), 0);
}
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int r = real(id, t);
    if (id == CLOCK_REALTIME && seconds) t->tv_sec += *seconds;
    return r;
}
int gettimeofday(struct timeval *t, void *zone) {
    struct timespec now;
    int r = clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec; t->tv_usec = now.tv_nsec / 1000;
    return r;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
"""
"""Moves the wall clock of the processes that it is preloaded into by the seconds that a file holds."""


class Clock:
    """The wall clock of the sweep's processes; that of the machine stays as it is."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._file.touch()
        self.set(0)
        library = folder / "clock.so"
        compile_it = ["cc", "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(library), "-ldl"]
        subprocess.run(compile_it, input=CLOCK, text=True, check=True)
        self.environment = {"LD_PRELOAD": str(library), "HOUR_CLOCK": str(self._file)}

    def set(self, days: int) -> None:
        with self._file.open("r+b") as file:
            file.write((86_400 * days).to_bytes(8, sys.byteorder, signed=True))


@dataclass
class Hour:
    """A sweep, and what is done to it."""

    ws: Workspace
    executor: str
    rng: random.Random
    server: Server | None = None
    cluster: DevCluster | None = None
    clock: Clock | None = None  # Slurm's daemons do not answer commands of another day
    launchers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def launch(self) -> None:
        """Start a launcher, as a user would who sees that there is none."""
        self.launchers = [one for one in self.launchers if one.poll() is None]
        command = [sys.executable, "-m", "orchestrator.cli.app", "launch", "grid.yaml", "--executor", self.executor]
        with (self.ws.folder.parent / "launch.log").open("ab") as log:
            self.launchers.append(
                subprocess.Popen(
                    [*command, "--wait"] if self.cluster else command,
                    cwd=self.ws.folder,
                    env=self.ws.environment,
                    stdout=log,
                    stderr=log,
                )
            )

    @property
    def trainers(self) -> list[int]:
        """The processes that have a journal of the sweep open."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                files = [str(file.readlink()) for file in (process / "fd").iterdir()]
                if any(file.startswith(str(self.ws.folder)) and file.endswith(".journal") for file in files):
                    found.append(int(process.name))
        return sorted(found)

    def send(self, process: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)

    def one_of(self, processes: list[int], number: signal.Signals) -> None:
        if processes:
            self.send(self.rng.choice(processes), number)

    # Faults. Each leaves the machine as it was.

    def kill_a_trainer(self) -> None:
        self.one_of(self.trainers, signal.SIGKILL)

    def kill_all_trainers(self) -> None:
        for process in self.trainers:
            self.send(process, signal.SIGKILL)

    def ask_a_trainer_to_end(self) -> None:
        self.one_of(self.trainers, signal.SIGTERM)

    def stop_a_trainer(self) -> None:
        stopped = self.trainers[:1]
        self.one_of(stopped, signal.SIGSTOP)
        time.sleep(self.rng.uniform(1, 40))
        self.one_of(stopped, signal.SIGCONT)

    def kill_the_launcher(self) -> None:
        self.one_of([one.pid for one in self.launchers], signal.SIGKILL)

    def interrupt_the_launcher(self) -> None:
        self.one_of([one.pid for one in self.launchers], signal.SIGINT)

    def launch_beside_another(self) -> None:
        self.launch()

    def fill_the_disk(self) -> None:
        filler = self.ws.folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while file.write(bytes(1 << 20)):
                file.flush()
        time.sleep(self.rng.uniform(1, 10))
        filler.unlink()

    def move_the_clock(self) -> None:
        assert self.clock is not None
        self.clock.set(self.rng.choice([-400, -1, 0, 1, 400]))

    def ask_for_status(self) -> None:
        said = self.ws.run("status", "--format", "json")
        assert "Traceback" not in said.stderr, said.stderr

    def lock_sqlite(self) -> None:
        with contextlib.closing(sqlite3.connect(self.ws.folder / "stalesweep.db", timeout=60)) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(self.rng.uniform(1, 40))
            other.rollback()

    def stop_postgres(self) -> None:
        assert self.server is not None
        self.server.stop(self.rng.choice(["fast", "immediate"]))
        time.sleep(self.rng.uniform(0, 40))
        self.server.start()

    def crash_postgres(self) -> None:
        assert self.server is not None
        self.server.kill()
        time.sleep(self.rng.uniform(0, 20))
        self.server.start()

    def terminate_backends(self) -> None:
        assert self.server is not None
        with psycopg.connect(self.server.url("postgres")) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'me'")

    def forbid_writing(self) -> None:
        assert self.server is not None
        self.server.execute("ALTER DATABASE hour SET default_transaction_read_only = on")
        self.terminate_backends()
        time.sleep(self.rng.uniform(1, 20))
        self.server.execute("ALTER DATABASE hour RESET default_transaction_read_only")

    def kill_a_daemon(self) -> None:
        assert self.cluster is not None
        daemon = self.rng.choice(["slurmctld", "slurmd"])
        self.cluster.kill(daemon)
        time.sleep(self.rng.uniform(0, 20))
        self.cluster.start(daemon)

    def requeue_jobs(self) -> None:
        ask = ["squeue", "--noheader", "--states=running", "--format=%A"]
        found = subprocess.run(ask, env=self.ws.environment, capture_output=True, text=True, check=False)
        if jobs := sorted(found.stdout.split()):
            subprocess.run(["scontrol", "requeue", self.rng.choice(jobs)], env=self.ws.environment, check=False)

    @property
    def faults(self) -> list[Callable[[], None]]:
        """What can happen here."""
        found = [
            self.kill_a_trainer, self.kill_all_trainers, self.ask_a_trainer_to_end, self.stop_a_trainer,
            self.kill_the_launcher, self.interrupt_the_launcher, self.launch_beside_another, self.fill_the_disk,
            self.ask_for_status,
        ]  # fmt: skip
        if self.clock:
            found.append(self.move_the_clock)
        if self.server:
            found += [self.stop_postgres, self.crash_postgres, self.terminate_backends, self.forbid_writing]
        else:
            found.append(self.lock_sqlite)
        if self.cluster:
            found += [self.kill_a_daemon, self.requeue_jobs]
        return found

    def disturb(self, minutes: float) -> None:
        """Let faults happen one after the other, a few seconds apart, and start launchers that have ended."""
        ends_at = time.monotonic() + 60 * minutes
        while time.monotonic() < ends_at:
            if all(one.poll() is not None for one in self.launchers):
                self.launch()
            time.sleep(self.rng.uniform(0.5, 12))
            fault = self.rng.choice(self.faults)
            print(f"{time.strftime('%H:%M:%S')} {fault.__name__}", flush=True)
            fault()
            self.done[fault.__name__] += 1

    def finish(self) -> None:
        """Launch until nothing is left to do."""
        for one in self.launchers:
            one.wait()
        for _ in range(5):
            self.launch()
            if self.launchers[-1].wait() == 3:
                return
        sys.exit(f"the sweep does not come to its end, see {self.ws.folder.parent}/launch.log")


@contextmanager
def file_system(folder: Path, *, keep: bool) -> Iterator[Path]:
    """A file system of the sweep's own, to be filled up; it stays mounted if it is to be kept."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        if not keep:
            subprocess.run(["umount", "--lazy", folder], check=True)


def main() -> None:
    """Run the twin and the sweep, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=("sqlite", "postgres", "slurm"), default="sqlite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--keep", type=Path, help="a new folder, which stays, with a file system mounted in it")
    options = parser.parse_args()
    horizon = max(48, 8 * round(STEPS_A_MINUTE * options.minutes / 8))
    folder = options.keep or Path(tempfile.mkdtemp(prefix="stalesweep-hour-"))
    (folder / "twin").mkdir(parents=True)
    with ExitStack() as stack:
        server = stack.enter_context(own_server()) if options.on == "postgres" else None
        if server:
            server.execute("CREATE DATABASE hour OWNER me")
        cluster = None
        if options.on == "slurm":
            cluster = DevCluster(folder / "cluster")
            cluster.up("--nodes", "2")
            stack.callback(cluster.command, "down")
        twin = workspace(folder / "twin", folder / "cache")
        home = stack.enter_context(file_system(folder / "sweep", keep=options.keep is not None))
        ws = workspace(home, folder / "cache", server.url("me", PASSWORD, "hour") if server else None)
        for one in (twin, ws):
            one.grid(GRID.format(name=SWEEP, horizon=horizon))
        if cluster:
            ws.environment["SLURM_CONF"] = str(cluster.slurm_conf)
        clock = None if cluster else Clock(folder)
        if clock:
            ws.environment.update(clock.environment)
        undisturbed = stack.enter_context(
            twin.start("launch", "grid.yaml", "--executor", "local", "--max-parallel", "1")
        )
        hour = Hour(ws, "slurm" if cluster else "local", random.Random(options.seed), server, cluster, clock)
        began = time.monotonic()
        hour.disturb(options.minutes)
        print(f"no more faults after {(time.monotonic() - began) / 60:.0f} minutes")
        hour.finish()
        undisturbed.communicate()
        with ws.store() as disturbed_store, twin.store() as twin_store:
            found, expected = results(disturbed_store), results(twin_store)
            with disturbed_store.read() as connection:
                attempts = connection.exec_driver_sql("SELECT count(*) FROM attempt").scalar()
        assert_same(found, expected)
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in sorted(hour.done.items()))
    print(f"{hour.done.total()} faults: {counts}")
    print(
        f"{len(found['runs'])} runs, {attempts} attempts, {len(found['syncs']):,} weight syncs and "
        f"{len(found['evals']):,} evaluations: equal to the undisturbed twin's (horizon {horizon})"
    )
    if not options.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
