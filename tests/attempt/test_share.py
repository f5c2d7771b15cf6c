"""The list of runs that a launcher lengthens while its jobs take them."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from orchestrator.attempt.share import Share, follow, is_open
from orchestrator.attempt.stop import Stop
from tests.support import children
from tests.support.waiting import wait_for


def paths(*names: str) -> list[Path]:
    return [Path("/runs η") / name for name in names]


def test_a_job_gets_what_was_added_before_and_while_it_follows_until_the_share_is_closed(tmp_path: Path) -> None:
    share = Share(tmp_path / "new" / "share")
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


def test_a_job_that_is_asked_to_stop_follows_no_further(tmp_path: Path) -> None:
    share = Share(tmp_path / "share")
    share.add(paths("a", "b"))
    stop = Stop()
    following = follow(share.path, stop)
    assert next(following) == paths("a")[0]
    stop.request("stopped")
    assert list(following) == []


def test_a_job_ends_when_its_launcher_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "share"

    def launch() -> None:
        Share(path).add(paths("a"))
        assert is_open(path)

    assert not is_open(path)
    children.run(launch)
    assert not is_open(path)
    assert list(follow(path, Stop())) == paths("a"), "what it had added is still trained"


def test_another_process_of_the_launchers_number_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "share"
    Share(path)
    assert is_open(path)
    path.write_text(json.dumps({"pid": os.getpid(), "started_at": 1.0}) + "\n")
    assert not is_open(path)
