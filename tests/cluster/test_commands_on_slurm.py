"""``logs``, ``cancel``, ``retry``, ``doctor --cluster`` and the end of a sweep on a real Slurm.

What is looked at are commands and Slurm, so `tests.support.acting_worker` trains.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import pytest

from orchestrator.search.driver import DECIDED, end_early
from orchestrator.store.schema import REVISIONS
from tests.cluster.devcluster import ClusterMaker, DevCluster
from tests.cluster.scenes import Results, Scene, SceneMaker, wait_for
from tests.support.webhooks import SECRET, Receiver, receiver

pytestmark = pytest.mark.slow

Done = subprocess.CompletedProcess[str]


@dataclass
class Story:
    """Two jobs of two runs each, one after the other, some of whose runs are taken back.

    Attributes:
        scene: The sweep.
        hook: What is told its end.
        script: The batch script.
        log_of_waiting: What `logs` said of a run that waited.
        cancelled: What `cancel` said of the run in hand, and of the runs that waited.
        followed: What `logs -f` printed of the run in hand.
        states: Of the runs, when all jobs had ended.
    """

    scene: Scene
    hook: Receiver
    script: str
    log_of_waiting: Done
    cancelled: tuple[Done, Done]
    followed: Done
    states: list[str]


@pytest.fixture(scope="module")
def story(session_cluster: DevCluster, make_acting_scene: SceneMaker) -> Iterator[Story]:
    resources = "time_min: 5, runs_per_job: 2, array_parallelism: 1"
    resources += ", slurm: {mail-type: END, mail-user: me@example.org}"
    with receiver() as hook:
        scene = make_acting_scene("commands", session_cluster, 4, resources, STALESWEEP_WEBHOOK=hook.url)
        scene.ws.environment["XDG_CONFIG_HOME"] = str(scene.ws.folder.parent / "config")
        scene.act(0)
        launched = scene.launch()
        assert launched.returncode == 0, launched.stderr
        scene.pid_of(0)
        script = scene.slurm("scontrol", "write", "batch_script", scene.job_id(), "-")
        waiting = scene.ws.run("logs", "3")
        with scene.ws.start("logs", "1", "-f") as following:
            cancelled = scene.ws.run("cancel", "1"), scene.ws.run("cancel", "3", "4")
            scene.release(0)
            scene.wait_for_jobs()
            stdout, stderr = following.communicate(timeout=60)
        followed = Done([], following.returncode, stdout, stderr)
        yield Story(scene, hook, script, waiting, cancelled, followed, [run["state"] for run in scene.status()])


def test_cancel_takes_back_runs_and_the_jobs_that_are_left_with_none(story: Story) -> None:
    one, others = story.cancelled
    assert (one.returncode, one.stdout) == (0, "cancelled 1 run\n"), "its job has another run to train"
    assert (others.returncode, others.stdout) == (0, "cancelled 2 runs, and 1 job of Slurm\n")
    assert story.states[0] == "cancelled"
    assert story.states[1] not in ("cancelled", "failed", "lost", "running")
    assert story.states[2:] == ["cancelled", "cancelled"]
    assert story.scene.attempts(1) == [("lost", "cancelled", None)]
    again = story.scene.ws.run("cancel", "scenes")
    assert (again.returncode, again.stderr) == (3, "nothing to cancel: these runs have ended\n")


def test_logs_follow_a_run_until_it_has_ended(story: Story) -> None:
    assert story.followed.returncode == 0, story.followed.stderr
    log = (story.scene.ws.folder / "stalesweep-runs" / "run-000001" / "attempt-0001.log").read_text()
    # Its attempt may have a last word after the run was cancelled.
    assert story.followed.stdout and log.startswith(story.followed.stdout)
    assert "a newer one took over, or the run was removed" in log


def test_logs_of_a_run_that_waits_and_of_a_job(story: Story) -> None:
    waiting = story.log_of_waiting
    assert waiting.returncode == 3
    assert re.match(r"run 3 is queued \(.*\), and it has not begun; what its job printed:\n", waiting.stderr)
    printed = story.scene.ws.run("logs", "2", "--job", "--attempt", "1")
    assert printed.returncode == 0
    assert "run 1, attempt 1 on" in printed.stdout, "one job had both"
    assert "run 2, attempt 1 on" in printed.stdout


def test_the_sweeps_end_is_told_once_by_mail_and_webhook(story: Story) -> None:
    assert "#SBATCH --mail-type=END" in story.script
    assert "#SBATCH --mail-user=me@example.org" in story.script
    [told] = story.hook.messages
    assert (told["sweep"], told["states"]["cancelled"], sum(told["states"].values())) == ("scenes", 3, 4)
    assert SECRET not in story.script
    assert story.scene.cluster is not None
    kept = [story.scene.ws.folder, story.scene.cluster.folder]
    files = [path for folder in kept for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "environment" for path in files), "what the controller keeps of a job"
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path


def test_retry_trains_what_is_named_and_nothing_else(story: Story, acting_reference: Results) -> None:
    scene = story.scene
    some = scene.ws.run("retry", "1", "2", "3", "--wait")
    assert some.returncode == 0, some.stderr
    assert "1 run finished: nothing to try again\n" in some.stderr
    assert re.search(r"submitted array \d+: 1 tasks, 2 runs", some.stderr)
    assert [run["state"] == "cancelled" for run in scene.status()] == [False, False, False, True]
    assert scene.attempts(1)[1][2] is not None, "it went on from its checkpoint"
    rest = scene.ws.run("retry", "scenes", "-s", "cancelled", "--wait")
    assert rest.returncode == 0, rest.stderr
    scene.assert_whole(acting_reference)
    assert scene.ws.run("retry", "scenes").returncode == 3
    assert len(story.hook.messages) == 3, "each time that it had ended"


def test_a_run_that_is_stopped_early_frees_its_task(
    session_cluster: DevCluster, make_acting_scene: SceneMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_acting_scene("stops", session_cluster, 2)
    scene.act(0)
    assert scene.launch().returncode == 0
    scene.pid_of(0)
    monkeypatch.setenv("SLURM_CONF", str(session_cluster.slurm_conf))
    with scene.ws.store() as store:
        assert end_early(store, 1, [1]) == [1]
    wait_for(lambda: scene.state_of(0) in ("CANCELLED", ""), "its task to be cancelled")
    scene.wait_for_jobs()
    first, second = scene.status()
    assert (first["state"], first["failure"]) == ("cancelled", DECIDED.reason)
    assert second["state"] in ("stable", "degraded", "collapsed")
    assert scene.attempts(1) == [("interrupted", "decided", None)]
    again = scene.launch()
    assert (again.returncode, "every run of this sweep is done" in again.stderr) == (3, True)


# doctor


@contextmanager
def doctor(scene: Scene, grid: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], IO[str], str]]:
    """``doctor --cluster`` with the resources of a grid, once it has submitted its job; and that job's id."""
    scene.ws.grid(
        f"name: asks\ngrid: {{model: [tiny], k: [2], eta: [1e-3], seed: [0]}}\nresources: {grid}\n", "asks.yaml"
    )
    with scene.ws.start("doctor", "--cluster", "--grid", "asks.yaml", *options) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("submitted job "), first + process.stderr.read()
        yield process, process.stderr, first.split()[-1]


