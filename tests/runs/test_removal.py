"""``rm``: what runs have measured goes for good, whatever dies on the way, and they can be trained again."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert
from sqlalchemy import select as query

from orchestrator.attempt import job
from orchestrator.attempt.claim import begin
from orchestrator.attempt.recording import ORDINARY
from orchestrator.base.errors import Fenced, NothingToDo, UsageError
from orchestrator.data import frames
from orchestrator.data.importing.columns import Options
from orchestrator.data.importing.read import read_import
from orchestrator.data.importing.stored import store_import
from orchestrator.grid.sweep import Sweep
from orchestrator.rundir import folder as rundirs
from orchestrator.rundir.journal import Chunk
from orchestrator.rundir.writing import Journal
from orchestrator.runs import removal
from orchestrator.store import attempts, queries, registration
from orchestrator.store import removal as rows_of_runs
from orchestrator.store.collect import collect
from orchestrator.store.database import Store
from orchestrator.store.ingest import ingest, restore
from orchestrator.store.models import Attempt, RunRow, SyncMetric
from orchestrator.store.types import now
from tests.support.lives import START, begun, launched, recording_of, select, trained
from tests.support.stores import config_of, sync_record
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("runs_folder")]

Grid = Callable[..., Sweep]


@pytest.fixture
def sweep(store: Store, grid: Grid) -> int:
    """A sweep of four runs: collapsed, stable, diverged, and one that waits."""
    sweep_id = registration.register(store, grid())
    directories = launched(store, sweep_id)
    trained(store, directories[1], "collapsed")
    trained(store, directories[2])
    trained(store, directories[3], "diverged", "loss is nan")
    return sweep_id


def remove(store: Store, *words: str) -> list[str]:
    return removal.carry_out(store, removal.plan(store, select(store, *words)), lambda _: None)


def count(store: Store, *run_ids: int) -> tuple[int, int, int]:
    with store.read() as connection:
        rows = rows_of_runs.count(connection, run_ids)
    return rows.attempts, rows.syncs, rows.evaluations


def columns(store: Store, run_id: int, *names: str) -> tuple[Any, ...]:
    with store.read() as connection:
        return tuple(connection.execute(query(*(getattr(RunRow, n) for n in names)).where(RunRow.id == run_id)).one())


def test_rows_and_files_go_and_the_config_stays(store: Store, sweep: int, runs_folder: Path) -> None:
    config, others = config_of(store, 1), frames.syncs(store).query("run != 1")
    assert count(store, 1) == (1, 2, 2)
    plan = removal.plan(store, select(store, "1"))
    assert (plan.rows.attempts, plan.rows.syncs, plan.rows.evaluations) == (1, 2, 2)
    assert plan.size == sum(path.stat().st_size for path in (runs_folder / "run-000001").iterdir()) > 1500
    removal.carry_out(store, plan, lambda _: None)
    assert count(store, 1) == (0, 0, 0)
    assert columns(store, 1, "state", "failure", "fence", "learner_steps") == (
        "cancelled", "removed by `stalesweep rm`", 2, 0,
    )  # fmt: skip
    assert columns(store, 1, "collapse_step", "collapse_step_lo", "collapse_sync", "collapse_detector") == (None,) * 4
    assert config_of(store, 1) == config
    assert sorted(path.name for path in runs_folder.iterdir()) == ["run-000002", "run-000003", "run-000004"]
    assert frames.syncs(store).reset_index(drop=True).equals(others.reset_index(drop=True)), "nobody else's go"
    with pytest.raises(NothingToDo, match="removed before"):
        removal.plan(store, select(store, "1"))
    assert columns(store, 1, "fence") == (2,)


def test_a_run_without_attempts_or_directory(store: Store, grid: Grid, runs_folder: Path) -> None:
    registration.register(store, grid())
    remove(store, "demo")
    assert {run.state for run in select(store, "demo")} == {"cancelled"}
    assert not runs_folder.exists()


def test_nothing_is_removed_while_a_run_is_running(store: Store, sweep: int, runs_folder: Path) -> None:
    attempt = begun(store, runs_folder / "run-000004")
    with pytest.raises(UsageError, match=r"1 of these runs are running and were left as they are: 4;"):
        removal.plan(store, select(store, "demo"))
    assert count(store, 1, 2, 3) == (3, 6, 6)
    attempt.journal.close()


def test_a_run_that_begins_meanwhile_stays(store: Store, sweep: int, runs_folder: Path) -> None:
    plan = removal.plan(store, select(store, "demo"))
    attempt = begun(store, runs_folder / "run-000004")
    with pytest.raises(UsageError, match="running and were left as they are: 4"):
        removal.carry_out(store, plan, lambda _: None)
    assert columns(store, 4, "state") == ("running",)
    assert [path.name for path in runs_folder.iterdir()] == ["run-000004"]
    with recording_of(attempt, store) as recording:
        recording.emit(START)
    assert count(store, 1, 2, 3, 4) == (1, 0, 0)


def test_a_removed_run_is_trained_again_by_the_next_number(store: Store, sweep: int, runs_folder: Path) -> None:
    remove(store, "1")
    remove(store, "2")
    directories = launched(store, sweep)
    assert {run_id: path.name for run_id, path in directories.items()} == {
        1: "run-000001-after-2", 2: "run-000002-after-2", 4: "run-000004",
    }  # fmt: skip
    assert columns(store, 1, "state", "failure") == ("pending", None)
    trained(store, directories[1], "collapsed")
    assert [path.name for path in sorted(directories[1].glob("*.journal"))] == ["attempt-0003.journal"]
    assert columns(store, 1, "state", "fence") == ("collapsed", 3)
    assert count(store, 1) == (1, 2, 2)
    remove(store, "1")
    assert columns(store, 1, "state", "fence") == ("cancelled", 4)
    assert sorted(path.name for path in runs_folder.iterdir()) == ["run-000002-after-2", "run-000003", "run-000004"]


def test_a_folder_that_was_moved_keeps_its_names(
    store: Store, sweep: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(store, "1")
    launched(store, sweep)
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("STALESWEEP_RUNS", str(tmp_path / "elsewhere"))
    assert launched(store, sweep)[1] == tmp_path / "elsewhere" / "run-000001-after-2"


def test_journals_of_attempts_that_the_database_does_not_know_stay_dead(
    store: Store, sweep: int, runs_folder: Path
) -> None:
    """Attempts 1 to 3 are in the journals only; their numbers must never be taken as new."""
    directory = runs_folder / "run-000004"
    for number in (1, 2, 3):
        Journal.reserve(directory, number - 1).close()
    remove(store, "4")
    assert columns(store, 4, "fence") == (4,)
    assert rundirs.load(launched(store, sweep)[4]).fence == 4


def test_directories_of_others_are_left_alone(store: Store, sweep: int, runs_folder: Path) -> None:
    text = (runs_folder / "run-000001/run.json").read_text()
    (runs_folder / "run-000001/run.json").write_text(text.replace('"demo"', '"theirs"'))
    (runs_folder / "run-000002/run.json").unlink()
    plan = removal.plan(store, select(store, "demo"))
    assert [note.split(" does not say")[0] for note in plan.notes] == [
        str(runs_folder / "run-000001"), str(runs_folder / "run-000002"),
    ]  # fmt: skip
    removal.carry_out(store, plan, lambda _: None)
    assert sorted(path.name for path in runs_folder.iterdir()) == ["run-000001", "run-000002"]
    assert count(store, 1, 2, 3, 4) == (0, 0, 0)
    assert collect(store).records == 0, "their journals are not this database's any more"


def test_files_that_cannot_be_removed_are_named(
    store: Store, sweep: int, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(rundirs, "_remove_tree", refuse)  # root, as whom tests may run, is refused nothing
        with pytest.raises(UsageError, match=r"4 run directories are still there.*Permission denied.*stalesweep gc"):
            remove(store, "demo")
    assert count(store, 1, 2, 3, 4) == (0, 0, 0)
    assert collect(store).records == 0
    remove(store, "demo")
    assert list(runs_folder.iterdir()) == []


# Writers of before


def test_a_late_writer_is_refused(store: Store, sweep: int, runs_folder: Path) -> None:
    attempt = begun(store, runs_folder / "run-000004")
    claim, removed = attempt.claim, "attempt 1 of run 4 ends: a newer one took over, or the run was removed"
    with pytest.raises(Fenced, match=removed), recording_of(attempt, store) as recording:
        recording.emit(START)
        wait_for(lambda: attempt.journal.path.stat().st_size == _stored(store, 4), "the journal to be stored")
        attempts.lose(store, claim, "thought dead")
        remove(store, "4")
        with pytest.raises(Fenced, match=removed):
            recording.emit(sync_record(0))
        attempt.journal.append("sync", {})  # as if it had not looked
        wait_for(lambda: recording._error is not None, "the attempt to notice")
    begin_again = {"record": "begin", "origin": {}, "resumed_from_sync": None, "resumed_from_step": None}
    entries = [begin_again, {"record": "sync", **dataclasses.asdict(sync_record(0))}]
    chunk = Chunk([{**entry, "elapsed_s": 1.0} for entry in entries], 0, 10, [])
    for refused in (
        lambda: ingest(store, claim, chunk),
        lambda: ingest(store, claim, Chunk(chunk.entries[1:], 0, 10, [])),
        lambda: attempts.followed_run(store, claim),
        lambda: attempts.abort(store, claim, "late"),
    ):
        with pytest.raises(Fenced, match="a newer one took over"):
            refused()
    attempts.lose(store, claim, "late")
    restore(store, claim, [dataclasses.asdict(sync_record(0))], [])
    assert count(store, 4) == (0, 0, 0)
    assert columns(store, 4, "state", "failure_class") == ("cancelled", "removed")


def _stored(store: Store, run_id: int) -> int:
    with store.read() as connection:
        return rows_of_runs.stored_journals(connection, [run_id])[run_id][1]


def test_a_late_writer_without_a_database_ends_too(store: Store, sweep: int, runs_folder: Path) -> None:
    attempt = begun(None, runs_folder / "run-000004")
    with recording_of(attempt, None) as recording:
        recording.emit(START)
        remove(store, "4")
        with pytest.raises(Fenced, match="or the run was removed"):
            recording.emit(sync_record(0))
    assert collect(store).records == 0


def test_a_job_of_before_leaves_a_removed_run_alone(store: Store, sweep: int, runs_folder: Path) -> None:
    directory = runs_folder / "run-000004"
    known = rundirs.load(directory)
    remove(store, "4")
    spec = job.JobSpec((directory,), runs_folder, store.url, "local", "here", "database")
    stop = threading.Event()
    assert job.attempt(store, spec, directory, None, stop) is None
    # And one that had read its directory already is refused by the database.
    assert begin(store, "local", directory, known, known.worker_config(), lambda _: None, stop, ORDINARY) is None
    assert collect(store).records == 0


# Imports


def import_file(store: Store, folder: Path) -> int:
    path = folder / "paper.csv"
    path.write_text("model,k,eta,seed,horizon,collapse_step\nllama,2,1e-5,0,400,\nllama,8,1e-5,0,400,160\n")
    return store_import(store, read_import(path, Options()), "paper")


def test_an_import_goes_run_by_run_and_then_altogether(store: Store, sweep: int, tmp_path: Path) -> None:
    import_file(store, tmp_path)
    first, second = (str(run.run_id) for run in select(store, "paper"))
    assert remove(store, second) == []
    assert [run.state for run in select(store, "paper")] == ["stable", "cancelled"]
    with pytest.raises(NothingToDo):
        remove(store, second)
    assert remove(store, first, "demo") == ["paper"]
    assert queries.sweep_names(store) == ["demo"], "a grid's sweep stays"
    import_file(store, tmp_path)
    assert [run.state for run in select(store, "paper")] == ["stable", "collapsed"]


# Kills


def test_killed_between_any_two_operations(
    store: Store, grid: Grid, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second `rm` finishes what a killed one began; in between nothing is half removed, and nothing comes back."""
    monkeypatch.setattr(rows_of_runs, "BATCH", 1)  # two transactions, with files in between
    for point in itertools.count(1):
        sweep_id = registration.register(store, grid(f"point{point}", k=[2]))
        name, ids = f"point{point}", queries.unfinished_runs(store, sweep_id)
        directories = launched(store, sweep_id)
        trained(store, directories[ids[0]])
        _fail_with_a_tail(store, directories[ids[1]])
        finished = _dies_at(point, lambda url, name=name: remove(Store(url), name), store)  # type: ignore[misc]
        for run in select(store, name):
            whole = run.state in ("stable", "failed")
            assert (
                count(store, run.run_id) == ((1, 2, 2) if run.run_id == ids[0] else (1, 1, 0)) if whole else (0, 0, 0)
            )
            if whole:
                assert Path(str(run.directory)).is_dir(), "what is not removed is whole"
        removed = [run.run_id for run in select(store, name, states=["cancelled"])]
        collect(store, sweep_id)
        assert count(store, *removed) == (0, 0, 0), "no journal brings rows back"
        if finished:
            break
        with contextlib.suppress(NothingToDo):
            remove(store, name)
        collect(store, sweep_id)
        assert count(store, *ids) == (0, 0, 0)
        assert [run.state for run in select(store, name)] == ["cancelled"] * 2
        assert [columns(store, run_id, "fence") for run_id in ids] == [(2,), (2,)]
        assert list(runs_folder.iterdir()) == []
    assert point > 30, "it was killed at so many places"


