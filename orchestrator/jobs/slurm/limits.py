"""How many jobs, and how large arrays, this cluster takes from this user, as the cluster itself says."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.base.errors import SlurmUnavailable
from orchestrator.grid.sweep import Resources
from orchestrator.jobs.slurm import client

_MAX_ARRAY_SIZE, _MAX_JOB_COUNT = 1001, 10_000
"""Slurm's own; MaxArraySize is the first index that is too large."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a submission."""

    array_size: int  # Most tasks of one array
    # Most jobs of this user that may wait and run at once, tasks counted one by one; None = not limited
    jobs: int | None
    submitted: int  # Jobs of this user that wait or run now
    source: str  # What sets ``jobs``, for people

    @property
    def free(self) -> int | None:
        """Jobs that may still be submitted; None = not limited."""
        return None if self.jobs is None else max(0, self.jobs - self.submitted)


def read(asked: Resources) -> Limits:
    """Ask the cluster for its limits on this user, for jobs with such an account, partition and quality of service.

    Raises:
        SlurmUnavailable: The controller does not answer.
    """
    config = dict(re.findall(r"^(\w+)\s*=\s*(\S+)", client.ask("scontrol", "show", "config"), re.MULTILINE))
    sizes = {name: int(value) for name, value in config.items() if value.isdecimal()}
    # The controller holds at most MaxJobCount jobs of all users, so an array can never be larger than that.
    whole = sizes.get("MaxJobCount", 0) or _MAX_JOB_COUNT
    array_size = min((sizes.get("MaxArraySize", 0) or _MAX_ARRAY_SIZE) - 1, whole)
    found = [(whole - 1, "MaxJobCount of the cluster")]
    if re.search("limits|safe", config.get("AccountingStorageEnforce", "")):
        found += _associations(config.get("ClusterName", ""), asked)
    jobs, source = min(found)
    submitted = len(client.ask("squeue", "--noheader", "--array", "--me", "--format=%i").splitlines())
    return Limits(max(1, array_size), jobs, submitted, source)


def _associations(cluster: str, asked: Resources) -> Iterable[tuple[int, str]]:
    of_user = ("show", "user", getpass.getuser(), "withassoc", f"cluster={cluster}")
    columns = "format=DefaultAccount,Account,Partition,MaxSubmitJobs,GrpSubmitJobs,DefaultQOS,QOS"
    try:
        associations = client.records("sacctmgr", *of_user, columns)
        limited_qos = client.records("sacctmgr", "show", "qos", "format=Name,MaxSubmitJobsPerUser,GrpSubmitJobs")
    except SlurmUnavailable:
        return  # not known without the accounting database; sbatch says it where a limit is passed
    used_qos, partition = asked.qos, asked.partition or _default_partition()
    for default_account, of_account, of_partition, per_user, of_group, default_qos, all_qos in associations:
        if of_account != (asked.account or default_account) or of_partition not in ("", partition):
            continue
        used_qos = used_qos or default_qos or (all_qos if "," not in all_qos else "")
        for limit, name in ((per_user, "MaxSubmitJobs"), (of_group, "GrpSubmitJobs")):
            if limit:
                yield int(limit), f"{name} of account {of_account}"
    for name, per_user, of_group in limited_qos:
        for limit, what in ((per_user, "MaxSubmitJobsPerUser"), (of_group, "GrpSubmitJobs")):
            if name == used_qos and limit:
                yield int(limit), f"{what} of qos {name}"


def _default_partition() -> str | None:
    """The one that sinfo marks with a star."""
    names = client.ask("sinfo", "--noheader", "--format=%P").split()
    return next((name.removesuffix("*") for name in names if name.endswith("*")), None)
