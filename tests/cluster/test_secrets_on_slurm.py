"""A password on a real Slurm: not in what its controller shows or keeps, nor in scripts, pickles, logs, processes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.devcluster import DevCluster
from tests.end_to_end.secretive import GRID, files_show_nothing, keeping, processes_show_nothing
from tests.support.passwords import shows_nothing
from tests.support.servers import TOKEN, Server, own_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_server() as server:
        yield server


@pytest.mark.parametrize("name", ["user:password@", "PGPASSFILE"])
def test_jobs_of_slurm(name: str, cluster: DevCluster, server: Server, tmp_path: Path, policy_cache: Path) -> None:
    ws = keeping(name, server, tmp_path, policy_cache)
    grid = GRID + "resources: {cpus: 1, mem_gb: 1, time_min: 5, array_parallelism: 2}\n"
    seen: set[str] = set()
    shown: set[str] = set()
    with ws.start("launch", ws.grid(grid), "--executor", "slurm", "--wait") as launched:
        while launched.poll() is None:
            seen |= processes_show_nothing(ws, launched)
            shown.add(slurm("show", "job", "--details"))
            time.sleep(0.2)
        stdout, stderr = launched.communicate()
    assert launched.returncode == 0, stderr
    [array] = [line.split()[2].rstrip(":") for line in stderr.splitlines() if line.startswith("submitted array")]
    shown.add(slurm("write", "batch_script", array, "-"))
    assert any(f"JobId={array}" in text or f"ArrayJobId={array}" in text for text in shown)
    assert any("srun" in text for text in shown), "the batch script"
    shows_nothing("".join(shown) + stdout + stderr)
    assert len(seen) >= 2, "jobs were looked at"
    files_show_nothing(ws.folder)
    kept = [path for path in cluster.folder.rglob("*") if path.is_file()]  # the controller's state and logs too
    assert any(path.name == "environment" for path in kept), "the environment that the controller keeps of a job"
    for path in kept:
        assert TOKEN.encode() not in path.read_bytes(), path


def slurm(*arguments: str) -> str:
    done = subprocess.run(["scontrol", *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout
