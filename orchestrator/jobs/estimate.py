"""Estimate how long runs will take: from stored runs of the same models, else at most, from their time limits."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.base.errors import StoreError
from orchestrator.base.words import counted
from orchestrator.grid.sweep import Run
from orchestrator.store import queries
from orchestrator.store.database import Store


@dataclass(frozen=True, slots=True)
class StepTime:
    """Median seconds of a model's learner step, set-up left out, and on how many finished runs it is measured."""

    step_s: float
    runs: int


def stored_paces(url: str, models: Iterable[str]) -> dict[str, StepTime]:
    """Read how long learner steps of finished runs took; empty where the database does not exist or cannot be read."""
    try:
        with Store(url) as store:
            found = queries.step_times(store, models)
    except StoreError:
        return {}
    return {model: StepTime(statistics.median(times), len(times)) for model, times in found.items()}


def hours(runs: Iterable[Run], paces: Mapping[str, StepTime]) -> list[str]:
    """Say how many hours runs will take if each trains to its horizon, a sentence a model, in the models' order."""
    by_model: dict[str, list[Run]] = {}
    for run in runs:
        by_model.setdefault(run.cell.model, []).append(run)
    return [_of_model(model, runs, paces.get(model)) for model, runs in by_model.items()]


def run_hours(run: Run, learner_steps: float, pace: StepTime | None) -> float:
    """Hours that a run takes to train so far; its time limit where no pace is known."""
    return run.resources.time_min / 60 if pace is None else learner_steps * pace.step_s / 3600


def _of_model(model: str, runs: list[Run], pace: StepTime | None) -> str:
    each_h = [run_hours(run, run.config.horizon, pace) for run in runs]
    gpu_hours = sum(hours * run.resources.gpus for hours, run in zip(each_h, runs, strict=True))
    hours = f"{_rounded(sum(each_h))} hours of runs, {_rounded(gpu_hours) + ' GPU-hours' if gpu_hours else 'no GPU'}"
    if pace is None:
        return f"{model}: at most {hours}, by the time limits."
    count = counted(pace.runs, "finished run")
    return f"{model}: about {hours}, at {pace.step_s:.3g} s a learner step ({count})."


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
