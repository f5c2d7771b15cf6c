"""How far a sweep is, cell by cell, from what its attempts have written and what Slurm says. Guesses no state."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from orchestrator.base.states import EARLY_STOPS, GOING, RESULTS, UNKNOWN, RunState
from orchestrator.jobs.slurm.standing import SILENT_AFTER_S
from orchestrator.jobs.slurm.survey import Survey, survey
from orchestrator.store import queries, submissions
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress


@dataclass(frozen=True, slots=True)
class CellStatus:
    """The runs of one cell, by seed, and its axes."""

    model: str
    k: int
    eta: float
    axes: dict[str, Any]
    runs: tuple[RunProgress, ...]

    @property
    def states(self) -> Counter[str]:
        """How many runs are in each state."""
        return Counter(run.state for run in self.runs)

    @property
    def collapse_step(self) -> float | None:
        """Median T* of the collapsed runs."""
        steps = [run.collapse_step for run in self.runs if run.collapse_step is not None]
        return statistics.median(steps) if steps else None

    @property
    def leader(self) -> RunProgress | None:
        """The running run that is furthest."""
        running = [run for run in self.runs if run.state == RunState.RUNNING]
        return max(running, key=lambda run: run.learner_steps, default=None)

    @property
    def eta_s(self) -> float | None:
        """Seconds until the running runs have ended, at their present pace; None when none has a pace yet."""
        return max((left for run in self.runs if (left := _eta_s(run)) is not None), default=None)


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """A sweep at one moment."""

    name: str  # The sweep
    cells: tuple[CellStatus, ...]  # Its cells in grid order
    # How many attempts ended early, by run and failure class
    interruptions: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    silence: str = ""  # Why Slurm did not answer; "" where it did, or was not asked

    @property
    def runs(self) -> list[RunProgress]:
        """All runs in grid order."""
        return [run for cell in self.cells for run in cell.runs]

    @property
    def states(self) -> Counter[str]:
        """How many runs are in each state."""
        return Counter(run.state for run in self.runs)

    @property
    def steps_done(self) -> int:
        """Learner steps applied; a run that is over counts its whole horizon, even if it ended early."""
        over = (*RESULTS, RunState.FAILED, RunState.CANCELLED)
        return sum(run.horizon if run.state in over else run.learner_steps for run in self.runs)

    @property
    def steps_total(self) -> int:
        """Learner steps of the whole sweep."""
        return sum(run.horizon for run in self.runs)

    @property
    def eta_s(self) -> float | None:
        """Seconds until all is done at the present pace of the running runs; None when there is no pace yet."""
        left = sum(run.horizon - run.learner_steps for run in self.runs if run.state in (*GOING, UNKNOWN))
        pace = sum(run.steps_per_s or 0.0 for run in self.runs if run.state == RunState.RUNNING)
        return left / pace if pace > 0 else None

    @property
    def silent(self) -> list[RunProgress]:
        """Running runs without a recent heartbeat."""
        running = (run for run in self.runs if run.state == RunState.RUNNING)
        return [run for run in running if (run.heartbeat_age_s or 0.0) > SILENT_AFTER_S]

    @property
    def stuck(self) -> list[RunProgress]:
        """Runs that wait until somebody acts."""
        return [run for run in self.runs if run.needs_help]

    @property
    def failures(self) -> list[RunProgress]:
        """Failed and lost runs."""
        return [run for run in self.runs if run.state in (RunState.FAILED, RunState.LOST)]

    @property
    def stopped(self) -> list[RunProgress]:
        """Runs that a search stopped early."""
        return [run for run in self.runs if run.failure_class in EARLY_STOPS]

    def to_json(self) -> dict[str, Any]:
        """What ``status --format json`` prints."""
        return {
            "sweep": self.name,
            "runs": dict(self.states),
            "learner_steps": {"done": self.steps_done, "total": self.steps_total},
            "eta_s": self.eta_s,
            "slurm": self.silence or None,
            "cells": [
                {
                    "model": cell.model, "k": cell.k, "eta": cell.eta, "axes": cell.axes,
                    "states": dict(cell.states), "collapse_step": cell.collapse_step, "eta_s": cell.eta_s,
                    "runs": [
                        {**_run_json(run), "interruptions": dict(self.interruptions.get(run.run_id, {}))}
                        for run in cell.runs
                    ],
                }
                for cell in self.cells
            ],
        }  # fmt: skip


def status_of(store: Store, name: str) -> SweepStatus:
    """Look at a sweep: what is stored of it, with journals brought in, and what Slurm says of its jobs.

    All it changes is to bring in the journals of runs whose job is gone once more.
    """
    sweep_id = queries.sweep_id(store, name)
    found = survey(store, sweep_id)
    runs = with_standings(queries.progress(store, sweep_id), found)
    interruptions = submissions.attempts_by_class(store, [run.run_id for run in runs if run.attempts])
    return replace(sweep_status(name, runs), interruptions=interruptions, silence=found.silence)


def with_standings(progress: Iterable[RunProgress], found: Survey) -> list[RunProgress]:
    """Lay what has become of runs on Slurm over what is stored of them; what is stored stays as it is."""
    runs = []
    for run in progress:
        if one := found.standings.get(run.run_id):
            job = found.job_of(run.run_id)
            run = replace(run, state=one.state, detail=one.detail, job=job, needs_help=one.needs_help)
            if one.over:
                run = replace(run, failure=one.detail, failure_class=one.failure_class)
        runs.append(run)
    return runs


def sweep_status(name: str, progress: Iterable[RunProgress]) -> SweepStatus:
    """Gather the runs of a sweep, in grid order, into cells."""
    groups = [tuple(group) for _, group in groupby(progress, key=lambda run: run.position)]
    cells = (CellStatus(runs[0].model, runs[0].k, runs[0].eta, runs[0].axes, runs) for runs in groups)
    return SweepStatus(name, tuple(cells))


def _eta_s(run: RunProgress) -> float | None:
    if run.state != RunState.RUNNING or not run.steps_per_s:
        return None
    return (run.horizon - run.learner_steps) / run.steps_per_s


def _run_json(run: RunProgress) -> dict[str, Any]:
    names = (
        "run_id", "seed", "state", "learner_steps", "horizon", "sync", "reward", "val_reward", "collapse_step",
        "failure", "failure_class", "attempts", "heartbeat_age_s", "detail", "job", "needs_help",
    )  # fmt: skip
    # JSON has no NaN: a reward that is not a number is written as text, a missing one as null.
    return {"eta_s": _eta_s(run)} | {name: "NaN" if (value := getattr(run, name)) != value else value for name in names}