def is_cancelled(scene: Scene, job: str) -> bool:
    state = scene.slurm("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T", check=False)
    return state in ("CANCELLED", "")


def test_doctor_looks_around_on_a_node(session_cluster: DevCluster, make_acting_scene: SceneMaker) -> None:
    scene = make_acting_scene("doctor", session_cluster, 1)
    assert scene.ws.run("db", "upgrade").returncode == 0
    done = scene.ws.run("doctor", "--cluster")
    assert done.returncode == 0, done.stdout + done.stderr
    local, _, node = done.stdout.partition("compute node")
    for said in (
        r"ok  slurm +slurm-wlm [\d.]+; Slurmctld\(primary\) at \S+ is UP", r"ok  slurm limits +arrays of 1,000 tasks; ",
        r"ok  slurm accounts +sacct answers", r"ok  partition +main\* is up: 4 nodes of 2 CPUs, time limit infinite",
    ):  # fmt: skip
        assert re.search(said, local), local
    for said in (
        r"node\d runs jobs of yours", r"ok  run folder .* is the same here and there", r"ok  clocks +less than 2 s",
        rf"ok  database +SQLite file .*, schema {REVISIONS[-1]}", r"ok  python +[\d.]+, \d+ versions equal",
        r"ok  torch sees +0 GPUs",
    ):  # fmt: skip
        assert re.search(said, node), done.stdout
    assert list((scene.ws.folder / "stalesweep-runs" / "jobs").iterdir()) == [], "nothing is left"


def test_doctor_gives_up_and_cancels_its_job(session_cluster: DevCluster, make_acting_scene: SceneMaker) -> None:
    scene = make_acting_scene("doctor", session_cluster, 1)
    later = "{mem_gb: 1, slurm: {begin: now+1hour}}"
    with doctor(scene, later, "--timeout", "6") as (process, _, job):
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 2
        assert re.search(
            rf"BAD  job +no answer within 6 s; job {job} was PENDING \(BeginTime\), and is cancelled", stdout
        )
        assert f"job {job}: PENDING (BeginTime)" in stderr
        wait_for(lambda: is_cancelled(scene, job), "the job to be cancelled")
    with doctor(scene, later) as (process, stderr_of, job):
        assert any("PENDING" in line for line in iter(stderr_of.readline, ""))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        wait_for(lambda: is_cancelled(scene, job), "the job to be cancelled")


def test_doctor_says_why_a_job_did_not_answer(session_cluster: DevCluster, make_acting_scene: SceneMaker) -> None:
    scene = make_acting_scene("doctor", session_cluster, 1)
    with doctor(scene, "{mem_gb: 1, python: /no/such/python}") as (process, _, job):
        stdout, _ = process.communicate(timeout=90)
    assert process.returncode == 2
    assert re.search(rf"BAD  job +job {job} ended before it had answered \(FAILED on node\d", stdout), stdout
    assert "/no/such/python" in stdout
    refused = scene.ws.run("doctor", "--cluster", "--partition", "nowhere")
    assert refused.returncode == 2
    assert "error: Slurm refused the submission: " in refused.stderr


def test_doctor_counts_the_gpus_that_a_job_sees(make_cluster: ClusterMaker, make_acting_scene: SceneMaker) -> None:
    with make_cluster("--no-accounting", "--gpus", "1", "--nodes", "1") as cluster:
        done = make_acting_scene("doctor", cluster, 1).ws.run("doctor", "--cluster", "--gpus", "1")
    assert done.returncode == 2
    assert "slurm accounts   none: " in done.stdout
    assert re.search(r"BAD  torch sees +0 GPUs, \d+ CPU threads, and 1 were asked for", done.stdout), done.stdout
