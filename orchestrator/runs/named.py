"""The runs that a user names, with what their journals hold brought into the database first; and which to retry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.base.errors import NothingToDo
from orchestrator.base.states import EARLY_STOPS, RunState
from orchestrator.base.words import Say, counted
from orchestrator.jobs.collecting import say_collected
from orchestrator.store import queries
from orchestrator.store.collect import collect_runs
from orchestrator.store.database import Store
from orchestrator.store.selection import SelectedRun, select_runs


def find(store: Store, words: Sequence[str], states: Sequence[str] | None = None) -> list[SelectedRun]:
    """Find the runs that are asked for, see `orchestrator.store.selection.select_runs`.

    Raises:
        NothingToDo: There is none.
    """
    with store.read() as connection:
        runs = select_runs(connection, words, states or ())
    if not runs:
        raise NothingToDo(f"no run in state {' or '.join(states)}" if states else "the database holds no run yet")
    return runs


def find_up_to_date(store: Store, words: Sequence[str], states: Sequence[str] | None, say: Say) -> list[SelectedRun]:
    """Find them again after bringing in the journals of unfinished ones, which is said.

    Raises:
        NothingToDo: There is none, or none any more.
    """
    unfinished = [run for run in find(store, words, states) if not run.finished]
    wanted = {run.run_id for run in unfinished}
    folders = [folder for sweep_id in sorted(sweeps_of(unfinished)) for folder in queries.run_folders(store, sweep_id)]
    say_collected(collect_runs(store, [folder for folder in folders if folder.run_id in wanted]), say)
    return find(store, words, states)


def sweeps_of(runs: Sequence[SelectedRun]) -> dict[int, str]:
    """The sweeps of runs: their names by number."""
    return {run.sweep_id: run.sweep for run in runs}


@dataclass(frozen=True, slots=True)
class Retry:
    """Runs to be trained again, which of them a search has stopped, and why others are left alone, a line each."""

    runs: list[SelectedRun]
    stopped: set[int]
    left_alone: list[str]


def choose_again(store: Store, words: Sequence[str], states: Sequence[str] | None, say: Say) -> Retry:
    """Choose those that failed, were lost, cancelled or left over; those that a search stopped only by state.

    The database is brought up to what has become of the runs.

    Raises:
        NothingToDo: No run is of that name and state.
    """
    from orchestrator.jobs.training import Training  # loads submitit, which other commands do without

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
