"""Runs are taken from dead processes only, whatever this machine is called and whichever processes are seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text, update

from orchestrator.base.errors import NothingToDo
from orchestrator.grid.sweep import Sweep
from orchestrator.jobs import collecting, training
from orchestrator.jobs.slurm.survey import Survey
from orchestrator.rundir import journal
from orchestrator.store import queries, registration
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt
from tests.support import children
from tests.support.lives import begun, launched
from tests.support.waiting import wait_for

_UNSHARE = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"])]
OTHER_PROCESSES = [*_UNSHARE, "--pid", "--fork", "--mount-proc"]
OTHER_NAME = [*_UNSHARE, "--uts", "bash", "-c", 'hostname renamed && exec "$@"', "bash"]


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


@pytest.fixture
def directory(store: Store, grid: Callable[..., Sweep], runs_folder: Path) -> Path:
    """Of the first run, which is about to be trained."""
    return launched(store, registration.register(store, grid()))[1]


@pytest.fixture
def trainer(url: str, directory: Path) -> Iterator[int]:
    """A process that trains the first run."""

    def train() -> None:
        with Store(url) as own:
            begun(own, directory)
            signal.pause()

    child = children.start(train)
    wait_for(lambda: journal.size_of(journal.path_of(directory, 1)), "the attempt's first record")
    yield child
    children.kill(child)


def stalesweep(url: str, *words: str, through: list[str]) -> subprocess.CompletedProcess[str]:
    command = [*through, sys.executable, "-m", "orchestrator.cli.app", *words, "--db", url]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def state(store: Store) -> str:
    return queries.progress(store, 1)[0].state


@pytest.mark.parametrize("through", [OTHER_PROCESSES, OTHER_NAME])
def test_a_run_is_removed_when_its_process_is_gone_and_not_before(
    store: Store, url: str, directory: Path, trainer: int, through: list[str]
) -> None:
    refused = stalesweep(url, "rm", "1", "-y", through=through)
    assert (refused.returncode, state(store)) == (2, "running")
    assert "1 of these runs are running and were left as they are: 1" in refused.stderr
    children.kill(trainer)
    removed = stalesweep(url, "rm", "1", "-y", through=through)
    assert removed.returncode == 0, removed.stderr
    assert not directory.exists()


@pytest.mark.usefixtures("trainer")
def test_where_nobody_can_know_the_user_decides(
    store: Store, url: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.base.life.is_locked", lambda _: None)  # as on a file system without locks
    monkeypatch.setattr("orchestrator.base.life._boot_id", lambda: "another machine")
    monkeypatch.setattr("orchestrator.base.life.this_host", lambda: "elsewhere")
    collecting.recover(store, 1)
    assert state(store) == "running"
    with store.write() as connection:
        connection.execute(update(Attempt).values(heartbeat_at=text("'2026-01-01 00:00:00.000'")))
        connection.execute(text("UPDATE run SET state = 'stable' WHERE id > 1"))
    with pytest.raises(NothingToDo, match="`stalesweep cancel 1` frees those that are silent, if their processes are"):
        training.pending_runs(store, 1, Survey({}, {}, {}))
    assert stalesweep(url, "cancel", "1", "-y", through=[]).returncode == 0
    assert state(store) == "cancelled"
    assert journal.numbers(directory) == [1, 2], "what it still writes is refused"
