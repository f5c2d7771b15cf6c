"""Launching on Slurm: find interrupted submissions, store which runs have ended, submit what is missing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.base.states import FailureClass, RunState
from orchestrator.base.words import Say, counted
from orchestrator.grid.sweep import Resources
from orchestrator.jobs.slurm import arrays, client
from orchestrator.jobs.slurm.survey import Survey, settle, survey
from orchestrator.store import queries, submissions
from orchestrator.store.database import Store

_MEMORY_FACTOR = 1.5
_POLL_S = 2.0


def catch_up(store: Store, sweep_id: int, say: Say) -> Survey:
    """Store what has become of the runs that were submitted to Slurm, with all journals brought in before."""
    find_lost_answers(store, sweep_id, say)
    found = survey(store, sweep_id)
    settle(store, found)
    return found


def submit(store: Store, sweep_id: int, sweep_name: str, directories: Mapping[int, Path], say: Say) -> None:
    """Submit runs, by number with their run directories, in job arrays.

    Raises:
        NothingToDo: The cluster takes no more jobs of this user now.
        UsageError: Slurm refuses an array; its runs are pending, those of earlier arrays are submitted.
        SlurmUnavailable: Slurm does not answer.
    """
    wanted = needs(store, sweep_id, list(directories))
    _say_more_memory(wanted, queries.run_resources(store, sweep_id), say)
    plan = arrays.plan(wanted)
    for note in plan.notes:
        say(note)
    for array in plan.arrays:
        job_id = arrays.submit(store, sweep_id, sweep_name, directories, array)
        say(f"submitted array {job_id}: {len(array.shares)} tasks, {sum(map(len, array.shares))} runs")


def settle_and_choose(store: Store, sweep_id: int, found: Survey) -> list[int]:
    """Store which runs have ended, and choose those to try again without being asked.

    These are the runs without a job that failed no more often than their resources allow for that failure class.
    """
    settle(store, found)
    held = {run_id for run_id, one in found.standings.items() if one.held is not False}
    loose = {
        place.run_id: place
        for place in submissions.places(store, sweep_id)
        if place.run_id not in held and place.state in (RunState.PENDING, RunState.LOST, RunState.FAILED)
    }
    failures, asked = submissions.attempts_by_class(store, loose), queries.run_resources(store, sweep_id)
    chosen = []
    for run_id, place in loose.items():
        newest = place.failure_class or place.last_class
        had = failures.get(run_id, {}).get(newest, 1) if newest else 0
        if newest is None or had <= asked[run_id].retries_of(newest):
            chosen.append(run_id)
    return chosen


def needs(store: Store, sweep_id: int, run_ids: Sequence[int]) -> dict[int, Resources]:
    """Give the resources of runs: more memory than the grid asks for if it was too little, without failed nodes."""
    asked = queries.run_resources(store, sweep_id)
    failures = submissions.attempts_by_class(store, run_ids)
    failed_nodes = submissions.failed_hosts(store, run_ids)
    found = {}
    for run_id in run_ids:
        resources = asked[run_id]
        if too_little := failures.get(run_id, {}).get(FailureClass.OUT_OF_MEMORY, 0):
            more = resources.mem_gb * _MEMORY_FACTOR**too_little
            resources = resources.model_copy(update={"mem_gb": round(more, 1)})
        if nodes := failed_nodes.get(run_id):
            excluded = ",".join(sorted({*nodes, *str(resources.slurm.get("exclude", "")).split(",")} - {""}))
            resources = resources.model_copy(update={"slurm": {**resources.slurm, "exclude": excluded}})
        found[run_id] = resources
    return found


def _say_more_memory(wanted: Mapping[int, Resources], asked: Mapping[int, Resources], say: Say) -> None:
    more = [one.mem_gb for run_id, one in wanted.items() if one.mem_gb > asked[run_id].mem_gb]
    if more:
        runs = counted(len(more), "run")
        say(f"more memory than the grid says, {max(more):g} GB at most, for {runs} that had too little")


def find_lost_answers(store: Store, sweep_id: int, say: Say) -> None:
    """Find the submissions whose answer was lost, and withdraw those that Slurm did not take.

    A submission may be on its way for as long as sbatch may take, so this waits that long for one that is not found.

    Raises:
        SlurmUnavailable: Slurm does not answer.
    """
    for submitted in submissions.of_sweep(store, sweep_id):
        if submitted.job_id is not None:
            continue
        asked_at, told = time.monotonic(), False
        while not (found := client.arrays_named(submitted.job_name)):
            left_s = client.SUBMISSION_TIMEOUT_S + 5.0 - submitted.age_s - (time.monotonic() - asked_at)
            if left_s <= 0:
                break
            if not told:
                say(f"a submission was interrupted, and may yet reach Slurm: asking for it for up to {left_s:.0f} s")
                told = True
            time.sleep(min(_POLL_S, left_s))
        if not found:
            submissions.withdraw(store, submitted.token)
            continue
        submissions.answer(store, submitted.token, newest := max(found, key=int))
        say(f"found array {newest}, whose submission was interrupted")
