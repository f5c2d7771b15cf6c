"""What a compute node says of itself: what is not as where the job was submitted is BAD, and says what to do."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.attempt.job import JobSpec
from orchestrator.base.processes import this_host
from orchestrator.jobs import doctor, doctor_cluster
from orchestrator.jobs.doctor import Finding
from orchestrator.jobs.doctor_cluster import Asked, NodeAnswer
from orchestrator.store import schema


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    url = f"sqlite:///{tmp_path}/sweeps.db"
    schema.upgrade(url)
    spec = JobSpec((), tmp_path, url, "slurm", this_host(), "auto")
    return Asked(spec=spec, has_schema=True, interpreter=sys.executable, versions=doctor.versions(), gpus=0)


@pytest.fixture(autouse=True)
def torch_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes seconds."""
    monkeypatch.setattr(doctor, "torch", lambda: "2 GPUs, 8 CPU threads")


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
    missing = looked(asked, database=f"sqlite:///{tmp_path}/other.db", launched_from="login1")["database"]
    assert missing.good is False
    assert "but login1 sees it: use one that both do" in missing.detail
    assert looked(asked, database=f"sqlite:///{tmp_path}/other.db", has_schema=False)["database"].good is None
    elsewhere = looked(asked, launched_from="login1")["database"]
    assert elsewhere.good
    assert elsewhere.detail.endswith("made on another host, login1: jobs write journals only")
    away = looked(asked, database="postgresql://me@127.0.0.1:1/sweeps")["database"]
    assert away.good is False
    unreadable = looked(asked, database=f"file:{tmp_path}/none.url")["database"]
    assert (unreadable.good, "cannot be read" in unreadable.detail) == (False, True)


def test_versions(asked: Asked) -> None:
    there = {**asked.versions, "torch": "1.0", "oldie": "3"}
    other = looked(asked, versions=there, interpreter="/usr/bin/other")["python"]
    assert other.good is False
    assert f"torch {asked.versions['torch']} here, 1.0 there" in other.detail
    assert "oldie missing here, 3 there" in other.detail
    assert f"{sys.executable} here, /usr/bin/other there" in other.detail
    assert looked(asked, interpreter="")["python"].good, "the grid names one"


def test_gpus(asked: Asked) -> None:
    few = looked(asked, gpus=3)["torch sees"]
    assert (few.good, "and 3 were asked for" in few.detail) == (False, True)


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


def test_clocks_are_only_told() -> None:
    found = doctor_cluster.clocks(0.0)
    assert found.good
    assert "s apart; it does not matter" in found.detail


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gpus", "1"], "say what the job of --cluster asks for"),
        (["--cluster", "--grid", "x.yaml", "--gpus", "1"], "leave out --partition, --account and --gpus"),
    ],
)
def test_options_that_contradict(options: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli.app", "doctor", *options], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
