"""Runs that end while they are looked at: Slurm says that their job is gone, and what they wrote says how it went."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.grid.sweep import Sweep
from orchestrator.jobs.slurm.survey import settle, survey
from orchestrator.jobs.status import status_of
from orchestrator.store import registration, submissions
from orchestrator.store.database import Store
from tests.support.lives import START, begun, ended, launched, recording_of
from tests.support.stand_in import StandIn
from tests.support.stores import eval_record, sync_record

pytestmark = pytest.mark.services


@pytest.mark.parametrize("says_it_to", ["journal", "database"])
def test_a_run_that_ends_before_squeue_is_asked_has_its_true_end(
    says_it_to: str,
    url: str,
    store: Store,
    grid: Callable[..., Sweep],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STALESWEEP_RUNS", str(tmp_path / "runs"))
    stand_in = StandIn.make(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{stand_in.folder}:{os.environ['PATH']}")
    sweep_id = registration.register(store, grid())
    directories = launched(store, sweep_id)
    name = "stalesweep-demo-ab12"
    submissions.open_submission(
        store, sweep_id, token="ab12", job_name=name, folder=str(tmp_path), resources={}, shares=[[1]]
    )
    submissions.answer(store, "ab12", "1001")
    attempt = begun(store, directories[1])
    journal, whole = attempt.journal.path, tmp_path / "whole"
    first_line = journal.read_bytes()
    with recording_of(attempt, None) as recording:
        for record in (START, eval_record(0), sync_record(0), ended("stable")):
            recording.emit(record)
    whole.write_bytes(journal.read_bytes())
    journal.write_bytes(first_line)
    assert status_of(store, "demo").states == {"running": 1, "pending": 3}

    collect = (
        f"STALESWEEP_DB='{url}' {sys.executable} -m orchestrator.cli.app collect >&2"
        if says_it_to == "database"
        else ""
    )
    (stand_in.folder / "squeue").write_text(f"#!/bin/sh\ncp {whole} {journal}\n{collect}\n")
    (stand_in.folder / "sacct").write_text(f"#!/bin/sh\necho '1001_0|{name}|COMPLETED|node1|0:0'\n")
    found = survey(store, sweep_id)
    settle(store, found)
    assert found.standings == {}
    assert status_of(store, "demo").states == {"stable": 1, "pending": 3}
