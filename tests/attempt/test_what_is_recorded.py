"""What a recording writes into the journal, says to people and gives to the database when an attempt ends badly."""

from __future__ import annotations

import dataclasses
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from grpo_worker.schema.records import EvalRecord, FinishRecord, StartRecord
from orchestrator.attempt.recording import Pace, Recording, as_entry, pause_s
from orchestrator.attempt.stop import Stop
from orchestrator.base.errors import Fenced, StoreError, StoreUnavailable
from orchestrator.grid.sweep import Sweep
from orchestrator.rundir import journal
from orchestrator.rundir.writing import Journal
from orchestrator.store import queries, registration, sqlite_files
from orchestrator.store.attempts import Claim
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt, RunRow
from tests.support.lives import START, launched
from tests.support.stores import begin, sync_record
from tests.support.waiting import wait_for

QUICK = Pace(every_s=0.01, patience_s=0.2, hurry_s=0.1, longest_pause_s=0.02)


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


@pytest.fixture
def claim(store: Store, grid: Callable[..., Sweep], runs_folder: Path) -> Claim:
    """Of the first attempt of run 1, which the database knows of."""
    launched(store, registration.register(store, grid()))
    return begin(store, 1)


@pytest.fixture
def mine(runs_folder: Path) -> Journal:
    return Journal.reserve(runs_folder / "run-000001", 0)


def entries(mine: Journal) -> list[dict[str, Any]]:
    return [{k: v for k, v in entry.items() if k != "elapsed_s"} for entry in journal.read(mine.path).entries]


def attempt_of(store: Store, claim: Claim) -> tuple[Any, ...]:
    with store.read() as connection:
        columns = (Attempt.outcome, Attempt.failure, Attempt.failure_class)
        return tuple(connection.execute(select(*columns).where(Attempt.run_id == claim.run_id)).one())


@pytest.mark.parametrize(
    ("record", "kind"),
    [(START, "start"), (EvalRecord(0, 0.5, 9), "eval"), (sync_record(0), "sync"),
     (FinishRecord("stable", 8, "half"), "finish")],
    ids=["start", "eval", "sync", "finish"],
)  # fmt: skip
def test_the_journal_holds_all_fields_of_a_record(record: StartRecord, kind: str) -> None:
    assert as_entry(record) == (kind, dataclasses.asdict(record))


@pytest.mark.parametrize(("outcome", "says_why"), [("interrupted", True), ("stable", False)])
def test_an_interrupted_attempt_says_who_asked_for_it(mine: Journal, outcome: Any, says_why: bool) -> None:
    stop = Stop()
    stop.request("preempted")
    with Recording(mine, Claim(1, 1), None, QUICK, stop) as recording:
        recording.emit(EvalRecord(4, 0.5, 9))
        recording.emit(FinishRecord(outcome, 8, "half"))
    first, last = entries(mine)
    assert "why" not in first
    assert (last["outcome"], last.get("why")) == (outcome, "preempted" if says_why else None)


def test_who_was_overtaken_is_told_so(mine: Journal) -> None:
    with pytest.raises(Fenced) as told, Recording(mine, Claim(7, 1), None, QUICK) as recording:
        recording.emit(sync_record(0))
        newer = Journal.reserve(mine.path.parent, 1)
        newer.append("beat")
        newer.close()
        recording.emit(sync_record(1))
    assert str(told.value) == "attempt 1 of run 7 ends: a newer one took over, or the run was removed"
    assert [entry["record"] for entry in entries(mine)] == ["sync"]


@pytest.mark.parametrize("classed", [(), ("gpu_out_of_memory",)])
def test_a_failure_is_a_record_of_the_journal(store: Store, claim: Claim, mine: Journal, classed: Any) -> None:
    with Recording(mine, claim, Store(store.url), QUICK) as recording:
        recording.fail("ValueError: no", *classed)
    failure_class = classed[0] if classed else "exception"
    assert entries(mine) == [{"record": "fail", "failure": "ValueError: no", "failure_class": failure_class}]
    assert attempt_of(store, claim) == ("failed", "ValueError: no", failure_class)


