"""``gc``: files of finished runs go, those of others never, and the database says the same as before."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.attempt.job import job_spec
from orchestrator.attempt.share import Share
from orchestrator.data import frames
from orchestrator.grid.sweep import Sweep
from orchestrator.jobs import shares
from orchestrator.jobs.shares import SHARES
from orchestrator.rundir import folder as rundirs
from orchestrator.runs import removal
from orchestrator.store import registration
from orchestrator.store.database import Store
from tests.support import children
from tests.support.lives import START, begun, launched, recording_of, select, trained
from tests.support.stores import sync_record

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("runs_folder")]

Grid = Callable[..., Sweep]


@pytest.fixture
def directories(store: Store, grid: Grid) -> dict[int, Path]:
    """Of four runs: stable, diverged, failed with a checkpoint, and one that waits."""
    found = launched(store, registration.register(store, grid()))
    trained(store, found[1])
    trained(store, found[2], "diverged", "loss is nan")
    attempt = begun(store, found[3])
    with recording_of(attempt, store) as recording:
        recording.emit(START)
        recording.emit(sync_record(0))
        recording.fail("ValueError: broken")
    (found[3] / "checkpoint-00000008.pt").write_bytes(bytes(1000))
    return found


def find(store: Store, *words: str, only: bool = False, whole: bool = False) -> tuple[list[removal.Waste], list[str]]:
    notes: list[str] = []
    runs = select(store, *words)
    return list(removal.find_waste(store, runs, notes, [], checkpoints_only=only, directories=whole)), notes


def tables(store: Store) -> dict[str, pd.DataFrame]:
    return {name: getattr(frames, name)(store) for name in ("runs", "attempts", "syncs", "evals")}


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".diff")


def test_checkpoints_of_finished_runs_go_and_the_archive_stays(store: Store, directories: dict[int, Path]) -> None:
    before, unfinished = tables(store), names(directories[3])
    waste, notes = find(store)
    assert notes == []
    assert {one.kind for one in waste} == {"checkpoints"}
    assert sum(one.size for one in waste) == 2 * 1500
    assert len(names(directories[1])) == 5, "finding is not removing"
    assert removal.discard(one.path for one in waste) == []
    for run_id in (1, 2):
        assert names(directories[run_id]) == ["attempt-0001.journal", "attempt-0001.log", "run.json"]
    assert "checkpoint-00000008.pt" in unfinished == names(directories[3])
    after = tables(store)
    assert all(before[name].equals(after[name]) for name in before)
    assert find(store) == ([], [])


def test_whole_directories_go_on_request(store: Store, directories: dict[int, Path]) -> None:
    before = tables(store)
    waste, _ = find(store, whole=True)
    assert [(one.kind, one.path) for one in waste] == [
        ("run directories", directories[1]), ("run directories", directories[2]),
    ]  # fmt: skip
    assert sum(one.size for one in waste) == rundirs.size(directories[1]) + rundirs.size(directories[2])
    assert removal.discard(one.path for one in waste) == []
    assert not directories[1].exists()
    assert names(directories[1].parent) == ["run-000003", "run-000004"]
    after = tables(store)
    assert all(before[name].equals(after[name]) for name in before)
    assert find(store, whole=True) == ([], []), "directories that are gone already are no trouble"


def test_a_directory_whose_journal_is_not_all_stored_stays(store: Store, directories: dict[int, Path]) -> None:
    with (directories[1] / "attempt-0001.journal").open("ab") as journal:
        journal.write(b"torn line")
    waste, notes = find(store, whole=True)
    assert notes == [f"{directories[1]} stays: 9 bytes of attempt-0001.journal are not in the database"]
    assert [one.kind for one in waste] == ["checkpoints", "checkpoints", "run directories"]
    removal.discard(one.path for one in waste)
    assert names(directories[1]) == ["attempt-0001.journal", "attempt-0001.log", "run.json"]
    (directories[1] / "attempt-0002.journal").write_bytes(b"of an attempt that nobody has heard of\n")
    assert "bytes of attempt-000" in find(store, whole=True)[1][0]


def test_only_what_is_selected(store: Store, directories: dict[int, Path]) -> None:
    removal.discard(one.path for one in find(store, "2", "3")[0])
    assert "checkpoint-00000040.pt" in names(directories[1])
    assert "checkpoint-00000040.pt" not in names(directories[2])


def test_what_a_killed_removal_left(
    store: Store, directories: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(rundirs, "discard", lambda _: None)
        removal.carry_out(store, removal.plan(store, select(store, "1", "3")), lambda _: None)
    directories[3].rename(directories[3].with_name("run-000003.removed"))
    later = directories[1].with_name("run-000001-after-9")  # of a newer database than the one that is asked
    later.mkdir()
    (later / "run.json").write_text((directories[1] / "run.json").read_text())
    assert find(store, only=True)[0] == [one for one in find(store)[0] if one.kind == "checkpoints"]
    waste = [one for one in find(store)[0] if one.kind == "left over by rm"]
    assert [one.path.name for one in waste] == ["run-000001", "run-000003.removed"]
    removal.discard(one.path for one in waste)
    assert names(later.parent) == ["run-000001-after-9", "run-000002", "run-000004"]


def test_what_cannot_be_removed_is_named(
    store: Store, directories: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    waste, _ = find(store, "1", "2")
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".pt":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert removal.discard(one.path for one in waste) == [
        f"{directories[i]}/checkpoint-00000040.pt: Permission denied" for i in (1, 2)
    ]
    assert names(directories[1]) == ["attempt-0001.journal", "attempt-0001.log", "checkpoint-00000040.pt", "run.json"]


# Job files


def jobs(store: Store, *words: str) -> set[str]:
    return {one.path.name for one in find(store, *words)[0] if one.kind == "job files"}


def test_a_local_launchs_folder_goes_when_its_runs_are_finished_and_it_gives_no_further_ones(
    store: Store, directories: dict[int, Path], runs_folder: Path
) -> None:
    folders = {name: runs_folder / "jobs" / name for name in ("finished", "unfinished", "alive", "gone")}
    for name, run_ids in {"finished": [1, 2], "unfinished": [1, 3], "alive": [1], "gone": [1]}.items():
        shares.write(folders[name], [[directories[run_id] for run_id in run_ids]])
        (folders[name] / "101_submitted.pkl").write_bytes(b"a pickle that nobody reads")
    children.run(lambda: Share(folders["gone"] / "share.jsonl").add([]))
    with Share(folders["alive"] / "share.jsonl"):
        assert jobs(store) == {"finished", "gone"}
        assert jobs(store, "1") == {"gone"}, "run 2 was not selected"
        assert removal.discard(one.path for one in find(store)[0]) == []
    assert set(names(runs_folder / "jobs")) == {"unfinished", "alive"}


def test_job_files_of_older_versions_stay_and_are_named(
    store: Store, directories: dict[int, Path], runs_folder: Path
) -> None:
    older, empty = runs_folder / "jobs" / "local", runs_folder / "jobs" / "20260101-000000-abc"
    older.mkdir(parents=True)
    empty.mkdir()
    (older / "101_submitted.pkl").write_bytes(b"a pickle")
    waste, notes = find(store)
    assert {one.kind for one in waste} == {"checkpoints"}
    [note] = notes
    assert note.startswith(f"{older} stays: an older version wrote it without shares.json")


def test_an_arrays_folder_goes_when_all_runs_of_its_shares_are_finished_or_removed(
    store: Store, directories: dict[int, Path], runs_folder: Path
) -> None:
    folders = {name: runs_folder / "jobs" / name for name in ("finished", "unfinished", "damaged", "old.removed")}
    spec = job_spec(store.url, (), "slurm")
    for name, tasks in {"finished": [[1, 2]], "unfinished": [[1], [3]]}.items():
        share_paths = [[directories[run_id] for run_id in task] for task in tasks]
        shares.write(folders[name], share_paths, spec, margin_s=90, requeues=1)
        (folders[name] / "77_0_0_log.err").write_bytes(bytes(500))
    for name, content in {"damaged": "{", "old.removed": "{}"}.items():
        folders[name].mkdir()
        (folders[name] / SHARES).write_text(content)
    assert jobs(store) == {"finished", "old.removed"}
    assert jobs(store, "1") == {"old.removed"}, "run 2 was not selected"
    sizes = {one.path.name: one.size for one in find(store)[0] if one.kind == "job files"}
    assert sizes["finished"] == 500 + (folders["finished"] / SHARES).stat().st_size
    assert removal.discard(one.path for one in find(store)[0]) == []
    assert set(names(runs_folder / "jobs")) == {"unfinished", "damaged"}
    removal.carry_out(store, removal.plan(store, select(store, "3")), lambda _: None)
    assert jobs(store) == {"unfinished"}


def test_waste_is_described(store: Store, directories: dict[int, Path]) -> None:
    (first, *_), _ = find(store, "1")
    assert dataclasses.astuple(first) == ("checkpoints", directories[1] / "checkpoint-00000040.pt", 1000)
