"""How many local processes are started, when, with which GPUs, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.attempt.job import JobSpec
from orchestrator.attempt.share import Share, follow
from orchestrator.attempt.stop import Stop
from orchestrator.base.errors import StoreUnavailable, UsageError
from orchestrator.base.processes import this_host
from orchestrator.grid.sweep import Sweep
from orchestrator.jobs import local, shares
from orchestrator.jobs.training import prepare
from orchestrator.store import queries, registration
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt
from tests.support.lives import begun
from tests.support.waiting import wait_for


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.sched_getaffinity(0)
    assert local.cores() == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert local.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    monkeypatch.delattr(os, "sched_getaffinity")  # as on a Mac
    for count, cores in ((7, 7), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert local.cores() == cores


@pytest.mark.parametrize(
    ("cores", "gpus", "each", "places"),
    [(8, "", 0, 8), (8, "", 1, 8), (8, "abcd", 1, 4), (8, "abcd", 2, 2), (8, "abcd", 3, 1), (8, "ab", 4, 1),
     (2, "abcd", 1, 2), (1, "abcd", 4, 1)],
)  # fmt: skip
def test_as_many_train_as_there_are_cores_or_gpus_for(
    monkeypatch: pytest.MonkeyPatch, cores: int, gpus: str, each: int, places: int
) -> None:
    monkeypatch.setattr(local, "cores", lambda: cores)
    assert local.places_for(gpus, each) == places


@pytest.mark.parametrize(("asked", "visible", "each", "used"), [
    (None, "5,7,9", 1, (3, ["5", "7", "9"], 1)), (2, "5,7,9", 1, (2, ["5", "7", "9"], 1)),
    (None, "5,7", 0, (4, [], 0)), (3, "", 2, (3, [], 2)),
])  # fmt: skip
def test_a_launch_divides_the_gpus_that_it_sees(
    store: Store, grid: Callable[..., Sweep], runs_folder: Path, monkeypatch: pytest.MonkeyPatch, asked: int | None,
    visible: str, each: int, used: tuple[int, list[str], int],
) -> None:  # fmt: skip
    class Enough(Exception): ...

    given: list[Any] = []

    def processes(*arguments: Any) -> None:
        given.extend(arguments)
        raise Enough

    monkeypatch.setattr(local, "_Processes", processes)
    monkeypatch.setattr(local, "cores", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    sweep_id = registration.register(store, grid())
    directories = prepare(store, sweep_id, [2, 1])
    with pytest.raises(Enough):
        local.run_local(store, sweep_id, directories, asked, each, lambda _: None)
    folder, spec, *others = given
    assert tuple(others) == used
    assert shares.read(folder)["shares"] == [[str(directories[2]), str(directories[1])]]
    assert folder.parent == runs_folder / "jobs" and folder.name.startswith(f"local-{time.strftime('%Y')}")
    assert (spec.directories, spec.executor, spec.more) == ((directories[2], directories[1]), "local", None)
    assert spec.database == store.url


class Child:
    """A process in a place, as far as the launcher sees it."""

    def __init__(self, gpus: Any, log: Path) -> None:
        self.gpus, self.over = gpus, False
        self.paths = SimpleNamespace(stderr=log)

    def done(self) -> bool:
        return self.over


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Child]:
    """The processes that were started."""
    found: list[Child] = []

    def submit(folder: Path, spec: Any, gpus: Any) -> Child:
        assert (folder, spec) == (tmp_path, "the spec")
        found.append(Child(gpus, tmp_path / "log"))
        return found[-1]

    monkeypatch.setattr(local, "_submit_local", submit)
    return found


def processes(folder: Path, places: int, gpus: str = "", each: int = 0) -> local._Processes:
    return local._Processes(folder, "the spec", places, gpus, each)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("places", "waiting", "running", "count"),
    [(3, 5, 0, 3), (3, 2, 0, 2), (3, 1, 1, 2), (3, 0, 2, 0), (1, 9, 9, 1), (3, 0, 0, 0)],
)
def test_as_many_are_started_as_there_are_runs_and_places(
    started: list[Child], tmp_path: Path, places: int, waiting: int, running: int, count: int
) -> None:
    mine = processes(tmp_path, places)
    assert mine.are_gone
    mine.start_for(waiting, running)
    assert len(started) == count
    assert mine.are_gone == (count == 0)
    mine.start_for(waiting, running)
    assert len(started) == count, "those that are there take the runs"


def test_a_process_that_has_ended_is_replaced_in_its_place(started: list[Child], tmp_path: Path) -> None:
    mine = processes(tmp_path, 3, "abc", 1)
    mine.start_for(9, 0)
    assert [child.gpus for child in started] == [["a"], ["b"], ["c"]]
    started[1].over = True
    assert mine.ended() == [1]
    mine.drop(mine.ended(), 8)
    mine.start_for(8, 2)
    assert (len(started), started[-1].gpus, mine.ended()) == (4, ["b"], [])


def test_processes_that_end_without_taking_a_run_are_not_started_for_ever(started: list[Child], tmp_path: Path) -> None:
    (tmp_path / "log").write_text("\n".join(f"line {number}" for number in range(20)))
    mine = processes(tmp_path, 2)
    for waiting in (4, 4, 3, 3):  # the third time a run was taken meanwhile
        mine.start_for(waiting, 0)
        started[-1].over = True
        mine.drop(mine.ended(), waiting)
    mine.start_for(3, 0)
    started[-1].over = True
    mine.drop(mine.ended(), 3)
    mine.start_for(3, 0)
    started[-1].over = True
    with pytest.raises(UsageError) as told:
        mine.drop(mine.ended(), 3)
    lines = "\n".join(f"line {number}" for number in range(5, 20))
    assert str(told.value) == f"jobs end without training anything:\n{lines}"


def test_processes_that_end_when_nothing_waits_have_done_their_work(started: list[Child], tmp_path: Path) -> None:
    mine = processes(tmp_path, 1)
    for _ in range(9):
        mine.start_for(1, 0)
        started[-1].over = True
        mine.drop(mine.ended(), 0)
    assert len(started) == 9


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, {}); print('x', flush=True); time.sleep(60)"


@pytest.mark.parametrize(("handler", "killed_by"), [("signal.SIG_DFL", "SIGTERM"), ("signal.SIG_IGN", "SIGKILL")])
def test_processes_are_asked_to_end_and_then_killed(
    started: list[Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: str, killed_by: str
) -> None:
    monkeypatch.setattr(local, "_GRACE_S", 0.1 if killed_by == "SIGKILL" else 30.0)
    monkeypatch.setattr(local, "_POLL_S", 0.02)
    command = [sys.executable, "-S", "-c", STUBBORN.format(handler)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"x\n"
        mine = processes(tmp_path, 1)
        mine._jobs[0] = SimpleNamespace(job_id=str(process.pid), done=lambda: process.poll() is not None)
        began = time.monotonic()
        mine.end()
        assert process.wait(10) == -getattr(signal, killed_by)
        assert time.monotonic() - began < 10
        mine.end()  # it is gone


def test_what_a_process_printed_last(tmp_path: Path) -> None:
    assert local._last_lines(tmp_path / "log") == f"no log at {tmp_path / 'log'}"
    (tmp_path / "log").write_text("one\ntwo\n")
    assert local._last_lines(tmp_path / "log") == "one\ntwo"


ECHO = """#!/bin/sh
echo "asked $@"
echo "database $STALESWEEP_DB" >&2
cat
echo "session $(cut -d' ' -f6 /proc/$$/stat) of $$"
"""


@pytest.mark.filterwarnings("ignore")  # it runs on, while nobody holds it any more
@pytest.mark.parametrize(("max_parallel", "more"), [(None, ""), (3, " --max-parallel 3")])
def test_a_launch_in_the_background_says_all_in_its_log(
    tmp_path: Path, runs_folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, max_parallel: int | None, more: str
) -> None:
    (tmp_path / "python").write_text(ECHO)
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    runs_folder.mkdir()
    log = runs_folder / "launch-my.grid.log"
    log.write_text("before\n")
    pid, found = local.detach(Path("sweeps/my.grid.yaml"), max_parallel, url)
    assert found == log
    wait_for(lambda: "session" in log.read_text(), "what it prints")
    assert log.read_text().splitlines() == [
        "before",
        f"asked -m orchestrator.cli.app launch sweeps/my.grid.yaml --executor local --yes --detached{more}",
        f"database {url}",
        f"session {pid} of {pid}",
    ]


LOOKS = """import os, signal, sys
if "submitit.local._local" in sys.argv:  # which starts the job
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
seen = [os.environ.get("CUDA_VISIBLE_DEVICES", "all"), os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]]
blocked = [signal.Signals(one).name for one in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
with open(f"{sys.argv[0]}.part", "w") as file:
    file.write(" ".join(seen + blocked))
os.rename(f"{sys.argv[0]}.part", f"{sys.argv[0]}.said")
"""


@pytest.mark.parametrize(
    ("gpus", "mine", "seen"),
    [(["5", "7"], "0", "5,7"), (None, "0,1", "0,1"), (None, None, "all"), ([], "0", "")],
)
def test_a_process_sees_its_gpus_and_computes_on_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: list[str] | None, mine: str | None, seen: str
) -> None:
    (tmp_path / "python").write_text(f"#!{sys.executable} -S\n{LOOKS}")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if mine is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mine)
    spec = JobSpec((), tmp_path, "sqlite:///x", "local", this_host(), "journal")
    job = local._submit_local(tmp_path / "jobs", spec, gpus)
    said = tmp_path / "python.said"
    wait_for(said.exists, "what it sees")
    assert said.read_text() == f"{seen} 1 1 SIGINT", "Ctrl-C is the launcher's"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert os.environ["OMP_NUM_THREADS"] == "9"
    job._process.wait(10)


# The runs of a launch


@pytest.fixture
def sweep_id(store: Store, grid: Callable[..., Sweep], runs_folder: Path) -> int:
    return registration.register(store, grid())


def spec_of(store: Store, writes: str = "database") -> JobSpec:
    return JobSpec((), Path("/cache"), store.url, "local", this_host(), writes)


def states(store: Store, sweep_id: int) -> list[str]:
    return [run.state for run in queries.progress(store, sweep_id)]


@pytest.fixture
def share(runs_folder: Path) -> Iterator[Share]:
    with Share(runs_folder / "jobs" / "a" / "share.jsonl") as share:
        yield share


def test_further_runs_are_queued_listed_and_given_to_the_processes(store: Store, sweep_id: int, share: Share) -> None:
    directories = prepare(store, sweep_id, [1, 2, 3])
    asked: list[tuple[list[str], set[int]]] = []
    more = iter([{3: directories[3]}, {}])

    def refill(progress: list[queries.RunProgress], given: Any) -> Any:
        asked.append(([run.state for run in progress], set(given)))
        return next(more)

    runs = local._Runs(store, sweep_id, spec_of(store), {1: directories[1], 2: directories[2]}, refill, share)
    assert states(store, sweep_id) == ["queued", "queued", "pending", "pending"]
    first, second = runs.look(), runs.look()
    assert [run.state for run in first] == ["queued", "queued", "queued", "pending"]
    assert first == second
    assert asked == [
        (["queued", "queued", "pending", "pending"], {1, 2}), (["queued", "queued", "queued", "pending"], {1, 2, 3}),
    ]  # fmt: skip
    assert shares.read(share.path.parent)["shares"] == [[str(directories[run_id]) for run_id in (1, 2, 3)]]
    assert runs.counts(first) == (3, 0)
    runs.close()
    runs.close()
    runs.look()
    assert len(asked) == 2, "closed for good"
    assert list(follow(share.path, Stop())) == [directories[3]]
    runs.give_back()
    assert states(store, sweep_id) == ["pending"] * 4


def test_runs_that_run_are_counted_and_only_those_without_a_process_are_given_back(store: Store, sweep_id: int) -> None:
    directories = prepare(store, sweep_id, [1, 2, 3, 4])
    runs = local._Runs(store, sweep_id, spec_of(store), directories, None, None)
    for run_id in (1, 2, 3):
        begun(store, directories[run_id]).journal.close()
    assert runs.counts(runs.look()) == (1, 3)
    with store.write() as connection:
        connection.execute(update(Attempt).where(Attempt.run_id == 2).values(pid=2**22 + 1))
    runs.close()
    runs.give_back()
    assert states(store, sweep_id) == ["running", "pending", "running", "pending"]


@pytest.mark.parametrize("writes", ["journal", "database"])
def test_journals_are_brought_in_where_jobs_leave_that_to_the_launcher_and_after_an_outage(
    store: Store, sweep_id: int, monkeypatch: pytest.MonkeyPatch, writes: str
) -> None:
    collected: list[None] = []
    monkeypatch.setattr(local, "collect_aloud", lambda *_: collected.append(None))
    runs = local._Runs(store, sweep_id, spec_of(store, writes), prepare(store, sweep_id, [1]), None, None)

    def look() -> int:
        """How often journals were brought in for one look."""
        before = len(collected)
        assert len(runs.look()) == 4
        return len(collected) - before

    assert [look(), look()] == ([1, 1] if writes == "journal" else [0, 0])
    away = iter([StoreUnavailable("away"), None, None])

    def recover(*_: object) -> None:
        if error := next(away):
            raise error

    waited: list[str] = []
    monkeypatch.setattr(local, "recover", recover)
    monkeypatch.setattr(local, "wait_for_database", lambda _, error: waited.append(str(error)))
    assert [look(), look()] == ([2, 1] if writes == "journal" else [1, 0])
    assert waited == ["away"]


@pytest.mark.parametrize("adds", [True, False])
def test_a_launch_and_its_processes_share_one_list_of_runs(
    store: Store, sweep_id: int, monkeypatch: pytest.MonkeyPatch, adds: bool
) -> None:
    class Enough(Exception): ...

    def runs(*arguments: Any) -> None:
        *_, spec, directories, refill, share = arguments
        assert (share is not None) == (spec.more is not None) == (refill is not None) == adds
        if share is not None:
            share.add(directories.values())
            share.close()
            assert list(follow(spec.more, Stop())) == [*directories.values()]
        raise Enough

    monkeypatch.setattr(local, "_Runs", runs)
    directories = prepare(store, sweep_id, [1, 2])
    with pytest.raises(Enough):
        local.run_local(store, sweep_id, directories, 1, 0, lambda _: None, (lambda *_: {}) if adds else None)
