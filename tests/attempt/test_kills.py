"""kill -9 at every operation of an attempt: launched again, its rows are those of a run that was never interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attempt.kills import STATEMENTS

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]

WRITES = ("write", "half of a write", "fsync", "rename")


def kills(mode: str, url: str, folder: Path) -> dict[str, int]:
    """How often a process was killed before what; all checks are in `tests.attempt.kills`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.attempt.kills", mode, url, str(folder)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    before: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    print(f"\n{mode}: {sum(before.values())} kills", dict(sorted(before.items())))
    return before


@pytest.mark.slow
def test_attempts(url: str, tmp_path: Path) -> None:
    before = kills("attempts", url, tmp_path)
    assert sum(before.values()) >= 200
    assert {*WRITES, *STATEMENTS} <= before.keys()


@pytest.mark.slow
def test_attempts_while_the_database_is_away(url: str, tmp_path: Path) -> None:
    before = kills("outages", url, tmp_path)
    assert sum(before.values()) >= 60
    assert {"write", "half of a write", "fsync"} <= before.keys()


@pytest.mark.slow
def test_attempts_that_write_journals_only(new_database: Callable[[str], str], tmp_path: Path) -> None:
    before = kills("journals", new_database("sqlite"), tmp_path)
    assert sum(before.values()) >= 60
    assert set(before) == {*WRITES, "open", "unlink"}, "nothing but files"


def test_who_brings_journals(url: str, tmp_path: Path) -> None:
    before = kills("collectors", url, tmp_path)
    assert sum(before.values()) >= 20
    assert before["COMMIT"] >= 1
