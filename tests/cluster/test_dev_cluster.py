"""The development cluster is a real Slurm: it starts, runs jobs, accounts for them, and leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.devcluster import SCRIPT, DevCluster
from tests.cluster.scenes import wait_for

MODES = pytest.mark.parametrize("options", [[], ["--no-accounting"]], ids=["accounting", "no-accounting"])


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout


def processes_of(folder: Path) -> set[int]:
    """Live processes that mention the folder anywhere; found without the script's own rule."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            traces = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            traces += os.fsencode((process / "cwd").readlink())
        except OSError:
            continue
        if os.fsencode(folder) in traces:
            found.add(int(process.name))
    return found - {os.getpid()}


def run_array(tmp_path: Path) -> set[str]:
    """Run an array of 4 tasks that need a node each; return the nodes that they ran on."""
    line = f"echo $SLURMD_NODENAME > {tmp_path}/task$SLURM_ARRAY_TASK_ID; sleep 0.5"
    run("sbatch", "--wait", "--array=0-3", "--exclusive", "--output=/dev/null", f"--wrap={line}")
    return {(tmp_path / f"task{task}").read_text().strip() for task in range(4)}


def test_up_prints_only_what_the_shell_evaluates(cluster: DevCluster) -> None:
    again = cluster.command("up")
    assert again.returncode == 0
    evaluated = run("env", "-u", "SLURM_CONF", "sh", "-c", f"{again.stdout}\nprintenv SLURM_CONF")
    assert evaluated == f"{cluster.slurm_conf}\n"


def test_a_second_up_starts_nothing(cluster: DevCluster) -> None:
    def daemons() -> list[str]:
        return [line for line in cluster.command("status").stdout.splitlines() if " -D" in line]

    before = daemons()
    assert len(before) == 6, "slurmctld, slurmdbd and four slurmd"
    assert "already running" in cluster.command("up", "--nodes", "7").stderr
    assert daemons() == before


def test_a_job_runs_and_is_accounted_for(cluster: DevCluster) -> None:
    assert run("srun", "sh", "-c", "echo $SLURM_CLUSTER_NAME").startswith("dev")
    job = run("sbatch", "--parsable", "--wait", "--output=/dev/null", "--wrap=true").strip()
    wait_for(lambda: run("sacct", "-n", "-P", "-X", "-j", job, "-o", "state") == "COMPLETED\n", "its account")


def test_an_array_runs_over_the_nodes(cluster: DevCluster, tmp_path: Path) -> None:
    assert run_array(tmp_path) == {"node1", "node2", "node3", "node4"}


def test_without_accounting_jobs_run_and_sacct_fails(own_cluster: DevCluster, tmp_path: Path) -> None:
    own_cluster.up("--no-accounting", "--gpus", "2")
    assert run_array(tmp_path) == {"node1", "node2", "node3", "node4"}
    assert run("srun", "--gres=gpu:2", "printenv", "CUDA_VISIBLE_DEVICES") == "0,1\n"
    sacct = subprocess.run(["sacct"], capture_output=True, text=True)
    assert sacct.returncode == 1
    assert "accounting storage is disabled" in sacct.stderr


def state_of(job: str) -> str:
    return run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").strip()


@pytest.mark.parametrize(("kind", "told"), [("signal", "USR2"), ("silent", "TERM")])
def test_a_preempted_job_is_requeued_and_told_as_the_kind_says(
    kind: str, told: str, own_cluster: DevCluster, tmp_path: Path
) -> None:
    own_cluster.up("--no-accounting", "--nodes", "1", "--preemption", kind)
    heed = " ".join(f"trap 'echo {name} >> {tmp_path}/told' {name};" for name in ("USR2", "TERM"))
    script = tmp_path / "job.sh"
    script.write_text(f"{heed} echo begun >> {tmp_path}/told; while true; do sleep 0.1; done")
    line = f"srun bash {script}"
    job = run("sbatch", "--parsable", "--requeue", "--signal=USR2@10", "--output=/dev/null", f"--wrap={line}").strip()
    wait_for((tmp_path / "told").exists, "the job to begin")
    urgent = "--partition=urgent --exclusive --output=/dev/null --wrap=true"
    assert run("sbatch", *urgent.split()).startswith("Submitted")
    wait_for(lambda: f"{told}\n" in (tmp_path / "told").read_text(), "its signal")
    if kind == "silent":
        wait_for(lambda: (tmp_path / "told").read_text().count("begun") == 2, "it to begin again")
        assert "USR2" not in (tmp_path / "told").read_text()
    else:
        assert state_of(job) == "RUNNING", "it has time to save what it has"


