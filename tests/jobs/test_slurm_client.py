"""What Slurm's commands print, as recorded from a real cluster (22.05), is read; what they do not say is no answer."""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.base.errors import NoAccounting, SlurmUnavailable
from orchestrator.grid.sweep import Resources
from orchestrator.jobs.slurm import client, limits
from orchestrator.jobs.slurm.client import Job
from orchestrator.jobs.training import choose_executor

A, B = "stalesweep-a-1", "stalesweep-b-2"

SQUEUE = """\
861607|4|stalesweep-a-1|COMPLETED|node2|None
861607|1|stalesweep-a-1|FAILED|node1|NonZeroExitCode
861607|0|stalesweep-a-1|PENDING||BeginTime
861608|3|stalesweep-b-2|PENDING||JobHeldUser
861609|N/A|stalesweep-b-2|RUNNING|node1|None
861610|2|stalesweep-b-2|PENDING||ReqNodeNotAvail, UnavailableNodes:node[1-2]|main
"""

SACCT = """\
861607_0|stalesweep-a-1|REQUEUED|node1|0:0
861607_1|stalesweep-a-1|FAILED|node1|1:0
861607_[5-7,9%2]|stalesweep-a-1|PENDING|None assigned|0:0
861608_[0,3]|stalesweep-b-2|CANCELLED by 1000|None assigned|0:0
861608_1|stalesweep-b-2|CANCELLED+|node3|0:15
861608|another-job|COMPLETED|node1|0:0
861608_2|another-job|COMPLETED|node1|0:0
861607_0|stalesweep-a-1|RUNNING|node2|0:0
"""

Says = Callable[..., None]


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Let a command of Slurm's print a text, whatever it is asked; ``asked`` beside it holds its arguments."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def say(command: str, output: str = "", *, error: str = "", code: int = 0, sleep: float = 0) -> None:
        for name, text in (("out", output), ("err", error)):
            (tmp_path / f"{command}.{name}").write_text(text)
        script = f'#!/bin/sh\necho "$@" >> $0.asked\nsleep {sleep}\ncat $0.out\ncat $0.err >&2\nexit {code}\n'
        (tmp_path / command).write_text(script)
        (tmp_path / command).chmod(0o755)

    return say


def asked(folder: Path, command: str) -> list[str]:
    return (folder / f"{command}.asked").read_text().splitlines()


def test_squeue(says: Says, tmp_path: Path) -> None:
    says("squeue", SQUEUE)
    found = client.queue([A, B, A])
    assert found == {
        ("861607", 4): Job(A, "COMPLETED", "", "node2"),
        ("861607", 1): Job(A, "FAILED", "NonZeroExitCode", "node1"),
        ("861607", 0): Job(A, "PENDING", "BeginTime", ""),
        ("861608", 3): Job(B, "PENDING", "JobHeldUser", ""),
        ("861610", 2): Job(B, "PENDING", "ReqNodeNotAvail, UnavailableNodes:node[1-2]|main", ""),
    }
    assert [job.waits for job in found.values()] == [False, False, True, True, True]
    assert client.arrays_named(B) == {"861607", "861608", "861610"}, "squeue itself picks the name"
    assert all("--me" in line and "--states=all" in line for line in asked(tmp_path, "squeue"))
    assert f"--name={A},{B}" in asked(tmp_path, "squeue")[0]


def test_nothing_is_asked_of_nothing(says: Says, tmp_path: Path) -> None:
    says("squeue", code=1)
    says("sacct", code=1)
    says("scancel", code=1)
    assert client.queue([]) == {}
    assert client.accounting([], [A]) == {}
    client.cancel([])
    assert not list(tmp_path.glob("*.asked"))


def test_sacct(says: Says) -> None:
    says("sacct", SACCT)
    found = client.accounting(["861607", "861608"], [A, B])
    waiting = Job(A, "PENDING", "", "", "0:0")
    assert found == {
        (A, 0): Job(A, "RUNNING", "", "node2", "0:0"),
        (A, 1): Job(A, "FAILED", "", "node1", "1:0"),
        **{(A, index): waiting for index in (5, 6, 7, 9)},
        (B, 0): Job(B, "CANCELLED", "by 1000", "", "0:0"),
        (B, 3): Job(B, "CANCELLED", "by 1000", "", "0:0"),
        (B, 1): Job(B, "CANCELLED", "", "node3", "0:15"),
    }
    assert found[A, 0].holds_node
    assert not found[B, 1].holds_node


