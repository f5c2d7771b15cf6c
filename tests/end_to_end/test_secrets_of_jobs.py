"""What a launch starts and leaves behind holds no password: processes, their environment, run folders, logs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.secretive import GRID, files_show_nothing, keeping, processes_show_nothing
from tests.support.passwords import shows_nothing
from tests.support.servers import Server, own_server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_server() as server:
        yield server


@pytest.mark.parametrize("name", ["user:password@", "STALESWEEP_DB_FILE"])
def test_local_jobs(name: str, server: Server, tmp_path: Path, policy_cache: Path) -> None:
    ws = keeping(name, server, tmp_path, policy_cache)
    slow = tmp_path / "slow" / "git"  # so that it is seen
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nsleep 0.3\nexec {shutil.which("git")} "$@"\n')
    slow.chmod(0o755)
    ws.environment["PATH"] = f"{slow.parent}:{ws.environment['PATH']}"
    seen: set[str] = set()
    with ws.start("launch", ws.grid(GRID), "--executor", "local", "--max-parallel", "1") as launched:
        while launched.poll() is None:
            seen |= processes_show_nothing(ws, launched)
            time.sleep(0.05)
        stdout, stderr = launched.communicate()
    assert launched.returncode == 0, stderr
    assert len(seen) >= 2, "the job and its controller"
    shows_nothing(stdout + stderr)
    files_show_nothing(ws.folder)
    assert ws.run("status").returncode == 0


def test_a_detached_launch(server: Server, tmp_path: Path, policy_cache: Path) -> None:
    ws = keeping("?password=", server, tmp_path, policy_cache)
    with ws.start("launch", ws.grid(GRID), "--executor", "local", "--max-parallel", "1", "--detach") as launched:
        stdout, stderr = launched.communicate(timeout=60)
    assert launched.returncode == 0, stderr
    seen: set[str] = set()

    def all_ended() -> bool:
        now = processes_show_nothing(ws, launched)
        seen.update(now)
        return not now

    wait_for(all_ended, "the detached launch to end", 120)
    assert len(seen) >= 3, "the launch that went on, the job and its controller"
    shows_nothing(stdout + stderr)
    files_show_nothing(ws.folder)
    assert '"stable": 1' in ws.run("status", "--format", "json").stdout
