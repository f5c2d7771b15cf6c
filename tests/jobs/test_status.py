"""What `status` says of a sweep, from how far each run is."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.jobs.status import sweep_status
from orchestrator.jobs.training import why_journals_only
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress

PENDING = RunProgress(
    run_id=1, position=0, model="tiny", k=2, eta=1e-3, axes={"clip_eps": 0.2}, seed=0, state="pending", horizon=40,
    learner_steps=0, sync=None, reward=None, val_reward=None, collapse_step=None, failure=None, failure_class=None,
    attempts=0, started_age_s=None, heartbeat_age_s=None, steps_per_s=None,
)  # fmt: skip


def run(run_id: int, state: str, **values: Any) -> RunProgress:
    return dataclasses.replace(PENDING, run_id=run_id, seed=run_id, state=state, **values)


RUNS = [
    run(1, "collapsed", learner_steps=30, collapse_step=20),
    run(2, "collapsed", learner_steps=40, collapse_step=30),
    run(3, "failed", learner_steps=5, failure="ValueError: no", failure_class="exception", attempts=2),
    run(4, "running", learner_steps=10, steps_per_s=2.0, heartbeat_age_s=1.0, sync=4, reward=math.nan, val_reward=0.25),
    run(5, "running", learner_steps=20, steps_per_s=0.5, heartbeat_age_s=3600.0, position=1, k=8),
    run(6, "running", position=1, k=8, needs_help=True, detail="held", job="4711_3"),
    run(7, "lost", learner_steps=4, position=1, k=8),
    run(8, "cancelled", failure_class="decided", position=1, k=8),
    run(9, "queued", position=1, k=8),
]


def test_scripts_get_all_of_a_sweep_as_json() -> None:
    status = dataclasses.replace(
        sweep_status("demo", RUNS), interruptions={3: {"node_failure": 1}}, silence="slurmctld is away"
    )
    found = json.loads(json.dumps(status.to_json(), allow_nan=False))
    first, second = found.pop("cells")
    assert found == {
        "sweep": "demo",
        "runs": {"collapsed": 2, "failed": 1, "running": 3, "lost": 1, "cancelled": 1, "queued": 1},
        "learner_steps": {"done": 4 * 40 + 10 + 20 + 4, "total": 9 * 40},
        "eta_s": (30 + 20 + 40 + 40) / 2.5,
        "slurm": "slurmctld is away",
    }
    rows = first.pop("runs")
    assert first == {
        "model": "tiny", "k": 2, "eta": 1e-3, "axes": {"clip_eps": 0.2}, "collapse_step": 25, "eta_s": 15.0,
        "states": {"collapsed": 2, "failed": 1, "running": 1},
    }  # fmt: skip
    assert rows[3] == {
        "run_id": 4, "seed": 4, "state": "running", "learner_steps": 10, "horizon": 40, "sync": 4, "reward": "NaN",
        "val_reward": 0.25, "collapse_step": None, "failure": None, "failure_class": None, "attempts": 0,
        "heartbeat_age_s": 1.0, "detail": "", "job": None, "needs_help": False, "eta_s": 15.0, "interruptions": {},
    }  # fmt: skip
    assert rows[2]["interruptions"] == {"node_failure": 1}
    assert (second["eta_s"], second["collapse_step"], len(second["runs"])) == (40.0, None, 5)
    assert (second["runs"][1]["needs_help"], second["runs"][1]["job"]) == (True, "4711_3")


def test_runs_that_deserve_a_look_are_told_apart() -> None:
    status = sweep_status("demo", RUNS)
    chosen = {
        name: [run.run_id for run in getattr(status, name)] for name in ("silent", "stuck", "failures", "stopped")
    }
    assert chosen == {"silent": [5], "stuck": [6], "failures": [3, 7], "stopped": [8]}
    first, second = status.cells
    assert (first.leader, second.leader) == (RUNS[3], RUNS[4])
    assert sweep_status("demo", RUNS[:3]).cells[0].leader is None
    assert sweep_status("demo", RUNS[:3]).eta_s is None
    assert sweep_status("demo", []).to_json()["slurm"] is None


@pytest.mark.parametrize(
    ("writes", "executor", "reason"),
    [
        ("", "slurm", "SQLite serves one host; on others"), ("", "local", None), ("database", "slurm", None),
        ("journal", "slurm", "STALESWEEP_JOBS_WRITE says so"), ("journal", "local", "STALESWEEP_JOBS_WRITE says so"),
    ],
)  # fmt: skip
def test_which_jobs_write_journals_only(
    new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, writes: str, executor: str, reason: str | None
) -> None:
    monkeypatch.setenv("STALESWEEP_JOBS_WRITE", writes)
    store = Store(new_database("sqlite"), check_schema=False)
    assert why_journals_only(store, executor) == reason
