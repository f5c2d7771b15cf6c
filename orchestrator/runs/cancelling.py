"""Cancelling runs: by an entry in the run directory, then in the database, then in Slurm.

``cancel`` calls this for a user, `orchestrator.search.driver` for a search. The entry is a journal that takes the
number of the run's next attempt. The database then refuses what older attempts write; if jobs write journals only, an
attempt sees the newer journal in its run directory and stops. The job goes on with the next run of its share; a task
of Slurm without any further run is cancelled. If this is killed in between, any command that brings in journals
finishes it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.base.errors import JournalError, SlurmUnavailable, UsageError
from orchestrator.base.states import CANCELLABLE, FailureClass, RunState
from orchestrator.jobs.slurm import client
from orchestrator.jobs.slurm.client import TaskId
from orchestrator.rundir.writing import Journal
from orchestrator.store import queries, submissions
from orchestrator.store.collect import collect_runs, has_news
from orchestrator.store.database import Store
from orchestrator.store.endings import Ending, end_runs
from orchestrator.store.queries import RunFolder
from orchestrator.store.selection import SelectedRun
from orchestrator.store.submissions import Place, Submitted

_ROUNDS = 3
_WRITERS = 16
"""Threads that write entries: each waits for the disk, and a file system flushes for several threads at once."""

Advance = Callable[[int], None]
"""Takes how many more are done."""


@dataclass(slots=True)
class Done:
    """What was cancelled."""

    runs: list[int] = field(default_factory=list)  # The runs that are cancelled now
    # Runs that are still going, because new attempts began faster than they could be cancelled
    left: list[int] = field(default_factory=list)
    tasks: int = 0  # How many tasks of Slurm were cancelled
    notes: list[str] = field(default_factory=list)  # A line for each thing that people should know of


def cancel(store: Store, runs: Sequence[SelectedRun], reason: str, advance: Advance = lambda _: None) -> Done:
    """Cancel runs in `CANCELLABLE` states for a user, with their journals brought in, see `end`.

    Raises:
        UsageError: Some of the runs began anew faster than they could be cancelled.
    """
    ending = Ending(FailureClass.CANCELLED, reason)
    done = end(store, {run.sweep_id for run in runs}, {run.run_id: ending for run in runs}, advance)
    if done.left:
        raise UsageError(f"runs {', '.join(map(str, done.left))} began anew meanwhile: cancel them again")
    return done


def end(
    store: Store, sweep_ids: Iterable[int], endings: Mapping[int, Ending], advance: Advance = lambda _: None
) -> Done:
    """Cancel runs of sweeps, each for its own reason, and the tasks of Slurm that are left with nothing to do.

    ``advance`` is called with how many more entries are written.

    Raises:
        StoreError: The database cannot be used. The next command that brings in journals finishes what is written
            in the run directories.
    """
    done = Done()
    sweeps = sorted(sweep_ids)
    arrays = {one.submission_id: one for sweep_id in sweeps for one in submissions.of_sweep(store, sweep_id)}
    before = _unfinished(store, sweeps)
    left = set(endings)
    for _ in range(_ROUNDS):  # an attempt that begins meanwhile may have taken a later number
        _say_so(store, sweeps, {run_id: endings[run_id] for run_id in left}, done.notes, advance)
        states = queries.run_states(store, sweeps)
        done.runs += sorted(run_id for run_id in left if states.get(run_id) == RunState.CANCELLED)
        left = {run_id for run_id in left if states.get(run_id) in CANCELLABLE}
        if not left:
            break
    going = [place for place in _unfinished(store, sweeps).values() if place.state in CANCELLABLE]
    freed = {(before[run_id].submission_id, before[run_id].task) for run_id in done.runs if run_id in before}
    freed -= {(place.submission_id, place.task) for place in going}
    jobs = [(arrays[number], task) for number, task in freed if number in arrays and task is not None]
    _end(jobs, done)
    done.left = sorted(left)
    return done


def _unfinished(store: Store, sweeps: Iterable[int]) -> dict[int, Place]:
    return {place.run_id: place for sweep_id in sweeps for place in submissions.places(store, sweep_id)}


def _say_so(
    store: Store, sweeps: Iterable[int], endings: Mapping[int, Ending], notes: list[str], advance: Advance
) -> None:
    """Write the entries into the run directories, bring in what attempts wrote before them, then the database."""
    folders = [
        folder for sweep_id in sweeps for folder in queries.run_folders(store, sweep_id) if folder.run_id in endings
    ]
    fences = {}
    with ThreadPoolExecutor(_WRITERS) as pool:
        written = pool.map(lambda folder: _write(folder, endings[folder.run_id], notes), folders)
        for folder, number in zip(folders, written, strict=True):
            fences[folder.run_id] = number
            advance(1)
    news = [folder for folder in folders if has_news(folder, besides=fences[folder.run_id])]
    notes += collect_runs(store, news).notes
    end_runs(store, fences, endings)


def _write(folder: RunFolder, ending: Ending, notes: list[str]) -> int:
    """Take the number of the run's next attempt, by a journal in its directory if there is one."""
    directory = Path(folder.directory or "")
    if folder.directory is None or not directory.is_dir():
        return folder.fence + 1
    try:
        with contextlib.closing(Journal.reserve(directory, folder.fence)) as entry:
            record, values = ending.as_entry()
            whose = {"sweep": folder.sweep, "config_digest": folder.config_digest, "attempt": entry.number}
            entry.append(record, {**whose, **values})
    except JournalError as error:
        notes.append(f"run {folder.run_id}: an attempt that writes its journal only goes on: {error}")
        return folder.fence + 1
    return entry.number


def _end(jobs: Iterable[tuple[Submitted, int]], done: Done) -> None:
    """Cancel the tasks that Slurm still has. Their names are compared too: a job id may be another job's by now."""
    wanted: dict[TaskId, str] = {(one.job_id, task): one.job_name for one, task in jobs if one.job_id is not None}
    if not wanted:
        return
    try:
        queue = client.queue(wanted.values())
        alive = [
            task for task, name in wanted.items()
            if (job := queue.get(task)) and job.name == name and (job.waits or job.holds_node)
        ]  # fmt: skip
        client.cancel(alive)
        done.tasks = len(alive)
    except SlurmUnavailable as error:
        done.notes.append(f"their jobs are not cancelled, and end by themselves where they find nothing to do: {error}")
