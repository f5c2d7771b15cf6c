"""Files appear whole or not at all; private ones are private from their first byte on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.base.files import keep_url, tail, whole, write_whole
from orchestrator.base.processes import environment
from orchestrator.base.words import counted, plural


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_whole(path, "η") == path
    assert write_whole(path, b"two").read_bytes() == b"two"
    with pytest.raises(ValueError, match="half"), whole(path) as aside:
        aside.write_text("hal")
        raise ValueError("half")
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"], "nothing is left of the attempt"


def test_a_private_file_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "stalesweep" / "urls").mkdir(parents=True)
    left = tmp_path / "stalesweep" / "urls" / f".it.{os.getpid()}.partial"
    left.write_text("of a process that was killed")
    left.chmod(0o644)
    with whole(left.with_name("it"), private=True) as aside:
        assert (aside, aside.stat().st_mode & 0o777) == (left, 0o600)
    left.with_name("it").unlink()
    assert keep_url("urls", "https://former", known_as="it") == (path := keep_url("urls", "https://secret", "it"))
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("https://secret\n", 0o600)
    assert list(path.parent.iterdir()) == [path]


def test_the_end_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one ηη")
    assert [tail(tmp_path / "file", size) for size in (100, 3)] == ["one ηη", "\ufffdη"]
    assert tail(tmp_path / "none") == ""


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STALESWEEP_A", "a")
    monkeypatch.delenv("STALESWEEP_B", raising=False)
    with pytest.raises(ValueError, match="out"), environment({"STALESWEEP_A": None, "STALESWEEP_B": "b"}):
        assert (os.environ.get("STALESWEEP_A"), os.environ["STALESWEEP_B"]) == (None, "b")
        raise ValueError("out")
    assert (os.environ["STALESWEEP_A"], os.environ.get("STALESWEEP_B")) == ("a", None)


def test_nouns_are_counted() -> None:
    assert [counted(number, "run") for number in (0, 1, 2000)] == ["0 runs", "1 run", "2,000 runs"]
    assert plural(1, "mistake") == "mistake"
