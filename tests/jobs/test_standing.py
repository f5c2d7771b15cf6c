"""What has become of a run: every combination of what the database, squeue and sacct say that a cluster gives."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from orchestrator.jobs.slurm.client import Job
from orchestrator.jobs.slurm.standing import Answers, Standing, standing
from orchestrator.store.submissions import Place, Submitted

ARRAY = Submitted(3, "ab12", "stalesweep-demo-ab12", "/runs/jobs/x", {}, 4, "1234", 100.0)

NOBODY = Place(
    run_id=7, state="queued", failure=None, failure_class=None, submission_id=3, task=2, attempt=None, executor=None,
    job_id=None, task_id=None, host=None, pid=None, process_started_at=None, ended=False, last_class=None,
    heartbeat_age_s=None,
)  # fmt: skip
HEARD = dataclasses.replace(
    NOBODY, state="running", attempt=1, executor="slurm", job_id="1234", task_id="2", host="node1", pid=42,
    process_started_at=1.0, heartbeat_age_s=5.0,
)  # fmt: skip
PLACES = {
    "queued": NOBODY,
    "heard": HEARD,
    "silent": dataclasses.replace(HEARD, heartbeat_age_s=500.0),
    "interrupted": dataclasses.replace(HEARD, state="pending", ended=True, last_class="preempted"),
    "failed": dataclasses.replace(
        HEARD, state="failed", failure="ValueError: x", failure_class="exception", ended=True
    ),
    "lost": dataclasses.replace(HEARD, state="lost", failure="gone", failure_class="killed", ended=True),
    "cancelled": dataclasses.replace(NOBODY, state="cancelled", failure="by you", failure_class="cancelled"),
}
TASK, NAMED = ("1234", 2), (ARRAY.job_name, 2)


def job(state: str, reason: str = "", node: str = "node1", exit_code: str = "", name: str = ARRAY.job_name) -> Job:
    return Job(name, state, reason, node, exit_code)


def judged(
    place: str, queue: Job | str | None, accounting: Job | str | None = None, *, tail: str = "", **submitted: Any
) -> Standing:
    """Judge a place. Of each witness: a job, None = it knows of none, or why it does not answer."""
    silence = next((said for said in (queue, accounting) if isinstance(said, str) and said != "no accounts"), "")
    answers = Answers(
        None if isinstance(queue, str) else {TASK: queue} if queue else {},
        {NAMED: accounting} if isinstance(accounting, Job) else {} if accounting in (None, "no accounts") else None,
        accounts=accounting != "no accounts",
        silence=silence,
    )
    return standing(PLACES[place], dataclasses.replace(ARRAY, **submitted), answers, tail)


def brief(found: Standing) -> tuple[str, str | None, bool | None, bool]:
    return found.state, found.failure_class, found.held, found.over


ENDED = {
    "COMPLETED": job("COMPLETED", exit_code="0:0"),
    "FAILED": job("FAILED", exit_code="3:0"),
    "KILLED": job("FAILED", exit_code="0:9"),
    "TIMEOUT": job("TIMEOUT", exit_code="0:15"),
    "CANCELLED": job("CANCELLED", "by 1000", exit_code="0:15"),
    "PREEMPTED": job("PREEMPTED", exit_code="0:15"),
    "NODE_FAIL": job("NODE_FAIL", exit_code="0:0"),
    "OUT_OF_MEMORY": job("OUT_OF_MEMORY", exit_code="0:125"),
}

OUT_OF_MEMORY = "its job used more memory than it had asked for"

CASES = [
    # place, squeue, sacct → state, class, held, over
    ("queued", job("PENDING", "Priority", node=""), None, ("queued", None, True, False)),
    ("queued", job("CONFIGURING"), None, ("queued", None, True, False)),
    ("queued", job("RUNNING"), None, ("queued", None, True, False)),
    ("heard", job("RUNNING"), None, ("running", None, True, False)),
    ("heard", job("COMPLETING"), None, ("running", None, True, False)),
    ("heard", job("PENDING", "BeginTime"), None, ("running", None, True, False)),
    ("silent", job("RUNNING"), None, ("running", None, True, False)),
    ("silent", job("SUSPENDED"), None, ("running", None, True, False)),
    ("silent", job("PENDING", "BeginTime"), None, ("queued", None, True, False)),
    ("interrupted", job("PENDING", "BeginTime"), None, ("queued", None, True, False)),
    ("interrupted", job("COMPLETING"), None, ("queued", None, True, False)),
    ("interrupted", ENDED["TIMEOUT"], None, ("pending", None, False, False)),
    ("interrupted", ENDED["CANCELLED"], None, ("cancelled", "cancelled", False, True)),
    ("failed", job("RUNNING"), None, ("failed", "exception", False, False)),
    ("failed", ENDED["FAILED"], None, ("failed", "exception", False, False)),
    ("lost", ENDED["KILLED"], None, ("lost", "killed", False, False)),
    ("queued", ENDED["COMPLETED"], None, ("failed", "never_began", False, True)),
    ("queued", ENDED["FAILED"], None, ("failed", "never_began", False, True)),
    ("queued", ENDED["NODE_FAIL"], None, ("lost", "node_failure", False, True)),
    ("queued", ENDED["PREEMPTED"], None, ("lost", "preempted", False, True)),
    ("queued", ENDED["CANCELLED"], None, ("cancelled", "cancelled", False, True)),
    ("heard", ENDED["NODE_FAIL"], None, ("running", None, True, False)),
    ("heard", ENDED["PREEMPTED"], None, ("running", None, True, False)),
    ("heard", ENDED["KILLED"], None, ("lost", "killed", False, True)),
    ("heard", ENDED["COMPLETED"], None, ("lost", "lost", False, True)),
    ("heard", ENDED["CANCELLED"], None, ("cancelled", "cancelled", False, True)),
    ("silent", ENDED["NODE_FAIL"], None, ("lost", "node_failure", False, True)),
    ("silent", ENDED["TIMEOUT"], None, ("lost", "time_limit", False, True)),
    ("silent", ENDED["OUT_OF_MEMORY"], None, ("failed", "out_of_memory", False, True)),
    ("silent", ENDED["KILLED"], None, ("lost", "killed", False, True)),
    # squeue has forgotten it
    ("silent", None, ENDED["TIMEOUT"], ("lost", "time_limit", False, True)),
    ("silent", None, ENDED["CANCELLED"], ("cancelled", "cancelled", False, True)),
    ("queued", None, ENDED["FAILED"], ("failed", "never_began", False, True)),
    ("interrupted", None, ENDED["NODE_FAIL"], ("pending", None, False, False)),
    ("heard", None, job("RUNNING"), ("running", None, True, False)),
    ("silent", None, job("RUNNING"), ("lost", "forgotten", False, True)),
    ("queued", None, job("PENDING"), ("lost", "forgotten", False, True)),
    # nobody knows it
    ("heard", None, None, ("running", None, True, False)),
    ("silent", None, None, ("lost", "forgotten", False, True)),
    ("queued", None, None, ("cancelled", "cancelled", False, True)),
    ("interrupted", None, None, ("pending", None, False, False)),
    ("failed", None, None, ("failed", "exception", False, False)),
    ("cancelled", None, None, ("cancelled", "cancelled", False, False)),
    # a cluster without accounts
    ("heard", None, "no accounts", ("running", None, True, False)),
    ("silent", None, "no accounts", ("lost", "forgotten", False, True)),
    ("queued", None, "no accounts", ("lost", "forgotten", False, True)),
    ("queued", ENDED["CANCELLED"], "no accounts", ("cancelled", "cancelled", False, True)),
]


@pytest.mark.parametrize(("place", "queue", "accounting", "expected"), CASES)
def test_state_class_held_and_over(place: str, queue: Any, accounting: Any, expected: tuple[Any, ...]) -> None:
    assert brief(judged(place, queue, accounting)) == expected


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("queue", ["squeue: timed out", None, *ENDED])
def test_who_does_not_answer_has_not_said_dead(place: str, queue: str | None) -> None:
    answered = ENDED.get(queue) if queue else None
    found = judged(place, answered or queue, "sacct: timed out")
    if answered is None:
        assert not found.over
        assert found.state in {"queued": ["unknown"], "heard": ["running"], "silent": ["unknown"],
                               "interrupted": ["unknown", "pending"]}.get(place, [PLACES[place].state])  # fmt: skip
        assert found.held is not False or PLACES[place].ended or place == "cancelled"
    if place == "queued" and answered is None:
        assert "timed out" in found.detail


@pytest.mark.parametrize(("place", "queue"), list(itertools.product(PLACES, [None, *ENDED.values(), job("RUNNING")])))
def test_only_an_unfinished_run_is_over(place: str, queue: Job | None) -> None:
    found = judged(place, queue)
    if found.over:
        assert PLACES[place].state in ("queued", "running", "pending")
        assert found.held is False
        assert found.failure_class is not None
        assert found.detail


def test_a_task_missing_from_both_is_cancelled_only_after_a_lag() -> None:
    assert brief(judged("queued", None, age_s=5.0)) == ("queued", None, True, False)
    assert brief(judged("queued", None, "no accounts", age_s=5.0)) == ("queued", None, True, False)
    assert judged("queued", None, age_s=100.0).detail == "its task was cancelled before it began"


def test_a_recycled_id_is_another_job() -> None:
    other = job("RUNNING", name="stalesweep-other-cd34")
    assert brief(judged("queued", other)) == ("cancelled", "cancelled", False, True)
    assert brief(judged("silent", other)) == ("lost", "forgotten", False, True)
    answers = Answers({TASK: other}, {(other.name, 2): job("COMPLETED")})
    assert brief(standing(PLACES["silent"], ARRAY, answers)) == ("lost", "forgotten", False, True)


def test_a_submission_whose_answer_is_not_known() -> None:
    found = judged("queued", job("RUNNING"), job_id=None)
    assert brief(found) == ("queued", None, None, False)
    assert "not known yet" in found.detail
    assert brief(judged("heard", None, job_id=None)) == ("running", None, True, False)
    assert brief(judged("silent", None, job_id=None)) == ("running", None, None, False)
    assert brief(standing(PLACES["queued"], None, Answers({}, {}))) == ("queued", None, True, False)


@pytest.mark.parametrize(
    ("queue", "needs_help", "detail"),
    [
        (job("PENDING", "Priority", node=""), False, "Priority"),
        (job("PENDING", "PartitionConfig", node=""), True, "more than a node of its partition has (PartitionConfig)"),
        (job("PENDING", "JobHeldUser", node=""), True, "`scontrol release`"),
        (job("RUNNING"), False, "its job runs on node1"),
    ],
)
def test_what_a_waiting_run_waits_for(queue: Job, needs_help: bool, detail: str) -> None:
    found = judged("queued", queue)
    assert found.needs_help == needs_help
    assert detail in found.detail
    assert judged("interrupted", job("PENDING", "BeginTime")).detail == "to go on: BeginTime"


@pytest.mark.parametrize(
    ("place", "queue", "tail", "failure_class", "detail"),
    [
        ("silent", ENDED["KILLED"], "", "killed", "its process recorded no end: Slurm says FAILED, signal 9"),
        ("silent", ENDED["FAILED"], "", "killed", "its process recorded no end: Slurm says FAILED, exit code 3"),
        ("silent", job("FAILED"), "", "killed", "its process recorded no end: Slurm says FAILED"),
        ("silent", ENDED["COMPLETED"], "", "lost", "its job ended, and its attempt recorded no end"),
        *(("silent", ENDED["KILLED"], f"slurmstepd: error: {said}", "out_of_memory", OUT_OF_MEMORY)
          for said in ("Exceeded memory limit", "Detected 1 oom_kill event", "oom-kill", "Out Of Memory")),
        ("silent", ENDED["OUT_OF_MEMORY"], "", "out_of_memory", OUT_OF_MEMORY),
        ("silent", ENDED["CANCELLED"], "", "cancelled", "its job was cancelled by 1000"),
        ("silent", job("REVOKED", "Sibling"), "", "cancelled", "its job was revoked"),
        ("silent", ENDED["NODE_FAIL"], "", "node_failure", "its node failed (node1)"),
        ("silent", job("NODE_FAIL", node=""), "", "node_failure", "its node failed"),
        ("queued", job("BOOT_FAIL"), "", "node_failure", "its node did not start (node1)"),
        ("silent", ENDED["TIMEOUT"], "out of memory", "time_limit", "Slurm ended its job at the time limit"),
        ("silent", job("DEADLINE"), "", "time_limit", "Slurm ended its job at its deadline"),
        ("silent", ENDED["PREEMPTED"], "", "preempted", "its job was preempted"),
        ("queued", ENDED["FAILED"], "one\ntwo\n execve(): no python \n", "never_began",
         "its job ended with exit code 3 before the run began: execve(): no python"),
        ("queued", ENDED["KILLED"], "", "never_began", "its job ended with signal 9 before the run began"),
        ("queued", job("FAILED"), " \n", "never_began", "its job ended before the run began"),
        ("queued", ENDED["COMPLETED"], "one", "never_began", "its job ended without having taken it"),
    ],
)  # fmt: skip
def test_why_a_job_ended(place: str, queue: Job, tail: str, failure_class: str, detail: str) -> None:
    found = judged(place, queue, tail=tail)
    assert (found.failure_class, found.detail) == (failure_class, detail)


SILENT = "not heard of for 500 s"


@pytest.mark.parametrize(
    ("place", "queue", "accounting", "submitted", "detail"),
    [
        ("queued", job("CONFIGURING", node=""), None, {}, "its job is about to run"),
        ("queued", job("RUNNING"), None, {}, "its job runs on node1"),
        ("queued", None, "sacct: timed out", {}, "its job is not in the queue, and sacct: timed out"),
        ("queued", "squeue: timed out", None, {}, "squeue: timed out"),
        ("queued", None, None, {"age_s": 29.9}, "just submitted"),
        ("queued", None, None, {"age_s": 30.0}, "its task was cancelled before it began"),
        ("queued", None, "no accounts", {}, "its task has left the queue, and this cluster keeps no accounts"),
        ("queued", None, job("PENDING"), {}, "Slurm no longer knows its job"),
        ("queued", None, None, {"job_id": None}, "whether Slurm took its submission is not known yet"),
        ("heard", job("PENDING"), None, {}, "its job waits to begin anew, and its former process still writes"),
        ("heard", ENDED["NODE_FAIL"], None, {},
         "Slurm says NODE_FAIL of its job, but its process still writes"),
        ("heard", job("RUNNING"), None, {}, ""),
        ("silent", job("RUNNING"), None, {}, f"its job runs, but the run was {SILENT}"),
        ("silent", None, None, {}, f"{SILENT}, and Slurm no longer knows its job"),
        ("silent", None, None, {"job_id": None}, f"{SILENT}, and its job is not known"),
        ("interrupted", ENDED["TIMEOUT"], None, {}, "its job has ended; `stalesweep launch` lets it go on"),
        ("interrupted", job("PENDING", "JobHeldUser"), None, {},
         "to go on: it is held; `scontrol release` lets it go on (JobHeldUser)"),
        ("failed", "squeue: timed out", None, {}, "ValueError: x"),
        ("failed", None, None, {}, "ValueError: x"),
        ("cancelled", None, None, {}, "by you"),
    ],
)  # fmt: skip
def test_what_people_are_told_of_a_run(
    place: str, queue: Any, accounting: Any, submitted: dict[str, Any], detail: str
) -> None:
    assert judged(place, queue, accounting, **submitted).detail == detail


def test_a_run_without_an_array() -> None:
    found = [standing(PLACES[place], None, Answers({}, {})) for place in ("queued", "silent")]
    assert [one.detail for one in found] == [
        "just submitted by another launch", f"{SILENT}, and its job is not known",
    ]  # fmt: skip


@pytest.mark.parametrize(("age_s", "writes"), [(120.0, True), (120.1, False), (0.0, True), (None, False)])
def test_a_run_without_a_heartbeat_for_two_minutes_is_silent(age_s: float | None, writes: bool) -> None:
    place = dataclasses.replace(HEARD, heartbeat_age_s=age_s)
    found = standing(place, ARRAY, Answers({}, {}))
    assert (found.state == "running") == writes
    assert writes or found.detail.startswith(f"not heard of for {age_s or 0:.0f} s")


def test_the_first_task_of_an_array_is_found() -> None:
    for place in (dataclasses.replace(NOBODY, task=0), dataclasses.replace(NOBODY, task=None)):
        waits = Answers({("1234", 0): job("PENDING", "Priority")}, {})
        assert standing(place, ARRAY, waits).detail == "Priority"
        failed = Answers({}, {(ARRAY.job_name, 0): job("NODE_FAIL")})
        assert standing(place, ARRAY, failed).failure_class == "node_failure"
        forgotten = Answers({}, {(ARRAY.job_name, 0): job("RUNNING")})
        assert standing(place, ARRAY, forgotten).failure_class == "forgotten"


def test_an_exit_code_that_squeue_does_not_say_is_left_out() -> None:
    assert judged("silent", job("FAILED")).detail.endswith("Slurm says FAILED")
    assert judged("queued", job("FAILED")).detail == "its job ended before the run began"


def test_a_job_id_that_was_given_again_is_of_a_forgotten_job() -> None:
    answers = Answers({}, {}, recycled=frozenset({"1234"}))
    assert brief(standing(PLACES["queued"], ARRAY, answers)) == ("lost", "forgotten", False, True)
    assert brief(standing(PLACES["heard"], ARRAY, answers)) == ("running", None, True, False)


def test_a_run_that_failed_has_failed_while_its_job_still_ends() -> None:
    for state in ("COMPLETING", "RUNNING"):
        assert brief(judged("failed", job(state))) == ("failed", "exception", False, False)
