"""Runs that have lived: with a directory, journals and rows, made by the code that jobs use."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from grpo_worker.schema.records import FinishRecord, Outcome, Record, StartRecord
from orchestrator.attempt.claim import Begun, begin
from orchestrator.attempt.recording import ORDINARY, Recording
from orchestrator.jobs.training import place, prepare
from orchestrator.rundir import folder as rundirs
from orchestrator.store import queries, submissions
from orchestrator.store.database import Store
from orchestrator.store.selection import SelectedRun, select_runs
from tests.support.stores import eval_record, sync_record

START = StartRecord(None, None, 21_536, "cpu", {"python": "3.11", "torch": "2.9"}, 1, 1.5)


def launched(store: Store, sweep_id: int) -> dict[int, Path]:
    """Prepare the unfinished runs of a sweep as `launch` does; returns their directories."""
    place(store, sweep_id)
    run_ids = queries.unfinished_runs(store, sweep_id)
    submissions.set_pending(store, run_ids)
    return prepare(store, sweep_id, run_ids)


def begun(store: Store | None, directory: Path) -> Begun:
    """Begin the next attempt of a run, with the first line of its journal."""
    run = rundirs.load(directory)
    found = begin(store, "local", directory, run, run.worker_config(), lambda _: None, threading.Event(), ORDINARY)
    assert found is not None
    found.journal.append("begin", found.first_record)
    return found


def trained(store: Store, directory: Path, outcome: Outcome = "stable", detail: str | None = None) -> None:
    """Train a run to an end, with a checkpoint, a log and what a killed save leaves."""
    attempt = begun(store, directory)
    records: Iterable[Record] = [
        START, eval_record(0), sync_record(0), sync_record(1), eval_record(40), ended(outcome, detail),
    ]  # fmt: skip
    with recording_of(attempt, store) as recording:
        for record in records:
            recording.emit(record)
    (directory / "checkpoint-00000040.pt").write_bytes(bytes(1000))
    (directory / "checkpoint-00000042.partial").write_bytes(bytes(500))
    (directory / "attempt-0001.log").write_text("trained")


def recording_of(attempt: Begun, store: Store | None) -> Recording:
    return Recording(attempt.journal, attempt.claim, store)


def ended(outcome: Outcome, detail: str | None = None) -> FinishRecord:
    if outcome == "collapsed":
        return FinishRecord(outcome, 40, "half", collapse_step=24, collapse_step_lo=16, collapse_sync=12)
    return FinishRecord(outcome, 40, "half", detail=detail)


def select(store: Store, *words: str, states: Iterable[str] = ()) -> list[SelectedRun]:
    with store.read() as connection:
        return select_runs(connection, words, states)
