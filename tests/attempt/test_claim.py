"""What an attempt says of its process."""

from __future__ import annotations

import os

import pytest

from orchestrator.attempt.claim import origin


def test_a_task_of_an_array_goes_by_the_arrays_job_id(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SLURM_JOB_ID": "4712", "SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2",
        "SLURMD_NODENAME": "n1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    found = origin("slurm")
    assert (found.executor, found.job_id, found.task_id, found.restart_count) == ("slurm", "4711", "3", 2)
    assert (found.node, found.pid) == ("n1", os.getpid())
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name)
    found = origin("slurm")
    assert (found.job_id, found.task_id, found.restart_count) == ("4712", None, 0)
