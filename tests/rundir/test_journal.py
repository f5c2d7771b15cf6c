"""The journal: what was appended is there, whatever happens to the file and to those who write it."""

from __future__ import annotations

import errno
import math
import os
import resource
import shutil
import stat
import struct
import time
from pathlib import Path

import pytest

from orchestrator.base.errors import JournalError
from orchestrator.rundir import journal, writing
from orchestrator.rundir.writing import Journal
from tests.support import children
from tests.support.waiting import wait_for

FLOATS = (
    *(0.0, -0.0, math.inf, -math.inf, math.nan, 1 / 3, 0.1, 5e-324, -5e-324, 2.2250738585072009e-308),
    *(2.2250738585072014e-308, 1.7976931348623157e308, 2.0**53, 1e22, 1e-7, 123456789.123456789),
)


def written(directory: Path, count: int, number: int = 1) -> Path:
    """The journal of an attempt with so many records, ``sync`` 0, 1, ..."""
    with_records = Journal.reserve(directory, number - 1)
    for sync in range(count):
        with_records.append("sync", {"sync": sync, "learner_step": 0, "reward": 0.5})
    with_records.close()
    return with_records.path


def syncs(path: Path, start: int = 0) -> list[int]:
    return [entry["sync"] for entry in journal.read(path, start).entries]


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_every_float_comes_back_to_the_bit(tmp_path: Path) -> None:
    mine = Journal.reserve(tmp_path, 0)
    values = {str(place): value for place, value in enumerate(FLOATS)}
    mine.append("sync", {"sync": 0, "learner_step": 0, **values, "missing": None, "text": "η\n\"'\x00"})
    (entry,) = journal.read(mine.path).entries
    assert [struct.pack("d", entry[place]) for place in values] == [struct.pack("d", v) for v in values.values()]
    assert (entry["missing"], entry["text"]) == (None, "η\n\"'\x00")
    assert len(lines(mine.path)) == 1
    mine.close()


def test_a_torn_last_line_is_left_out_cut_off_and_does_not_stop_the_next_attempt(tmp_path: Path) -> None:
    whole = written(tmp_path, 3).read_bytes()
    last = len(b"".join(whole.splitlines(keepends=True)[:2]))
    path = journal.path_of(tmp_path, 1)
    for size in range(last + 1, len(whole)):
        path.write_bytes(whole[:size])
        found = journal.read(path)
        assert [entry["sync"] for entry in found.entries] == [0, 1]
        assert (found.end, found.damage, found.tail) == (last, [], [])
        assert journal.last(path) == found.entries[-1]
        writing.mend(tmp_path, before=2)
        assert path.stat().st_size == last
    writing.mend(tmp_path, before=2)
    assert path.stat().st_size == last
    assert syncs(written(tmp_path, 2, number=2)) == [0, 1]


def test_the_last_line_of_who_still_writes_is_not_cut_off(tmp_path: Path) -> None:
    path = written(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:-1])  # as another process may see it, for a moment
    writing.mend(tmp_path, before=1)
    assert not path.read_bytes().endswith(b"\n")


def test_a_flipped_bit_costs_one_record_and_is_reported_with_its_place(tmp_path: Path) -> None:
    whole = written(tmp_path, 4).read_bytes()
    starts = [0]
    for line in whole.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    path = journal.path_of(tmp_path, 1)
    for damaged in (0, 1, 2):
        others = [sync for sync in range(4) if sync != damaged]
        for place in range(starts[damaged], starts[damaged + 1]):
            for bit in (0, 5):
                path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
                found = journal.read(path)
                assert [entry["sync"] for entry in found.entries] == others
                assert found.end == len(whole)
                where = f"line {damaged + 1}: damaged, left out"
                assert any(where in note for note in found.damage), (place - starts[damaged], found.damage)
                assert found.tail == []


def test_damage_at_the_end_is_reported_and_not_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, 3)
    first, second, third = lines(path)
    path.write_bytes(first + second + third.replace(b"0.5", b"0.6"))
    found = journal.read(path)
    assert (len(found.entries), found.end, found.damage) == (2, len(first + second), [])
    assert found.tail == [f"{path}, line 3: damaged, left out"]
    path.write_bytes(first.replace(b"0.5", b"0.6"))
    assert (journal.read(path).entries, journal.last(path), len(journal.read(path).tail)) == ([], None, 1)


@pytest.mark.parametrize("zeros", [1, 4096, 3 << 20])
def test_zeros_at_the_end_as_after_a_power_cut(tmp_path: Path, zeros: int) -> None:
    path = written(tmp_path, 2)
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(bytes(zeros))
    assert syncs(path) == [0, 1]
    writing.mend(tmp_path, before=2)
    assert path.stat().st_size == whole


def test_a_file_without_one_whole_line_is_emptied(tmp_path: Path) -> None:
    path = written(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-1])
    writing.mend(tmp_path, before=2)
    assert path.stat().st_size == 0


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = written(tmp_path, 25)
    found, at = [], 0
    while (chunk := journal.read(path, at, limit=10)).entries:
        assert (chunk.start, len(chunk.entries)) == (at, min(10, 25 - len(found)))
        found += [entry["sync"] for entry in chunk.entries]
        at = chunk.end
    assert found == list(range(25))


