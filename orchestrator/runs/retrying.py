"""Which of the runs that a user names may be trained again, and why others are left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.base.errors import NothingToDo
from orchestrator.base.states import EARLY_STOPS, RunState
from orchestrator.base.words import Say, counted
from orchestrator.jobs.training import Training
from orchestrator.runs.named import find, sweeps_of
from orchestrator.store.database import Store
from orchestrator.store.selection import SelectedRun


@dataclass(frozen=True, slots=True)
class Retry:
    """Runs to be trained again.

    Attributes:
        runs: The runs.
        stopped: Those of them that a search has stopped; they are pending once that is stored.
        left_alone: Why others that were named are not among them, a line each.
    """

    runs: list[SelectedRun]
    stopped: set[int]
    left_alone: list[str]


def choose(store: Store, words: Sequence[str], states: Sequence[str] | None, say: Say) -> Retry:
    """Choose those that failed, were lost, cancelled or left over; those that a search stopped only by state.

    Args:
        store: The results database; it is brought up to what has become of the runs.
        words: Sweeps, or numbers of runs.
        states: Only runs in one of these states; None = in any.
        say: Takes lines for the user.

    Raises:
        NothingToDo: No run is of that name and state.
    """
    free: set[int] = set()
    for sweep_id, name in sweeps_of(_ours(find(store, words))).items():
        try:
            free |= set(Training(store, sweep_id, name, say).runs())
        except NothingToDo:
            continue
    runs = _ours(find(store, words, states))
    stopped = {run.run_id for run in runs if run.failure_class in EARLY_STOPS and RunState.CANCELLED in (states or ())}
    again = [run for run in runs if run.run_id in free | stopped]
    return Retry(again, stopped, _left_alone([run for run in runs if run not in again], free))


def _ours(runs: Sequence[SelectedRun]) -> list[SelectedRun]:
    return [run for run in runs if run.source != "import"]


def _left_alone(runs: Sequence[SelectedRun], free: set[int]) -> list[str]:
    stopped = sum(run.failure_class in EARLY_STOPS for run in runs)
    finished = sum(run.finished and run.failure_class not in EARLY_STOPS for run in runs)
    taken = sum(not run.finished and run.run_id not in free for run in runs)
    why = {
        "stopped early by a search: left alone; -s cancelled trains on": stopped,
        "finished: nothing to try again": finished,
        "in the hands of jobs: left alone": taken,
    }
    return [f"{counted(number, 'run')} {what}" for what, number in why.items() if number]
