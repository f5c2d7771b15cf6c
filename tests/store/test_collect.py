"""Who brings journals to the database: each record once, in order, whatever is damaged and whatever clocks say."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from orchestrator.base.errors import StoreUnavailable
from orchestrator.base.processes import this_host
from orchestrator.jobs import collecting, training
from orchestrator.rundir import journal, writing
from orchestrator.rundir.folder import RunFile, prepare
from orchestrator.rundir.writing import Journal
from orchestrator.runs import cancelling
from orchestrator.store import queries
from orchestrator.store.collect import collect, collect_run, refill
from orchestrator.store.database import Store
from orchestrator.store.ingest import ingest
from orchestrator.store.models import Evaluation, SyncMetric
from tests.support import children, fake_worker
from tests.support.jobs import CUT_OFF, Jobs
from tests.support.lives import select as select_runs_of
from tests.support.waiting import wait_for

pytestmark = pytest.mark.services


@pytest.fixture
def jobs(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Jobs]:
    """Journals of so many runs that nobody has brought to the database yet."""
    monkeypatch.setenv("STALESWEEP_RUNS", "")  # put back afterwards

    def make(runs: int = 1, horizon: int = 10) -> Jobs:
        made = Jobs(url, tmp_path, runs, horizon, writes="journal")
        directories = made.submit(*range(1, runs + 1))
        children.run(lambda: made.train(*directories))
        return made

    return make


MakeJobs = Callable[..., Jobs]


def lines_of(jobs: Jobs, attempt: int = 1) -> tuple[Path, list[bytes]]:
    path = journal.path_of(jobs.directory(1), attempt)
    return path, path.read_bytes().splitlines(keepends=True)


def spoil(line: bytes) -> bytes:
    return line[:20] + bytes([line[20] ^ 1]) + line[21:]


def test_what_was_brought_is_counted_and_brought_once(jobs: MakeJobs) -> None:
    made = jobs(runs=2)
    first, again = made.collect(), made.collect()
    assert (first.records, first.runs, first.notes) == (2 * 12, 2, [])  # begin, start, 4 evals, 5 syncs, finish
    assert (again.records, again.runs, again.notes) == (0, 0, [])
    made.check(1)
    made.check(2)


def test_several_at_once_bring_each_record_once(jobs: MakeJobs, tmp_path: Path) -> None:
    made = jobs(runs=12)

    def bring() -> None:
        found = collect(Store(made.url))
        assert found.notes == []
        (tmp_path / f"brought-{os.getpid()}").write_text(str(found.records))

    for child in [children.start(bring) for _ in range(4)]:
        assert children.end(child) == 0
    assert sum(int(path.read_text()) for path in tmp_path.glob("brought-*")) == 12 * 12
    for run_id in range(1, 13):
        made.check(run_id)


def test_who_comes_second_goes_on_where_the_first_one_stopped(jobs: MakeJobs) -> None:
    made = jobs()
    path, lines = lines_of(made)
    with Store(made.url) as store:
        seen_before = queries.run_folder(store, 1)
        assert seen_before is not None
        path.write_bytes(b"".join(lines[:5]))
        assert made.collect().records == 5
        path.write_bytes(b"".join(lines))
        assert collect_run(store, seen_before, []) == len(lines) - 5
    made.check(1)


def test_a_database_made_anew_learns_of_all_attempts_of_a_run_at_once(
    new_database: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: Any, should_stop: Callable[[], bool], **options: Any) -> Any:
        return fake_worker.run(*arguments, should_stop=lambda: True, **options)

    monkeypatch.setenv("STALESWEEP_RUNS", "")  # put back afterwards
    lost = Jobs(new_database("sqlite"), tmp_path, 1)
    for worker in (SimpleNamespace(run=run, latest_checkpoint=fake_worker.latest_checkpoint), fake_worker):
        lost.worker = worker
        children.run(lambda: lost.train(*lost.submit(1)))
    made = Jobs(new_database("sqlite"), tmp_path, 1)
    assert made.collect().notes == []
    assert made.rows(1) == made.expected
    assert [(a["number"], a["outcome"], a["resumed_from_step"]) for a in made.attempts(1)] == [
        (1, "interrupted", None), (2, "collapsed", 1),
    ]  # fmt: skip


def test_a_journal_that_ends_a_run_says_why(jobs: MakeJobs) -> None:
    made = jobs()
    path, lines = lines_of(made)
    path.write_bytes(b"".join(lines[:5]))
    ending = Journal.reserve(path.parent, 1)
    ending.append("cancel", {"why": "cancelled", "reason": "cancelled by me"})
    ending.close()
    found = made.collect()
    assert (found.records, found.notes) == (5 + 1, [])
    assert made.states() == ["cancelled"]
    assert "'cancelled by me'" in made.rows(1)["run"][0]
    (attempt,) = made.attempts(1)
    assert (attempt["outcome"], attempt["failure"], attempt["failure_class"]) == (
        "lost", "cancelled by me", "cancelled",
    )  # fmt: skip


def test_a_damaged_line_is_named_and_the_rest_is_used(jobs: MakeJobs) -> None:
    made = jobs()
    path, lines = lines_of(made)
    damaged = next(place for place, line in enumerate(lines) if b'"sync":2' in line)
    path.write_bytes(b"".join([*lines[:damaged], spoil(lines[damaged]), *lines[damaged + 1 :]]))
    found = made.collect()
    assert found.notes == [f"{path}, line {damaged + 1}: damaged, left out"]
    assert found.records == len(lines) - 1
    stored, whole = made.rows(1), made.expected
    assert (stored["run"], stored["evals"]) == (whole["run"], whole["evals"])
    assert set(stored["syncs"]) < set(whole["syncs"])
    assert len(stored["syncs"]) == 4


def test_a_damaged_last_line_is_named_until_the_run_goes_on(jobs: MakeJobs) -> None:
    made = jobs()
    path, lines = lines_of(made)
    path.write_bytes(b"".join([*lines[:-1], spoil(lines[-1])]))
    for _ in range(2):
        assert made.collect().notes == [f"{path}, line {len(lines)}: damaged, left out"]
    with Store(made.url) as store:
        assert queries.progress(store, 1)[0].state == "running"
        collecting.recover(store, 1)
        assert queries.progress(store, 1)[0].state == "lost"


def test_a_damaged_first_line_costs_nothing_but_whose_process_it_was(jobs: MakeJobs) -> None:
    made = jobs()
    path, lines = lines_of(made)
    path.write_bytes(b"".join([spoil(lines[0]), *lines[1:]]))
    assert made.collect().notes == [f"{path}, line 1: damaged, left out"]
    made.check(1)
    (attempt,) = made.attempts(1)
    assert (attempt["executor"], attempt["host"], attempt["device"]) == ("unknown", this_host(), "cpu")


@pytest.mark.parametrize("left", [b"", b"0", b"zeros", b"spoilt"])
def test_a_journal_without_a_record_stands_in_nobodys_way(jobs: MakeJobs, left: bytes) -> None:
    made = jobs()
    path, lines = lines_of(made)
    path.write_bytes({b"0": lines[0][:30], b"zeros": bytes(5000), b"spoilt": spoil(lines[0])}.get(left, left))
    for checkpoint in made.directory(1).glob("checkpoint-*"):
        checkpoint.unlink()
    with Store(made.url) as store:
        collect(store)
        assert queries.progress(store, 1)[0].state == "queued"
        ready = training.prepare(store, 1, [1])
    children.run(lambda: made.train(*ready.values()))
    made.collect()
    assert made.rows(1) == made.expected
    assert [attempt["number"] for attempt in made.attempts(1)] == [2]


def test_what_an_older_attempt_has_left_does_not_hold_up_the_run(jobs: MakeJobs) -> None:
    """A record that the database refuses, for ever, in the journal of an attempt that is over."""
    made = jobs()
    path, lines = lines_of(made)
    content = {"record": "eval", "elapsed_s": 0.1, "learner_step": 0, "val_reward": 0.5, "val_n": 0}
    body = json.dumps(content).encode()
    path.write_bytes(b"".join([*lines[:2], b"%08x %s\n" % (zlib.crc32(body), body)]))
    notes = made.collect().notes
    assert len(notes) == 1
    assert "CHECK" in notes[0].upper()
    for checkpoint in made.directory(1).glob("checkpoint-*"):
        checkpoint.unlink()
    with Store(made.url) as store:
        collecting.recover(store, 1)
        assert queries.progress(store, 1)[0].state == "lost"
        directories = training.prepare(store, 1, [1])
    children.run(lambda: made.train(*directories.values()))
    (note,) = made.collect().notes
    assert note.startswith(f"{path}: "), "it is said whose record is refused"
    assert made.rows(1) == made.expected


def test_folders_that_cannot_be_used_are_named_and_the_other_runs_are_brought(jobs: MakeJobs) -> None:
    made = jobs(runs=4)
    (made.directory(1) / "run.json").write_text("{")
    content = json.loads((made.directory(2) / "run.json").read_text())
    (made.directory(2) / "run.json").unlink()
    prepare(made.directory(2), RunFile(2, "another", content["config_digest"], content["config"], 0))
    made.directory(3).rename(made.directory(3).with_suffix(".moved"))
    made.directory(3).write_text("not a folder")
    found = made.collect()
    assert found.runs == 1
    assert len(found.notes) == 3
    assert "run.json is damaged" in found.notes[1] + found.notes[0]
    assert any("belongs to a run of another database; left alone" in note for note in found.notes)
    assert any("Not a directory" in note for note in found.notes)
    with Store(made.url) as store:
        collecting.recover(store, 1)  # nor does it stop a launch
    made.check(4)


def test_a_database_that_goes_away_meanwhile_is_said_and_nothing_is_lost(
    jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = jobs(runs=3)
    with monkeypatch.context() as outage, Store(made.url) as store:
        asked: list[None] = []

        def away_once(*arguments: Any, **options: Any) -> None:
            asked.append(None)
            if len(asked) == 2:
                raise StoreUnavailable("the server cannot be reached")
            ingest(*arguments, **options)

        outage.setattr("orchestrator.store.collect.ingest", away_once)
        found = collect(store)
    assert found.runs == 1
    assert found.notes == [
        "the journals of 2 runs hold records that the database does not have yet: the server cannot be reached"
    ]
    assert made.collect().runs == 2
    for run_id in (1, 2, 3):
        made.check(run_id)


def test_rows_up_to_a_checkpoint_are_stored_again_from_journals(jobs: MakeJobs) -> None:
    made = jobs()
    path, lines = lines_of(made)
    path.write_bytes(b"".join(lines[:-1]))  # it has not ended
    made.collect()
    with Store(made.url) as store, store.write() as connection:
        for table in (SyncMetric, Evaluation):
            connection.execute(delete(table))
    with Store(made.url) as store:
        run = queries.run_folder(store, 1)
        assert run is not None
        notes: list[str] = []
        refill(store, run, 8, notes)
        assert notes == []
        with store.read() as connection:
            assert connection.scalars(select(SyncMetric.sync).order_by(SyncMetric.sync)).all() == [0, 1, 2, 3]
            steps = connection.scalars(select(Evaluation.learner_step).order_by(Evaluation.learner_step)).all()
        assert steps == [0, 4, 8]
        with store.write() as connection:
            connection.execute(delete(Evaluation).where(Evaluation.learner_step == 8))
        refill(store, run, 8, notes)
        with store.read() as connection:
            assert connection.scalar(select(func.count()).select_from(Evaluation)) == 3
        path.write_bytes(b"".join(line for line in lines[:-1] if b'"learner_step":8,"val' not in line))
        with store.write() as connection:
            connection.execute(delete(Evaluation).where(Evaluation.learner_step == 8))
        refill(store, run, 8, notes)
    assert len(notes) == 1
    assert "up to learner step 8, where it goes on, is neither in the database nor in" in notes[0]


# Attempts that the database does not know


def test_a_beat_of_an_attempt_that_the_database_does_not_know(jobs: MakeJobs) -> None:
    made = jobs()
    path, lines = lines_of(made)
    begin = json.loads(lines[0][9:])
    path.unlink()
    mine = writing.Journal(path, 1)
    mine.append("begin", {name: value for name, value in begin.items() if name not in ("record", "elapsed_s")})
    mine.append("beat")
    mine.close()
    assert made.collect().records == 2
    (attempt,) = made.attempts(1)
    assert (attempt["number"], attempt["outcome"], attempt["host"]) == (1, None, this_host())
    with Store(made.url) as store:
        (run,) = queries.progress(store, 1)
    assert run.state == "running"
    assert run.heartbeat_age_s is not None
    assert run.heartbeat_age_s < 60


def test_an_attempt_is_as_old_as_its_journal(jobs: MakeJobs) -> None:
    made = jobs()
    path, lines = lines_of(made)
    entries = [json.loads(line[9:]) for line in lines]
    for place, entry in enumerate(entries):
        entry["elapsed_s"] = 100.0 * place
    bodies = [json.dumps(entry).encode() for entry in entries]
    path.write_bytes(b"".join(b"%08x %s\n" % (zlib.crc32(body), body) for body in bodies))
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))
    made.collect()
    (attempt,) = made.attempts(1)
    age_s = {name: time.time() - attempt[name].timestamp() for name in ("started_at", "ready_at", "heartbeat_at")}
    last = len(lines) - 1
    assert age_s == pytest.approx(
        {"started_at": 3600 + 100 * last, "ready_at": 3600 + 100 * (last - 1), "heartbeat_at": 3600}, abs=60
    )
    assert abs((attempt["ended_at"] - attempt["heartbeat_at"]).total_seconds()) < 1


# Clocks


@pytest.mark.parametrize("writes", ["database", "journal"])
@pytest.mark.parametrize("writer_s", [3600.0, -3600.0])
def test_clocks_an_hour_apart_change_no_state(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: str, writer_s: float
) -> None:
    monkeypatch.setenv("STALESWEEP_RUNS", "")
    made = Jobs(url, tmp_path, 1, 10, writes=writes)
    right = time.time

    def run(*arguments: Any, should_stop: Callable[[], bool], **options: Any) -> Any:
        asked: list[None] = []

        def stop() -> bool:
            """Stands still after seven learner steps, alive and without a word."""
            asked.append(None)
            if len(asked) == 7:
                (tmp_path / "waiting").touch()
                wait_for((tmp_path / "go on").exists, "the sign to go on")
            return should_stop()

        return fake_worker.run(*arguments, should_stop=stop, **options)

    made.worker = SimpleNamespace(run=run, latest_checkpoint=fake_worker.latest_checkpoint)
    directories = made.submit(1)

    def write() -> None:
        time.time = lambda: right() + writer_s  # type: ignore[assignment]
        made.train(*directories, pace=dataclasses.replace(CUT_OFF, patience_s=5.0))

    def watch() -> None:
        time.time = lambda: right() - writer_s  # type: ignore[assignment]
        with Store(url) as store:
            collect(store)
            collecting.recover(store, 1)
            (run,) = queries.progress(store, 1)
            assert run.state in ("running", "collapsed")
            assert run.heartbeat_age_s is not None
            assert run.started_age_s is not None
            assert -0.01 <= run.heartbeat_age_s <= run.started_age_s < 60

    started = right()
    writer = children.start(write)
    wait_for((tmp_path / "waiting").exists, "seven learner steps")
    children.run(watch)
    (tmp_path / "go on").touch()
    assert children.end(writer) == 0
    children.run(watch)
    made.check(1)
    (attempt,) = made.attempts(1)
    for name in ("started_at", "ready_at", "heartbeat_at", "ended_at"):
        moment = attempt[name].timestamp()
        assert started - 1 <= moment <= right() + 1, name


# Journals of other runs


def test_a_journal_of_another_run_is_named_and_left_out(jobs: MakeJobs) -> None:
    made = jobs(runs=3)
    shutil.copy(lines_of(made)[0], journal.path_of(made.directory(2), 1))
    shutil.copy(lines_of(made)[0], journal.path_of(made.directory(3), 2))
    found = made.collect()
    assert (found.records, found.runs) == (2 * 12, 2)
    assert [note.partition(" is the journal of attempt 1 of a run of sweep 'demo'")[0] for note in found.notes] == [
        str(journal.path_of(made.directory(run), attempt)) for run, attempt in ((2, 1), (3, 2))
    ]
    made.check(1)
    assert made.rows(3) == made.expected
    assert made.states() == ["collapsed", "queued", "collapsed"]
    assert made.rows(2)["syncs"] == made.attempts(2) == []


def test_a_journal_of_another_attempt_is_left_out(jobs: MakeJobs) -> None:
    made = jobs()
    path, lines = lines_of(made)
    path.write_bytes(b"".join(lines[:-1]))  # the run has not ended
    shutil.copy(path, journal.path_of(made.directory(1), 2))
    found = made.collect()
    assert (found.records, len(found.notes)) == (11, 1)
    assert "is the journal of attempt 1 of" in found.notes[0]
    assert len(made.attempts(1)) == 1


def test_a_journal_that_took_the_place_of_one_that_is_partly_stored(jobs: MakeJobs) -> None:
    made = jobs(runs=2)
    path, lines = lines_of(made)
    path.write_bytes(b"".join(lines[:5]))
    assert made.collect().records == 5 + 12
    shutil.copy(journal.path_of(made.directory(2), 1), path)
    found = made.collect()
    assert (found.records, len(found.notes)) == (0, 1)


def test_another_runs_cancel_entry_cancels_nothing(jobs: MakeJobs) -> None:
    made = jobs(runs=2)
    for run in (1, 2):
        path = journal.path_of(made.directory(run), 1)
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))
    made.collect()
    with Store(made.url) as store:
        runs = select_runs_of(store, "1")
        cancelling.cancel(store, runs, "by me")
    shutil.copy(journal.path_of(made.directory(1), 2), journal.path_of(made.directory(2), 2))
    assert len(made.collect().notes) == 1
    assert made.states() == ["cancelled", "running"]


def test_a_journal_whose_first_record_names_nobody_is_left_out(jobs: MakeJobs) -> None:
    made = jobs()
    path, lines = lines_of(made)
    path.write_bytes(b"".join(lines[1:]))
    found = made.collect()
    assert (found.records, found.notes) == (0, [f"{path}: its first record does not say whose it is; left out"])


def test_a_job_without_a_database_goes_on_beside_anothers_journal(jobs: MakeJobs) -> None:
    made = jobs(runs=2)
    shutil.move(journal.path_of(made.directory(2), 1), journal.path_of(made.directory(1), 3))
    journal.path_of(made.directory(1), 1).unlink()
    for checkpoint in made.directory(1).glob("checkpoint-*.pt"):
        checkpoint.unlink()
    children.run(lambda: made.train(made.directory(1)))
    assert [len(path.read_bytes().splitlines()) for path in sorted(made.directory(1).glob("*.journal"))] == [12, 12]
    assert made.collect().records == 12
    assert made.rows(1) == made.expected
