"""The list of runs that a launcher lengthens while its jobs take them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.attempt.share import Share, follow, is_open
from orchestrator.attempt.stop import Stop
from orchestrator.base.life import Writer
from tests.support import children
from tests.support.waiting import wait_for


def paths(*names: str) -> list[Path]:
    return [Path("/runs η") / name for name in names]


@pytest.fixture
def made() -> Iterator[Callable[[Share], Share]]:
    with contextlib.ExitStack() as stack:
        yield stack.enter_context


def test_a_job_gets_what_was_added_before_and_while_it_follows_until_the_share_is_closed(
    tmp_path: Path, made: Callable[[Share], Share]
) -> None:
    share = made(Share(tmp_path / "new" / "share"))
    share.add(paths("a", "b"))
    got: list[Path] = []
    job = threading.Thread(target=lambda: got.extend(follow(share.path, Stop())))
    following = follow(share.path, Stop())
    assert [next(following), next(following)] == paths("a", "b")
    job.start()
    with share.path.open("a") as file:  # a line that is not whole yet is no run
        file.write(json.dumps("/runs/c")[:4])
    wait_for(lambda: got == paths("a", "b"), "the first two runs")
    with share.path.open("a") as file:
        file.write(json.dumps("/runs/c")[4:] + "\n")
    wait_for(lambda: len(got) == 3, "a third run")
    share.add(paths("d"))
    share.close()
    share.add(paths("late"))
    job.join(60)
    assert got == [*paths("a", "b"), Path("/runs/c"), *paths("d")]
    assert list(following) == [Path("/runs/c"), *paths("d")]


def test_a_job_that_is_asked_to_stop_follows_no_further(tmp_path: Path, made: Callable[[Share], Share]) -> None:
    share = made(Share(tmp_path / "share"))
    share.add(paths("a", "b"))
    stop = Stop()
    following = follow(share.path, stop)
    assert next(following) == paths("a")[0]
    stop.request("stopped")
    assert list(following) == []


def test_a_job_ends_when_its_launcher_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "share"

    def launch() -> None:
        share = Share(path)
        share.add(paths("a"))
        assert is_open(path)

    assert not is_open(path)
    children.run(launch)
    assert not is_open(path)
    assert list(follow(path, Stop())) == paths("a"), "what it had added is still trained"


def test_a_launcher_without_a_lock_is_known_by_its_number_and_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "share"
    me = Writer.this_process(locked=False).to_json()
    path.write_text(json.dumps(me) + "\n")
    assert is_open(path)
    path.write_text(json.dumps({**me, "started_at": 1.0}) + "\n")
    assert not is_open(path)


def test_a_share_that_is_over_leaves_no_file(tmp_path: Path) -> None:
    with Share(tmp_path / "share") as share:
        assert is_open(share.path)
    assert list(tmp_path.iterdir()) == []
