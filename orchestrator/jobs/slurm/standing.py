"""What has become of an unfinished run, judged from two sources: the database, and Slurm.

Neither is believed alone. An attempt shows that it lives by heartbeats, whose age is taken by the database's clock;
Slurm says what its jobs do. A source that does not answer has not said that a run is dead. If Slurm says that a job
has ended and its process still writes, the process is believed: a failed node is one that slurmctld cannot reach, and
its processes may be well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from orchestrator.base.states import UNKNOWN, FailureClass, RunState
from orchestrator.jobs.slurm.client import Job, TaskId
from orchestrator.store.submissions import Place, Submitted

SILENT_AFTER_S = 120.0
"""A running attempt whose last heartbeat is older may be dead."""

_LAG_S = 30.0
"""For so long after its submission Slurm's commands may not know an array."""

_NEVER = {
    "BadConstraints": "no node is as it asks",
    "PartitionNodeLimit": "it asks for more nodes than its partition has",
    "PartitionTimeLimit": "its time limit is above that of its partition",
    "PartitionConfig": "it asks for more than a node of its partition has",
    "AssocMaxCpuPerJobLimit": "it asks for more CPUs than its account may use",
    "AssocMaxWallDurationPerJobLimit": "its time limit is above that of its account",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its quality of service is not valid",
    "JobHeldUser": "it is held; `scontrol release` lets it go on",
    "JobHeldAdmin": "an administrator holds it",
    "launch_failed_requeued_held": "it could not be started and is held; `scontrol release` tries again",
}
"""Slurm's reasons of jobs that wait until somebody does something."""

_CLASSES = {
    "TIMEOUT": (FailureClass.TIME_LIMIT, "Slurm ended its job at the time limit"),
    "DEADLINE": (FailureClass.TIME_LIMIT, "Slurm ended its job at its deadline"),
    "PREEMPTED": (FailureClass.PREEMPTED, "its job was preempted"),
    "NODE_FAIL": (FailureClass.NODE_FAILURE, "its node failed"),
    "BOOT_FAIL": (FailureClass.NODE_FAILURE, "its node did not start"),
    "OUT_OF_MEMORY": (FailureClass.OUT_OF_MEMORY, "its job used more memory than it had asked for"),
    "CANCELLED": (FailureClass.CANCELLED, "its job was cancelled"),
    "REVOKED": (FailureClass.CANCELLED, "its job was revoked"),
}
"""The failure class of a run by the state in which Slurm says that its job ended, and a sentence for people."""

_OUT_OF_MEMORY = ("exceeded memory limit", "oom-kill", "oom_kill", "out of memory", "out-of-memory")
"""What slurmstepd writes into a job's log, in lower case. Slurm's state may say FAILED only."""

_MAY_STILL_WRITE = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED")
"""States of jobs whose processes may be alive: a failed node is one that slurmctld cannot reach."""

_STATES = {
    FailureClass.CANCELLED: RunState.CANCELLED,
    FailureClass.OUT_OF_MEMORY: RunState.FAILED,
    FailureClass.NEVER_BEGAN: RunState.FAILED,
}
"""The state of a run by its failure class; ``lost`` for every other class."""


class Said(Enum):
    """What Slurm says of a run's task."""

    NO_ARRAY = "the database knows of no job array"
    NO_NUMBER = "the array was submitted, and Slurm's answer with its job id is missing"
    SILENT = "squeue does not answer"
    WAITS = "it waits, perhaps to begin once more"
    HOLDS_NODE = "it runs, or its processes may not be gone yet"
    ENDED = "it has ended"
    GONE = "squeue does not have it, and sacct does not say that it ended"


