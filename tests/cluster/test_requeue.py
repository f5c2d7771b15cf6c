"""Jobs that Slurm itself puts back into the queue: preempted, told or not, and moved away from a node that failed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from devcluster import DevCluster
from scenes import HOLD, HOLD_DEAF, SceneMaker, is_alive, wait_for

from orchestrator.db.models import RESULT_STATES
from tests.servers import own_server

pytestmark = pytest.mark.slow

Preempted = tuple[list[tuple[str, str, int | None]], str]


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture(scope="module", autouse=True)
def preempted(
    tmp_path_factory: pytest.TempPathFactory,
    make_scene: SceneMaker,
    reference: dict[str, pd.DataFrame],
    pool: ThreadPoolExecutor,
) -> dict[str, Future[Preempted]]:
    """Both preemptions, which begin at once."""

    def preempt(kind: str) -> Preempted:
        cluster = DevCluster(tmp_path_factory.mktemp(kind))
        cluster.up("--nodes", "1", "--preemption", kind)
        try:
            writes = {"STALESWEEP_JOBS_WRITE": "journal"} if kind == "silent" else {}
            it = make_scene(f"preempted-{kind}", cluster, 2, "time_min: 30", **writes)
            it.act(0, HOLD if kind == "signal" else HOLD_DEAF)
            assert it.launch().returncode == 0
            pid = it.pid_of(0)
            it.slurm("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")
            wait_for(lambda: not is_alive(pid), "the preempted process to end")
            waiting = it.status()[0]
            it.wait_for_jobs()
            assert all(run["state"] in RESULT_STATES for run in it.status())
            it.assert_whole(reference)
            return it.attempts(1), waiting["state"]
        finally:
            cluster.command("down")

    return {kind: pool.submit(preempt, kind) for kind in ("signal", "silent")}


@pytest.mark.parametrize(
    ("kind", "attempts"),
    [
        ("signal", [("preempted", None), (None, 2)]),  # it has saved a checkpoint when it was told
        ("silent", [("lost", None), (None, 1)]),  # it goes on from the one that it had
    ],
)
def test_a_preempted_run_goes_on(
    kind: str, attempts: list[tuple[str | None, int | None]], preempted: dict[str, Future[Preempted]]
) -> None:
    found, meanwhile = preempted[kind].result(timeout=240)
    assert [(failure_class, resumed) for _, failure_class, resumed in found] == attempts
    assert meanwhile in ("queued", "running")


def test_two_writers_after_a_node_was_lost(
    tmp_path: Path, make_scene: SceneMaker, reference: dict[str, pd.DataFrame]
) -> None:
    cluster = DevCluster(tmp_path / "slurm")
    with own_server() as server:
        try:
            cluster.up("--nodes", "2")
            it = make_scene("two-writers", cluster, 1, "time_min: 30", database=server.url("postgres"))
            it.act(0, HOLD_DEAF)
            assert it.launch().returncode == 0
            old = it.pid_of(0)
            node = it.slurm("squeue", "--noheader", "--format=%N")
            assert cluster.kill(node) == 0
            wait_for(lambda: it.state_of(0) != "RUNNING", "Slurm to miss the node", 90)
            meanwhile = it.status()[0]
            assert meanwhile["state"] == "running", "its process still writes"
            wait_for(lambda: len(it.attempts(1)) == 2, "the attempt on the other node", 90)
            assert is_alive(old), "two writers"
            it.release(0)
            wait_for(lambda: not is_alive(old), "the old process to notice")
            it.wait_for_jobs()
            assert it.status()[0]["state"] in RESULT_STATES
            it.assert_whole(reference)
            assert it.attempts(1)[0][:2] == ("lost", "lost")
            with it.ws.store() as store, store.read() as connection:
                nodes = connection.exec_driver_sql("select node from attempt order by number").scalars().all()
            assert len(set(nodes)) == 2
        finally:
            cluster.command("down")
