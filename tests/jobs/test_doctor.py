"""What `stalesweep doctor` finds on this machine, and what it says of a job that it submits."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.base.errors import SlurmUnavailable, UsageError
from orchestrator.base.settings import code_version
from orchestrator.grid.sweep import Resources
from orchestrator.jobs import doctor, doctor_cluster
from orchestrator.jobs.doctor import Absent, Finding
from orchestrator.jobs.slurm import client
from orchestrator.store import schema
from tests.support.stand_in import StandIn

TORCH = doctor.torch


@pytest.fixture(scope="module")
def versions() -> dict[str, str]:
    return doctor.versions()


@pytest.fixture(autouse=True)
def slow_things_are_known(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    """Importing torch takes seconds, and finding out the versions a tenth of one."""
    monkeypatch.setattr(doctor, "torch", lambda: "2 GPUs, 8 CPU threads")
    monkeypatch.setattr(doctor, "versions", lambda: dict(versions))


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs_folder: Path) -> StandIn:
    stand_in = StandIn.make(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{stand_in.folder}:{os.environ['PATH']}")
    (stand_in.folder / "srun").touch(0o755)
    return stand_in


def says(slurm: StandIn, command: str, script: str) -> None:
    (slurm.folder / command).write_text(f"#!/bin/sh\n{script}\n")
    (slurm.folder / command).chmod(0o755)


def examined(url: str) -> dict[str, Finding]:
    return {one.name: one for one in doctor.examine(url)}


def test_this_machine_is_examined(slurm: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/sweeps.db"
    monkeypatch.setenv("STALESWEEP_CACHE", str(tmp_path / "policies"))
    says(slurm, "sinfo", "case $1 in --version) echo 'slurm 22.05';; "
         "*) echo 'main*|up|1:00|3|16|(null)'; echo 'gpu|down|infinite|2|8|gpu:a100:4';; esac")  # fmt: skip
    found = examined(url)
    assert list(found) == [
        "stalesweep", *doctor.PACKAGES, "database", "run directories", "policy cache", "slurm", "slurm limits",
        "slurm accounts", "partition", "torch sees",
    ]  # fmt: skip
    assert found["stalesweep"].detail.startswith(f"{code_version()} on Python 3.")
    assert (found["database"].good, "not there yet, `stalesweep launch` creates it" in found["database"].detail) == (
        None,
        True,
    )
    assert found["run directories"].detail.startswith(f"{tmp_path / 'runs'}, ")
    assert found["policy cache"].detail.startswith(f"{tmp_path / 'policies'}, ")
    assert found["slurm"] == Finding(
        "slurm", True, "slurm 22.05; AccountingStorageEnforce = none; MaxArraySize            = 1001; "
        "MaxJobCount             = 100000",
    )  # fmt: skip
    assert found["slurm limits"].detail == (
        "arrays of 1,000 tasks; 99,999 jobs at once (MaxJobCount of the cluster); you have 0"
    )
    assert found["slurm accounts"] == Finding("slurm accounts", True, "sacct answers")
    assert [one for one in doctor.examine(url) if one.name == "partition"] == [
        Finding("partition", True, "main* is up: 3 nodes of 16 CPUs, time limit 1:00"),
        Finding("partition", None, "gpu is down: 2 nodes of 8 CPUs and gpu:a100:4, time limit infinite"),
    ]
    assert found["torch sees"] == Finding("torch sees", True, "2 GPUs, 8 CPU threads")


def test_a_slurm_without_accounts_or_without_an_answer(slurm: StandIn, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sweeps.db"
    says(slurm, "sinfo", "echo 'main*|up|1:00|3|16|(null)'")
    says(slurm, "sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert examined(url)["slurm accounts"] == Finding(
        "slurm accounts", None, "none: what became of a job that Slurm no longer lists is known from its run alone"
    )
    says(slurm, "sacct", "echo 'sacct: error: refused' >&2; exit 1")
    assert examined(url)["slurm accounts"] == Finding(
        "slurm accounts", False, "sacct: error: refused: until it answers, what became of old jobs is not known"
    )
    says(slurm, "sinfo", "exit 3")
    assert examined(url)["slurm"] == Finding("slurm", None, "sinfo: exit code 3; runs go to local processes")
    with pytest.raises(SlurmUnavailable, match="sinfo: exit code 3"):
        client.is_here()
    says(slurm, "sinfo", "echo 'no configuration source' >&2; exit 1")
    assert not client.is_here(), "only the packages are installed"


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = examined(f"sqlite:///{tmp_path}/sweeps.db")
    assert found["slurm"] == Finding("slurm", None, "no sbatch on this machine: runs go to local processes")
    assert "partition" not in found


def test_packages_are_named_with_their_versions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, versions: dict[str, str]
) -> None:
    assert versions["stalesweep"] == code_version() and versions["python"].startswith("3.")
    monkeypatch.setattr(doctor, "versions", lambda: {"pandas": "2.0"})
    monkeypatch.setenv("PATH", "/nowhere")
    found = examined(f"sqlite:///{tmp_path}/sweeps.db")
    assert found["pandas"] == Finding("pandas", True, "2.0")
    assert found["submitit"] == Finding("submitit", False, "not installed; reinstall stalesweep")
    assert found["psycopg"] == Finding("psycopg", None, "not installed; Postgres needs stalesweep[postgres]")
    assert found["vllm"] == Finding("vllm", None, "not installed; the vLLM engine needs stalesweep[vllm]")


def test_databases_and_folders(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sweeps.db"
    with pytest.raises(Absent, match="not there yet"):
        doctor.database(url)
    (tmp_path / "sweeps.db").touch()
    with pytest.raises(Absent, match=r"empty, `stalesweep launch` will set it up"):
        doctor.database(url)
    (tmp_path / "sweeps.db").unlink()
    schema.upgrade(url)
    assert doctor.database(url).endswith(f", schema {schema.current(url)}")
    assert doctor.folder(tmp_path / "a" / "b").startswith(f"{tmp_path / 'a' / 'b'}, ")
    assert not (tmp_path / "a").exists()


def test_a_database_on_a_network_file_system_is_said(
    tmp_path: Path, new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database("sqlite", upgraded=True)
    path = Path(url.removeprefix("sqlite:///"))
    where = f"SQLite file {path}, schema {schema.current(url)}"
    assert doctor.database(url) == where
    monkeypatch.setattr(doctor, "network_filesystem", {path: "nfs4"}.get)
    assert doctor.database(url) == f"{where}, on a network file system (nfs4): jobs write journals only"


@pytest.mark.parametrize(
    ("free", "good", "said"),
    [(1e9, False, "1.0 GB free"), (0.26e9, False, "0.3 GB free"), (1.6e9, True, "2 GB free"),
     (1234e9, True, "1,234 GB free")],
)  # fmt: skip
def test_how_much_a_folder_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, good: bool, said: str
) -> None:
    new = tmp_path / "a" / "b"
    monkeypatch.setattr(doctor, "shutil", SimpleNamespace(disk_usage={tmp_path: SimpleNamespace(free=free)}.get))
    assert doctor.find("x", doctor.folder, new) == Finding("x", good, f"{new}, {said}")
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    assert doctor.find("x", doctor.folder, new) == Finding("x", False, f"{new}: {tmp_path} is not writable")


def test_what_torch_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(doctor, "in_python", lambda code: asked.append(code) or "a warning of its own\n4 16\n")
    assert TORCH() == "4 GPUs, 16 CPU threads"
    assert asked == ["import torch; print(torch.cuda.device_count(), torch.get_num_threads())"]


def test_code_in_a_process_of_its_own() -> None:
    assert doctor.in_python("print('a', 1)") == "a 1\n"
    with pytest.raises(UsageError, match=f"^{sys.executable}: it failed$"):
        doctor.in_python("raise SystemExit(3)")
    with pytest.raises(UsageError, match=f"^{sys.executable}: ValueError: no$"):
        doctor.in_python("raise ValueError('no')")
    with pytest.raises(UsageError, match=r"`import time; time.sleep.9.` takes more than 0 s"):
        doctor.in_python("import time; time.sleep(9)", timeout_s=0.1)


# --- a job of its own


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_cluster, "_POLL_S", 0.01)
    monkeypatch.setattr(doctor_cluster, "_LAG_S", 0.05)


def cluster(tmp_path: Path, timeout_s: float, on_submit: Callable[[Path], object]) -> tuple[list[Finding], list[str]]:
    """What it finds and says, given what a job does once it is submitted."""
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if text.startswith("submitted"):
            [folder] = (tmp_path / "runs" / "jobs").iterdir()
            on_submit(folder)

    url = f"sqlite:///{tmp_path}/sweeps.db"
    return list(doctor_cluster.examine(url, Resources(gpus=2, time_min=999), timeout_s, say)), said


@pytest.mark.usefixtures("quickly")
def test_a_job_looks_at_its_node(slurm: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema.upgrade(f"sqlite:///{tmp_path}/sweeps.db")
    monkeypatch.setenv("SLURMD_NODENAME", "node7")
    scripts: list[str] = []

    def job(folder: Path) -> None:
        scripts.extend(path.read_text() for path in folder.glob("*.sh"))
        doctor_cluster.main(folder)

    found, said = cluster(tmp_path, 61.0, job)
    assert [one.name for one in found] == [
        "compute node", "clocks", "run folder", "database", "python", "policy cache", "torch sees",
    ]  # fmt: skip
    assert all(one.good for one in found), found
    assert (found[0].detail, found[1].detail) == ("node7 runs jobs of yours", "less than 2 s apart")
    assert found[2].detail == f"{tmp_path / 'runs' / 'jobs'} is the same here and there"
    [(job_id, name, tasks)] = slurm.submitted
    assert said == [f"submitted job {job_id}"]
    assert name.startswith("stalesweep-doctor-") and tasks == 1
    assert "#SBATCH --time=2\n" in scripts[0], "as long as its answer is waited for"
    assert "#SBATCH --gpus-per-node=2\n" in scripts[0] and "-m orchestrator.jobs.doctor_cluster " in scripts[0]
    assert (slurm.folder / "cancelled").read_text() == f"--quiet {job_id}_[0]\n"
    assert list((tmp_path / "runs" / "jobs").iterdir()) == []


@pytest.mark.usefixtures("quickly")
def test_a_job_that_ends_without_an_answer(slurm: StandIn, tmp_path: Path) -> None:
    def job(folder: Path) -> None:
        says(slurm, "squeue", "")
        (folder / "1001_0_0_log.err").write_text("one\ntwo\nthree\nfour\n")

    [finding], said = cluster(tmp_path, 30.0, job)
    [folder] = (tmp_path / "runs" / "jobs").iterdir()
    assert finding == Finding(
        "job", False, "job 1001 ended before it had answered (not in the queue): two | three | four; does the node "
        f"see {folder}, and {sys.executable}?",
    )  # fmt: skip
    assert said == ["submitted job 1001", "job 1001: not in the queue", f"what the job printed: {folder}"]


@pytest.mark.usefixtures("quickly")
def test_a_job_that_waits_for_too_long(slurm: StandIn, tmp_path: Path) -> None:
    [finding], said = cluster(tmp_path, 0.1, lambda _: None)
    waits = "no answer within 0 s; job 1001 was PENDING (Priority), and is cancelled now; --timeout waits longer"
    assert finding == Finding("job", False, waits)
    assert said[1] == "job 1001: PENDING (Priority)"
    assert (slurm.folder / "cancelled").exists()


def test_a_job_that_slurm_refuses(slurm: StandIn, tmp_path: Path) -> None:
    says(slurm, "sbatch", "echo 'sbatch: error: Invalid account' >&2; exit 1")
    with pytest.raises(UsageError, match=r"Slurm refused the submission: .*Invalid account"):
        cluster(tmp_path, 1.0, lambda _: None)
    assert list((tmp_path / "runs" / "jobs").iterdir()) == []