@dataclass(frozen=True, slots=True)
class Answers:
    """What Slurm's commands have printed."""

    queue: Mapping[TaskId, Job] | None  # squeue's jobs by task; None = it did not answer
    # sacct's jobs by name and index, as far as it was asked; None = it did not answer
    accounting: Mapping[tuple[str, int], Job] | None
    accounts: bool = True  # Whether the cluster keeps accounts; if not, ``accounting`` is empty
    silence: str = ""  # Why one of them did not answer; "" if both did
    recycled: frozenset[str] = frozenset()  # Job ids that by now belong to other jobs

    def job_of(self, place: Place, submitted: Submitted) -> Job | None:
        """Find a run's task in squeue's answer, by its job's name too: its id may belong to another job by now."""
        job = (self.queue or {}).get((submitted.job_id or "", place.task or 0))
        return job if job is not None and job.name == submitted.job_name else None

    def forgot(self, place: Place, submitted: Submitted) -> bool:
        """Whether Slurm lost its record of the job: sacct still says that it waits or runs, or its id is another's."""
        told = (self.accounting or {}).get((submitted.job_name, place.task or 0))
        return (told is not None and (told.waits or told.holds_node)) or submitted.job_id in self.recycled

    def about(self, place: Place, submitted: Submitted | None) -> tuple[Said, Job]:
        """Say what Slurm says of a run's task, and give the job as Slurm has it, empty where it has none."""
        none = Job("", "", "", "")
        if submitted is None:
            return Said.NO_ARRAY, none
        if submitted.job_id is None:
            return Said.NO_NUMBER, none
        if self.queue is None:
            return Said.SILENT, none
        job = self.job_of(place, submitted)
        if job is not None and job.waits:
            return Said.WAITS, job
        if job is not None and job.holds_node:
            return Said.HOLDS_NODE, job
        if not self.forgot(place, submitted):
            job = (self.accounting or {}).get((submitted.job_name, place.task or 0), job)
        return (Said.GONE, none) if job is None else (Said.ENDED, job)


@dataclass(frozen=True, slots=True)
class Standing:
    """What has become of a run."""

    state: str  # One of `orchestrator.base.states.RunState`, or ``unknown``
    detail: str = ""  # Why, or what it waits for, for people; "" if the state says it all
    failure_class: str | None = None  # One of `orchestrator.base.states.FailureClass`, of a run that needs a new job
    held: bool | None = False  # Whether a job has it or will have it; None = that is not known
    over: bool = False  # Whether no job has it any more, and the database does not say so yet
    needs_help: bool = False  # Whether it waits for something that does not happen by itself


_RUNS = Standing(RunState.RUNNING, held=True)


def standing(place: Place, submitted: Submitted | None, answers: Answers, log_tail: str = "") -> Standing:
    """Judge what has become of a run that was submitted to Slurm, in an array that may not be known.

    ``log_tail`` is the end of its job's log, for a job that is gone without Slurm saying why.
    """
    said, job = answers.about(place, submitted)
    heard_s = math.inf if place.heartbeat_age_s is None else place.heartbeat_age_s
    writes = place.state == RunState.RUNNING and not place.ended and heard_s <= SILENT_AFTER_S
    as_stored = Standing(place.state, place.failure or "", place.failure_class)
    match RunState(place.state), said:
        case RunState.RUNNING, Said.NO_ARRAY | Said.NO_NUMBER if not writes:
            return Standing(RunState.RUNNING, f"{_silent(place)}, and its job is not known", held=None)
        case RunState.RUNNING, Said.NO_ARRAY | Said.NO_NUMBER | Said.SILENT | Said.GONE if writes:
            return _RUNS
        case RunState.QUEUED, Said.NO_ARRAY:
            return Standing(RunState.QUEUED, "just submitted by another launch", held=True)
        case _, Said.NO_NUMBER:
            return Standing(RunState.QUEUED, "whether Slurm took its submission is not known yet", held=None)
        case RunState.FAILED | RunState.LOST | RunState.CANCELLED, Said.SILENT:
            return replace(as_stored, held=None)
        case _, Said.SILENT:
            return Standing(UNKNOWN, answers.silence, held=None)
        case RunState.RUNNING, Said.HOLDS_NODE:
            detail = "" if writes else f"its job runs, but the run was {_silent(place)}"
            return replace(_RUNS, detail=detail)
        case RunState.RUNNING, Said.WAITS if writes:
            return replace(_RUNS, detail="its job waits to begin anew, and its former process still writes")
        case RunState.PENDING | RunState.QUEUED | RunState.LOST | RunState.CANCELLED, Said.HOLDS_NODE:
            detail = f"its job runs on {job.node}" if job.node else "its job is about to run"
            return Standing(RunState.QUEUED, detail, held=True)
        case state, Said.WAITS if state != RunState.FAILED:
            return _waits(place, job)
        case RunState.RUNNING, Said.ENDED if writes and job.state in _MAY_STILL_WRITE:
            return replace(_RUNS, detail=f"Slurm says {job.state} of its job, but its process still writes")
        case RunState.PENDING | RunState.QUEUED | RunState.RUNNING, Said.ENDED:
            failure_class, why = _why(place, job, log_tail)
            if place.state == RunState.PENDING and failure_class != FailureClass.CANCELLED:
                return Standing(RunState.PENDING, "its job has ended; `stalesweep launch` lets it go on")
            return _over(failure_class, why)
        case RunState.QUEUED | RunState.RUNNING, Said.GONE if answers.accounting is None:
            return Standing(UNKNOWN, f"its job is not in the queue, and {answers.silence}", held=None)
        case RunState.RUNNING, Said.GONE:
            return _over(FailureClass.FORGOTTEN, f"{_silent(place)}, and Slurm no longer knows its job")
        case RunState.QUEUED, Said.GONE if submitted is not None:
            return _gone_before_it_began(place, submitted, answers)
        case _:  # the run has ended, and its own record says more than Slurm; or it is pending, and has no job
            return as_stored