def full(*_: object) -> int:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("fenced", [False, True])
def test_a_failure_that_the_journal_has_no_space_for_is_told_to_the_database(
    store: Store, claim: Claim, mine: Journal, fenced: bool, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if fenced:
        with store.write() as connection:
            connection.execute(update(RunRow).values(fence=2))
    recording = Recording(mine, claim, Store(store.url), QUICK)
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        recording.fail("OSError: full", "killed")
    assert entries(mine) == []
    assert attempt_of(store, claim) == ((None, None, None) if fenced else ("failed", "OSError: full", "killed"))
    first, *others = caplog.messages
    assert "No space left on device" in first
    if fenced:
        assert others[0].startswith("the failure is not stored: ")
    assert len(others) == fenced
    mine.close()


def test_where_jobs_write_journals_only_a_full_disk_is_all_there_is_to_say(
    mine: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        Recording(mine, Claim(1, 1), None, QUICK).fail("OSError: full")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    mine.close()


def test_a_refused_record_and_the_failure_that_follows_it(store: Store, claim: Claim, mine: Journal) -> None:
    """The database does not read the journal beyond the record that it refuses, so it is told of the failure."""
    with (
        pytest.raises(StoreError, match="ck_evaluation_val_n"),
        Recording(mine, claim, Store(store.url), QUICK) as recording,
    ):
        recording.emit(EvalRecord(0, 0.5, val_n=0))
        try:
            while True:
                recording.refuse_older()
                time.sleep(0.002)
        finally:
            recording.fail("StoreError: refused", "killed")
    assert attempt_of(store, claim) == ("failed", "StoreError: refused", "killed")
    assert [entry["record"] for entry in entries(mine)] == ["eval", "fail"]


def test_what_the_database_refuses_is_raised_at_the_end_where_nothing_was_emitted_since(
    store: Store, claim: Claim, mine: Journal
) -> None:
    with (
        pytest.raises(StoreError, match="ck_evaluation_val_n"),
        Recording(mine, claim, Store(store.url), QUICK) as recording,
    ):
        recording.emit(EvalRecord(0, 0.5, val_n=0))


def test_an_error_of_the_workers_own_is_not_hidden_by_what_the_database_refuses(
    store: Store, claim: Claim, mine: Journal
) -> None:
    with pytest.raises(ValueError, match="its own"), Recording(mine, claim, Store(store.url), QUICK) as recording:
        recording.emit(EvalRecord(0, 0.5, val_n=0))
        raise ValueError("its own")


def test_a_database_that_comes_back_is_said_once_and_so_is_its_absence(
    store: Store, claim: Claim, mine: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite_files, "BUSY_TIMEOUT_S", 0.01)
    other = sqlite3.connect(store.url.removeprefix("sqlite:///"), isolation_level=None)
    failed: list[float] = []
    monkeypatch.setattr("orchestrator.attempt.recording.pause_s", lambda looks, _: failed.append(looks) or 0.002)
    with caplog.at_level(logging.INFO), Recording(mine, claim, Store(store.url), QUICK) as recording:
        for outage in (1, 2):
            other.execute("BEGIN IMMEDIATE")
            recording.emit(sync_record(outage - 1))
            wait_for(lambda: len(failed) >= 3, "three looks in vain")
            other.execute("ROLLBACK")
            wait_for(lambda: caplog.messages.count("the database answers again") == outage, "the answer")  # noqa: B023
            assert failed == list(range(1, len(failed) + 1)), "counted from the outage on"
            failed.clear()
    other.close()
    said = [message for message in caplog.messages if message != "the database answers again"]
    assert len(said) == 2, "once an outage"
    assert all(one.endswith("; training goes on, and the journal keeps what it measures") for one in said)
    assert queries.progress(store, 1)[0].sync == 1


@pytest.mark.parametrize(
    ("looks", "longest_s", "most_s"),
    [(1, 15.0, 0.2), (2, 15.0, 0.4), (3, 15.0, 0.8), (7, 15.0, 12.8), (8, 15.0, 15.0), (10_000, 15.0, 15.0),
     (16, 1e9, 6553.6), (17, 1e9, 6553.6), (1, 0.02, 0.02)],
)  # fmt: skip
def test_pauses_grow_up_to_the_longest_one_and_differ_by_chance(looks: int, longest_s: float, most_s: float) -> None:
    found = [pause_s(looks, longest_s) for _ in range(200)]
    assert most_s / 2 <= min(found) < 0.6 * most_s
    assert 0.9 * most_s < max(found) <= most_s


class Silent:
    """A server that is silent without being gone."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def check(self) -> None:
        self.over.wait(60)
        raise StoreUnavailable("away")

    def close(self) -> None: ...


@pytest.mark.parametrize(("asked", "patience_s", "hurry_s"), [(False, 0.1, 30.0), (True, 30.0, 0.05)])
def test_who_was_asked_to_stop_waits_less_for_the_database(
    mine: Journal, asked: bool, patience_s: float, hurry_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    stop, server = Stop(), Silent()
    pace = dataclasses.replace(QUICK, patience_s=patience_s, hurry_s=hurry_s)
    with Recording(mine, Claim(1, 1), server, pace, stop) as recording:  # type: ignore[arg-type]
        recording.emit(sync_record(0))
        if asked:
            stop.request("stopped")
        began = time.monotonic()
    assert 2 * min(patience_s, hurry_s) <= time.monotonic() - began < 20, "once, and once more after it gave up"
    server.over.set()
    assert caplog.messages == [
        "the database does not have all records yet; `stalesweep status` brings them from the journal"
    ]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(mine._file)


def test_notes_on_older_attempts_are_said_once(
    store: Store, claim: Claim, mine: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    mine.path.write_text("damaged\n")
    newer = Journal.reserve(mine.path.parent, 1)
    with Recording(newer, begin(store, 1, take_over=True), Store(store.url), QUICK) as recording:
        for sync in (0, 1, 2):
            recording.emit(sync_record(sync))
            wait_for(lambda: queries.progress(store, 1)[0].sync == sync, "the next weight sync")  # noqa: B023
    mine.close()
    assert caplog.record_tuples == [
        ("orchestrator.attempt.recording", logging.ERROR, f"{mine.path}, line 1: damaged, left out")
    ]


def test_records_come_from_the_journals_own_directory_wherever_the_database_places_the_run(
    store: Store, claim: Claim, mine: Journal
) -> None:
    registration.set_directories(store, {1: "/nowhere"})
    with Recording(mine, claim, Store(store.url), QUICK) as recording:
        recording.emit(sync_record(0))
    assert queries.progress(store, 1)[0].sync == 0
