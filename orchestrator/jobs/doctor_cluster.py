"""``stalesweep doctor --cluster``: submit a short job as runs are submitted, and show what it finds on its node."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from orchestrator.base.errors import SlurmUnavailable, UsageError
from orchestrator.base.processes import this_host
from orchestrator.base.settings import jobs_write, runs_dir
from orchestrator.base.urls import handed_over
from orchestrator.grid.sweep import Resources
from orchestrator.jobs import doctor, doctor_node
from orchestrator.jobs.doctor import Finding
from orchestrator.jobs.doctor_node import Asked
from orchestrator.jobs.slurm import client
from orchestrator.jobs.slurm.arrays import Executor
from orchestrator.jobs.slurm.client import Job
from orchestrator.store import schema

_POLL_S = 0.5
_ASK_S = 2.0
_LAG_S = 10.0
"""So long after a job's end its answer may not be seen here: network file systems keep what they saw for a while."""

Say = Callable[[str], None]


def examine(url: str, resources: Resources, timeout_s: float, say: Say) -> Generator[Finding, None, None]:
    """Submit a job and yield what it finds. The job is cancelled when the time is over, or the generator is closed.

    Args:
        url: The results database.
        resources: What the job asks for; its time limit is a minute or two.
        timeout_s: How long to wait for its answer, in seconds.
        say: Called with what the job is waiting for.

    Raises:
        UsageError: Slurm refuses the job, or the run folder cannot be written.
    """
    token = secrets.token_hex(4)
    folder = runs_dir().absolute() / "jobs" / f"doctor-{token}"
    name = f"stalesweep-doctor-{token}"
    resources = resources.model_copy(update={"time_min": max(1, math.ceil(timeout_s / 60))})
    executor = Executor(folder, "orchestrator.jobs.doctor_node", resources, name, token)
    with handed_over(url) as database:
        _ask(folder, url, database, resources)
        try:
            job_id = executor.submit_tasks(1)
        except UsageError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    say(f"submitted job {job_id}")
    good = True
    try:
        for finding in _wait(_Watched(job_id, name, folder, resources.python or sys.executable, say), timeout_s):
            good &= finding.good is not False
            yield finding
    finally:
        with contextlib.suppress(SlurmUnavailable):
            client.cancel([(job_id, 0)])
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        say(f"what the job printed: {folder}")


def _ask(folder: Path, url: str, database: str, resources: Resources) -> None:
    try:
        has_schema = schema.current(url) is not None
    except UsageError:
        has_schema = False
    asked = Asked(
        database=database,
        has_schema=has_schema,
        launched_from=this_host(),
        writes=jobs_write(),
        interpreter="" if resources.python else sys.executable,
        versions=doctor.versions(),
        gpus=resources.gpus or ("gpu" in (resources.gres or "")),
    )
    try:
        folder.mkdir(parents=True)
        (folder / doctor_node.ASKED).write_text(json.dumps(dataclasses.asdict(asked)), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}; name a folder that can be written in STALESWEEP_RUNS") from error


class _Watched:
    """The job, as squeue has it."""

    def __init__(self, job_id: str, name: str, folder: Path, python: str, say: Say) -> None:
        self.job_id, self.folder, self.python = job_id, folder, python
        self.state = "not seen yet"
        self.ended_at: float | None = None
        self._name, self._say, self._asked_at = name, say, -_ASK_S

    def look(self) -> None:
        """Ask squeue, not too often, and say what is new."""
        if time.monotonic() - self._asked_at < _ASK_S:
            return
        self._asked_at = time.monotonic()
        try:
            job = client.queue([self._name]).get((self.job_id, 0))
        except SlurmUnavailable as error:
            state, going = f"squeue does not answer: {error}", True
        else:
            state, going = (
                ("not in the queue", False) if job is None else (_described(job), job.waits or job.holds_node)
            )
        if not going and self.ended_at is None:
            self.ended_at = time.monotonic()
        if state != self.state:
            self.state = state
            self._say(f"job {self.job_id}: {state}")

    def said(self) -> str:
        """The last lines that it has printed on its standard error."""
        try:
            text = (self.folder / f"{self.job_id}_0_0_log.err").read_text(errors="replace")
        except OSError:
            return ""
        return f": {' | '.join(text.strip().splitlines()[-3:])}" if text.strip() else ""


def _wait(job: _Watched, timeout_s: float) -> Iterator[Finding]:
    deadline, seen = time.monotonic() + timeout_s, -1
    while True:
        answer = doctor_node.read(job.folder)
        if answer is not None:
            if seen < 0:
                yield Finding("compute node", True, f"{answer.node} runs jobs of yours")
                yield Finding("run folder", True, f"{job.folder.parent} is the same here and there")
                yield _clocks(answer.clock)
                seen = 0
            yield from answer.findings[seen:]
            seen = len(answer.findings)
            if answer.done:
                return
        job.look()
        if job.ended_at is not None and time.monotonic() - job.ended_at > _LAG_S:
            where = "" if seen >= 0 else f"; does the node see {job.folder}, and {job.python}?"
            yield Finding(
                "job", False, f"job {job.job_id} ended before it had answered ({job.state}){job.said()}{where}"
            )
            return
        if time.monotonic() > deadline:
            yield Finding("job", False, f"no answer within {timeout_s:.0f} s; job {job.job_id} was {job.state}, and is "
                          "cancelled now; --timeout waits longer")  # fmt: skip
            return
        time.sleep(_POLL_S)


def _clocks(there: float) -> Finding:
    apart_s = abs(time.time() - there)
    return Finding(
        "clocks", True, "less than 2 s apart" if apart_s < 2 else f"about {apart_s:.0f} s apart; it does not matter"
    )


def _described(job: Job) -> str:
    return f"{job.state}" + (f" on {job.node}" if job.node else "") + (f" ({job.reason})" if job.reason else "")
