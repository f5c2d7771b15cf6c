"""Runs → job arrays, through submitit: planned within the cluster's limits, stored, then submitted."""

from __future__ import annotations

import math
import secrets
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from orchestrator.attempt.job import job_spec
from orchestrator.base.errors import NothingToDo, SlurmUnavailable, UsageError
from orchestrator.base.settings import runs_dir
from orchestrator.base.states import FailureClass
from orchestrator.base.urls import handed_over
from orchestrator.grid.sweep import Resources
from orchestrator.jobs import shares
from orchestrator.jobs.slurm import client, limits
from orchestrator.jobs.slurm.limits import Limits
from orchestrator.store import submissions
from orchestrator.store.database import Store

_MARGIN_S = 90
_SILENCE = ("unable to contact", "timed out", "connection refused", "zero bytes", "connection reset", "no such host")
"""What sbatch prints, in lower case, if it does not know whether the controller took the job."""


@dataclass(frozen=True, slots=True)
class Array:
    """A job array that is to be submitted: what each task asks for, and the runs of each task, by their numbers."""

    resources: Resources
    shares: list[list[int]]


@dataclass(frozen=True, slots=True)
class ArrayPlan:
    """How runs are to be submitted, and what people should know, a sentence each."""

    arrays: list[Array]
    notes: list[str]


def plan(needs: Mapping[int, Resources], limits_of: Callable[[Resources], Limits] = limits.read) -> ArrayPlan:
    """Put runs of equal resources into arrays: as many into one task as they ask for, more if the limits force it.

    The runs are trained in the order of ``needs``, which has what each asks for by its number.

    Raises:
        SlurmUnavailable: The cluster does not say its limits.
        NothingToDo: The cluster takes no more jobs of this user now.
    """
    alike: dict[str, tuple[Resources, list[int]]] = {}
    for run_id, resources in needs.items():
        alike.setdefault(resources.model_dump_json(), (resources, []))[1].append(run_id)
    groups = list(alike.values())
    alike_to_cluster = {(one.account, one.partition, one.qos): one for one, _ in groups}
    found = min(map(limits_of, alike_to_cluster.values()), key=lambda one: math.inf if one.free is None else one.free)
    per_job = [resources.runs_per_job for resources, _ in groups]
    notes = []
    if found.free is not None and _tasks(groups, per_job) > found.free:
        if found.free < len(groups):
            raise NothingToDo(
                f"you have {found.submitted} jobs in the queue, and {found.source} allows {found.jobs}: launch again "
                "when some have ended"
            )
        while _tasks(groups, per_job) > found.free:
            per_job = [count + 1 for count in per_job]
        notes.append(
            f"{found.source} allows {found.jobs} jobs, {found.free} of them are free: up to {max(per_job)} runs share "
            "a job, one after the other"
        )
    arrays: list[Array] = []
    for (resources, runs), count in zip(groups, per_job, strict=True):
        shares = [runs[start : start + count] for start in range(0, len(runs), count)]
        arrays += [
            Array(resources, shares[start : start + found.array_size])
            for start in range(0, len(shares), found.array_size)
        ]
    return ArrayPlan(arrays, notes)


def describe(array: Array) -> str:
    """One line for people."""
    asked = {name: value for name, value in parameters(array.resources).items() if value}
    runs = sum(map(len, array.shares))
    share = "" if runs == len(array.shares) else f" for {runs} runs"
    return f"Array of {len(array.shares)} tasks{share}: {', '.join(f'{k} = {v}' for k, v in asked.items())}"


