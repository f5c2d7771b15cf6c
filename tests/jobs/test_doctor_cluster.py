"""What a compute node says of itself: what is not as where the job was submitted is BAD, and says what to do."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.attempt.job import JobSpec
from orchestrator.base.errors import UsageError
from orchestrator.base.processes import this_host
from orchestrator.cli.app import app
from orchestrator.grid.sweep import Resources
from orchestrator.jobs import doctor, doctor_cluster
from orchestrator.jobs.doctor import Finding
from orchestrator.jobs.doctor_cluster import Asked, NodeAnswer
from orchestrator.store import schema


@pytest.fixture(scope="module")
def versions() -> dict[str, str]:
    return doctor.versions()


@pytest.fixture(autouse=True)
def slow_things_are_known(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    """Importing torch takes seconds, and finding out the versions a tenth of one."""
    monkeypatch.setattr(doctor, "torch", lambda: "2 GPUs, 8 CPU threads")
    monkeypatch.setattr(doctor, "versions", lambda: dict(versions))


@pytest.fixture
def asked(tmp_path: Path, new_database: Callable[..., str], versions: dict[str, str]) -> Asked:
    spec = JobSpec((), tmp_path, new_database("sqlite", upgraded=True), "slurm", this_host(), "auto")
    return Asked(spec=spec, has_schema=True, interpreter=sys.executable, versions=versions, gpus=0)


def looked(asked: Asked, **changes: object) -> dict[str, Finding]:
    names = {field.name for field in dataclasses.fields(JobSpec)}
    of_spec: dict[str, Any] = {name: changes.pop(name) for name in names & changes.keys()}
    asked = asked.model_copy(update={**changes, "spec": dataclasses.replace(asked.spec, **of_spec)})
    return {found.name: found for found in doctor_cluster.look(asked)}


def test_all_is_well(asked: Asked) -> None:
    found = looked(asked, gpus=2)
    assert list(found) == ["database", "python", "policy cache", "torch sees"]
    assert all(one.good for one in found.values()), found


def test_databases(asked: Asked, tmp_path: Path) -> None:
    other, there = f"sqlite:///{tmp_path}/other.db", asked.spec.database
    absent = f"SQLite file {tmp_path}/other.db: not there yet, `stalesweep launch` creates it"
    missing = looked(asked, database=other, launched_from="login1")["database"]
    assert missing == Finding("database", False, f"{absent}; but login1 sees it: use one that both do")
    assert looked(asked, database=other, has_schema=False)["database"] == Finding("database", None, absent)
    good = f"SQLite file {there.removeprefix('sqlite:///')}, schema {schema.current(there)}"
    assert looked(asked)["database"] == Finding("database", True, good)
    reason = "the SQLite file was made on another host, login1: jobs write journals only"
    assert looked(asked, launched_from="login1")["database"] == Finding("database", True, f"{good}; {reason}")
    assert looked(asked, writes="journal")["database"].detail == (
        f"{good}; STALESWEEP_JOBS_WRITE says so: jobs write journals only"
    )
    away = looked(asked, database="postgresql://me@127.0.0.1:1/sweeps")["database"]
    assert away.good is False
    unreadable = looked(asked, database=f"file:{tmp_path}/none.url")["database"]
    assert (unreadable.good, "cannot be read" in unreadable.detail) == (False, True)


def test_versions(asked: Asked) -> None:
    python, host = asked.versions["python"], this_host()
    same = f"{python}, {len(asked.versions)} versions equal to those on {host}"
    assert looked(asked)["python"] == Finding("python", True, same)
    assert looked(asked, interpreter="")["python"].good, "the grid names one"
    there = {**asked.versions, "torch": "1.0", "oldie": "3"}
    del there["python"]
    assert looked(asked, versions=there, interpreter="/usr/bin/other")["python"] == Finding(
        "python", False, f"not as on {host}: oldie missing here, 3 there; python {python} here, missing there; "
        f"torch {asked.versions['torch']} here, 1.0 there; {sys.executable} here, /usr/bin/other there",
    )  # fmt: skip


def test_gpus(asked: Asked) -> None:
    saw = "2 GPUs, 8 CPU threads"
    few = f"{saw}, and 3 were asked for: is it built for this GPU's driver?"
    assert [looked(asked, gpus=gpus)["torch sees"] for gpus in (0, 2, 3)] == [
        Finding("torch sees", True, saw), Finding("torch sees", True, saw), Finding("torch sees", False, few),
    ]  # fmt: skip


@pytest.mark.parametrize(("code", "good"), [("", True), ("raise ImportError('no CUDA here')", False)])
def test_vllm(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, good: bool) -> None:
    (tmp_path / "vllm.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = looked(asked, versions={**asked.versions, "vllm": "0.32"})["vllm"]
    assert (found.good, found.detail) == (
        good,
        "it can be imported" if good else f"{sys.executable}: ImportError: no CUDA here",
    )


def test_answers_come_piece_by_piece(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / doctor_cluster.ASKED).write_text(asked.model_dump_json())
    assert doctor_cluster.read(tmp_path) is None
    seen: list[NodeAnswer | None] = []
    write = doctor_cluster._write

    def written(*arguments: object, **options: object) -> None:
        write(*arguments, **options)  # type: ignore[arg-type]
        seen.append(doctor_cluster.read(tmp_path))

    monkeypatch.setattr(doctor_cluster, "_write", written)
    doctor_cluster.main(tmp_path)
    assert [(len(one.findings), one.done) for one in seen if one] == [
        (2, False), (3, False), (4, False), (5, False), (6, False), (6, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("there", "said"),
    [(1000.0, "less than 2 s apart"), (1001.9, "less than 2 s apart"), (998.1, "less than 2 s apart"),
     (998.0, "about 2 s apart; it does not matter"), (1100.0, "about 100 s apart; it does not matter")],
)  # fmt: skip
def test_clocks_are_only_told(monkeypatch: pytest.MonkeyPatch, there: float, said: str) -> None:
    monkeypatch.setattr(doctor_cluster, "time", SimpleNamespace(time=lambda: 1000.0))
    assert doctor_cluster.clocks(there) == Finding("clocks", True, said)


@pytest.mark.parametrize(
    ("squeue", "state", "going"),
    [
        ("echo '7|0|name|PENDING||Priority'", "PENDING (Priority)", True),
        ("echo '7|0|name|RUNNING|node1|None'", "RUNNING on node1", True),
        ("echo '7|0|name|FAILED|node1|NonZeroExitCode'", "FAILED on node1 (NonZeroExitCode)", False),
        ("echo '7|1|name|RUNNING|node1|None'; echo '8|0|name|RUNNING|node1|None'", "not in the queue", False),
        ("echo away >&2; exit 1", "squeue does not answer: squeue: away", True),
    ],
)
def test_what_squeue_says_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, squeue: str, state: str, going: bool
) -> None:
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n[ $5 = --name=name ] || exit 9\n{squeue}\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor_cluster._look("7", "name") == (state, going)


@pytest.mark.parametrize(
    ("asked_for", "gpus"), [({}, 0), ({"gpus": 2}, 2), ({"gres": "gpu:a100:4"}, 1), ({"gres": "disk:1"}, 0)]
)
def test_a_job_is_told_what_to_compare(asked: Asked, tmp_path: Path, asked_for: dict[str, Any], gpus: int) -> None:
    url = asked.spec.database
    doctor_cluster._ask(tmp_path / "new" / "folder", url, asked.spec, Resources(**asked_for))
    told = Asked.model_validate_json((tmp_path / "new" / "folder" / doctor_cluster.ASKED).read_text())
    assert told == asked.model_copy(update={"gpus": gpus})
    other = f"sqlite:///{tmp_path}/other.db"
    doctor_cluster._ask(tmp_path / "b", other, asked.spec, Resources(python="module run python"))
    told = Asked.model_validate_json((tmp_path / "b" / doctor_cluster.ASKED).read_text())
    assert (told.has_schema, told.interpreter) == (False, "")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as refused:
        doctor_cluster._ask(tmp_path / "file" / "a", url, asked.spec, Resources())
    assert str(refused.value) == (
        f"{tmp_path}/file/a: Not a directory; name a folder that can be written in STALESWEEP_RUNS"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gpus", "1"], "say what the job of --cluster asks for"),
        (["--cluster", "--grid", "x.yaml", "--gpus", "1"], "leave out --partition, --account and --gpus"),
    ],
)
def test_options_that_contradict(options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["doctor", *options])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
