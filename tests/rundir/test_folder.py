"""The folder of a run: it says whose it is, and goes away as a whole."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.rundir import folder
from orchestrator.rundir.folder import RunFile
from tests.conftest import tiny_run
from tests.support import children

RUN = RunFile(7, "sweep η", "abc", tiny_run(seed=3).model_dump(mode="json"), 2)


def test_a_folder_says_whose_it_is_a_key_a_line(tmp_path: Path) -> None:
    directory = tmp_path / "runs" / folder.name_of(7)
    folder_id = folder.prepare(directory, RUN)
    assert folder.load(directory) == replace(RUN, folder_id=folder_id)
    assert folder.prepare(directory, RUN) == folder_id
    assert folder.prepare(tmp_path / "other", RUN) != folder_id
    assert folder.load(directory).worker_config() == tiny_run(seed=3)
    lines = (directory / "run.json").read_text(encoding="utf-8").splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("{", "}", 8)
    assert json.loads("\n".join(lines)) == {
        "run": 7, "sweep": "sweep η", "config_digest": "abc", "fence": 2, "config": RUN.config,
        "folder_id": folder_id,
    }  # fmt: skip


def test_a_folder_is_refreshed_by_its_run_and_refused_to_others(tmp_path: Path) -> None:
    folder.prepare(tmp_path, RUN)
    folder.prepare(tmp_path, replace(RUN, run_id=8, fence=5))  # the run in a database that was made anew
    assert (folder.load(tmp_path).run_id, folder.load(tmp_path).fence) == (8, 5)
    for other in (replace(RUN, sweep="other"), replace(RUN, config_digest="def")):
        with pytest.raises(UsageError, match=r"holds a run of sweep 'sweep η' .* set STALESWEEP_RUNS to another one$"):
            folder.prepare(tmp_path, other)
        assert not folder.belongs_to(tmp_path, other.sweep, other.config_digest)
    assert folder.belongs_to(tmp_path, RUN.sweep, RUN.config_digest)
    assert folder.load(tmp_path).run_id == 8


@pytest.mark.parametrize("content", ["", "[]", "{", '{"run": 7, "sweep": "s", "config_digest": "d", "fence": 0}'])
def test_a_damaged_or_missing_run_file_is_nobodys_and_said(tmp_path: Path, content: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*run\.json: No such file or directory$"):
        folder.load(tmp_path)
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UsageError, match=r"run\.json is damaged; `stalesweep launch` writes it anew when it is rem"):
        folder.load(tmp_path)
    assert not folder.belongs_to(tmp_path, "s", "d")


def test_a_config_of_another_version_is_refused_with_the_runs_number() -> None:
    with pytest.raises(UsageError, match=r"^run 7 has a config that this version cannot use: (.|\n)*gone"):
        replace(RUN, config={**RUN.config, "gone": 1}).worker_config()


def test_a_folder_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"^cannot write .*/file/run-000007/run\.json: Not a directory$"):
        folder.prepare(tmp_path / "file" / "run-000007", RUN)


def test_the_folders_of_runs_are_found_by_their_number_and_tell_their_lives(tmp_path: Path) -> None:
    assert folder.all_in(tmp_path / "none") == {}
    names = [
        *("run-000007", "run-000007-after-3", "run-000007.removed", "run-1234567-after-12"),
        *("run-7", "run-000007-after-", "run-000007.old", "policies", "run-000007-after-3.removed"),
    ]
    for name in names:
        (tmp_path / name).mkdir()
    found = folder.all_in(tmp_path)
    assert {run_id: [path.name for path in paths] for run_id, paths in found.items()} == {
        7: ["run-000007", "run-000007-after-3", "run-000007-after-3.removed", "run-000007.removed"],
        1234567: ["run-1234567-after-12"],
    }
    lives = [folder.life(tmp_path / name) for name in names]
    assert lives == [0, 3, -1, 12, -1, -1, -1, -1, -1]
    assert (folder.name_of(7), folder.name_of(7, 3), folder.name_of(1234567, 12)) == (names[0], names[1], names[3])
    assert folder.belongs_to(tmp_path / names[2], "any", "digest"), "what is on its way out may be removed by all"


def test_the_size_of_a_folder_is_that_of_all_files_in_it_and_of_no_file_elsewhere(tmp_path: Path) -> None:
    assert folder.size(tmp_path / "none") == 0
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    (run / "deep" / "er").mkdir(parents=True)
    elsewhere.mkdir()
    for path, count in ((run / "a", 1000), (run / "deep" / "b", 200), (run / "deep" / "er" / "c", 30)):
        path.write_bytes(bytes(count))
    assert folder.size(run) == 1230
    (elsewhere / "d").write_bytes(bytes(100_000))
    (run / "link").symlink_to(elsewhere)
    (run / "file").symlink_to(elsewhere / "d")
    assert 1230 < folder.size(run) < 100_000


def test_a_removed_folder_goes_away_also_where_an_earlier_removal_was_interrupted(tmp_path: Path) -> None:
    run = tmp_path / "run-000007"
    half_gone = tmp_path / "run-000007.removed"
    for directory in (run, half_gone, tmp_path / "run-000008.removed"):
        directory.mkdir()
        (directory / "checkpoint").write_text("")
    folder.discard(run)
    folder.discard(tmp_path / "run-000008.removed")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_loses_its_name_before_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run-000007"
    folder.prepare(run, RUN)
    monkeypatch.setattr(shutil, "rmtree", lambda path: None)  # as if killed in between
    folder.discard(run)
    assert [path.name for path in tmp_path.iterdir()] == ["run-000007.removed"]


def test_a_folder_that_cannot_be_removed_raises(tmp_path: Path) -> None:
    folder.prepare(tmp_path / "fixed" / "run-000007", RUN)

    def try_to_remove() -> None:
        children.make_read_only(tmp_path / "fixed")
        with pytest.raises(OSError, match="Read-only file system"):
            folder.discard(tmp_path / "fixed" / "run-000007")

    children.run(try_to_remove)


def test_logs_are_listed_oldest_first(tmp_path: Path) -> None:
    assert folder.logs(tmp_path) == []
    for attempt in (2, 1, 12):
        folder.log_of(tmp_path, attempt).write_text("")
    (tmp_path / "attempt-0001.journal").write_text("")
    assert [path.name for path in folder.logs(tmp_path)] == [f"attempt-{n:04d}.log" for n in (1, 2, 12)]
    (tmp_path / "log.txt").write_text("")  # an older version wrote one for all attempts
    assert [path.name for path in folder.logs(tmp_path)][:2] == ["log.txt", "attempt-0001.log"]