def test_limits_are_those_that_were_asked_for(own_cluster: DevCluster, tmp_path: Path) -> None:
    own_cluster.up("--nodes", "1", "--max-array-size", "4", "--max-submit", "5", "--memory-limits")

    def refused(*options: str) -> str:
        return subprocess.run(["sbatch", *options, "--wrap=true"], capture_output=True, text=True, timeout=30).stderr

    assert "Invalid job array specification" in refused("--array=0-4")
    held = "--hold --array=0-3 --output=/dev/null --wrap=true"
    run("sbatch", *held.split())
    assert "AssocMaxSubmitJobLimit" in refused("--array=0-1")
    greedy = f"python3 -c \"b = b'x' * (300 << 20); import time; time.sleep(30); open('{tmp_path}/spared', 'w')\""
    job = run("sbatch", "--parsable", "--mem=100", f"--output={tmp_path}/log", f"--wrap={greedy}").strip()
    wait_for(lambda: state_of(job) not in ("PENDING", "RUNNING", "COMPLETING"), "its end")
    assert "exceeded memory limit" in (tmp_path / "log").read_text()
    assert not (tmp_path / "spared").exists()


def test_a_limit_on_jobs_needs_accounting(own_cluster: DevCluster) -> None:
    done = own_cluster.command("up", "--no-accounting", "--max-submit", "5")
    assert done.returncode == 1
    assert "leave --no-accounting out" in done.stderr


def test_a_killed_daemon_leaves_its_jobs_and_starts_again(
    own_cluster: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from cluster_conf import ports_of_clusters

    own_cluster.up("--no-accounting", "--nodes", "1")
    ports = {int(port) for port in re.findall(r"Port=(\d+)", own_cluster.slurm_conf.read_text())}
    assert len(ports) >= 2
    line = f"while sleep 0.1; do echo >> {tmp_path}/alive; done"
    job = run("sbatch", "--parsable", "--output=/dev/null", f"--wrap={line}").strip()
    wait_for((tmp_path / "alive").exists, "the job to begin")
    for daemon in ("node1", "slurmctld"):
        assert own_cluster.kill(daemon) == 0
        assert own_cluster.kill(daemon) == 1, "no such daemon any more"
        assert ports <= ports_of_clusters(), "another cluster must not take them meanwhile"
        size = (tmp_path / "alive").stat().st_size
        wait_for(lambda size=size: (tmp_path / "alive").stat().st_size > size, "the job to go on")
        own_cluster.start(daemon)
        wait_for(lambda: subprocess.run(["sinfo"], capture_output=True).returncode == 0, "the controller")
        assert state_of(job) in ("PENDING", "RUNNING"), "what the controller had written down when it was killed"


@pytest.fixture
def bystander(own_cluster: DevCluster) -> Iterator[int]:
    """A process that knows the cluster, as any shell that evaluated `up` does, but is no part of it."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


@MODES
def test_down_leaves_no_process_and_touches_no_other(
    own_cluster: DevCluster, bystander: int, options: list[str], tmp_path: Path
) -> None:
    own_cluster.up("--nodes", "2", *options)
    stubborn = f"trap '' TERM; setsid sleep 600 & echo > {tmp_path}/started; sleep 600"
    run("sbatch", "--nodelist=node1", "--output=/dev/null", f"--wrap={stubborn}")
    wait_for((tmp_path / "started").exists, "the job to begin")
    # Dead daemons on the job's node leave the job without a parent that Slurm knows.
    for pid in processes_of(own_cluster.folder):
        if b"node1" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)

    assert own_cluster.command("down").returncode == 0
    assert processes_of(own_cluster.folder) == {bystander}

    nothing = own_cluster.command("status")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no cluster is running" in nothing.stderr
    assert own_cluster.command("down").returncode == 0


@MODES
def test_up_after_down_starts_anew(own_cluster: DevCluster, options: list[str]) -> None:
    own_cluster.up("--nodes", "1", *options)
    first = int(run("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 600"))
    own_cluster.command("down")
    own_cluster.up("--nodes", "1", *options)
    assert run("squeue", "-h") == ""
    assert int(run("sbatch", "--parsable", "--output=/dev/null", "--wrap=true")) != first + 1


def test_a_daemon_that_fails_is_named_with_its_log(own_cluster: DevCluster, tmp_path: Path) -> None:
    broken = tmp_path / "slurmctld"
    broken.write_text("#!/bin/sh\necho fatal: something is wrong\nexit 1\n")
    broken.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = own_cluster.command("up", "--no-accounting", env={**os.environ, "PATH": path})
    assert (done.returncode, done.stdout) == (1, "")
    assert "slurmctld ended during the start" in done.stderr
    assert "fatal: something is wrong" in done.stderr
    assert processes_of(own_cluster.folder) == set()


def test_refusals(own_cluster: DevCluster, tmp_path: Path) -> None:
    no_slurm = own_cluster.command("up", env={"PATH": str(tmp_path)})
    assert (no_slurm.returncode, no_slurm.stdout) == (1, "")
    assert "run slurm/install-debian" in no_slurm.stderr

    (tmp_path / "thesis.tex").touch()
    occupied = DevCluster(tmp_path).command("up", "--no-accounting")
    assert occupied.returncode == 1
    assert "holds other files" in occupied.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    spaced = DevCluster(tmp_path / "a b").command("up")
    assert spaced.returncode == 1
    assert "letters, digits" in spaced.stderr
