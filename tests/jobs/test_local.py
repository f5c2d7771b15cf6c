"""Local processes take the runs of a sweep from one list; a worker that trains nothing stands in for training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.jobs.local import run_local
from orchestrator.jobs.training import Training
from orchestrator.store import queries
from orchestrator.store.database import Store
from tests.end_to_end.sweeps import FAKE, ROOT
from tests.support.jobs import Jobs

pytestmark = pytest.mark.services


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


@pytest.fixture
def shared_files() -> Iterator[None]:
    """A user whose group may write what they write."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "sitecustomize.py").write_text(FAKE.format(worker="fake_worker"))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'fake'}:{ROOT}")


@pytest.mark.usefixtures("shared_files")
def test_processes_train_all_runs_and_those_that_are_added(jobs: Callable[..., Jobs]) -> None:
    made = jobs(3)
    seen: list[list[str]] = []
    given: list[set[int]] = []
    with Store(made.url) as store:
        training = Training(store, made.sweep_id, "demo", print)
        assert training.runs() == [1, 2, 3]

        def refill(progress: list[queries.RunProgress]) -> bool:
            given.append({run.run_id for run in progress if run.state != "pending"})
            return False

        status = training.train(
            [1, 2], "local", lambda runs: seen.append([run.state for run in runs]), max_parallel=1, refill=refill
        )
    assert (status.name, status.states) == ("demo", {"collapsed": 3})
    assert seen[0] == ["queued", "queued", "queued"] and seen[-1] == ["collapsed"] * 3
    assert given[0] == {1, 2}, "the third is added"
    for run_id in (1, 2, 3):
        made.check(run_id)
    [folder] = (made.folder / "runs" / "jobs").iterdir()
    assert len(list(folder.glob("*_submitted.pkl"))) == 1, "one process trained them all"
    assert not (folder / "share.jsonl").exists()
    assert folder.stat().st_mode & 0o777 == 0o700, "nobody else changes what is executed, whatever the umask"
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.glob("*.pkl") if "submitted" in path.name)
    assert str(made.directory(3)) in (folder / "shares.json").read_text()


def test_processes_that_train_nothing_are_not_started_for_ever(jobs: Callable[..., Jobs], tmp_path: Path) -> None:
    made = jobs(2)
    directories = dict(enumerate(made.submit(1, 2), 1))
    broken = "import os, sys\nif 'submitit' in ' '.join(sys.orig_argv):\n    os._exit(3)\n"
    (tmp_path / "fake" / "sitecustomize.py").write_text(broken)
    with Store(made.url) as store, pytest.raises(UsageError, match="jobs end without training anything:\nno log at"):
        run_local(store, made.sweep_id, directories, 1, 0, lambda _: None)
    assert made.states() == ["pending", "pending"]


def test_an_interrupt_ends_the_processes_in_good_order(jobs: Callable[..., Jobs], tmp_path: Path) -> None:
    made = jobs(2, horizon=2000)
    slow = FAKE.format(worker="fake_worker") + "    tests.support.fake_worker.STEP_S = 0.02\n"
    (tmp_path / "fake" / "sitecustomize.py").write_text(slow)

    def on_poll(progress: list[queries.RunProgress]) -> None:
        if any(run.learner_steps for run in progress):
            raise KeyboardInterrupt

    directories = dict(enumerate(made.submit(1, 2), 1))
    with Store(made.url) as store, pytest.raises(KeyboardInterrupt):
        run_local(store, made.sweep_id, directories, 1, 0, on_poll)
    assert made.states() == ["pending", "pending"]
    assert [attempt["outcome"] for attempt in made.attempts(1)] == ["interrupted"]
    assert list(made.directory(1).glob("checkpoint-*.pt"))
