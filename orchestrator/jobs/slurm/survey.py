"""Ask Slurm about the unfinished runs of a sweep; and, for launches only, store what has become of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import NoAccounting, SlurmUnavailable
from orchestrator.base.files import tail
from orchestrator.base.states import WITHOUT_RESULT, RunState
from orchestrator.jobs.slurm import client
from orchestrator.jobs.slurm.standing import Answers, Standing, standing
from orchestrator.store import attempts, queries, submissions
from orchestrator.store.attempts import Claim
from orchestrator.store.collect import collect_runs
from orchestrator.store.database import Store
from orchestrator.store.submissions import Place, Submitted

_CLOCKS_APART_S = 60.0


@dataclass(frozen=True, slots=True)
class Survey:
    """The unfinished runs of a sweep that were submitted to Slurm, by number, and what has become of them.

    The job arrays are by their number in the database. ``silence`` says why Slurm did not answer; "" if it did.
    """

    standings: dict[int, Standing]
    places: dict[int, Place]
    submissions: dict[int, Submitted]
    silence: str = ""

    def job_of(self, run_id: int) -> str | None:
        """The run's task as Slurm's commands name it, e.g. ``1234_5``; None if it has none."""
        place = self.places[run_id]
        submitted = self.submissions.get(place.submission_id or -1)
        return f"{submitted.job_id}_{place.task}" if submitted and submitted.job_id else None


def survey(store: Store, sweep_id: int) -> Survey:
    """Judge the unfinished runs of a sweep that were submitted to Slurm; the only writes are journals brought in.

    Raises:
        StoreError: The database cannot be read.
    """
    submitted = {one.submission_id: one for one in submissions.of_sweep(store, sweep_id)}
    places = _places(store, sweep_id)
    answers = _ask(submitted.values(), places.values()) if places else Answers({}, {})
    standings = _judge(places, submitted, answers)
    if over := {run_id for run_id, one in standings.items() if one.over}:
        # Their jobs may have recorded their end since the database was read, so their journals are brought in again.
        collect_runs(store, [folder for folder in queries.run_folders(store, sweep_id) if folder.run_id in over])
        now = _places(store, sweep_id)
        places = {run_id: now[run_id] for run_id in places if run_id in now}  # others have their result by now
        standings = _judge(places, submitted, answers)
    return Survey(standings, places, submitted, answers.silence)


def _places(store: Store, sweep_id: int) -> dict[int, Place]:
    return {
        place.run_id: place
        for place in submissions.places(store, sweep_id)
        if place.submission_id is not None or (place.executor == "slurm" and place.state == RunState.RUNNING)
    }


def _judge(places: Mapping[int, Place], submissions: Mapping[int, Submitted], answers: Answers) -> dict[int, Standing]:
    standings = {}
    for run_id, place in places.items():
        submitted = submissions.get(place.submission_id or -1)
        found = standing(place, submitted, answers)
        if found.over and submitted is not None:
            found = standing(place, submitted, answers, tail(log_paths(submitted, place.task or 0)[1]))
        standings[run_id] = found
    return standings


def settle(store: Store, found: Survey) -> None:
    """Store what has become of the runs that no job has any more."""
    for run_id, one in found.standings.items():
        if not one.over or one.failure_class is None:
            continue
        place = found.places[run_id]
        if place.state == RunState.RUNNING and place.attempt is not None:
            attempts.lose(store, Claim(run_id, place.attempt), one.detail, one.failure_class, one.state)
        else:
            submissions.settle(store, place, one.state, one.detail, one.failure_class)


def _ask(submissions: Iterable[Submitted], places: Iterable[Place]) -> Answers:
    answered = {one.submission_id: one for one in submissions if one.job_id is not None}
    names = {one.job_name for one in answered.values()}
    try:
        queue = client.queue(names)
    except SlurmUnavailable as error:
        return Answers(None, None, silence=f"Slurm does not answer: {error}")
    gone = set()
    for place in places:
        submitted = answered.get(place.submission_id or -1)
        if submitted is not None and submitted.job_id is not None and place.state not in WITHOUT_RESULT:
            job = Answers(queue, None).job_of(place, submitted)
            if job is None or not (job.waits or job.holds_node):
                gone.add(submitted.job_id)
    if not gone:
        return Answers(queue, {})
    try:
        told = client.accounting(gone, names)
        known = {job.name for job in (*queue.values(), *told.values())}
        unknown = [one for one in answered.values() if one.job_id in gone and one.job_name not in known]
        since_s = max((one.age_s for one in unknown), default=0.0) + _CLOCKS_APART_S
        recycled = client.given_again({str(one.job_id): one.job_name for one in unknown}, since_s)
        return Answers(queue, told, recycled=frozenset(recycled))
    except NoAccounting:
        return Answers(queue, {}, accounts=False)
    except SlurmUnavailable as error:
        return Answers(queue, None, silence=f"Slurm's accounting does not answer: {error}")


def log_paths(submitted: Submitted, task: int) -> tuple[Path, Path]:
    """Where a task's standard output and standard error go."""
    stem = Path(submitted.folder) / f"{submitted.job_id}_{task}_0_log"
    return stem.with_suffix(".out"), stem.with_suffix(".err")
