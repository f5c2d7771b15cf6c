"""How many jobs, and how large arrays, this cluster takes from this user, as the cluster itself says."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.base.errors import SlurmUnavailable
from orchestrator.jobs.slurm import client

DEFAULT_ARRAY_SIZE = 1000
"""Slurm's own MaxArraySize is 1001, the first index that is too large."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a submission.

    Attributes:
        array_size: Most tasks of one array.
        jobs: Most jobs of this user that may wait and run at once, tasks counted one by one; None = not limited.
        submitted: Jobs of this user that wait or run now.
        source: What sets ``jobs``, for people.
    """

    array_size: int
    jobs: int | None
    submitted: int
    source: str

    @property
    def free(self) -> int | None:
        """Jobs that may still be submitted; None = not limited."""
        return None if self.jobs is None else max(0, self.jobs - self.submitted)


def read(account: str | None = None, partition: str | None = None, qos: str | None = None) -> Limits:
    """Ask the cluster for its limits on this user.

    Args:
        account: The account that jobs are charged to; None = the user's default.
        partition: The partition they are for; None = the default one.
        qos: The quality of service they ask for; None = the default one.

    Raises:
        SlurmUnavailable: The controller does not answer.
    """
    config = dict(re.findall(r"^(\w+)\s*=\s*(\S+)", client.ask("scontrol", "show", "config"), re.MULTILINE))
    # The controller holds at most MaxJobCount jobs of all users, so an array can never be larger than that.
    whole = _whole(config.get("MaxJobCount")) or 10_000
    array_size = min((_whole(config.get("MaxArraySize")) or DEFAULT_ARRAY_SIZE + 1) - 1, whole)
    found = [(whole - 1, "MaxJobCount of the cluster")]
    if re.search("limits|safe", config.get("AccountingStorageEnforce", "")):
        found += _associations(config.get("ClusterName", ""), account, partition, qos)
    jobs, source = min(found)
    submitted = len(client.ask("squeue", "--noheader", "--array", "--me", "--format=%i").splitlines())
    return Limits(max(1, array_size), jobs, submitted, source)


def _associations(
    cluster: str, account: str | None, partition: str | None, qos: str | None
) -> Iterable[tuple[int, str]]:
    user = getpass.getuser()
    try:
        rows = client.ask(
            "sacctmgr", "--noheader", "--parsable2", "show", "user", user, "withassoc", f"cluster={cluster}",
            "format=DefaultAccount,Account,Partition,MaxSubmitJobs,GrpSubmitJobs,DefaultQOS,QOS",
        )  # fmt: skip
        limited_qos = client.ask(
            "sacctmgr", "--noheader", "--parsable2", "show", "qos",
            "format=Name,MaxSubmitJobsPerUser,GrpSubmitJobs",
        )  # fmt: skip
    except SlurmUnavailable:
        return  # not known without the accounting database; sbatch says it where a limit is passed
    used_qos, partition = qos, partition or _default_partition()
    for line in rows.splitlines():
        default_account, of_account, of_partition, per_user, of_group, default_qos, all_qos = line.split("|")
        if of_account != (account or default_account) or of_partition not in ("", partition):
            continue
        used_qos = used_qos or default_qos or (all_qos if "," not in all_qos else "")
        for limit, name in ((per_user, "MaxSubmitJobs"), (of_group, "GrpSubmitJobs")):
            if limit:
                yield int(limit), f"{name} of account {of_account}"
    for line in limited_qos.splitlines():
        name, per_user, of_group = line.split("|")
        for limit, what in ((per_user, "MaxSubmitJobsPerUser"), (of_group, "GrpSubmitJobs")):
            if name == used_qos and limit:
                yield int(limit), f"{what} of qos {name}"


def _default_partition() -> str | None:
    """The one that sinfo marks with a star."""
    names = client.ask("sinfo", "--noheader", "--format=%P").split()
    return next((name.removesuffix("*") for name in names if name.endswith("*")), None)


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
