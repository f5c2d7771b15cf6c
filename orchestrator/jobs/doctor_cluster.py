"""``stalesweep doctor --cluster``: submit a short job as runs are submitted, and show what it finds on its node.

On the node, ``python -m orchestrator.jobs.doctor_cluster FOLDER`` reads FOLDER/asked.json, and writes what it has
found so far to FOLDER/answer.json. That both are seen on both sides is the first of the findings.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import secrets
import shutil
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from orchestrator.attempt.job import JobSpec, job_spec, journals_only
from orchestrator.base.errors import SlurmUnavailable, UsageError
from orchestrator.base.files import tail, write_whole
from orchestrator.base.processes import this_host
from orchestrator.base.settings import cache_dir, runs_dir
from orchestrator.base.urls import handed_over, resolve
from orchestrator.base.words import Say
from orchestrator.grid.sweep import Resources
from orchestrator.jobs import doctor
from orchestrator.jobs.doctor import Absent, Finding
from orchestrator.jobs.slurm import client
from orchestrator.jobs.slurm.arrays import Executor

ASKED, ANSWER = "asked.json", "answer.json"
_POLL_S = 0.5
_POLLS_A_LOOK = 4
_LAG_S = 10.0
"""So long after a job's end its answer may not be seen here: network file systems keep what they saw for a while."""


class Asked(BaseModel):
    """What the submitting host tells the job."""

    spec: JobSpec  # What jobs that train runs are told
    has_schema: bool  # Whether a database with a schema is seen on the submitting host
    interpreter: str  # The Python that the job is to run with; "" where the grid names one
    versions: dict[str, str]  # Of packages, on the submitting host
    gpus: int  # How many GPUs the job asks for


class NodeAnswer(BaseModel):
    """What has been found so far, at which time there in seconds, and whether nothing more will come."""

    clock: float
    findings: list[Finding]
    done: bool


def examine(url: str, resources: Resources, timeout_s: float, say: Say) -> Generator[Finding, None, None]:
    """Submit a job and yield what it finds. The job is cancelled when the time is over, or the generator is closed.

    The job asks for the resources but for their time limit, which is as long as its answer is waited for.

    Raises:
        UsageError: Slurm refuses the job, or the run folder cannot be written.
    """
    token = secrets.token_hex(4)
    folder, name = runs_dir().absolute() / "jobs" / f"doctor-{token}", f"stalesweep-doctor-{token}"
    resources = resources.model_copy(update={"time_min": max(1, math.ceil(timeout_s / 60))})
    executor = Executor(folder, "orchestrator.jobs.doctor_cluster", resources, name, token)
    with handed_over(url) as database:
        _ask(folder, url, job_spec(database, (), "slurm"), resources)
        try:
            job_id = executor.submit_tasks(1)
        except UsageError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    say(f"submitted job {job_id}")
    good = True
    try:
        for finding in _wait(job_id, name, folder, resources.python or sys.executable, timeout_s, say):
            good &= finding.good is not False
            yield finding
    finally:
        with contextlib.suppress(SlurmUnavailable):
            client.cancel([(job_id, 0)])
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        say(f"what the job printed: {folder}")


