"""Small parts of the control plane: processes, status, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.base.errors import UsageError
from orchestrator.base.processes import is_alive, started_at
from orchestrator.cli.app import app
from orchestrator.jobs.doctor import examine
from orchestrator.jobs.status import sweep_status
from orchestrator.jobs.training import choose_executor
from orchestrator.report.progress import run_line, summary_line
from orchestrator.store.queries import RunProgress
from tests.support import children


def test_a_process_is_told_apart_from_a_later_one_of_its_number() -> None:
    with children.program(sys.executable, "-c", "input()", stdin=subprocess.PIPE) as child:
        began = started_at(child.pid)
        assert began is not None
        assert is_alive(child.pid, began)
        assert not is_alive(child.pid, began - 1)
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(child.pid, began), "a zombie does not run"
    assert started_at(child.pid) is None


def progress(position: int, state: str, **values: object) -> RunProgress:
    """A run's progress; what is not given is empty."""
    empty = {
        "run_id": position, "position": position, "model": "tiny", "k": 8, "eta": 1e-3, "axes": {}, "seed": 0,
        "state": state, "horizon": 100, "learner_steps": 0, "sync": None, "reward": None, "val_reward": None,
        "collapse_step": None, "failure": None, "failure_class": None, "attempts": 0, "started_age_s": None,
        "heartbeat_age_s": None, "steps_per_s": None,
    }  # fmt: skip
    return RunProgress(**{**empty, **values})  # type: ignore[arg-type]


def test_status_counts_steps_and_says_how_long_the_rest_takes() -> None:
    status = sweep_status(
        "demo",
        [
            progress(1, "collapsed", learner_steps=60, collapse_step=40),
            progress(2, "running", learner_steps=50, steps_per_s=5.0, heartbeat_age_s=1.0),
            progress(3, "running", learner_steps=0, heartbeat_age_s=500.0),
            progress(4, "queued", heartbeat_age_s=500.0),
        ],
    )
    assert status.steps_done == 100 + 50
    assert status.eta_s == pytest.approx((50 + 100 + 100) / 5)
    assert [run.run_id for run in status.silent] == [3], "run 4 waits for a job again, and nobody is to be heard of"
    assert summary_line(status) == ("1 of 4 runs done, 2 running, 1 waiting · 38 % of 400 learner steps · 0:00:50 left")
    assert sweep_status("demo", [progress(1, "running")]).eta_s is None


def test_status_as_json_tells_nan_from_missing() -> None:
    content = sweep_status("demo", [progress(1, "running", reward=float("nan"))]).to_json()
    assert content["cells"][0]["runs"][0]["reward"] == "NaN"
    assert content["cells"][0]["runs"][0]["val_reward"] is None


def test_a_run_line_says_how_it_ended() -> None:
    collapsed = progress(3, "collapsed", collapse_step=40, learner_steps=100, val_reward=0.02)
    assert run_line(collapsed) == (
        "run 3 (tiny, k = 8, η = 0.001, seed 0): collapsed at T* = 40 after 100 learner steps, validation reward 0.02"
    )
    assert "failed: out of memory" in run_line(progress(3, "failed", failure="out of memory"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["launch", "none.yaml"], "none.yaml"),
        (["status", "--format", "xml"], "--format: expected table or json, found 'xml'"),
        (["fit-laws", "--format", "xml"], "--format: expected table, markdown, latex, csv or json, found 'xml'"),
        (["status", "--db", "sqlite:///none.db"], "none.db"),
        (["db", "check", "--db", "mysql://x"], "mysql"),
        (["status", "--db", "postgresql://me@127.0.0.1:1/none"], "127.0.0.1"),
        (["status", "--db", "postgresql://me:geheim@127.0.0.1:1/none"], "STALESWEEP_DB_FILE"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_message(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "geheim" not in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_executors_are_chosen_by_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="expected auto, slurm, local or debug, found 'cloud'"):
        choose_executor("cloud")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="sbatch is not on this machine, or SLURM_CONF names no cluster"):
        choose_executor("slurm")
    assert choose_executor("auto") == "local"


def test_doctor_names_what_it_looked_at(tmp_path: Path) -> None:
    findings = {finding.name: finding for finding in examine(f"sqlite:///{tmp_path}/none.db")}
    assert findings["torch"].good
    assert findings["vllm"].good is not True
    assert "GPUs" in findings["torch sees"].detail
    assert findings["database"].good is None
