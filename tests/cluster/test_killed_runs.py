"""A test run that is killed with -9 leaves no service behind: no Postgres, no MariaDB, nothing of Slurm."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from tests.cluster.devcluster import DevCluster
from tests.support import children
from tests.support.guard import processes_in
from tests.support.servers import own_server
from tests.support.waiting import wait_for

SERVICES = {"postgres", "mariadbd", "munged", "slurmdbd", "slurmctld", "slurmd"}
TIMEOUT_S = 300


def run_until_killed(postgres: str, own_cluster: DevCluster) -> None:
    """Start every service, say where, and wait; pytest collects it only where the test below asks for that."""
    own_cluster.up()
    with own_server() as server, psycopg.connect(postgres) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
        assert row is not None
        folders = [Path(row[0]), server.data, own_cluster.folder]
        aside = Path(os.environ["STALESWEEP_TEST_STARTED"] + ".partial")
        aside.write_text("\n".join(map(str, folders)))
        aside.rename(os.environ["STALESWEEP_TEST_STARTED"])
        signal.pause()


def names(folders: list[Path]) -> set[str]:
    """What runs in folders, by the programs' names."""
    found = set()
    for pid in {pid for folder in folders for pid in processes_in(folder)}:
        try:
            found.add(Path(f"/proc/{pid}/comm").read_text().strip())
        except OSError:
            continue
    return found


def test_a_killed_run_leaves_no_service_behind(tmp_path: Path) -> None:
    started = tmp_path / "started"
    options = ["-p", "no:cacheprovider", "-n", "1", "-o", "python_functions=run_until_killed", "--basetemp"]
    command = [sys.executable, "-m", "pytest", "-q", *options, tmp_path / "basetemp", __file__]
    ours = ("PYTEST_XDIST", "XDG_RUNTIME_DIR")  # the folder of a Postgres of ours, which the other run may not use
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment["STALESWEEP_TEST_STARTED"] = str(started)
    root = Path(__file__).parents[2]
    with children.program(*command, cwd=root, env=environment, stdout=subprocess.PIPE) as run:
        wait_for(started.exists, "all services", TIMEOUT_S, every_s=0.1, during=run)
        folders = [Path(line) for line in started.read_text().splitlines()]
        assert SERVICES - names(folders) == set()
        run.kill()
    wait_for(lambda: not names(folders), "the end of all services", TIMEOUT_S, every_s=0.1)
    for folder in folders:
        shutil.rmtree(folder.parent)
