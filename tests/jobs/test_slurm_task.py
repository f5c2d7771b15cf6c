"""A task of an array: it trains its share, ends in good time, and may put itself back into the queue."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.attempt.stop import Stop
from orchestrator.jobs import shares
from orchestrator.jobs.slurm import task
from orchestrator.jobs.slurm.task import _may_go_on
from tests.support import children, fake_worker
from tests.support.jobs import Jobs
from tests.support.stand_in import StandIn


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn.make(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{stand_in.folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "77")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    (stand_in.folder / "scontrol").write_text('#!/bin/sh\necho "$@" >> $0.asked\n')
    return stand_in


def has_left(slurm: StandIn, left: str, once: str = "squeue") -> None:
    """What squeue says of the time that the task has left, once a file is there."""
    waits = f"until [ -e {slurm.folder / once} ]; do sleep 0.02; done"
    (slurm.folder / "squeue").write_text(f"#!/bin/sh\n[ $2 = --jobs=77_1 ] && {{ {waits}; echo {left}; }}\n")


def requeued(slurm: StandIn) -> str:
    path = slurm.folder / "scontrol.asked"
    return path.read_text() if path.exists() else ""


def trained(made: Jobs, code: int = 0, *, requeues: int = 9, step_s: float = 0.0, **worker: Any) -> None:
    """The second of two tasks, with the second run; it must end with an exit code."""
    folder = made.folder / "jobs"
    first, second = made.submit(1, 2)
    shares.write(folder, [[first], [second]], made.spec([]), margin_s=1, requeues=requeues)

    def main() -> None:
        sys.modules["grpo_worker.loop"] = fake_worker
        fake_worker.STEP_S = step_s
        for name, value in worker.items():
            setattr(fake_worker, name, value)
        os._exit(task.main(folder))

    assert children.end(children.start(main)) == code


def after(first: Callable[[], None]) -> Callable[..., Any]:
    """The worker's ``run``, which does something else first."""
    ordinary = fake_worker.run

    def run(*arguments: Any, **options: Any) -> Any:
        first()
        return ordinary(*arguments, **options)

    return run


def signal_in(seconds: float, number: int) -> None:
    """Let this process get a signal a while later."""
    threading.Timer(seconds, os.kill, (os.getpid(), number)).start()


def test_a_task_trains_its_own_share(jobs: Callable[..., Jobs], slurm: StandIn) -> None:
    has_left(slurm, "UNLIMITED")
    made = jobs(2)
    trained(made)
    assert made.states() == ["queued", "collapsed"]
    assert made.rows(2) == made.expected
    assert requeued(slurm) == ""


def test_a_run_that_fails_is_told_by_the_exit_code(jobs: Callable[..., Jobs], slurm: StandIn) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("no")

    has_left(slurm, "UNLIMITED")
    made = jobs(2)
    trained(made, 1, run=fails)
    assert (made.states(), requeued(slurm)) == (["queued", "failed"], "")


@pytest.mark.parametrize(("requeues", "asked"), [(3, "requeue 77_1\n"), (2, "")])
def test_near_its_time_limit_a_task_saves_and_goes_back_into_the_queue(
    jobs: Callable[..., Jobs], slurm: StandIn, requeues: int, asked: str
) -> None:
    has_left(slurm, "0:01", once="trains")  # no more than its margin
    made = jobs(2, horizon=1000)
    trained(made, requeues=requeues, step_s=0.05, run=after((slurm.folder / "trains").touch))
    assert made.states() == ["queued", "pending"]
    assert [attempt["failure_class"] for attempt in made.attempts(2)] == ["time_limit"]
    assert requeued(slurm) == asked


@pytest.mark.parametrize(("left", "why"), [("59:00", "preempted"), ("2:20", "time_limit"), ("", "preempted")])
def test_slurms_signal_far_from_the_time_limit_is_a_preemption(
    jobs: Callable[..., Jobs], slurm: StandIn, left: str, why: str
) -> None:
    has_left(slurm, left)
    made = jobs(2, horizon=1000)
    trained(made, step_s=0.05, run=after(lambda: signal_in(0.5, signal.SIGUSR2)))
    assert [attempt["failure_class"] for attempt in made.attempts(2)] == [why]
    assert requeued(slurm) == "requeue 77_1\n"


def test_a_user_who_stops_a_task_does_not_put_it_back(jobs: Callable[..., Jobs], slurm: StandIn) -> None:
    has_left(slurm, "UNLIMITED")
    made = jobs(2, horizon=1000)
    trained(made, step_s=0.05, run=after(lambda: signal_in(0.3, signal.SIGTERM)))
    assert [attempt["failure_class"] for attempt in made.attempts(2)] == ["stopped"]
    assert requeued(slurm) == ""


