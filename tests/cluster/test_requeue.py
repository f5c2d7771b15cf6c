"""Jobs that Slurm itself puts back into the queue: preempted, told or not, and moved away from a node that failed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from orchestrator.base.states import RESULTS
from tests.cluster.devcluster import ClusterMaker
from tests.cluster.scenes import HOLD, HOLD_DEAF, Results, SceneMaker, is_alive, wait_for
from tests.support.servers import own_server

pytestmark = pytest.mark.slow

Seen = list[tuple[str | None, int | None]]
"""Of each attempt: its failure class, and the sync after which it went on."""


def preempted(kind: str, make_cluster: ClusterMaker, make_scene: SceneMaker, reference: Results) -> Seen:
    with make_cluster("--nodes", "1", "--preemption", kind) as cluster:
        writes = {"STALESWEEP_JOBS_WRITE": "journal"} if kind == "silent" else {}
        it = make_scene(f"preempted-{kind}", cluster, 2, "time_min: 30", **writes)
        it.act(0, HOLD if kind == "signal" else HOLD_DEAF)
        assert it.launch().returncode == 0
        pid = it.pid_of(0)
        it.slurm("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")
        wait_for(lambda: not is_alive(pid), "the preempted process to end")
        assert it.status()[0]["state"] in ("queued", "running")
        it.wait_for_jobs()
        assert all(run["state"] in RESULTS for run in it.status())
        it.assert_whole(reference)
        return [(failure_class, resumed) for _, failure_class, resumed in it.attempts(1)]


def moved(make_cluster: ClusterMaker, make_scene: SceneMaker, reference: Results) -> Seen:
    """The old process lives on where Slurm has lost its node, while a new one trains on another."""
    with own_server() as server, make_cluster("--nodes", "2") as cluster:
        it = make_scene("two-writers", cluster, 1, "time_min: 30", database=server.url("postgres"))
        it.act(0, HOLD_DEAF)
        assert it.launch().returncode == 0
        old = it.pid_of(0)
        node = it.slurm("squeue", "--noheader", "--format=%N")
        assert cluster.kill(node) == 0
        wait_for(lambda: it.state_of(0) != "RUNNING", "Slurm to miss the node", 90)
        assert it.status()[0]["state"] == "running", "its process still writes"
        wait_for(lambda: len(it.attempts(1)) == 2, "the attempt on the other node", 90)
        assert is_alive(old), "two writers"
        it.release(0)
        wait_for(lambda: not is_alive(old), "the old process to notice")
        it.wait_for_jobs()
        assert it.status()[0]["state"] in RESULTS
        it.assert_whole(reference)
        with it.ws.store() as store, store.read() as connection:
            nodes = connection.exec_driver_sql("select node from attempt order by number").scalars().all()
        assert {"node1", "node2"} == set(nodes)
        return [(failure_class, resumed) for _, failure_class, resumed in it.attempts(1)]


@pytest.fixture(scope="module", autouse=True)
def seen(make_cluster: ClusterMaker, make_scene: SceneMaker, reference: Results) -> Iterator[dict[str, Future[Seen]]]:
    """All three, which begin at once, each on a cluster of its own."""
    made = (make_cluster, make_scene, reference)
    with ThreadPoolExecutor() as pool:
        yield {
            "moved": pool.submit(moved, *made),
            "signal": pool.submit(preempted, "signal", *made),
            "silent": pool.submit(preempted, "silent", *made),
        }


@pytest.mark.parametrize(
    ("what", "attempts"),
    [
        ("signal", [("preempted", None), (None, 2)]),  # it has saved a checkpoint when it was told
        ("silent", [("lost", None), (None, 1)]),  # it goes on from the one that it had
        ("moved", [("lost", None), (None, 1)]),
    ],
)
def test_a_requeued_run_goes_on(what: str, attempts: Seen, seen: dict[str, Future[Seen]]) -> None:
    assert seen[what].result(timeout=600) == attempts
