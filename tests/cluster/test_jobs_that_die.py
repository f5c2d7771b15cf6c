"""One sweep in which each task meets another end: `status` says which, and a second `launch` leaves no trace of it.

Beside it a sweep that meets its time limit, and one whose whole array is cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.base.states import RESULTS
from tests.cluster.devcluster import DevCluster
from tests.cluster.scenes import HOLD, HOLD_DEAF, Results, Scene, SceneMaker, is_alive, kill

pytestmark = pytest.mark.slow

WHOLE, RAISES, EXITS, KILLED, CANCELLED, SIGNALLED, REQUEUED, NEVER_BEGAN = range(8)
ACTS = {
    RAISES: "raise RuntimeError('the verifier broke')",
    EXITS: "os._exit(3)",
    KILLED: HOLD,
    CANCELLED: HOLD,
    SIGNALLED: HOLD,
    REQUEUED: HOLD_DEAF,
}
HELD = [task for task, act in ACTS.items() if act in (HOLD, HOLD_DEAF)]


@dataclass
class Story:
    """What was seen of the three sweeps."""

    scene: Scene
    running: list[dict[str, Any]]
    died: list[dict[str, Any]]
    array: Scene
    array_died: list[dict[str, Any]]
    timed: Scene


@pytest.fixture(scope="module")
def story(session_cluster: DevCluster, make_scene: SceneMaker) -> Story:
    timed = make_scene("timed", session_cluster, 1, "time_min: 1")
    timed.act(0)
    timed.launch()
    dying = make_scene("dying", session_cluster, 8, "time_min: 5, array_parallelism: 7")
    for task, act in ACTS.items():
        dying.act(task, act)
    launched = dying.launch()
    assert launched.returncode == 0, launched.stderr
    job = dying.job_id()
    dying.slurm("scancel", f"{job}_{NEVER_BEGAN}")
    array = make_scene("array", session_cluster, 2, "time_min: 5, array_parallelism: 1")
    array.act(0)
    array.launch()

    pids = {task: dying.pid_of(task) for task in HELD}
    running = dying.status()
    kill(pids[KILLED])
    dying.slurm("scancel", f"{job}_{CANCELLED}")
    dying.slurm("scancel", "--signal=USR2", f"{job}_{SIGNALLED}")
    dying.slurm("scontrol", "requeue", f"{job}_{REQUEUED}")
    array.pid_of(0)
    array.slurm("scancel", array.job_id())
    for one in (dying, array):
        one.wait_for_jobs()
    assert not any(is_alive(pid) for pid in pids.values())
    return Story(dying, running, dying.status(), array, array.status(), timed)


def test_while_they_run_or_have_failed_already(story: Story) -> None:
    states = {task: run["state"] for task, run in enumerate(story.running)}
    assert states[WHOLE] in (*RESULTS, "running")
    assert {states[task] for task in HELD} == {"running"}
    assert states[NEVER_BEGAN] in ("cancelled", "queued")
    assert all(story.running[task]["job"] == f"{story.scene.job_id()}_{task}" for task in HELD)


@pytest.mark.parametrize(
    ("task", "state", "failure_class", "says"),
    [
        (RAISES, "failed", "exception", "RuntimeError: the verifier broke"),
        (EXITS, "lost", "killed", "Slurm says FAILED, exit code 3"),
        (KILLED, "lost", "killed", "Slurm says FAILED"),
        (CANCELLED, "cancelled", "cancelled", "its job was cancelled by "),
        (NEVER_BEGAN, "cancelled", "cancelled", "was cancelled"),
    ],
    ids=["exception", "os._exit", "kill -9", "scancel of a running task", "scancel of a pending task"],
)
def test_status_names_the_end(story: Story, task: int, state: str, failure_class: str, says: str) -> None:
    run = story.died[task]
    assert (run["state"], run["failure_class"]) == (state, failure_class)
    assert says in run["failure"]


@pytest.mark.parametrize(
    ("task", "attempts"),
    [
        (WHOLE, [(None, None)]),
        # It has saved a checkpoint after its learner step, so it goes on within the fourth cycle.
        (SIGNALLED, [("preempted", None), (None, 2)]),
        # From the checkpoint of learner step 5, within the third.
        (REQUEUED, [("lost", None), (None, 1)]),
    ],
    ids=["success", "SIGUSR2", "scontrol requeue, no signal heeded"],
)
def test_they_ended_well_by_themselves(story: Story, task: int, attempts: list[tuple[str | None, int | None]]) -> None:
    assert story.died[task]["state"] in RESULTS
    found = story.scene.attempts(story.died[task]["run_id"])
    assert [(failure_class, resumed) for _, failure_class, resumed in found] == attempts


def test_status_says_that_the_whole_array_was_cancelled(story: Story) -> None:
    assert [(run["state"], run["failure_class"]) for run in story.array_died] == [("cancelled", "cancelled")] * 2


def test_launched_again_all_are_as_if_nothing_had_happened(story: Story, reference: Results) -> None:
    assert story.array.launch().returncode == 0
    story.scene.finish(reference)
    story.array.finish(reference)
    resumed = [story.scene.attempts(task + 1)[-1][2] for task in (RAISES, EXITS, KILLED, CANCELLED, NEVER_BEGAN)]
    assert resumed == [1, 1, 1, 2, None]


def test_a_real_time_limit_is_survived(story: Story, reference: Results) -> None:
    story.timed.wait_for_jobs()
    assert story.timed.status()[0]["state"] in RESULTS
    *cut, last = [failure_class for _, failure_class, _ in story.timed.attempts(1)]
    assert set(cut) == {"time_limit"}  # a slow machine may meet it again
    assert last is None
    story.timed.assert_whole(reference)