def test_a_reader_beside_a_writer_sees_each_record_once_in_order(tmp_path: Path) -> None:
    count = 300

    def write() -> None:
        mine = Journal(journal.path_of(tmp_path, 1), 1)
        for sync in range(count):
            mine.append("sync", {"sync": sync, "learner_step": 0, "padding": "x" * (sync * 37 % 9000)})

    writer = children.start(write)
    path = journal.path_of(tmp_path, 1)
    wait_for(path.exists, "the journal", every_s=0.001)
    seen: list[int] = []
    at = 0
    while len(seen) < count:
        chunk = journal.read(path, at)
        assert chunk.damage == []
        seen += [entry["sync"] for entry in chunk.entries]
        at = chunk.end
    assert seen == list(range(count))
    assert children.end(writer) == 0


def test_what_is_not_on_disk_yet_is_not_counted_as_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Journal.reserve(tmp_path, 0)
    mine.append("beat")
    seen: list[int] = []
    flush = os.fsync

    def flushing(file: int) -> None:
        seen.append(len(journal.read(mine.path, until=mine.flushed).entries))
        flush(file)

    monkeypatch.setattr(os, "fsync", flushing)
    mine.append("beat")
    assert (seen, len(journal.read(mine.path, until=mine.flushed).entries)) == ([1], 2)
    mine.close()


def test_the_name_of_a_new_journal_is_flushed_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: flushed.append(os.fstat(file).st_ino))
    mine = Journal.reserve(tmp_path / "run", 0)
    assert (tmp_path / "run").stat().st_ino in flushed
    mine.close()


def test_a_file_system_that_flushes_no_folders_is_good_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_folders(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse_folders)
    assert syncs(written(tmp_path, 2)) == [0, 1]


def test_a_beat_follows_silence_and_nothing_else(tmp_path: Path) -> None:
    mine = Journal.reserve(tmp_path, 0)
    mine.beat(0.0)
    assert mine.flushed == 0, "the first record says whose the journal is"
    mine.append("fail", {"failure": "first"})
    mine.beat(60.0)
    time.sleep(0.02)
    mine.beat(0.01)
    mine.beat(60.0)
    assert [entry["record"] for entry in journal.read(mine.path).entries] == ["fail", "beat"]
    assert mine.flushed == mine.path.stat().st_size
    mine.close()


def test_of_many_that_reserve_at_once_each_gets_a_number_of_its_own(tmp_path: Path) -> None:
    def reserve() -> None:
        for _ in range(10):
            mine = Journal.reserve(tmp_path / "run", 3)
            mine.append("beat", {"pid": os.getpid(), "number": mine.number})

    for child in [children.start(reserve) for _ in range(8)]:
        assert children.end(child) == 0
    assert journal.numbers(tmp_path / "run") == list(range(4, 84))
    for number in journal.numbers(tmp_path / "run"):
        (entry,) = journal.read(journal.path_of(tmp_path / "run", number)).entries
        assert entry["number"] == number


def test_a_number_that_another_took_in_between_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = journal.numbers

    def list_then_lose(directory: Path | str) -> list[int]:
        found = listed(directory)
        if len(found) < 2:
            Journal(journal.path_of(tmp_path, len(found) + 1), len(found) + 1).close()
        return found

    monkeypatch.setattr(journal, "numbers", list_then_lose)
    mine = Journal.reserve(tmp_path, 0)
    assert mine.number == 3
    mine.close()


def test_a_journal_is_never_opened_twice_for_writing_and_others_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    path = written(tmp_path, 1)
    os.umask(before)
    with pytest.raises(FileExistsError):
        Journal(path, 1)
    assert syncs(path) == [0]
    assert path.stat().st_mode & 0o777 == 0o644


def test_records_say_how_long_after_the_beginning_they_were_made(tmp_path: Path) -> None:
    began = time.monotonic()
    mine = Journal.reserve(tmp_path, 0)
    created = time.monotonic()
    time.sleep(0.05)
    mine.append("beat")
    elapsed_s = journal.read(mine.path).entries[0]["elapsed_s"]
    assert 0.049 <= elapsed_s <= time.monotonic() - began + 0.001
    assert elapsed_s >= round(0.05 - (created - began), 3)
    assert elapsed_s == round(elapsed_s, 3)
    mine.close()


def test_the_last_record_is_found_at_the_end_of_a_long_journal(tmp_path: Path) -> None:
    mine = Journal.reserve(tmp_path, 0)
    for sync in range(3):
        mine.append("sync", {"sync": sync, "learner_step": 0, "padding": "x" * 900_000})
    found = journal.last(mine.path)
    assert found is not None
    assert found["sync"] == 2
    mine.close()


