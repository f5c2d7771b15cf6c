"""What has become of an unfinished run, from two kinds of witnesses: its attempts, and Slurm.

Neither is believed alone. Attempts say that they live, by heartbeats that age by the database's clock; Slurm says what
its jobs do. A witness who does not answer has not said "dead"; and one who says so is overruled by a process that
still writes: a failed node is one that slurmctld cannot reach, and its processes may be well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.jobs.slurm.client import Job, TaskId
from orchestrator.store.submissions import Place, Submitted

SILENT_AFTER_S = 120.0
"""A running attempt that has not been heard of for so long may be dead."""

_LAG_S = 30.0
"""So long after its submission an array may be unknown to Slurm's commands."""

ENDED = ("failed", "lost", "cancelled")
"""The states of a run that ended without a result."""

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
"""Reasons for which a job waits until somebody does something."""

_CLASSES = {
    "TIMEOUT": ("time_limit", "Slurm ended its job at the time limit"),
    "DEADLINE": ("time_limit", "Slurm ended its job at its deadline"),
    "PREEMPTED": ("preempted", "its job was preempted"),
    "NODE_FAIL": ("node_failure", "its node failed"),
    "BOOT_FAIL": ("node_failure", "its node did not start"),
    "OUT_OF_MEMORY": ("out_of_memory", "its job used more memory than it had asked for"),
    "CANCELLED": ("cancelled", "its job was cancelled"),
    "REVOKED": ("cancelled", "its job was revoked"),
}

_OUT_OF_MEMORY = ("exceeded memory limit", "oom-kill", "oom_kill", "out of memory", "out-of-memory")
"""What slurmstepd writes into a job's log, in lower case, where Slurm's state says FAILED only."""

_STATES = {"cancelled": "cancelled", "out_of_memory": "failed", "never_began": "failed"}
"""The state of a run by its failure class, where that is not ``lost``."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What Slurm has said.

    Attributes:
        queue: squeue's jobs by task; None = it did not answer.
        accounting: sacct's by name and index, as far as it was asked for them; None = it did not answer.
        accounts: Whether the cluster keeps any; where it does not, ``accounting`` is empty.
        silence: Why one of them did not answer; "" where both did.
        recycled: Job ids that by now belong to other jobs.
    """

    queue: Mapping[TaskId, Job] | None
    accounting: Mapping[tuple[str, int], Job] | None
    accounts: bool = True
    silence: str = ""
    recycled: frozenset[str] = frozenset()

    def job_of(self, place: Place, submitted: Submitted) -> Job | None:
        """What squeue says of a run's task; its id may be another job's by now, which the name tells."""
        job = (self.queue or {}).get((submitted.job_id or "", place.task or 0))
        return job if job is not None and job.name == submitted.job_name else None


@dataclass(frozen=True, slots=True)
class Standing:
    """What has become of a run.

    Attributes:
        state: One of `orchestrator.base.states.RunState`, or ``unknown``.
        detail: Why, or what it waits for, for people; "" where the state says it all.
        failure_class: One of `orchestrator.base.states.FailureClass`, of a run that needs a new job.
        held: Whether a job has it or will have it; None = that is not known.
        over: Whether the database has yet to be told that it is not held any more.
        needs_help: Whether it waits for something that does not happen by itself.
    """

    state: str
    detail: str = ""
    failure_class: str | None = None
    held: bool | None = False
    over: bool = False
    needs_help: bool = False


def standing(place: Place, submitted: Submitted | None, answers: Answers, log_tail: str = "") -> Standing:
    """Judge what has become of a run that was submitted to Slurm.

    Args:
        place: The run, and who has it as far as the database knows.
        submitted: The job array that it was submitted in; None = it is not known.
        answers: What Slurm says.
        log_tail: The end of its job's log, where a job is gone and Slurm does not say why.
    """
    writes = _writes(place)
    if submitted is None:
        if place.state == "running":
            return _without_job(place, writes)
        if place.state == "queued":
            return Standing("queued", "just submitted by somebody else", held=True)
        return Standing(place.state, place.failure or "", place.failure_class)
    if submitted.job_id is None:
        if place.state == "running":
            return _without_job(place, writes)
        return Standing("queued", "whether Slurm took its submission is not known yet", held=None)
    if answers.queue is None:
        if place.state in ENDED:
            return Standing(place.state, place.failure or "", place.failure_class, held=None)
        if writes:
            return Standing("running", held=True)
        return Standing("unknown", answers.silence, held=None)
    job = answers.job_of(place, submitted)
    if job is not None and (job.waits or job.holds_node):
        return _alive(place, job, writes)
    told = (answers.accounting or {}).get((submitted.job_name, place.task or 0))
    forgotten = told is not None and (told.waits or told.holds_node)  # sacct may never hear of a job's end
    forgotten |= submitted.job_id in answers.recycled
    if told is not None and not forgotten:
        job = told
    if job is not None:
        return _ended(place, job, writes, log_tail)
    return _gone(place, submitted, answers, writes, forgotten=forgotten)


