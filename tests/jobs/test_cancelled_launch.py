"""A cancel that was confirmed wins over a launch that began before it, locally, in the background and on Slurm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.base.processes import started_at
from orchestrator.cli.app import app
from orchestrator.jobs import local
from orchestrator.jobs.training import Training, prepare
from orchestrator.store import submissions
from orchestrator.store.database import Store
from tests.end_to_end.sweeps import FAKE, ROOT
from tests.support.jobs import Jobs
from tests.support.waiting import wait_for

pytestmark = pytest.mark.services


def cancel_all(made: Jobs) -> None:
    done = CliRunner().invoke(app, ["cancel", "demo", "--yes"])
    assert (done.exit_code, f"cancelled {len(made.sweep.runs)} runs" in done.output) == (0, True), done.output


def test_a_launch_leaves_alone_what_was_cancelled_since_it_was_called(jobs: Callable[..., Jobs]) -> None:
    made = jobs(3)
    with Store(made.url) as store:
        training = Training(store, made.sweep_id, "demo", print)
        run_ids = training.runs()
        submissions.set_pending(store, run_ids)
        directories = prepare(store, made.sweep_id, run_ids)
        cancel_all(made)
        local.run_local(store, made.sweep_id, directories, 1, 0, lambda _: None)  # cancelled after it had prepared
        assert made.states() == ["cancelled"] * 3
        training.train(run_ids, "local", lambda _: None, max_parallel=1)  # ... and before
        training.train(run_ids, "debug", lambda _: None)
        assert prepare(store, made.sweep_id, run_ids) == {}
        asked = {"token": "t", "job_name": "n", "folder": "f", "resources": {}, "shares": [run_ids]}
        submissions.open_submission(store, made.sweep_id, **asked)
    assert made.states() == ["cancelled"] * 3
    assert [len(made.attempts(run_id)) for run_id in (1, 2, 3)] == [0, 0, 0]
    assert len(made.submit(1, 2, 3)) == 3, "a later launch trains them"


@pytest.mark.filterwarnings("ignore")  # it runs on, while nobody holds it any more
def test_a_launch_in_the_background_is_cancelled_at_once(
    jobs: Callable[..., Jobs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = jobs(40)
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "sitecustomize.py").write_text(FAKE.format(worker="fake_worker"))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'fake'}:{ROOT}")
    launched = CliRunner().invoke(app, ["launch", str(tmp_path / "grid.yaml"), "--executor", "local", "--detach"])
    assert launched.exit_code == 0, launched.output
    pid = int(launched.output.split("as process ")[1].split(";")[0])
    cancel_all(made)
    wait_for(lambda: started_at(pid) is None, "the end of the launcher")
    assert made.states() == ["cancelled"] * 40
