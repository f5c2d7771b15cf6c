"""Parts of the cluster that are away: the controller, its memory, the accounting database, or all accounts for ever.

What is looked at are commands and Slurm, so `tests.support.acting_worker` trains.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.states import RESULTS
from orchestrator.store import queries
from tests.cluster.devcluster import SCRIPT, ClusterMaker
from tests.cluster.scenes import HOLD, Results, Scene, SceneMaker, kill, sbatch_that, wait_for

pytestmark = pytest.mark.slow

PATIENCE_S = 15
IMPATIENT = f"""
from orchestrator.jobs.slurm import client
client.SUBMISSION_TIMEOUT_S = {PATIENCE_S}
"""
"""For Python's start: a submission that is cut off is not waited for as long as usual."""

HOLD_AND_DIE = "hold(); os._exit(3)"
"""No other task takes its place before the test lets it."""

Play = Callable[[Path, ClusterMaker, SceneMaker, Results], None]
Runs = list[dict[str, Any]]


def ends(runs: Runs) -> list[tuple[str, str | None]]:
    return [(run["state"], run["failure_class"]) for run in runs]


def stored(scene: Scene) -> list[str]:
    """The states of its runs, as they are stored."""
    with scene.ws.store() as store:
        return [run.state for run in queries.progress(store, queries.sweep_id(store, "scenes"))]


def controller_away(folder: Path, make_cluster: ClusterMaker, make_scene: SceneMaker, reference: Results) -> None:
    """From the moment of a submission on; beside it others run, end, wait, and are watched."""
    with make_cluster("--nodes", "1") as cluster, ThreadPoolExecutor() as pool:
        watched = make_scene("watched", cluster, 3, "time_min: 5, array_parallelism: 2")
        for task in (0, 1):
            watched.act(task, HOLD)
        watcher = pool.submit(watched.launch, "--wait", timeout_s=240)
        for task in (0, 1):
            watched.pid_of(task)
        conf = str(cluster.impatient_conf())
        cut_off = make_scene("cut-off", cluster, 1)
        with (cut_off.ws.folder / "fake" / "sitecustomize.py").open("a") as start:
            start.write(IMPATIENT)
        with cut_off.setting(PATH=sbatch_that(folder / "bin", before=f"{SCRIPT} kill {cluster.folder} slurmctld >&2")):
            submitted = cut_off.launch()
        assert submitted.returncode == 2
        assert "did not say whether it took the submission" in submitted.stderr
        with watched.setting(SLURM_CONF=conf), cut_off.setting(SLURM_CONF=conf):
            assert ends(cut_off.status()) == [("queued", None)]
            told = watched.ws.run("status", "--format", "json", timeout_s=60)
            assert "Slurm does not answer" in told.stderr
            assert [run["state"] for run in watched.status()] == ["running", "running", "unknown"]
            assert stored(watched) == ["running", "running", "queued"], "what is stored is left as it is"
            for executor in ("slurm", "auto"):  # nor does it train here what is meant for the cluster
                again = watched.ws.run("launch", "grid.yaml", "--executor", executor, timeout_s=60)
                assert again.returncode == 2
                assert "Slurm does not answer" in again.stderr
        watched.release(0)
        wait_for(lambda: stored(watched)[0] in RESULTS, "a run to end while Slurm does not hear of it")
        assert not watcher.done()
        cluster.start("slurmctld")
        watched.release(1)
        cut_off.finish(reference)
        assert watcher.result().returncode == 0
        watched.assert_whole(reference)


BEFORE_THE_SECOND = """
if [ -e {first} ]; then scontrol update NodeName=ALL State=DRAIN Reason=test; fi
"""
"""Lets the job wait: one that began after the controller had written it down would be unknown to the next one."""

AFTER_THE_SECOND = """
if [ -e {first} ]; then
    echo '{hold}' > {task}
    name=$(sed -n 's/^#SBATCH --job-name=//p' "$1")
    for try in $(seq 100); do grep -q "$name" {cluster}/state/job_state && break; sleep 0.1; done
    {script} kill {cluster} slurmctld >&2
    echo 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2
    said=; status=1
fi
touch {first}
"""
"""Kills the controller once it has written down the second array, before its answer; the job waits to be released."""


def controller_away_from_a_watcher(
    folder: Path, make_cluster: ClusterMaker, make_scene: SceneMaker, reference: Results
) -> None:
    """It takes the job of a run that is tried again, and is killed before it has said so."""
    with make_cluster("--nodes", "1", "--no-accounting") as cluster:
        it = make_scene("tried-again", cluster, 1)
        it.act(0, "os._exit(3)")
        places = {"first": folder / "first", "task": it.ws.folder / "do-0"}
        before = BEFORE_THE_SECOND.format(**places)
        after = AFTER_THE_SECOND.format(cluster=cluster.folder, script=SCRIPT, hold=HOLD, **places)
        with (
            it.setting(PATH=sbatch_that(folder / "bin", before, after)),
            it.ws.start("launch", "grid.yaml", "--executor", "slurm", "--wait") as watcher,
        ):
            said = iter(watcher.stderr.readline, "") if watcher.stderr else iter(())
            assert any("did not say whether it took the submission" in line for line in said)
            assert any("Unable to contact slurm controller" in line for line in said), "it asks again, and stays"
            cluster.start("slurmctld")
            assert any("found array" in line for line in said)
            it.slurm("scontrol", "update", "NodeName=ALL", "State=RESUME", check=False)  # refused if that was forgotten
            it.pid_of(0)
            it.release(0)
            _, rest = watcher.communicate(timeout=300)
        assert watcher.returncode == 0, rest
        assert "submitted array" not in rest
        assert [failure_class for _, failure_class, _ in it.attempts(1)] == ["killed", None]
        it.assert_whole(reference)


