"""The view of a sweep's progress: it fits the terminal with any number of cells and failures."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from orchestrator.jobs.status import sweep_status
from orchestrator.report.progress import progress_view
from tests.cli.test_control import progress

ETAS = [1e-5 * 1.4384498882876628**n for n in range(20)]


def shown(runs: list[object], width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(progress_view(sweep_status("large", runs)))  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize("width", [30, 80, 160])
def test_a_wide_sweep_is_shown_as_several_tables(width: int) -> None:
    runs = [
        progress(place, "collapsed", k=k, eta=eta, seed=seed, collapse_step=1000 + place)
        for place, (k, eta) in enumerate((k, eta) for k in (1, 512) for eta in ETAS)
        for seed in range(3)
    ]
    text = shown(runs, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for place, eta in enumerate(ETAS):
        assert text.count(f"η = {eta:g}") == 1
        assert text.count(f"3 collapsed, T* {1000 + place}\n") + text.count(f"3 collapsed, T* {1000 + place} ") == 1


def test_of_many_failed_and_silent_runs_some_are_named_and_all_are_counted() -> None:
    runs = [progress(n, "failed", failure="out of memory") for n in range(300)]
    runs += [progress(300 + n, "running", heartbeat_age_s=500.0) for n in range(21)]
    text = shown(runs, 100)
    assert text.count("out of memory") == 20
    assert text.count("has sent no heartbeat") == 20
    assert "and 280 more" in text
    assert "and 1 more" in text
    assert " more:" not in shown(runs[:20], 100)


def test_what_runs_wait_for_is_said_once_for_all_of_them() -> None:
    runs = [progress(n, "queued", seed=n, detail="Priority") for n in range(12)]
    runs += [progress(12, "queued", seed=12, detail="no node is as it asks (BadConstraints)", needs_help=True)]
    runs += [progress(13, "unknown", seed=13, detail="Slurm does not answer: squeue: no route")]
    text = shown(runs, 100)
    assert text.count("Priority") == 1
    assert "12 runs wait in the queue: Priority" in text
    assert "1 run waits and needs help: no node is as it asks" in text
    assert "1 run is not known: Slurm does not answer" in text
    assert "1 not known" in text


def test_failures_are_named_with_their_class_and_attempts_that_ended_early_are_counted() -> None:
    runs = [progress(1, "failed", failure="too much", failure_class="out_of_memory", attempts=3), progress(2, "stable")]
    status = replace(
        sweep_status("large", runs), interruptions={1: {"out_of_memory": 3}, 2: {"preempted": 2, "out_of_memory": 1}}
    )
    file = io.StringIO()
    Console(file=file, width=100).print(progress_view(status))
    assert "failed (out of memory) after 3 attempts: too much" in file.getvalue()
    assert "attempts that ended early: 4 out of memory, 2 preempted" in file.getvalue()
    found = status.to_json()["cells"]
    assert [run["interruptions"] for cell in found for run in cell["runs"]] == [
        {"out_of_memory": 3},
        {"preempted": 2, "out_of_memory": 1},
    ]


def test_a_running_cell_says_how_long_it_takes() -> None:
    going = progress(1, "running", horizon=640, learner_steps=40, steps_per_s=2.0, sync=3, reward=0.5)
    assert "sync 3 · reward 0.50 · 0:05:00" in shown([going], 100)
    assert "1 running, sync 3 · 0:05:00" in shown([going, progress(1, "queued", seed=1)], 100)
