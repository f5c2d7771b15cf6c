"""A real Slurm for the tests of this folder: one cluster with accounting for the session, as sites have."""

from __future__ import annotations

import fcntl
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.devcluster import ClusterMaker, DevCluster
from tests.cluster.scenes import Results, Scene, SceneMaker, make_reference, scene


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    """A running cluster with accounting: 4 nodes of 2 CPUs."""
    cluster = DevCluster(tmp_path_factory.mktemp("slurm"))
    cluster.up()
    yield cluster
    cluster.command("down")


@pytest.fixture
def cluster(session_cluster: DevCluster, monkeypatch: pytest.MonkeyPatch) -> DevCluster:
    """The session's cluster, with SLURM_CONF set; other folders' tests must not see a Slurm."""
    monkeypatch.setenv("SLURM_CONF", str(session_cluster.slurm_conf))
    return session_cluster


@pytest.fixture
def own_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[DevCluster]:
    """A cluster of this test's own, not yet up, with SLURM_CONF set; taken down afterwards."""
    with tempfile.TemporaryDirectory(prefix="stalesweep-", ignore_cleanup_errors=True) as short:
        own = DevCluster(Path(short) / "slurm")
        monkeypatch.setenv("SLURM_CONF", str(own.slurm_conf))
        yield own
        own.command("down")


@pytest.fixture(scope="session")
def reference(shared_folder: Path, policy_cache: Path) -> Results:
    """What the sweeps of `scenes` come to where nothing happens to them; one of the test processes trains them."""
    kept = shared_folder / "reference.pickle"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make_reference(shared_folder / "reference", policy_cache)))
    found: Results = pickle.loads(kept.read_bytes())
    return found


@pytest.fixture(scope="session")
def make_scene(tmp_path_factory: pytest.TempPathFactory, policy_cache: Path, reference: object) -> SceneMaker:
    """Make sweeps for a cluster; by then the policies are warmed up."""

    def make(name: str, cluster: DevCluster, runs: int, resources: str = "time_min: 5", **more: str) -> Scene:
        return scene(tmp_path_factory.mktemp(name) / "ws", policy_cache, cluster, runs, resources, **more)

    return make


@pytest.fixture(scope="session")
def make_acting_scene(tmp_path_factory: pytest.TempPathFactory) -> SceneMaker:
    """As `make_scene`, where `tests.support.acting_worker` trains."""

    def make(name: str, cluster: DevCluster, runs: int, resources: str = "time_min: 5", **more: str) -> Scene:
        folder = tmp_path_factory.mktemp(name)
        return scene(folder / "ws", folder, cluster, runs, resources, train=False, **more)

    return make


@pytest.fixture(scope="session")
def acting_reference(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """As `reference`, where `tests.support.acting_worker` trains."""
    folder = tmp_path_factory.mktemp("acting-reference")
    return make_reference(folder / "ws", folder, train=False)


@pytest.fixture(scope="session")
def make_cluster(tmp_path_factory: pytest.TempPathFactory) -> ClusterMaker:
    """Run clusters of their own; not for SLURM_CONF of this process: several may run at once."""

    @contextmanager
    def make(*options: str) -> Iterator[DevCluster]:
        cluster = DevCluster(tmp_path_factory.mktemp("slurm"))
        cluster.up(*options)
        try:
            yield cluster
        finally:
            cluster.command("down")

    return make