def _writes(place: Place) -> bool:
    heard_s = place.heartbeat_age_s
    return place.state == "running" and not place.ended and heard_s is not None and heard_s <= SILENT_AFTER_S


def _silent(place: Place) -> str:
    return f"not heard of for {place.heartbeat_age_s or 0.0:.0f} s"


def _without_job(place: Place, writes: bool) -> Standing:
    if writes:
        return Standing("running", held=True)
    return Standing("running", f"{_silent(place)}, and its job is not known", held=None)


def _alive(place: Place, job: Job, writes: bool) -> Standing:
    if place.state == "failed":  # by its own word, while its job goes on with others, or is about to end
        return Standing(place.state, place.failure or "", place.failure_class)
    if place.state == "running" and (writes or job.holds_node):
        detail = "" if writes else f"its job runs, but the run was {_silent(place)}"
        if job.waits:
            detail = "its job waits to begin anew, and the process of before still writes"
        return Standing("running", detail, held=True)
    if job.holds_node:
        return Standing("queued", f"its job runs on {job.node}" if job.node else "its job is about to run", held=True)
    again = "to go on: " if place.attempt else ""
    if hopeless := _NEVER.get(job.reason):
        return Standing("queued", f"{again}{hopeless} ({job.reason})", held=True, needs_help=True)
    return Standing("queued", again + job.reason, held=True)


def _ended(place: Place, job: Job, writes: bool, log_tail: str) -> Standing:
    if place.state in ENDED:  # by its own word, which says more
        return Standing(place.state, place.failure or "", place.failure_class)
    if writes and job.state in ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"):
        return Standing("running", f"Slurm says {job.state} of its job, but its process still writes", held=True)
    failure_class, detail = _why(place, job, log_tail)
    if place.state == "pending" and failure_class != "cancelled":
        return Standing("pending", "its job has ended; `stalesweep launch` lets it go on")
    return Standing(_STATES.get(failure_class, "lost"), detail, failure_class, over=True)


def _why(place: Place, job: Job, log_tail: str) -> tuple[str, str]:
    if job.state in _CLASSES:
        failure_class, detail = _CLASSES[job.state]
        by = f" {job.reason}" if job.reason.startswith("by ") else ""
        on = f" ({job.node})" if failure_class == "node_failure" and job.node else ""
        return failure_class, detail + by + on
    if any(word in log_tail.lower() for word in _OUT_OF_MEMORY):
        return "out_of_memory", "its job used more memory than it had asked for"
    code, _, number = job.exit_code.partition(":")
    how = f"signal {number}" if number not in ("", "0") else f"exit code {code}" if code else ""
    if job.state == "COMPLETED":
        ended = "its job ended without having taken it" if place.state == "queued" else "its job ended without a word"
        return ("never_began" if place.state == "queued" else "lost"), ended
    last = f": {lines[-1].strip()}" if (lines := log_tail.strip().splitlines()) else ""
    if place.state == "queued":
        return "never_began", f"its job ended{how and f' with {how}'} before the run began{last}"
    return "killed", f"its process ended without a word: Slurm says {job.state}{how and f', {how}'}"


def _gone(place: Place, submitted: Submitted, answers: Answers, writes: bool, *, forgotten: bool) -> Standing:
    """Judge a run whose job squeue does not know, and sacct does not know to have ended."""
    if writes:
        return Standing("running", held=True)
    if place.state not in ("running", "queued"):
        return Standing(place.state, place.failure or "", place.failure_class)
    if answers.accounting is None:
        return Standing("unknown", f"its job is not in the queue, and {answers.silence}", held=None)
    if place.state == "running":
        detail = f"{_silent(place)}, and Slurm does not know its job any more"
        return Standing("lost", detail, "forgotten", over=True)
    if submitted.age_s < _LAG_S:
        return Standing("queued", "just submitted", held=True)
    if forgotten:
        return Standing("lost", "Slurm does not know its job any more", "forgotten", over=True)
    if answers.accounts:
        return Standing("cancelled", "its task was cancelled before it began", "cancelled", over=True)
    return Standing("lost", "its task has left the queue, and this cluster keeps no accounts", "forgotten", over=True)
