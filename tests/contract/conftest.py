"""One suite, two databases: a test that takes `url` runs on a SQLite file and on a real Postgres server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.grid.sweep import Sweep, load_sweep
from orchestrator.store import schema
from orchestrator.store.store import Store
from tests.support.jobs import Jobs


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
def jobs(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Jobs]:
    """Make a sweep of so many runs whose jobs are processes of the test's; commands see its database."""
    monkeypatch.setenv("STALESWEEP_RUNS", "")  # put back afterwards
    monkeypatch.setenv("STALESWEEP_DB", url)
    return lambda runs=1, **options: Jobs(url, tmp_path, runs, **options)


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