def test_an_id_that_slurm_gave_twice_is_two_jobs(says: Says) -> None:
    says("sacct", f"7_0|{A}|RUNNING|node1|0:0\n7_0|{B}|COMPLETED|node1|0:0\n")
    found = client.accounting(["7"], [A, B])
    assert (found[A, 0].state, found[B, 0].state) == ("RUNNING", "COMPLETED")
    assert set(client.accounting(["7"], [A])) == {(A, 0)}


def test_many_are_asked_for_in_portions(says: Says, tmp_path: Path) -> None:
    says("sacct")
    says("scancel")
    client.accounting(map(str, range(1000)), [A])
    client.cancel([("9", index) for index in range(900)])
    assert len(asked(tmp_path, "sacct")) == 3
    assert len(asked(tmp_path, "scancel")) == 3
    assert asked(tmp_path, "scancel")[2].startswith("--quiet 9_[800,801,")


def test_a_command_that_fails_is_no_answer(says: Says, monkeypatch: pytest.MonkeyPatch) -> None:
    says("squeue", SQUEUE, error="slurm_load_jobs error: Unable to contact slurm controller\n", code=1)
    with pytest.raises(SlurmUnavailable, match="squeue: slurm_load_jobs error: Unable to contact slurm controller"):
        client.queue([A])
    says("sacct", error="Slurm accounting storage is disabled\n", code=1)
    with pytest.raises(NoAccounting, match="keeps no accounts"):
        client.accounting(["1"], [A])
    says("squeue")
    assert client.arrays_named(A) == set(), "where nobody keeps accounts squeue's word is the last"
    monkeypatch.setattr(client, "TIMEOUT_S", 0.2)
    says("squeue", SQUEUE, sleep=5)
    with pytest.raises(SlurmUnavailable, match="squeue did not answer within 0 s"):
        client.queue([A])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SlurmUnavailable, match="squeue: No such file"):
        client.queue([A])
    assert not client.is_here()


def test_an_array_that_squeue_has_forgotten_is_found_in_the_accounts(says: Says) -> None:
    says("squeue")
    says("sacct", "12_0\n12_[1-3]\n11\n")
    assert client.arrays_named(A) == {"12"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("9:59\n", 599), ("0:00\n", 0), ("1:00:00\n", 3600), ("2-03:04:05\n", 183_845), ("UNLIMITED\n", None)],
)
def test_the_time_left(says: Says, text: str, seconds: float | None) -> None:
    says("squeue", text)
    assert client.seconds_left("12_3") == seconds


@pytest.mark.parametrize("text", ["", "INVALID\n", "NOT_SET\n"])
def test_no_time_left_is_known(says: Says, text: str) -> None:
    says("squeue", text)
    with pytest.raises(SlurmUnavailable, match="no time left is known of job 12_3"):
        client.seconds_left("12_3")


# Limits

CONFIG = """\
Configuration data as of 2026-11-23T02:38:21
AccountingStorageEnforce = {enforce}
AccountingStoreFlags    = (null)
ClusterName             = deva0fdd953
MaxArraySize            = {array}
MaxJobCount             = 10000
"""
USER = "lab|lab||500|2000|normal|normal,long\nlab|other||7|||normal\nlab|lab|gpu|40||normal|normal\n"
QOS = "normal||\nlong|30|\ntight|5|20\n"


@pytest.mark.parametrize(
    ("enforce", "asked_for", "jobs", "source", "partitions"),
    [
        ("none", {}, 9999, "MaxJobCount of the cluster", "main*\ngpu\n"),
        ("associations", {}, 9999, "MaxJobCount of the cluster", "main*\ngpu\n"),
        ("associations,limits,qos", {}, 500, "MaxSubmitJobs of account lab", "main*\ngpu\n"),
        ("associations,limits", {"partition": "gpu"}, 40, "MaxSubmitJobs of account lab", "main*\ngpu\n"),
        (
            "associations,limits",
            {"account": "other", "partition": "main"},
            7,
            "MaxSubmitJobs of account other",
            "main*\ngpu\n",
        ),
        ("associations,limits,safe", {"qos": "long"}, 30, "MaxSubmitJobsPerUser of qos long", "main*\ngpu\n"),
        ("safe", {"qos": "tight", "partition": "gpu"}, 5, "MaxSubmitJobsPerUser of qos tight", "main*\ngpu\n"),
        ("associations,limits", {}, 40, "MaxSubmitJobs of account lab", "main\ngpu*\n"),
    ],
)
def test_limits_are_read(
    says: Says, enforce: str, asked_for: dict[str, str], jobs: int, source: str, partitions: str
) -> None:
    says("scontrol", CONFIG.format(enforce=enforce, array=1001))
    says("squeue", "1_0\n1_1\n2\n")
    says("sinfo", partitions)
    (says_user, says_qos) = (USER.replace("\n", "\\n"), QOS.replace("\n", "\\n"))
    says("sacctmgr")
    script = Path(os.environ["PATH"].split(":")[0]) / "sacctmgr"
    script.write_text(f"#!/bin/sh\ncase \"$*\" in *'show qos'*) printf '{says_qos}';; *) printf '{says_user}';; esac\n")
    found = limits.read(Resources(**asked_for))
    assert (found.array_size, found.jobs, found.source) == (1000, jobs, source)
    assert (found.submitted, found.free) == (3, jobs - 3)


