"""What ``stalesweep doctor --cluster`` looks at on a compute node: ``python -m orchestrator.jobs.doctor_node FOLDER``.

FOLDER/asked.json says what is asked, FOLDER/answer.json what has been found so far; that both are seen on both sides
is the first of the findings.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.attempt.job import journals_only
from orchestrator.base.errors import UsageError
from orchestrator.base.files import write_whole
from orchestrator.base.settings import cache_dir
from orchestrator.base.urls import resolve
from orchestrator.jobs import doctor
from orchestrator.jobs.doctor import Finding

ASKED, ANSWER = "asked.json", "answer.json"
_IMPORT_S = 120.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What the submitting side knows.

    Attributes:
        database: What `orchestrator.base.urls.handed_over` gave.
        has_schema: Whether a database with a schema is seen on the submitting host.
        launched_from: The submitting host.
        writes: What jobs write to, ``database``, ``journal`` or ``auto``.
        interpreter: The Python that the job is to run with; "" where the grid names one.
        versions: Of packages, on the submitting host.
        gpus: How many GPUs the job asks for.
    """

    database: str
    has_schema: bool
    launched_from: str
    writes: str
    interpreter: str
    versions: Mapping[str, str]
    gpus: int


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What has been found so far.

    Attributes:
        node: Where.
        clock: The time there when it was written, in seconds.
        findings: The findings.
        done: Whether nothing more will come.
    """

    node: str
    clock: float
    findings: tuple[Finding, ...]
    done: bool


def read(folder: Path) -> NodeAnswer | None:
    """Read the answer, as far as there is one."""
    try:
        content = json.loads((folder / ANSWER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return NodeAnswer(**{**content, "findings": tuple(Finding(**one) for one in content["findings"])})


def main(folder: Path) -> None:
    """Look at everything that is asked, and say each thing once it is known."""
    asked = Asked(**json.loads((folder / ASKED).read_text(encoding="utf-8")))
    findings: list[Finding] = []
    _write(folder, findings, done=False)
    for finding in look(asked):
        findings.append(finding)
        _write(folder, findings, done=False)
    _write(folder, findings, done=True)


def look(asked: Asked) -> Iterator[Finding]:
    """Look at this machine, slow things last."""
    yield _database(asked)
    yield _python(asked)
    yield doctor.folder("policy cache", cache_dir())
    yield _torch(asked.gpus)
    if "vllm" in asked.versions:
        yield _vllm()


def _database(asked: Asked) -> Finding:
    try:
        url = resolve(asked.database)
    except UsageError as error:
        return Finding("database", False, str(error))
    found = doctor.database(url)
    if found.good is None and asked.has_schema:
        return Finding("database", False, f"{found.detail}; but {asked.launched_from} sees it: use one that both do")
    if found.good and (reason := journals_only(url, asked.writes, asked.launched_from)):
        return Finding("database", True, f"{found.detail}; {reason}: jobs write journals only")
    return found


def _python(asked: Asked) -> Finding:
    here = doctor.versions()
    names = sorted(here.keys() | asked.versions.keys())
    differing = [
        f"{name} {here.get(name, 'missing')} here, {asked.versions.get(name, 'missing')} there"
        for name in names if here.get(name) != asked.versions.get(name)
    ]  # fmt: skip
    if asked.interpreter and sys.executable != asked.interpreter:
        differing.append(f"{sys.executable} here, {asked.interpreter} there")
    if differing:
        return Finding("python", False, f"not as on {asked.launched_from}: {'; '.join(differing)}")
    return Finding("python", True, f"{here['python']}, {len(here)} versions equal to those on {asked.launched_from}")


def _torch(gpus: int) -> Finding:
    found = doctor.torch()
    sees = found.detail.partition(" ")[0]
    if found.good and sees.isdecimal() and int(sees) < gpus:
        return Finding(
            found.name, False, f"{found.detail}, and {gpus} were asked for: is it built for this GPU's driver?"
        )
    return found


def _vllm() -> Finding:
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import vllm"], capture_output=True, text=True, timeout=_IMPORT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("vllm", False, f"importing it takes more than {_IMPORT_S:.0f} s")
    said = (done.stderr.strip().splitlines() or ["it failed"])[-1]
    return Finding("vllm", done.returncode == 0, said if done.returncode else "it can be imported")


def _write(folder: Path, findings: list[Finding], *, done: bool) -> None:
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    answer = dataclasses.asdict(NodeAnswer(node, time.time(), tuple(findings), done))
    write_whole(folder / ANSWER, json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
