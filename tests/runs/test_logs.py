"""``logs``: the run's own log or its job's, of one attempt or all, at once or as it grows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.rundir import folder as rundirs
from orchestrator.runs import logs
from orchestrator.store import submissions
from orchestrator.store.database import Store
from tests.support import children, fake_worker
from tests.support.jobs import Jobs
from tests.support.waiting import wait_for

pytestmark = pytest.mark.services


@pytest.fixture
def made(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.setenv("STALESWEEP_RUNS", "")  # put back afterwards
    monkeypatch.setenv("STALESWEEP_DB", url)
    monkeypatch.setattr(logs, "_LOOK_S", 0.1)
    monkeypatch.setattr(logs, "_POLL_S", 0.05)
    return Jobs(url, tmp_path, 2)


def stalesweep(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def train(made: Jobs, *run_ids: int, step_s: float = 0.0) -> None:
    def job() -> None:
        fake_worker.STEP_S = step_s
        made.train(*directories)

    directories = made.submit(*run_ids)
    children.run(job)


def interrupted_then_done(made: Jobs) -> str:
    directories = made.submit(1)

    def stopped() -> None:
        fake_worker.STEP_S = 0.2
        made.train(*directories)

    child = children.start(stopped)
    wait_for(lambda: list(directories[0].glob("checkpoint-*.pt")), "a checkpoint")
    subprocess.run(["kill", "-TERM", str(child)], check=True)
    assert children.end(child) == 0
    train(made, 1)
    return "".join((directories[0] / f"attempt-000{number}.log").read_text() for number in (1, 2))


def test_the_runs_own_log(made: Jobs) -> None:
    whole = interrupted_then_done(made)
    assert stalesweep("logs", "1").stdout == whole
    first, second = (stalesweep("logs", "1", "--attempt", str(number)).stdout for number in (1, 2))
    assert first + second == whole
    assert "attempt 2" not in first
    assert "run 1, attempt 1 on" in first
    assert "ended: interrupted" in first
    assert "run 1, attempt 2 on" in second
    assert "ended: collapsed after 10 learner steps" in second
    assert stalesweep("logs", "1", "-f").stdout == whole, "it has ended: nothing to wait for"
    assert stalesweep("logs", "1", "-f", "--attempt", "2").stdout == second


def test_the_log_of_an_older_version_holds_all_its_attempts(made: Jobs) -> None:
    directories = made.submit(1)
    (directories[0] / "log.txt").write_text("of attempts that an older version made\n")
    train(made, 1)
    own = (directories[0] / "attempt-0001.log").read_text()
    assert stalesweep("logs", "1").stdout == "of attempts that an older version made\n" + own
    assert stalesweep("logs", "1", "--attempt", "1").stdout == own
    (directories[0] / "attempt-0001.log").unlink()
    assert stalesweep("logs", "1", "--attempt", "1").stdout == "of attempts that an older version made\n"


def test_mistakes_are_named(made: Jobs) -> None:
    train(made, 1)
    for arguments, code, said in (
        (["1", "--attempt", "3"], 2, "error: --attempt: run 1 has no attempt 3; it has 1\n"),
        (["2", "--attempt", "1"], 2, "error: --attempt: run 2 has no attempt 1; it has not begun\n"),
        (["demo"], 2, "error: `logs` shows one run, and demo has 2: name one by its number, e.g. 1\n"),
        (["7"], 2, "error: no run 7; they are numbered from 1 to 2\n"),
    ):
        result = stalesweep("logs", *arguments)
        assert (result.exit_code, result.stderr) == (code, said)


def test_a_run_that_never_began_shows_its_jobs_log(made: Jobs, tmp_path: Path) -> None:
    nothing = stalesweep("logs", "2")
    assert nothing.exit_code == 3
    assert nothing.stderr.startswith("run 2 is pending, and it has not begun; what its job printed:\n")
    folder = tmp_path / "jobs"
    folder.mkdir()
    with Store(made.url) as store:
        resources = made.sweep.runs[0].resources.model_dump(mode="json")
        submissions.open_submission(
            store, made.sweep_id, token="t", job_name="n", folder=str(folder), resources=resources, shares=[[1], [2]]
        )
        submissions.answer(store, "t", "77")
    (folder / "77_1_0_log.err").write_text("srun: error: no python here\n")
    (folder / "77_1_0_log.out").write_text("prologue\n")
    shown = stalesweep("logs", "2")
    assert shown.exit_code == 0
    assert shown.stdout == "prologue\nsrun: error: no python here\n"
    assert "run 2 is unknown (Slurm does not answer: " in shown.stderr
    assert "it has not begun; what its job printed:" in shown.stderr
    assert f"==> {folder}/77_1_0_log.err <==" in shown.stderr
    assert stalesweep("logs", "2", "--job").stdout == shown.stdout
    gone = stalesweep("logs", "1", "--job")
    assert (gone.exit_code, "77_0_0_log.err" in gone.stderr) == (3, True)


def test_a_log_that_is_gone_is_said_to_be(made: Jobs) -> None:
    train(made, 1)
    (made.directory(1) / "attempt-0001.log").unlink()
    gone = stalesweep("logs", "1")
    assert gone.exit_code == 3
    assert f"run 1 is collapsed, and no log of it is in {made.directory(1)}" in gone.stderr


def test_the_log_of_a_local_job(made: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", "4242")
    train(made, 1)
    folder = made.folder / "runs" / "jobs" / "local"
    folder.mkdir(parents=True)
    (folder / "4242_0_log.err").write_text("what submitit said\n")
    assert stalesweep("logs", "1", "--job").stdout == "what submitit said\n"
    assert stalesweep("logs", "1", "--job", "--attempt", "1").stdout == "what submitit said\n"


def test_it_follows_until_the_run_has_ended(made: Jobs) -> None:
    assert stalesweep("collect").exit_code == 0
    command = [sys.executable, "-m", "orchestrator.cli.app", "logs", "1", "-f"]
    with children.program(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as following:
        assert following.stderr is not None
        assert "run 1 is pending: waiting for a job to take it" in following.stderr.readline()
        train(made, 1, step_s=0.2)
        stdout, stderr = following.communicate(timeout=60)
    assert (following.returncode, stderr) == (0, "")
    assert stdout == (made.directory(1) / "attempt-0001.log").read_text()


def pieces(found: Iterator[tuple[Path, str]]) -> str:
    return "".join(text for _, text in found)


def test_files_that_come_late_grow_and_are_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_LOOK_S", 0.0)
    monkeypatch.setattr(logs, "_POLL_S", 0.01)
    path = tmp_path / "later" / "log.txt"
    steps: list[Callable[[], object]] = [
        lambda: path.parent.mkdir(),
        lambda: path.write_bytes("half a ü".encode()[:-1]),
        lambda: path.write_bytes("half a ü; ".encode()),
        lambda: path.unlink(),
        lambda: path.write_text("anew"),
    ]

    def over() -> bool:
        if steps:
            steps.pop(0)()
            return False
        return True

    assert pieces(logs.follow(lambda: [path], over)) == "half a ü; anew"


def test_it_follows_into_a_new_attempt(tmp_path: Path) -> None:
    steps: list[Callable[[], object]] = [
        lambda: rundirs.log_of(tmp_path, 1).write_text("first; "),
        lambda: rundirs.log_of(tmp_path, 2).write_text("second"),
        lambda: None,
    ]

    def over() -> bool:
        steps.pop(0)()
        return not steps

    assert pieces(logs.follow(lambda: rundirs.logs(tmp_path), over)) == "first; second"


def test_a_long_log_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "attempt-0001.log"
    path.write_text("x" * 200_000)
    assert "".join(text for _, text in logs.read_all([path])) == "x" * 200_000
    assert list(logs.read_all([tmp_path / "none.log"])) == []