def test_limits_without_the_accounting_database(says: Says) -> None:
    says("scontrol", CONFIG.format(enforce="associations,limits", array=11))
    says("squeue")
    says("sacctmgr", error="sacctmgr: error: Problem talking to the database: Connection refused\n", code=1)
    found = limits.read(Resources())
    assert (found.array_size, found.jobs, found.submitted) == (10, 9999, 0)


def test_no_limits_are_guessed(says: Says) -> None:
    says("scontrol", error="Unable to contact slurm controller\n", code=1)
    with pytest.raises(SlurmUnavailable, match="Unable to contact"):
        limits.read(Resources())


def test_a_job_id_that_is_anothers_by_now(says: Says) -> None:
    says("sacct", f"12_0|{A}\n13_0|other\n14|other\n14_[1-3]|{B}\n99|other\n")
    assert client.given_again({"12": A, "13": A, "14": B}, 60.0) == {"13", "14"}
    assert client.given_again({}, 60.0) == set()


def test_what_slurm_is_asked(says: Says, tmp_path: Path) -> None:
    for command in ("squeue", "sacct", "scancel", "sinfo"):
        says(command)
    client.queue([A])
    client.accounting(["7", "6"], [A])
    client.given_again({"7": A}, 59.6)
    client.arrays_named(A)
    client.cancel([("9", 4), ("8", 0), ("9", 2)])
    assert client.is_here() == (shutil.which("sbatch") is not None)
    with pytest.raises(SlurmUnavailable):
        client.seconds_left("9_4")
    listed = f"--noheader --array --states=all --me --name={A} --format=%F|%K|%j|%T|%N|%r"
    assert asked(tmp_path, "squeue") == [listed, listed, "--noheader --jobs=9_4 --format=%L"]
    of_arrays = "--noheader --parsable2 --allocations"
    assert asked(tmp_path, "sacct") == [
        f"{of_arrays} --format=JobID,JobName,State,NodeList,ExitCode --duplicates --jobs=6,7",
        f"{of_arrays} --format=JobID,JobName --starttime=now-60seconds --jobs=7",
        f"{of_arrays} --format=JobID --starttime=now-30days --name={A}",
    ]
    assert asked(tmp_path, "scancel") == ["--quiet 9_[2,4]", "--quiet 8_[0]"]


def test_whether_this_machine_belongs_to_a_cluster(says: Says, tmp_path: Path) -> None:
    says("sbatch")
    says("sinfo", "main*\n")
    assert client.is_here()
    assert asked(tmp_path, "sinfo") == ["--noheader --format=%P"]
    says("sinfo", error="sinfo: fatal: Could not establish a configuration source\n", code=1)
    assert not client.is_here()
    says("sinfo", error="Unable to contact slurm controller\n", code=1)
    with pytest.raises(SlurmUnavailable, match="sinfo: Unable to contact slurm controller"):
        client.is_here()
    with pytest.raises(SlurmUnavailable) as told:
        choose_executor("auto")
    assert str(told.value) == (
        "Slurm does not answer: sinfo: Unable to contact slurm controller; launch again when it does, or with "
        "--executor local on this machine"
    )
    assert choose_executor("local") == "local"


