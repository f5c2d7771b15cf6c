"""Slurm's commands, each with a time-out. One that fails raises `SlurmUnavailable`; it never counts as empty."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.base.errors import NoAccounting, SlurmUnavailable
from orchestrator.base.urls import harmless_environment

TIMEOUT_S = 20.0
_IDS_A_CALL = 400
SUBMISSION_TIMEOUT_S = 60
"""sbatch by itself may try for minutes if the controller is busy."""

TaskId = tuple[str, int]
"""A task: its array's job id, and its index there."""

_WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
_HOLDING = (
    "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """A task of an array, as squeue or sacct has it."""

    name: str  # The job's name, which holds its submission's token
    state: str  # Slurm's name of its state, in base form, e.g. ``PENDING``, ``CANCELLED``
    reason: str  # Slurm's reason why it waits, or by whom it was cancelled; "" if Slurm gives none
    node: str  # Where it runs or ran; "" before
    exit_code: str = ""  # ``CODE:SIGNAL`` of a job that has ended; "" from squeue

    @property
    def waits(self) -> bool:
        """Whether it waits in the queue, for the first time or to begin anew."""
        return self.state in _WAITING

    @property
    def holds_node(self) -> bool:
        """Whether it has processes on a node, or had some that may not be gone yet."""
        return self.state in _HOLDING


def is_here() -> bool:
    """Whether this machine belongs to a Slurm cluster.

    Raises:
        SlurmUnavailable: It does, and the controller does not answer.
    """
    if shutil.which("sbatch") is None:
        return False
    try:
        ask("sinfo", "--noheader", "--format=%P")
    except SlurmUnavailable as error:
        if "configuration source" in str(error):  # only the packages are installed
            return False
        raise
    return True


def queue(names: Iterable[str]) -> dict[TaskId, Job]:
    """Ask squeue for this user's jobs of some names, those that ended a while ago included."""
    found: dict[TaskId, Job] = {}
    for some in _portions(set(names)):
        options = ["--noheader", "--array", "--states=all", "--me", f"--name={','.join(some)}"]
        for line in ask("squeue", *options, "--format=%F|%K|%j|%T|%N|%r").splitlines():
            array, index, name, state, node, reason = line.split("|", 5)
            if index.isdecimal():
                found[array, int(index)] = Job(name, state, "" if reason == "None" else reason, node)
    return found


def accounting(arrays: Iterable[str], names: Iterable[str]) -> dict[tuple[str, int], Job]:
    """Ask sacct how the tasks of arrays last ran, by their job's name and their index.

    The names distinguish arrays, because Slurm may have given an id to another one before, or again, even of these.

    Raises:
        NoAccounting: This cluster keeps none.
    """
    wanted = set(names)
    found: dict[tuple[str, int], Job] = {}
    for some in _portions(set(arrays)):
        columns = "--format=JobID,JobName,State,NodeList,ExitCode"
        for job_id, name, state, node, exit_code in _sacct(columns, "--duplicates", f"--jobs={','.join(some)}"):
            word, _, detail = state.partition(" ")  # "CANCELLED by 1000"
            job = Job(name, word.rstrip("+"), detail, "" if node == "None assigned" else node, exit_code)
            if name in wanted:
                found.update({(name, index): job for _, index in _tasks(job_id)})
    return found


def given_again(names: Mapping[str, str], since_s: float) -> set[str]:
    """Find the arrays, named by job id, whose id now belongs to another job: a killed controller may give an id twice.

    Only the last ``since_s`` seconds count. Further back an id may rightly have been another job's.
    """
    found = set()
    for some in _portions(names):
        since, jobs = f"--starttime=now-{since_s:.0f}seconds", f"--jobs={','.join(some)}"
        for job_id, name, *_ in _sacct("--format=JobID,JobName", since, jobs):
            array = job_id.partition("_")[0]
            if name != names.get(array, name):
                found.add(array)
    return found


def arrays_named(name: str) -> set[str]:
    """Find the arrays of a name, in squeue and in sacct.

    Raises:
        SlurmUnavailable: squeue does not answer; or it knows of none, and sacct does not answer.
    """
    if found := {array for array, _ in queue([name])}:
        return found
    try:
        found_ids = _sacct("--format=JobID", "--starttime=now-30days", f"--name={name}")
    except NoAccounting:
        return set()
    return {array for [job_id] in found_ids for array, _ in _tasks(job_id)}


def cancel(tasks: Iterable[TaskId]) -> None:
    """Cancel tasks; those that have ended already are ignored."""
    by_array: dict[str, list[int]] = {}
    for array, index in tasks:
        by_array.setdefault(array, []).append(index)
    for array, indices in by_array.items():
        for some in _portions(indices):
            ask("scancel", "--quiet", f"{array}_[{','.join(map(str, some))}]")


def seconds_left(job_id: str) -> float | None:
    """Ask how long a task, ``ARRAY_INDEX``, may still run; None if nothing limits it."""
    text = ask("squeue", "--noheader", f"--jobs={job_id}", "--format=%L").strip()
    if text == "UNLIMITED":
        return None
    match = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", text)  # [[DAYS-]HOURS:]MINUTES:SECONDS
    if match is None:
        raise SlurmUnavailable(f"squeue: no time left is known of job {job_id}: {text!r}")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds


def ask(*command: str) -> str:
    """Run one of Slurm's commands and return what it prints.

    Raises:
        SlurmUnavailable: It fails or takes too long; the message is the last line that it printed.
    """
    try:
        done = subprocess.run(
            command, env=harmless_environment(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SlurmUnavailable(f"{command[0]} did not answer within {TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise SlurmUnavailable(f"{command[0]}: {error.strerror or error}") from error
    if done.returncode:
        if "accounting storage is disabled" in done.stderr:
            raise NoAccounting(f"{command[0]}: this cluster keeps no accounts of jobs")
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise SlurmUnavailable(said if said.startswith(command[0]) else f"{command[0]}: {said}")
    return done.stdout


def records(command: str, *options: str) -> list[list[str]]:
    """Run sacct or sacctmgr, and return the fields of each line that it prints."""
    return [line.split("|") for line in ask(command, "--noheader", "--parsable2", *options).splitlines()]


def _sacct(*options: str) -> list[list[str]]:
    return records("sacct", "--allocations", *options)


def _tasks(job_id: str) -> Iterator[TaskId]:
    """Read sacct's name of a task, ``12_3``, or of several that wait, ``12_[3-5,7%2]``."""
    array, _, indices = job_id.partition("_")
    for part in indices.strip("[]").split("%")[0].split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            for index in range(int(first), int(last or first) + 1):
                yield array, index


def _portions(items: Iterable[Any]) -> Iterator[list[Any]]:
    ordered = sorted(items)
    for start in range(0, len(ordered), _IDS_A_CALL):
        yield ordered[start : start + _IDS_A_CALL]
