"""``launch --executor slurm`` on a real Slurm: arrays are submitted, and their rows are those of a local run."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.grid.sweep import Resources
from orchestrator.jobs.slurm import limits
from orchestrator.jobs.slurm.arrays import parameters
from tests.cluster.devcluster import DevCluster
from tests.end_to_end.sweeps import assert_same, results, workspace

pytestmark = pytest.mark.slow

GRID = """
name: on-slurm
grid: {model: [tiny], k: [4], eta: [5e-4, 2e-3], seed: [0]}
fixed: {horizon: 16, prompts_per_batch: 4, group_size: 2, tiny: {warmup_steps: 40, warmup_batch_size: 64}}
resources: {cpus: 1, mem_gb: 1, time_min: 5, array_parallelism: 2}
"""


def test_who_comes_later_may_wait_and_the_rows_are_those_of_a_local_sweep(
    cluster: DevCluster, tmp_path: Path, policy_cache: Path
) -> None:
    spaces = {}
    for executor in ("slurm", "local"):
        folder = tmp_path / executor
        folder.mkdir()
        ws = spaces[executor] = workspace(folder, policy_cache)
        launched = ws.run("launch", ws.grid(GRID), "--executor", executor)
        assert launched.returncode == 0, launched.stderr
        assert ("submitted array" in launched.stderr) == (executor == "slurm")
        if executor == "slurm":
            again = ws.run("launch", "grid.yaml", "--executor", "slurm", "--wait")
            assert again.returncode == 0, again.stderr
            assert "in the hands of jobs: watching them" in again.stderr
            assert "submitted array" not in again.stderr
            assert "2 of 2 runs done" in again.stdout
            assert ws.run("launch", "grid.yaml", "--executor", "slurm", "--wait").returncode == 3
    with spaces["slurm"].store() as there, spaces["local"].store() as here:
        assert_same(results(there), results(here))
        with there.read() as connection:
            jobs = connection.exec_driver_sql("select executor, job_id, task_id from attempt").fetchall()
    assert {job[0] for job in jobs} == {"slurm"}
    assert len({job[1] for job in jobs}) == 1, "one array"
    assert {job[2] for job in jobs} == {"0", "1"}


def test_auto_is_slurm_where_it_answers(cluster: DevCluster, tmp_path: Path, policy_cache: Path) -> None:
    ws = workspace(tmp_path, policy_cache)
    planned = ws.run("launch", ws.grid(GRID), "--dry-run").stdout
    assert "Executor: slurm" in planned
    assert "Array of 2 tasks: time = 5, cpus_per_task = 1, mem = 1024MB" in planned


def test_the_limits_are_read(cluster: DevCluster) -> None:
    found = limits.read(Resources())
    assert (found.array_size, found.jobs, found.source) == (1000, 9999, "MaxJobCount of the cluster")


def test_resources_in_submitits_spelling() -> None:
    resources = Resources(gpus=1, mem_gb=80, partition="gpu", account="lab", slurm={"nice": 10, "mail-type": "FAIL"})
    assert parameters(resources) == {
        "time": 30, "cpus_per_task": 1, "mem": "81920MB", "gpus_per_node": 1, "partition": "gpu", "account": "lab",
        "array_parallelism": 256, "signal_delay_s": 90, "mail_type": "FAIL", "additional_parameters": {"nice": 10},
    }  # fmt: skip