@pytest.mark.parametrize(
    ("output", "error", "said"),
    [
        ("out\n", "first\nlast \n", "squeue: last"), ("one\nout\n", " \n", "squeue: out"),
        ("", "", "squeue: exit code 3"), ("", "squeue: error: no\n", "squeue: error: no"),
    ],
)  # fmt: skip
def test_the_last_line_that_a_command_prints_says_why_it_failed(says: Says, output: str, error: str, said: str) -> None:
    says("squeue", output, error=error, code=3)
    with pytest.raises(SlurmUnavailable) as told:
        client.ask("squeue")
    assert str(told.value) == said


def test_a_command_that_ends_well_is_believed_whatever_it_complains_of(says: Says) -> None:
    says("squeue", "all\n", error="accounting storage is disabled\n")
    assert client.ask("squeue") == "all\n"


@pytest.mark.parametrize(
    ("config", "array_size", "jobs"),
    [
        ("MaxArraySize = 1\nMaxJobCount = 50\n", 1, 49), ("MaxArraySize = 2\nMaxJobCount = 50\n", 1, 49),
        ("MaxArraySize = 3\nMaxJobCount = 50\n", 2, 49), ("MaxArraySize = 400\nMaxJobCount = 50\n", 50, 49),
        ("MaxArraySize = 0\nMaxJobCount = 0\n", 1000, 9999), ("", 1000, 9999),
    ],
)  # fmt: skip
def test_what_an_array_may_hold(says: Says, config: str, array_size: int, jobs: int) -> None:
    says("scontrol", config)
    says("squeue", "1_0\n")
    assert limits.read(Resources()) == limits.Limits(array_size, jobs, 1, "MaxJobCount of the cluster")


@pytest.mark.parametrize(
    ("user", "qos", "asked_for", "expected"),
    [
        ("lab|lab||30|20||\n", "", {}, (20, "GrpSubmitJobs of account lab")),
        ("lab|lab||20|30||\n", "", {}, (20, "MaxSubmitJobs of account lab")),
        ("lab|lab||||a|a,b\n", "a||9\nb|8|\n", {}, (9, "GrpSubmitJobs of qos a")),
        ("lab|lab|||||b\n", "a||9\nb|8|\n", {}, (8, "MaxSubmitJobsPerUser of qos b")),
        ("lab|lab|||||a,b\n", "a||9\nb|8|\n", {}, (9999, "MaxJobCount of the cluster")),
        ("lab|lab|||||b\n", "a||9\nb|8|\n", {"qos": "a"}, (9, "GrpSubmitJobs of qos a")),
        ("lab|other||5|||\nlab|lab|gpu|6|||\nlab|lab|main|7|||\n", "", {}, (7, "MaxSubmitJobs of account lab")),
    ],
)
def test_the_tightest_of_a_users_limits(
    says: Says, tmp_path: Path, user: str, qos: str, asked_for: dict[str, str], expected: tuple[int, str]
) -> None:
    says("scontrol", CONFIG.format(enforce="associations,limits", array=1001))
    says("squeue", "1\n2\n")
    says("sinfo", "gpu\nmain*\n")
    (tmp_path / "qos").write_text(qos)
    (tmp_path / "user").write_text(user)
    says("sacctmgr")
    cases = f"case \"$*\" in *'show qos'*) cat {tmp_path}/qos;; *) cat {tmp_path}/user;; esac"
    (tmp_path / "sacctmgr").write_text(f'#!/bin/sh\necho "$@" >> $0.asked\n{cases}\n')
    found = limits.read(Resources(**asked_for))
    assert (found.jobs, found.source, found.submitted) == (*expected, 2)
    of_user = f"show user {getpass.getuser()} withassoc cluster=deva0fdd953"
    columns = "format=DefaultAccount,Account,Partition,MaxSubmitJobs,GrpSubmitJobs,DefaultQOS,QOS"
    assert asked(tmp_path, "sacctmgr") == [
        f"--noheader --parsable2 {of_user} {columns}",
        "--noheader --parsable2 show qos format=Name,MaxSubmitJobsPerUser,GrpSubmitJobs",
    ]
    assert asked(tmp_path, "scontrol") == ["show config"]
    assert asked(tmp_path, "squeue") == ["--noheader --array --me --format=%i"]
    assert asked(tmp_path, "sinfo") == ["--noheader --format=%P"]


@pytest.mark.parametrize(("jobs", "submitted", "free"), [(None, 3, None), (5, 3, 2), (3, 3, 0), (2, 3, 0)])
def test_how_many_jobs_are_free(jobs: int | None, submitted: int, free: int | None) -> None:
    assert limits.Limits(10, jobs, submitted, "x").free == free
