"""Journals are brought in and said, runs of processes that are gone are lost, and an outage is waited out."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable

import pytest
from sqlalchemy import update

from orchestrator.base.errors import StoreUnavailable, UsageError
from orchestrator.base.processes import started_at, this_host
from orchestrator.grid.sweep import Sweep
from orchestrator.jobs import collecting
from orchestrator.jobs.training import choose_executor
from orchestrator.store import attempts, queries, registration
from orchestrator.store.collect import Collected
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt
from tests.support.lives import START, begun, ended, launched, recording_of
from tests.support.stores import ORIGIN, eval_record, next_claim, sync_record


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


@pytest.fixture
def sweep_id(store: Store, grid: Callable[..., Sweep]) -> int:
    return registration.register(store, grid())


def test_only_runs_of_this_host_whose_process_is_gone_are_lost(store: Store, sweep_id: int) -> None:
    gone = dataclasses.replace(ORIGIN, host=this_host(), pid=2**22 + 1)
    alive = dataclasses.replace(gone, pid=os.getpid(), process_started_at=started_at(os.getpid()) or 0.0)
    on_slurm, elsewhere = (dataclasses.replace(gone, **one) for one in ({"executor": "slurm"}, {"host": "elsewhere"}))
    for run_id, origin in enumerate((gone, on_slurm, elsewhere, alive), 1):
        attempts.begin(store, next_claim(store, run_id), origin, resumed_from_sync=None, resumed_from_step=None)
    collecting.recover(store, sweep_id)
    first, *others = queries.progress(store, sweep_id)
    assert (first.state, [run.state for run in others]) == ("lost", ["running"] * 3)
    assert first.failure == f"process {2**22 + 1} on {this_host()} ended and recorded no reason"


@pytest.mark.usefixtures("runs_folder")
def test_journals_are_brought_in_before_a_run_is_lost(store: Store, sweep_id: int) -> None:
    directories = launched(store, sweep_id)
    attempt = begun(store, directories[1])
    with recording_of(attempt, None) as recording:
        for record in (START, eval_record(0), sync_record(0), ended("stable")):
            recording.emit(record)
    with store.write() as connection:
        connection.execute(update(Attempt).values(pid=2**22 + 1))
    collecting.recover(store, sweep_id)
    assert queries.progress(store, sweep_id)[0].state == "stable"


@pytest.mark.usefixtures("runs_folder")
def test_what_is_brought_in_is_said(store: Store, sweep_id: int) -> None:
    said: list[str] = []
    attempt = begun(store, launched(store, sweep_id)[1])
    with recording_of(attempt, None) as recording:
        for record in (START, eval_record(0), sync_record(0)):
            recording.emit(record)
    collecting.bring_in(store, "demo", said.append)
    collecting.bring_in(store, "demo", said.append)
    assert said == ["brought 4 records of 1 run from journals into the database"]
    assert queries.progress(store, sweep_id)[0].sync == 0
    said.clear()
    collecting.say_collected(Collected(0, 0, ["one", "two"]), said.append)
    assert said == ["note: one", "note: two"]


def test_an_outage_is_waited_out(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(collecting, "_OUTAGE_POLL_S", 0.01)
    answers = iter([StoreUnavailable("away"), StoreUnavailable("away"), None])

    def check(_: Store) -> None:
        if error := next(answers):
            raise error

    monkeypatch.setattr(Store, "check", check)
    with caplog.at_level(logging.WARNING):
        collecting.wait_for_database(store, StoreUnavailable("no route"))
    assert caplog.messages == ["no route; the jobs go on, and this waits", "the database answers again"]
    assert next(answers, "all asked") == "all asked"


def test_an_executor_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert [choose_executor(name) for name in ("auto", "local", "debug")] == ["local", "local", "debug"]
    with pytest.raises(UsageError, match="--executor slurm: sbatch is not on this machine"):
        choose_executor("slurm")
    with pytest.raises(UsageError, match="--executor: expected auto, slurm, local or debug, found 'cloud'"):
        choose_executor("cloud")
