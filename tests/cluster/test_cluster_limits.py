"""What a cluster refuses, or takes only in parts: bad partitions, small arrays, few jobs, little memory, many runs.

Fakes train the runs, e.g. `tests.support.fake_worker`: what is looked at is how they are submitted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.devcluster import DevCluster
from tests.cluster.scenes import Results, SceneMaker
from tests.end_to_end.sweeps import Workspace, assert_same, results, workspace

pytestmark = pytest.mark.slow

MOST_RUNS = 200

GRID = """
name: many
grid: {{model: [tiny], k: [2], eta: [1e-3], seed: {{range: {{start: 0, stop: {runs}}}}}}}
fixed: {{horizon: 8}}
resources: {{mem_gb: 0.5, time_min: 5, {resources}}}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    """A cluster of small limits, 8 slots."""
    cluster = DevCluster(tmp_path_factory.mktemp("small"))
    cluster.up("--max-array-size", "11", "--max-submit", "25", "--memory-limits")
    yield cluster
    cluster.command("down")


@pytest.fixture(scope="module")
def trained_here(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What `MOST_RUNS` come to without any Slurm."""
    ws = many(tmp_path_factory.mktemp("here") / "ws", None, MOST_RUNS, "array_parallelism: 8")
    assert ws.run("launch", "grid.yaml", "--executor", "debug", timeout_s=240).returncode == 0
    with ws.store() as store:
        return results(store)


def many(folder: Path, cluster: DevCluster | None, runs: int, resources: str) -> Workspace:
    """A sweep of runs that `tests.support.fake_worker` trains."""
    folder.mkdir()
    ws = workspace(folder, folder)
    ws.train_nothing()
    if cluster is not None:
        ws.environment["SLURM_CONF"] = str(cluster.slurm_conf)
    ws.grid(GRID.format(runs=runs, resources=resources))
    return ws


def launch_all(ws: Workspace, trained_here: Results) -> list[str]:
    """Launch until all is done, and compare with what was trained here; what was said of each array."""
    launched = ws.run("launch", "grid.yaml", "--executor", "slurm", "--wait", timeout_s=240)
    assert launched.returncode == 0, launched.stderr
    with ws.store() as store:
        found = results(store)
    runs = len(found["runs"])
    assert_same(found, {name: frame[frame["run"] <= runs] for name, frame in trained_here.items()})
    return re.findall(r"submitted array \d+: (\d+ tasks, \d+ runs)", launched.stderr)


def test_a_bad_partition_is_refused_in_slurms_words(cluster: DevCluster, make_acting_scene: SceneMaker) -> None:
    it = make_acting_scene("partition", cluster, 1, "time_min: 5, partition: nowhere")
    refused = it.launch()
    assert refused.returncode == 2
    assert "Slurm refused the submission" in refused.stderr
    assert "invalid partition" in refused.stderr
    assert it.status()[0]["state"] == "pending"


def test_arrays_within_max_array_size(small: DevCluster, trained_here: Results, tmp_path: Path) -> None:
    ws = many(tmp_path / "ws", small, 15, "array_parallelism: 8")
    assert launch_all(ws, trained_here) == ["10 tasks, 10 runs", "5 tasks, 5 runs"]


def test_jobs_within_max_submit_jobs(small: DevCluster, trained_here: Results, tmp_path: Path) -> None:
    ws = many(tmp_path / "ws", small, 30, "array_parallelism: 8")
    planned = ws.run("launch", "grid.yaml", "--executor", "slurm", "--dry-run").stdout
    assert "MaxSubmitJobs of account dev allows 25 jobs, 25 of them are free" in " ".join(planned.split())
    assert launch_all(ws, trained_here) == ["10 tasks, 20 runs", "5 tasks, 10 runs"]


def test_two_hundred_runs_on_eight_slots(cluster: DevCluster, trained_here: Results, tmp_path: Path) -> None:
    ws = many(tmp_path / "ws", cluster, MOST_RUNS, "array_parallelism: 8, runs_per_job: 8")
    assert launch_all(ws, trained_here) == ["25 tasks, 200 runs"]
    runs = json.loads(ws.run("status", "--format", "json").stdout)[0]["runs"]
    assert runs == {"collapsed": 200}
    with ws.store() as store, store.read() as connection:
        rows = connection.exec_driver_sql("select task_id, count(*) from attempt group by task_id").fetchall()
    assert sum(count for _, count in rows) == 200, "each by one attempt"
    assert Counter(count for _, count in rows) == {8: 25}


def test_too_little_memory_is_named_and_more_is_asked_for(
    small: DevCluster, make_acting_scene: SceneMaker, acting_reference: Results
) -> None:
    it = make_acting_scene("memory", small, 1, "time_min: 5")
    it.act(0, "filled = b'x' * (1100 << 20); hold()")
    assert it.launch().returncode == 0
    it.wait_for_jobs()
    run = it.status()[0]
    assert (run["state"], run["failure_class"]) == ("failed", "out_of_memory")
    it.finish(acting_reference)
    with it.ws.store() as store, store.read() as connection:
        asked = connection.exec_driver_sql("select resources from submission order by id desc").scalar()
    assert json.loads(asked)["mem_gb"] == 1.5
