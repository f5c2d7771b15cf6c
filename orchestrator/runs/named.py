"""The runs that a user names, with what their journals hold brought into the database first."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.base.errors import NothingToDo
from orchestrator.base.words import Say
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
    sweeps = sorted({run.sweep_id for run in unfinished})
    folders = [folder for sweep_id in sweeps for folder in queries.run_folders(store, sweep_id)]
    say_collected(collect_runs(store, [folder for folder in folders if folder.run_id in wanted]), say)
    return find(store, words, states)


def sweeps_of(runs: Sequence[SelectedRun]) -> dict[int, str]:
    """The sweeps of runs: their names by number."""
    return {run.sweep_id: run.sweep for run in runs}
