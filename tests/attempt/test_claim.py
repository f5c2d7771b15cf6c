"""What an attempt says of its process, and who may begin one."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from grpo_worker.schema.records import Record
from orchestrator.attempt.claim import Begun, begin, origin
from orchestrator.attempt.recording import as_entry
from orchestrator.attempt.stop import Stop
from orchestrator.base.errors import SelectionError, StoreError, StoreUnavailable
from orchestrator.base.life import Writer
from orchestrator.base.processes import started_at, this_host
from orchestrator.base.settings import code_version
from orchestrator.rundir import folder, journal
from orchestrator.rundir.writing import Journal
from orchestrator.store import attempts, queries
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt, RunRow
from tests.support import lives
from tests.support.jobs import CUT_OFF, QUICK, Jobs
from tests.support.stores import begin as store_begins
from tests.support.stores import eval_record, sync_record


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


@pytest.fixture
def directory(jobs: Callable[..., Jobs]) -> Path:
    """Of a run of four steps a weight sync, whose database gave it no attempt yet."""
    (directory,) = jobs(1).submit(1)
    return directory


def ask(
    directory: Path, store: Store | None = None, *, step: int | None = None, stop: Stop | None = None, **said: Any
) -> Begun | None:
    run = dataclasses.replace(folder.load(directory), **said)
    checkpoint = None if step is None else (directory / "checkpoint", step)
    return begin(store, "local", directory, run, run.worker_config(), lambda _: checkpoint, stop or Stop(), CUT_OFF)


def older(directory: Path, number: int, *records: tuple[str, dict[str, Any]]) -> None:
    mine = Journal.reserve(directory, number - 1)
    for record in records:
        mine.append(*record)
    mine.close()


def test_a_task_of_an_array_goes_by_the_arrays_job_id(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SLURM_JOB_ID": "4712", "SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2",
        "SLURMD_NODENAME": "n1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    found = origin("slurm")
    assert (found.executor, found.job_id, found.task_id, found.restart_count) == ("slurm", "4711", "3", 2)
    assert (found.node, found.pid, found.host) == ("n1", os.getpid(), this_host())
    assert (found.process_started_at, found.code_version) == (started_at(os.getpid()), code_version())
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name)
    found = origin("slurm")
    assert (found.job_id, found.task_id, found.restart_count) == ("4712", None, 0)
    monkeypatch.delenv("SLURM_JOB_ID")
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", "99")
    assert origin("local").job_id == "99"


BEGUN = ("begin", {})


@pytest.mark.parametrize(
    "records",
    [
        [],
        [BEGUN],
        [BEGUN, ("finish", {"outcome": "stable", "learner_steps": 8})],
        [BEGUN, ("finish", {"outcome": "interrupted", "learner_steps": 8})],
        [("cancel", {"why": "cancelled", "reason": "by me"})],
    ],
)
def test_where_the_directory_alone_decides_the_first_since_the_submission_has_the_run(
    directory: Path, records: list[tuple[str, dict[str, Any]]]
) -> None:
    older(directory, 1, *records)
    assert ask(directory) is None
    assert journal.numbers(directory) == [1], "who does not begin leaves nothing"
    begun = ask(directory, fence=1)
    assert begun is not None, "what was there when the run was submitted is over"
    assert begun.claim.attempt == 2
    begun.journal.close()


@pytest.mark.parametrize(
    ("records", "begins"),
    [
        ([], True),
        ([BEGUN], True),
        ([BEGUN, ("finish", {"outcome": "interrupted", "learner_steps": 8})], True),
        ([BEGUN, ("finish", {"outcome": "stable", "learner_steps": 8})], False),
        ([BEGUN, ("finish", {"outcome": "diverged", "learner_steps": 8})], False),
        ([BEGUN, ("fail", {"failure": "OSError"})], False),
        ([("cancel", {"why": "cancelled", "reason": "by me"})], False),
        ([("stop", {"reason": "by a search"})], False),
    ],
)
def test_a_requeued_job_takes_over_what_has_something_left_to_do(
    directory: Path, records: list[tuple[str, dict[str, Any]]], begins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    older(directory, 1, *records)
    begun = ask(directory, step=9)
    assert (begun is not None) == begins
    assert journal.numbers(directory) == ([1, 2] if begins else [1])
    if begun is not None:
        begun.journal.close()


@pytest.mark.parametrize(("step", "sync"), [(None, None), (1, None), (2, 0), (9, 3)])
def test_an_attempt_says_from_where_it_resumes(directory: Path, step: int | None, sync: int | None) -> None:
    begun = ask(directory, step=step)
    assert begun is not None
    run = folder.load(directory)
    assert dataclasses.astuple(begun.claim) == (1, 1, 2, run.config_digest)
    assert begun.first_record == {
        "run": 1, "sweep": "demo", "config_digest": run.config_digest, "attempt": 1, "resumed_from_step": step,
        "resumed_from_sync": sync, "origin": dataclasses.asdict(origin("local")),
        "writer": Writer.this_process(locked=True).to_json(),
    }  # fmt: skip
    assert begun.journal.flushed == 0
    begun.journal.close()


def test_a_run_of_another_database_is_refused_and_a_finished_one_left_alone(directory: Path, url: str) -> None:
    with Store(url) as store:
        for said in ({"sweep": "other"}, {"config_digest": "0" * 16}):
            with pytest.raises(
                StoreError, match=r"run 1 of this database is another one than .*run-000001 is for: was"
            ):
                ask(directory, store, **said)
        assert journal.numbers(directory) == []
        begun = ask(directory, store, fence=4)
        assert begun is not None
        assert begun.claim.attempt == 5, "above all that the directory or the database has given"
        begun.journal.close()
        assert ask(directory, store) is None, "it is running"
        assert journal.numbers(directory) == [5]


class Away(Store):
    """A database that never answers."""

    asked = 0

    def check(self) -> None:
        self.asked += 1
        raise StoreUnavailable("it is away")


def test_an_absent_database_is_waited_for_and_then_the_directory_decides(
    directory: Path, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = folder.load(directory)
    pace = dataclasses.replace(QUICK, patience_s=0.3, longest_pause_s=0.1)
    began = time.monotonic()
    with Away(url, check_schema=False) as away:
        begun = begin(away, "local", directory, run, run.worker_config(), lambda _: None, Stop(), pace)
        assert begun is not None
        begun.journal.close()
        assert away.asked > 3
        assert 0.3 <= time.monotonic() - began < 20
        assert "run 1 has to wait: it is away" in caplog.text
        stop = Stop()
        stop.request("preempted")
        pace = dataclasses.replace(pace, patience_s=60.0)
        assert begin(away, "local", directory, run, run.worker_config(), lambda _: None, stop, pace) is None
    assert journal.numbers(directory) == [1]


class Impatient(Stop):
    """Notes how long it was to wait, and ends after so many waits."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.left, self.waited_s = waits, list[float]()

    def wait(self, timeout_s: float) -> bool:
        self.waited_s.append(timeout_s)
        self.left -= 1
        return self.left == 0