def _ask(folder: Path, url: str, spec: JobSpec, resources: Resources) -> None:
    asked = Asked(
        spec=spec,
        has_schema=doctor.find("database", doctor.database, url).good is True,
        interpreter="" if resources.python else sys.executable,
        versions=doctor.versions(),
        gpus=resources.gpus or ("gpu" in (resources.gres or "")),
    )
    try:
        folder.mkdir(mode=0o700, parents=True)
        (folder / ASKED).write_text(asked.model_dump_json(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}; name a folder that can be written in STALESWEEP_RUNS") from error


def _wait(job_id: str, name: str, folder: Path, python: str, timeout_s: float, say: Say) -> Iterator[Finding]:
    deadline, seen, state = time.monotonic() + timeout_s, 0, "not seen yet"
    gone_at = math.inf
    for poll in itertools.count():
        if answer := read(folder):
            if not seen:
                yield from (answer.findings[0], clocks(answer.clock))
                seen = 1
            yield from answer.findings[seen:]
            seen = len(answer.findings)
            if answer.done:
                return
        if poll % _POLLS_A_LOOK == 0:
            before, (state, going) = state, _look(job_id, name)
            gone_at = math.inf if going else min(gone_at, time.monotonic())
            if state != before:
                say(f"job {job_id}: {state}")
        if time.monotonic() - gone_at > _LAG_S:
            said = " | ".join(tail(folder / f"{job_id}_0_0_log.err").strip().splitlines()[-3:])
            where = "" if seen else f"; does the node see {folder}, and {python}?"
            how = f"({state}){said and f': {said}'}{where}"
            yield Finding("job", False, f"job {job_id} ended before it had answered {how}")
            return
        if time.monotonic() > deadline:
            waits = f"no answer within {timeout_s:.0f} s; job {job_id} was {state}, and is cancelled now"
            yield Finding("job", False, f"{waits}; --timeout waits longer")
            return
        time.sleep(_POLL_S)


def _look(job_id: str, name: str) -> tuple[str, bool]:
    """What squeue says of the job, and whether it may still answer."""
    try:
        job = client.queue([name]).get((job_id, 0))
    except SlurmUnavailable as error:
        return f"squeue does not answer: {error}", True
    if job is None:
        return "not in the queue", False
    on, why = f" on {job.node}" if job.node else "", f" ({job.reason})" if job.reason else ""
    return f"{job.state}{on}{why}", job.waits or job.holds_node


def clocks(there: float) -> Finding:
    """Compare the time on the node, in seconds, with the time here."""
    apart_s = abs(time.time() - there)
    far = f"about {apart_s:.0f} s apart; it does not matter"
    return Finding("clocks", True, "less than 2 s apart" if apart_s < 2 else far)


def read(folder: Path) -> NodeAnswer | None:
    """Read the answer, as far as there is one."""
    try:
        return NodeAnswer.model_validate_json((folder / ANSWER).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def main(folder: Path) -> None:
    """On the node: look at everything that is asked, and write each thing down once it is known."""
    asked = Asked.model_validate_json((folder / ASKED).read_bytes())
    node = os.environ.get("SLURMD_NODENAME") or this_host()
    findings = [
        Finding("compute node", True, f"{node} runs jobs of yours"),
        Finding("run folder", True, f"{folder.parent} is the same here and there"),
    ]
    _write(folder, findings, done=False)
    for finding in look(asked):
        findings.append(finding)
        _write(folder, findings, done=False)
    _write(folder, findings, done=True)


def _write(folder: Path, findings: list[Finding], *, done: bool) -> None:
    answer = NodeAnswer(clock=time.time(), findings=findings, done=done)
    write_whole(folder / ANSWER, answer.model_dump_json())


def look(asked: Asked) -> Iterator[Finding]:
    """Look at this machine, slow things last."""
    yield doctor.find("database", _database, asked)
    yield doctor.find("python", _python, asked)
    yield doctor.find("policy cache", doctor.folder, cache_dir())
    yield doctor.find("torch sees", _torch, asked.gpus)
    if "vllm" in asked.versions:
        yield doctor.find("vllm", _vllm)


def _database(asked: Asked) -> str:
    url, submitter = resolve(asked.spec.database), asked.spec.launched_from
    try:
        found = doctor.database(url)
    except Absent as error:
        if asked.has_schema:
            raise UsageError(f"{error}; but {submitter} sees it: use one that both do") from error
        raise
    reason = journals_only(url, asked.spec.writes, submitter)
    return f"{found}; {reason}: jobs write journals only" if reason else found


def _python(asked: Asked) -> str:
    here = doctor.versions()
    differing = [
        f"{name} {here.get(name, 'missing')} here, {asked.versions.get(name, 'missing')} there"
        for name in sorted(here.keys() | asked.versions.keys()) if here.get(name) != asked.versions.get(name)
    ]  # fmt: skip
    if asked.interpreter and sys.executable != asked.interpreter:
        differing.append(f"{sys.executable} here, {asked.interpreter} there")
    if differing:
        raise UsageError(f"not as on {asked.spec.launched_from}: {'; '.join(differing)}")
    return f"{here['python']}, {len(here)} versions equal to those on {asked.spec.launched_from}"


def _torch(gpus: int) -> str:
    found = doctor.torch()
    if int(found.partition(" ")[0]) < gpus:
        raise UsageError(f"{found}, and {gpus} were asked for: is it built for this GPU's driver?")
    return found


def _vllm() -> str:
    doctor.in_python("import vllm", timeout_s=120.0)
    return "it can be imported"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
