"""A real Slurm for the tests of this folder: one cluster with accounting for the session, as sites have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from devcluster import DevCluster


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
def own_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DevCluster]:
    """A cluster of this test's own, not yet up, with SLURM_CONF set; taken down afterwards."""
    own = DevCluster(tmp_path / "slurm")
    monkeypatch.setenv("SLURM_CONF", str(own.slurm_conf))
    yield own
    own.command("down")