def test_an_absent_database_is_asked_after_pauses_of_different_lengths(directory: Path, url: str) -> None:
    run, stop = folder.load(directory), Impatient(300)
    pace = dataclasses.replace(QUICK, patience_s=60.0, longest_pause_s=10.0)
    with Away(url, check_schema=False) as away:
        assert begin(away, "local", directory, run, run.worker_config(), lambda _: None, stop, pace) is None
    assert away.asked == 300
    assert 0.2 <= min(stop.waited_s) < 0.4
    assert 1.8 < max(stop.waited_s) <= 2.0


def attempts_of(url: str) -> list[Any]:
    with Store(url) as store, store.read() as connection:
        return list(connection.execute(select(Attempt.__table__).order_by(Attempt.number)).mappings())


@pytest.mark.parametrize("restarts", ["0", "1"])
def test_only_a_requeued_job_takes_over_what_the_database_has_given(
    directory: Path, url: str, restarts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    with Store(url) as store:
        for _ in range(2):
            store_begins(store, 1, take_over=True)
        begun = ask(directory, store, step=3)
        assert journal.numbers(directory) == ([] if restarts == "0" else [3])
        assert (begun is not None) == (restarts == "1")
    if begun is not None:
        begun.journal.close()
        last = attempts_of(url)[-1]
        assert (last["number"], last["restart_count"], last["executor"], last["host"]) == (3, 1, "local", this_host())
        assert (last["resumed_from_step"], last["resumed_from_sync"]) == (3, 0)


def test_an_attempt_that_the_database_granted_and_whose_answer_was_lost_is_the_same_one(
    directory: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [StoreUnavailable("the answer was lost")]
    granted = attempts.begin

    def answers(*arguments: Any, **options: Any) -> bool:
        found = granted(*arguments, **options)
        if lost:
            raise lost.pop()
        return found

    monkeypatch.setattr(attempts, "begin", answers)
    run = folder.load(directory)
    with Store(url) as store:
        begun = begin(store, "local", directory, run, run.worker_config(), lambda _: None, Stop(), QUICK)
    assert begun is not None
    begun.journal.close()
    assert (begun.claim.attempt, journal.numbers(directory), len(attempts_of(url))) == (1, [1], 1)


def test_a_run_that_the_database_has_a_result_of_or_does_not_know_is_not_begun(directory: Path, url: str) -> None:
    with Store(url) as store:
        with store.write() as connection:
            connection.execute(update(RunRow).values(state="stable", learner_steps=RunRow.horizon))
        assert ask(directory, store) is None
        with store.write() as connection:
            connection.execute(delete(RunRow))
        with pytest.raises(SelectionError, match="no run 1"):
            ask(directory, store)
    assert journal.numbers(directory) == []


def older_with(directory: Path, *records: Record) -> None:
    earlier = lives.begun(None, directory)
    for one in records:
        earlier.journal.append(*as_entry(one))
    earlier.journal.close()


def test_what_earlier_attempts_left_is_stored_before_the_next_one_begins(
    directory: Path, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    older_with(directory, eval_record(0), sync_record(0), sync_record(1))
    with Store(url) as store:
        begun = ask(directory, store, step=2, fence=1)
        assert begun is not None
        begun.journal.close()
        assert queries.progress(store, 1)[0].sync == 0, "what follows the checkpoint is measured again"
    assert [one["number"] for one in attempts_of(url)] == [1, 2]
    assert caplog.messages == []


LACKS = "run 1: some of what it measured up to learner step 8, where it goes on, is neither in"


@pytest.mark.parametrize(
    ("val_n", "step", "said"),
    [(0, None, ["ck_evaluation_val_n"]), (0, 8, ["ck_evaluation_val_n"] * 2), (9, 8, [LACKS]), (9, None, [])],
)
def test_what_is_wrong_with_an_earlier_attempt_is_said_and_the_next_one_begins(
    directory: Path, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, val_n: int,
    step: int | None, said: list[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    older_with(directory, dataclasses.replace(eval_record(0), val_n=val_n))
    with Store(url) as store:
        begun = ask(directory, store, step=step, fence=1)
    assert begun is not None
    begun.journal.close()
    assert len(caplog.messages) == len(said)
    assert all(part in message for part, message in zip(said, caplog.messages, strict=True))


def test_a_number_whose_process_has_given_up_meanwhile_keeps_nobody_out(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    journal.path_of(directory, 1).symlink_to("gone")
    begun = ask(directory)
    assert begun is not None
    begun.journal.close()
