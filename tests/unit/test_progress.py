"""A sweep's progress as people see it: it fits the terminal, however many cells and failures there are."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from orchestrator.report.progress import progress_view
from orchestrator.track import sweep_status
from tests.unit.test_control import progress

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
    assert text.count("not been heard of") == 20
    assert "and 280 more" in text
    assert "and 1 more" in text
    assert " more:" not in shown(runs[:20], 100)
