"""Whether a file's writer is alive, seen from its own process, from others, and from other pid namespaces."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.life import Writer, is_locked, lives, lock
from tests.support import children
from tests.support.waiting import wait_for

_AS_ROOT = [] if os.geteuid() == 0 else ["--map-root-user"]
_LOOK = "import json, sys; from pathlib import Path; from orchestrator.base.life import lives; "
_LOOK += "path = Path(sys.argv[1]); print(lives(path, json.loads(path.read_text())))"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "written"


@pytest.fixture
def writer(path: Path) -> Iterator[int]:
    """The number of a process that writes the file."""

    def write() -> None:
        draft = path.with_suffix(".draft")
        with draft.open("w") as file:
            json.dump(Writer.this_process(locked=lock(file.fileno())).to_json(), file)
            file.flush()
            draft.rename(path)
            signal.pause()

    child = children.start(write)
    wait_for(path.exists, "the file")
    yield child
    children.kill(child)


def seen(path: Path, *through: str) -> str:
    command = [*through, sys.executable, "-c", _LOOK, path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def said(path: Path, **changes: object) -> dict[str, object]:
    return {**json.loads(path.read_text()), **changes}


def without_lock(path: Path) -> None:
    """As if the file system had no locks."""
    path.write_text(json.dumps(said(path, locked=False)))


def test_a_writer_lives_until_it_is_killed(path: Path, writer: int) -> None:
    assert (is_locked(path), lives(path, said(path))) == (True, True)
    children.kill(writer)
    assert (is_locked(path), lives(path, said(path))) == (False, False)


@pytest.mark.parametrize("through", [["--pid", "--fork", "--mount-proc"], ["--uts"]])
def test_a_lock_is_seen_from_another_namespace(path: Path, writer: int, through: list[str]) -> None:
    unshare = ["unshare", *_AS_ROOT, *through]
    assert seen(path, *unshare) == "True"
    children.kill(writer)
    assert seen(path, *unshare) == "False"


def test_without_locks_the_number_counts_in_its_own_namespace_only(path: Path, writer: int, tmp_path: Path) -> None:
    copy = tmp_path / "copy"  # nobody holds its lock
    copy.write_text(path.read_text())
    without_lock(copy)
    unshare = ["unshare", *_AS_ROOT, "--pid", "--fork", "--mount-proc"]
    assert (seen(copy), seen(copy, *unshare)) == ("True", "None")
    children.kill(writer)
    assert (seen(copy), seen(copy, *unshare)) == ("False", "None")


@pytest.mark.parametrize(
    ("changes", "alive"),
    [
        ({"boot_id": "before"}, False),  # the machine started anew
        ({"boot_id": "before", "host": "its former name"}, None),
        ({"boot_id": "before", "host": "its former name", "locked": True}, False),  # no host shares this file system
        ({"started_at": 1.0}, False),  # another process has its number by now
        ({}, True),
    ],
)
def test_what_a_writer_said_decides_where_locks_do_not(
    path: Path, changes: dict[str, object], alive: bool | None
) -> None:
    me = Writer.this_process(locked=False).to_json()
    path.touch()
    assert lives(path, {**me, **changes}) is alive


def test_a_lock_that_no_host_shows_to_others_does_not_say_that_a_writer_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.touch()
    monkeypatch.setattr("orchestrator.base.life.network_filesystem", lambda _: "nfs4")
    elsewhere = dataclasses.replace(Writer.this_process(locked=True), host="elsewhere", boot_id="another")
    assert lives(path, elsewhere.to_json()) is None


def test_a_file_that_is_gone_or_names_no_writer(path: Path) -> None:
    assert is_locked(path) is None
    assert lives(path, Writer.this_process(locked=True).to_json()) is True
    with pytest.raises(ValueError, match="written does not name its writer"):
        lives(path, {})


def test_a_lock_waits_for_those_who_only_look(path: Path) -> None:
    path.touch()
    with path.open("rb") as other, path.open("a") as file:
        assert lock(other.fileno())
        looker = children.start(lambda: None)
        children.end(looker)
        assert not lock(file.fileno()), "another process keeps it"