def _silent(place: Place) -> str:
    return f"not heard of for {place.heartbeat_age_s or 0.0:.0f} s"


def _over(failure_class: FailureClass, detail: str) -> Standing:
    return Standing(_STATES.get(failure_class, RunState.LOST), detail, failure_class, over=True)


def _waits(place: Place, job: Job) -> Standing:
    again = "to go on: " if place.attempt else ""
    if hopeless := _NEVER.get(job.reason):
        return Standing(RunState.QUEUED, f"{again}{hopeless} ({job.reason})", held=True, needs_help=True)
    return Standing(RunState.QUEUED, again + job.reason, held=True)


def _why(place: Place, job: Job, log_tail: str) -> tuple[FailureClass, str]:
    if job.state in _CLASSES:
        failure_class, detail = _CLASSES[job.state]
        by = f" {job.reason}" if job.reason.startswith("by ") else ""
        on = f" ({job.node})" if failure_class == FailureClass.NODE_FAILURE and job.node else ""
        return failure_class, detail + by + on
    if any(word in log_tail.lower() for word in _OUT_OF_MEMORY):
        return FailureClass.OUT_OF_MEMORY, "its job used more memory than it had asked for"
    code, _, number = job.exit_code.partition(":")
    how = f"signal {number}" if number not in ("", "0") else f"exit code {code}" if code else ""
    match place.state, job.state:
        case RunState.QUEUED, "COMPLETED":
            return FailureClass.NEVER_BEGAN, "its job ended without having taken it"
        case RunState.QUEUED, _:
            last = f": {lines[-1].strip()}" if (lines := log_tail.strip().splitlines()) else ""
            return FailureClass.NEVER_BEGAN, f"its job ended{how and f' with {how}'} before the run began{last}"
        case _, "COMPLETED":
            return FailureClass.LOST, "its job ended, and its attempt recorded no end"
    return FailureClass.KILLED, f"its process recorded no end: Slurm says {job.state}{how and f', {how}'}"


def _gone_before_it_began(place: Place, submitted: Submitted, answers: Answers) -> Standing:
    if submitted.age_s < _LAG_S:
        return Standing(RunState.QUEUED, "just submitted", held=True)
    if answers.forgot(place, submitted):
        return _over(FailureClass.FORGOTTEN, "Slurm no longer knows its job")
    if answers.accounts:
        return _over(FailureClass.CANCELLED, "its task was cancelled before it began")
    return _over(FailureClass.FORGOTTEN, "its task has left the queue, and this cluster keeps no accounts")