def test_what_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    path = written(tmp_path / "run", 2)
    with path.open("ab") as file:
        file.write(b"torn")
    why = "Read-only file system; what is on disk stays valid: make room or give the right back, then "

    def write() -> None:
        children.make_read_only(tmp_path / "run")
        with pytest.raises(JournalError) as caught:
            writing.mend(tmp_path / "run", before=2)
        assert str(caught.value) == f"cannot write {path}: {why}`stalesweep launch` again"
        with pytest.raises(JournalError) as caught:
            Journal.reserve(tmp_path / "run", 4)
        following = journal.path_of(tmp_path / "run", 5)
        assert str(caught.value) == f"cannot write {following}: {why}`stalesweep launch` again"

    children.run(write)


def test_a_closed_journal_takes_no_record_and_writes_nowhere_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = Journal.reserve(tmp_path, 0)
    mine.append("beat")
    mine.close()
    with pytest.raises(JournalError, match="Bad file descriptor"):
        mine.append("sync")
    assert (capfd.readouterr().out, len(lines(mine.path))) == ("", 1)


def test_the_journal_of_an_attempt_that_did_not_begin_goes_away_also_with_its_folder(tmp_path: Path) -> None:
    mine = Journal.reserve(tmp_path / "run", 0)
    mine.discard()
    assert not mine.path.exists()
    again = Journal.reserve(tmp_path / "run", 0)
    shutil.rmtree(tmp_path / "run")
    again.discard()


def test_a_full_file_is_as_it_was_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    limit = 4000

    def fill() -> None:
        mine = Journal.reserve(tmp_path, 0)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        fill_up(mine, "cannot write .*attempt-0001.journal: (No space left on device|File too large)")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        go_on(mine)

    children.run(fill)
    assert journal.path_of(tmp_path, 1).stat().st_size > limit


def test_a_full_disk(tmp_path: Path) -> None:
    def fill() -> None:
        children.mount_small_disk(tmp_path, "64k")
        ballast = tmp_path / "ballast"
        ballast.write_bytes(bytes(40_000))
        mine = Journal.reserve(tmp_path, 0)
        fill_up(mine, "cannot write .*attempt-0001.journal: No space left on device; .* make room")
        ballast.unlink()
        go_on(mine)

    children.run(fill)


def fill_up(mine: Journal, message: str) -> None:
    """Append until there is no space, twice: each time the file is as it was."""
    with pytest.raises(JournalError, match=message):
        for sync in range(1000):
            mine.append("sync", {"sync": sync, "learner_step": 0, "padding": "x" * 321})
    size, before = mine.path.stat().st_size, syncs(mine.path)
    assert before == list(range(len(before)))
    assert before
    with pytest.raises(JournalError, match=message):
        mine.append("sync", {"sync": len(before), "learner_step": 0, "padding": "x" * 8000})
    assert (mine.path.stat().st_size, syncs(mine.path)) == (size, before)
    assert lines(mine.path)[-1].endswith(b"\n")


def go_on(mine: Journal) -> None:
    count = len(syncs(mine.path))
    mine.append("sync", {"sync": count, "learner_step": 0, "padding": "x" * 321})
    assert syncs(mine.path) == list(range(count + 1))
    assert journal.read(mine.path).damage == []


def test_what_could_not_be_cut_back_is_cut_before_the_next_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Journal.reserve(tmp_path, 0)
    mine.append("sync", {"sync": 0, "learner_step": 0})

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(os, "fsync", fail)
        failing.setattr(os, "ftruncate", fail)
        with pytest.raises(JournalError, match="Input/output error"):
            mine.append("sync", {"sync": 99, "learner_step": 0})
        with pytest.raises(JournalError, match="Input/output error"):
            mine.append("sync", {"sync": 99, "learner_step": 0})
    mine.append("sync", {"sync": 1, "learner_step": 0})
    assert syncs(mine.path) == [0, 1]
    assert journal.read(mine.path).damage == []
    mine.close()


def test_an_attempt_is_overtaken_by_a_later_one_that_has_begun(tmp_path: Path) -> None:
    mine = Journal.reserve(tmp_path, 1)
    written(tmp_path, 1, number=1).rename(journal.path_of(tmp_path, 1))
    assert not mine.overtaken()
    later = Journal.reserve(tmp_path, 0)
    assert later.number == 3
    assert not mine.overtaken(), "a number that is reserved only"
    later.append("beat")
    assert mine.overtaken()
    assert not later.overtaken()
    later.discard()
    assert not mine.overtaken()
    mine.close()


def test_an_attempt_is_overtaken_when_its_run_was_removed(tmp_path: Path) -> None:
    mine = Journal.reserve(tmp_path / "run", 0)
    mine.append("beat")
    assert not mine.overtaken()
    shutil.rmtree(tmp_path / "run")
    assert mine.overtaken()
    mine.close()


def test_attempts_that_come_and_go_do_not_disturb_one_that_writes(tmp_path: Path) -> None:
    mine = Journal.reserve(tmp_path, 0)

    def come_and_go() -> None:
        for _ in range(1500):
            Journal.reserve(tmp_path, 0).discard()

    child = children.start(come_and_go)
    for _ in range(5000):
        assert not mine.overtaken()
    assert children.end(child) == 0
    mine.close()