def controller_forgets(folder: Path, make_cluster: ClusterMaker, make_scene: SceneMaker, reference: Results) -> None:
    """It is killed right after it has taken a submission, and gives the same number to another one."""
    with make_cluster("--nodes", "1") as cluster:
        pid = (cluster.folder / "run/slurmctld.pid").read_text().strip()
        # The controller writes down what it has taken at once, unless it has just done so.
        filler = f"{shutil.which('sbatch')} --hold --output=/dev/null --wrap=true >/dev/null"
        forgotten = make_scene("forgotten", cluster, 2)
        with forgotten.setting(PATH=sbatch_that(folder / "bin", before=filler, after=f"kill -9 {pid}")):
            assert forgotten.launch().returncode == 0
        cluster.start("slurmctld")
        other = make_scene("other", cluster, 2)
        wait_for(lambda: other.slurm("sinfo", check=False), "the controller")
        assert other.launch().returncode == 0
        assert other.job_id() == forgotten.job_id(), "recycled"
        other.wait_for_jobs()
        other.assert_whole(reference)
        wait_for(lambda: forgotten.status()[0]["state"] != "queued", "the truth")
        assert ends(forgotten.status()) == [("lost", "forgotten")] * 2
        forgotten.finish(reference)


def accounts_away(folder: Path, make_cluster: ClusterMaker, make_scene: SceneMaker, reference: Results) -> None:
    with make_cluster("--nodes", "1") as cluster:
        assert cluster.kill("slurmdbd") == 0
        it = make_scene("no-slurmdbd", cluster, 4, "time_min: 5, array_parallelism: 2")
        it.act(0, HOLD_AND_DIE)
        it.act(1, HOLD)
        assert it.launch().returncode == 0
        it.slurm("scancel", f"{it.job_id()}_2")
        it.pid_of(0)
        it.release(0)
        it.pid_of(1)
        wait_for(lambda: "RUNNING" not in it.state_of(0), "the end of the first run")
        assert ends(it.status())[:3] == [("lost", "killed"), ("running", None), ("unknown", None)]
        it.release(1)
        it.wait_for_jobs()
        cluster.start("slurmdbd")
        wait_for(lambda: it.status()[2]["state"] not in ("unknown", "queued"), "the accounts")
        runs = it.status()
        assert {runs[1]["state"], runs[3]["state"]} <= set(RESULTS)
        assert ends([runs[0], runs[2]]) == [("lost", "killed"), ("cancelled", "cancelled")]
        it.finish(reference)


def no_accounts(folder: Path, make_cluster: ClusterMaker, make_scene: SceneMaker, reference: Results) -> None:
    with make_cluster("--nodes", "1", "--no-accounting") as cluster:
        it = make_scene("no-accounts", cluster, 4, "time_min: 5, array_parallelism: 2")
        it.act(0, HOLD_AND_DIE)
        it.act(1, HOLD)
        assert it.launch().returncode == 0
        it.slurm("scancel", f"{it.job_id()}_3")
        it.pid_of(0)
        it.release(0)
        kill(it.pid_of(1))
        it.wait_for_jobs()
        wait_for(lambda: it.status()[3]["state"] != "queued", "the truth")
        runs = it.status()
        assert ends([*runs[:2], runs[3]]) == [("lost", "killed"), ("lost", "killed"), ("lost", "forgotten")]
        assert runs[2]["state"] in RESULTS
        it.finish(reference)


PLAYS = (controller_away, controller_away_from_a_watcher, controller_forgets, accounts_away, no_accounts)


@pytest.fixture(scope="module", autouse=True)
def played(
    tmp_path_factory: pytest.TempPathFactory,
    make_cluster: ClusterMaker,
    make_acting_scene: SceneMaker,
    acting_reference: Results,
) -> Iterator[dict[str, Future[None]]]:
    """All of them, which begin at once, each on a cluster of its own."""
    with ThreadPoolExecutor() as pool:
        yield {
            play.__name__: pool.submit(
                play, tmp_path_factory.mktemp(play.__name__), make_cluster, make_acting_scene, acting_reference
            )
            for play in PLAYS
        }


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_a_part_of_the_cluster_is_away(play: Play, played: dict[str, Future[None]]) -> None:
    played[play.__name__].result(timeout=600)