def test_shares_that_appear_late_are_waited_for(
    jobs: Callable[..., Jobs], slurm: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "_WAIT_S", 0.0)
    began = time.monotonic()
    with pytest.raises(FileNotFoundError):
        task.main(jobs(1).folder / "nowhere")
    assert time.monotonic() - began < 5


def test_a_task_gives_up_when_it_got_nowhere_twice_in_a_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mark = tmp_path / "fruitless-0"
    fruitless = [False, True, False, True, True]
    assert [_may_go_on(mark, one, 3, 50) for one in fruitless] == [True, True, True, True, False]
    assert "too short for one learner step" in caplog.text


def test_a_task_goes_on_no_more_often_than_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert _may_go_on(tmp_path / "fruitless-0", False, 1, 2)
    assert not _may_go_on(tmp_path / "fruitless-0", False, 2, 2)
    assert "2 times: not again" in caplog.text


@pytest.mark.parametrize(
    ("left", "margin_s", "ends_in_s", "why", "said"),
    [
        ("echo 100:00", 90.0, 6000.0, "stopped", []),
        ("echo 1:29", 90.0, 89.0, "time_limit", ["the time limit is near: saving a checkpoint"]),
        ("echo 1:30", 90.0, 90.0, "time_limit", ["the time limit is near: saving a checkpoint"]),
        ("echo UNLIMITED", 90.0, math.inf, "stopped", []),
        ("echo away >&2; exit 1", 90.0, math.inf, "stopped", ["the time limit is not known: squeue: away"]),
    ],
)
def test_the_clock_of_a_task(
    slurm: StandIn, caplog: pytest.LogCaptureFixture, left: str, margin_s: float, ends_in_s: float, why: str,
    said: list[str],
) -> None:  # fmt: skip
    class Asked(Stop):
        waited_s: float | None = None

        def wait(self, timeout_s: float) -> bool:
            self.waited_s = timeout_s
            return timeout_s > 0

    stop = Asked()
    (slurm.folder / "squeue").write_text(f"#!/bin/sh\n[ $2 = --jobs=77_1 ] || exit 9\n{left}\n")
    clock = task._Clock("77_1", margin_s, stop)
    assert (clock.daemon, clock.name, clock.ends_at) == (True, "time-limit", math.inf)
    began = time.monotonic()
    clock.run()
    assert clock.ends_at == ends_in_s or began + ends_in_s <= clock.ends_at <= time.monotonic() + ends_in_s
    assert stop.waited_s == (None if ends_in_s == math.inf else max(0.0, ends_in_s - margin_s))
    assert (stop.why, caplog.messages) == (why, said)


@pytest.mark.parametrize(
    ("fruitless", "mark", "restarts", "goes_on", "marked", "said"),
    [
        (True, False, 0, True, True, []),
        (True, True, 0, False, True, ["the time limit is too short for one learner step: not tried again"]),
        (False, True, 0, True, False, []),
        (False, False, 4, True, False, []),
        (False, False, 5, False, False, ["the job was put back into the queue 5 times: not again"]),
        (True, True, 6, False, True, ["the time limit is too short for one learner step: not tried again"]),
    ],
)
def test_whether_a_task_may_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fruitless: bool, mark: bool, restarts: int, goes_on: bool,
    marked: bool, said: list[str],
) -> None:  # fmt: skip
    path = tmp_path / "fruitless-0"
    if mark:
        path.touch()
    assert _may_go_on(path, fruitless, restarts, 5) == goes_on
    assert (path.exists(), caplog.messages) == (marked, said)


def test_shares_of_another_host_appear_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            shares.write(tmp_path, [[Path("/runs/run-000001")]], margin_s=7)

    monkeypatch.setattr(task, "time", SimpleNamespace(monotonic=lambda: float(len(waited)), sleep=sleep))
    monkeypatch.setattr(task, "_WAIT_S", 2.0)
    assert task._wait_for_shares(tmp_path) == {"margin_s": 7, "shares": [["/runs/run-000001"]]}
    assert waited == [1.0] * 3, "still looked for at the deadline"
    with pytest.raises(FileNotFoundError):
        task._wait_for_shares(tmp_path / "nowhere")
    assert waited == [1.0] * 6


def test_a_job_that_slurm_does_not_put_back_says_what_to_do(jobs: Callable[..., Jobs], slurm: StandIn) -> None:
    (slurm.folder / "scontrol").write_text("#!/bin/sh\necho away >&2; exit 1\n")
    has_left(slurm, "0:01", once="trains")
    made = jobs(2, horizon=1000)

    def first() -> None:
        logging.getLogger().addHandler(logging.FileHandler(made.folder / "said"))
        (slurm.folder / "trains").touch()

    trained(made, step_s=0.02, run=after(first))
    assert "scontrol: away; `stalesweep launch` lets the runs go on\n" in (made.folder / "said").read_text()
    assert made.states() == ["queued", "pending"]