def submit(store: Store, sweep_id: int, sweep_name: str, directories: Mapping[int, Path], array: Array) -> str:
    """Store an array and submit it; returns its job id. The next launch finds an interrupted one by its token.

    Raises:
        UsageError: Slurm refuses it; its runs are pending again.
        SlurmUnavailable: Slurm does not answer; it may have the array or not.
    """
    token = secrets.token_hex(4)
    folder = runs_dir().absolute() / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{token}"
    name = f"stalesweep-{sweep_name}-{token}"
    asked = parameters(array.resources)
    executor = Executor(folder, "orchestrator.jobs.slurm.task", array.resources, name, token)
    with handed_over(store.url) as database:
        shares.write(
            folder,
            ([directories[run_id] for run_id in share] for share in array.shares),
            job_spec(database, (), "slurm"),
            margin_s=asked["signal_delay_s"],
            requeues=array.resources.retries_of(FailureClass.TIME_LIMIT),
        )
        resources = array.resources.model_dump(mode="json")
        submissions.open_submission(
            store, sweep_id, token=token, job_name=name, folder=str(folder), resources=resources, shares=array.shares
        )
        try:
            job_id = executor.submit_tasks(len(array.shares))
        except SlurmUnavailable:
            raise
        except UsageError:
            submissions.withdraw(store, token)
            raise
    submissions.answer(store, token, job_id)
    return job_id


def parameters(resources: Resources) -> dict[str, Any]:
    """Spell resources as submitit's `SlurmExecutor` does; what is not set is left to the cluster."""
    wanted = {
        "time": resources.time_min,
        "cpus_per_task": resources.cpus,
        "mem": f"{math.ceil(resources.mem_gb * 1024)}MB",
        "gpus_per_node": resources.gpus or None,
        "array_parallelism": resources.array_parallelism,
        "signal_delay_s": min(_MARGIN_S, resources.time_min * 60 // 5),
        "additional_parameters": {},
        **{name: getattr(resources, name) for name in ("partition", "account", "qos", "gres", "constraint")},
    }
    known = submitit.SlurmExecutor._valid_parameters()
    for name, value in resources.slurm.items():
        if value is not False:  # of a switch: submitit would write `--hold=False`
            own = name.replace("-", "_")
            place, key = (wanted, own) if own in known else (wanted["additional_parameters"], name)
            place[key] = value
    return {name: value for name, value in wanted.items() if value is not None}


class Executor(submitit.SlurmExecutor):  # type: ignore[misc]  # submitit is not followed by mypy
    """submitit's executor, but its jobs read files that exist before the jobs do: see `orchestrator.jobs.slurm.task`.

    A job of submitit itself reads a pickle that is written after the array is submitted. If the launcher were killed
    in between, the array would never start.

    Each job executes ``module`` with the folder as its argument, where it finds what to do, and writes its log. The
    submission's token is a part of the jobs' name.

    Raises:
        UsageError: The resources cannot be asked for.
    """

    def __init__(self, folder: Path, module: str, resources: Resources, name: str, token: str) -> None:
        super().__init__(folder, python=resources.python)
        self._module = module
        try:
            asked = parameters(resources)
            more = asked["additional_parameters"]
            if resources.slurm.get("requeue") is False:
                more["no-requeue"] = True
            if "no-requeue" not in more:
                more["requeue"] = True  # else many sites refuse to put a job back into the queue
            self.update_parameters(job_name=name, comment=f"stalesweep {token}", **asked)
        except (ValueError, TypeError) as error:
            raise UsageError(f"resources: {error}") from error

    @property
    def _submitit_command_str(self) -> str:
        return shlex.join([*shlex.split(self.python), "-u", "-m", self._module, str(self.folder)])

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        return ["timeout", f"{client.SUBMISSION_TIMEOUT_S}", *super()._make_submission_command(submission_file_path)]

    def submit_tasks(self, count: int) -> str:
        """Submit an array of so many tasks, and return its job id; raises as `submit`."""
        self.parameters["map_count"] = count
        try:
            job_id = str(self._submit_command(self._submitit_command_str).job_id)
            for script in self.folder.glob("*.sh"):
                script.chmod(0o700)
            return job_id
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            said = (str(error).strip().splitlines() or [""])[-1].removeprefix("sbatch: error: ")
            if not said or any(words in said.lower() for words in _SILENCE):
                raise SlurmUnavailable(
                    f"Slurm did not say whether it took the submission ({said or 'sbatch took too long'}); "
                    "`stalesweep launch` again finds out, and submits what is missing"
                ) from error
            raise UsageError(f"Slurm refused the submission: {said}") from error


def _tasks(groups: Sequence[tuple[Resources, list[int]]], per_job: Sequence[int]) -> int:
    return sum(math.ceil(len(runs) / count) for (_, runs), count in zip(groups, per_job, strict=True))
