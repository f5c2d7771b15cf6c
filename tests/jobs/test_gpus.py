"""GPUs of the machine are dealt out to local jobs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator.jobs.gpus import dealt, visible


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What nvidia-smi says: the content of a file."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    said = tmp_path / "said"
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n[ -e {said} ] || exit 9\nexec {shutil.which('cat')} {said}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return said


@pytest.mark.parametrize(
    ("said", "gpus"),
    [
        ("GPU-aa, Disabled\nGPU-bb, Disabled\n", ["GPU-aa", "GPU-bb"]),
        ("GPU-aa, [N/A]\n", ["GPU-aa"]),
        ("GPU-aa, Disabled\nGPU-bb, Enabled\n", []),
        ("", []),
    ],
    ids=["two", "one that knows no instances", "split into instances", "none"],
)
def test_the_driver_is_asked(driver: Path, said: str, gpus: list[str]) -> None:
    driver.write_text(said)
    assert visible() == gpus


def test_without_a_driver_there_are_none(driver: Path) -> None:
    assert visible() == []
    driver.with_name("nvidia-smi").unlink()
    assert visible() == []


@pytest.mark.parametrize(("given", "gpus"), [("3,1", ["3", "1"]), (" 0 ", ["0"]), ("", []), ("-1", [])])
def test_what_the_environment_leaves_is_all(
    driver: Path, monkeypatch: pytest.MonkeyPatch, given: str, gpus: list[str]
) -> None:
    driver.write_text("GPU-aa, Disabled\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible() == gpus


def test_each_has_its_own_until_they_are_shared_in_turns() -> None:
    assert [dealt("abcde", 2, number) for number in range(3)] == [["a", "b"], ["c", "d"], ["a", "b"]]
    assert dealt("ab", 3, 0) is None, "too few for one"
    assert dealt("ab", 0, 1) is None
    assert dealt([], 1, 0) is None