def _fail_with_a_tail(store: Store, directory: Path) -> None:
    """A run that failed, whose journal holds more than the database."""
    attempt = begun(store, directory)
    with recording_of(attempt, store) as recording:
        recording.emit(START)
        recording.emit(sync_record(0))
        recording.fail("ValueError: broken")
    late = begun_journal(attempt.journal.path)
    late.append("sync", dataclasses.asdict(sync_record(1)))
    late.close()


def begun_journal(path: Path) -> Journal:
    """A journal that exists, open for appending as its attempt had it."""
    content = path.read_bytes()
    path.unlink()
    opened = Journal(path, 1)
    path.write_bytes(content)
    return opened


def _dies_at(point: int, act: Callable[[str], object], store: Store) -> bool:
    """Whether a process got through what it is to do without coming to its n-th operation, where it is killed."""
    url = store.url
    store.close()
    pid = os.fork()
    if pid == 0:
        operations = itertools.count(1)

        def one(*_: object) -> None:
            if next(operations) == point:
                os.kill(os.getpid(), signal.SIGKILL)

        def hook(name: str, _: object) -> None:
            if name in ("os.rename", "os.remove", "os.rmdir", "os.listdir", "os.scandir"):
                one()

        event.listen(Engine, "before_cursor_execute", one)
        event.listen(Engine, "after_cursor_execute", one)
        event.listen(Engine, "commit", one)
        sys.addaudithook(hook)
        try:
            act(url)
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL)
    return status == 0


def test_thousands_of_runs_go_in_seconds(store: Store, grid: Grid, runs_folder: Path) -> None:
    many = grid(k=list(range(1, 101)), eta=[1e-4, 1e-3], seed=list(range(10)))
    ids = queries.unfinished_runs(store, registration.register(store, many))
    launched(store, queries.sweep_id(store, "demo"))
    with store.write() as connection:
        origin = {"executor": "local", "restart_count": 0, "host": "h", "pid": 1, "process_started_at": 0.0}
        times = {"started_at": now(), "heartbeat_at": now()}
        connection.execute(
            insert(Attempt).values(**times, **origin, code_version="0"), [{"run_id": i, "number": 1} for i in ids]
        )
        rows = [{"run_id": i, "sync": sync, "attempt": 1, "learner_step": sync} for i in ids for sync in range(10)]
        connection.execute(insert(SyncMetric), rows)
    start = time.perf_counter()
    remove(store, "demo")
    assert time.perf_counter() - start < 20, "about two on an idle machine"
    assert count(store, *ids) == (0, 0, 0)
    assert list(runs_folder.iterdir()) == []
    assert {run.state for run in select(store, "demo")} == {"cancelled"}
