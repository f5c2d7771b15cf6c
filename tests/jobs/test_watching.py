"""Watching a sweep, and choosing what to launch: a run whose fate is not known is left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.base.errors import NothingToDo
from orchestrator.base.states import RunState
from orchestrator.grid.sweep import Sweep
from orchestrator.jobs import training as launching
from orchestrator.jobs.slurm.standing import Standing
from orchestrator.jobs.slurm.survey import Survey
from orchestrator.store import registration, submissions
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    return new_database("sqlite", upgraded=True)


def test_watching_goes_on_while_more_was_just_submitted(
    store: Store, grid: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "_POLL_S", 0.0)
    monkeypatch.setattr(launching, "_SURVEY_S", -1.0)
    sweep_id = registration.register(store, grid())
    shown: list[list[RunProgress]] = []
    more = iter([True, True, False])
    launching.watch(store, sweep_id, shown.append, lambda _: next(more))
    assert len(shown) == 3, "what is shown knows nothing of what was submitted since"
    assert next(more, None) is None


def test_what_was_submitted_is_remembered_until_slurm_is_asked_again(
    store: Store, grid: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "_POLL_S", 0.001)
    monkeypatch.setattr(launching, "_SURVEY_S", 0.2)
    sweep_id = registration.register(store, grid())
    more = iter([True, False])
    launching.watch(store, sweep_id, lambda _: None, lambda _: next(more))
    assert next(more, None) is None


@pytest.mark.parametrize(("held", "launched"), [(True, False), (None, False), (False, True)])
def test_a_run_whose_fate_is_not_known_is_not_launched_again(
    store: Store, grid: Callable[..., Sweep], held: bool | None, launched: bool
) -> None:
    sweep_id = registration.register(store, grid())
    submissions.set_queued(store, [1])
    found = Survey({1: Standing(RunState.QUEUED, held=held)}, {}, {})
    assert (1 in launching.pending_runs(store, sweep_id, found)) == launched
    silent = Survey({run_id: Standing("unknown", held=None) for run_id in (1, 2, 3, 4)}, {}, {}, silence="no answer")
    with pytest.raises(NothingToDo, match="the 4 unfinished runs are in the hands of jobs, as far as is known: no ans"):
        launching.pending_runs(store, sweep_id, silent)
