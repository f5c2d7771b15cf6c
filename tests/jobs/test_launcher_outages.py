"""A launcher on a Postgres that ends its connections or takes no writes for a while: it waits, and says so once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from orchestrator.base.errors import StoreUnavailable
from orchestrator.jobs import collecting
from orchestrator.jobs.training import Training
from orchestrator.store import submissions
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress
from tests.end_to_end.sweeps import FAKE, ROOT
from tests.support.jobs import Jobs

pytestmark = pytest.mark.services


@pytest.fixture
def made(postgres: str, new_database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.setenv("STALESWEEP_RUNS", "")  # put back afterwards
    (tmp_path / "fake").mkdir()
    slow = FAKE.format(worker="fake_worker") + "    tests.support.fake_worker.STEP_S = 0.1\n"
    (tmp_path / "fake" / "sitecustomize.py").write_text(slow)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'fake'}:{ROOT}")
    monkeypatch.setenv("STALESWEEP_JOBS_WRITE", "journal")  # so that the launcher writes
    monkeypatch.setattr(collecting, "_OUTAGE_POLL_S", 0.2)
    return Jobs(new_database("postgresql", upgraded=True), tmp_path, 2, horizon=40)


def executing(server: str, *statements: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@contextmanager
def repeating(action: Callable[[], None], every_s: float) -> Iterator[None]:
    stop = threading.Event()

    def go_on() -> None:
        while not stop.wait(every_s):
            action()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def train(made: Jobs, on_poll: Callable[[list[RunProgress]], None]) -> dict[str, int]:
    with Store(made.url) as store:
        training = Training(store, made.sweep_id, "demo", print)
        return dict(training.train(training.runs(), "local", on_poll, max_parallel=2).states)


def name_of(made: Jobs) -> str:
    return str(make_url(made.url).database)


def test_connections_that_are_ended_again_and_again(made: Jobs, postgres: str) -> None:
    begun = threading.Event()
    ending = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_of(made)}'"

    def end_all() -> None:
        if begun.is_set():
            executing(postgres, ending)

    with repeating(end_all, 0.3):
        assert train(made, lambda _: begun.set()) == {"collapsed": 2}
    for run_id in (1, 2):
        made.check(run_id)


def test_a_server_that_takes_no_writes_for_a_while(made: Jobs, postgres: str, caplog: pytest.LogCaptureFixture) -> None:
    by_default = f"ALTER DATABASE {name_of(made)} {{}} default_transaction_read_only"
    executing(postgres, by_default.format("SET") + " = on")
    with Store(made.url) as store, caplog.at_level(logging.WARNING, logger=collecting.__name__):
        with pytest.raises(StoreUnavailable, match="takes no writes") as refused:
            submissions.set_pending(store, [1])
        reset = threading.Timer(1.0, executing, (postgres, by_default.format("RESET")))
        reset.start()
        collecting.wait_for_database(store, refused.value)
        submissions.set_pending(store, [1])  # though its session began while the default was set
        reset.join()
    assert caplog.messages == [f"{refused.value}; the jobs go on, and this waits", "the database answers again"]
