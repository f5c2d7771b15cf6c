"""The command line stays light, and the control plane never imports torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ["torch", "transformers", "pandas", "optuna", "sqlalchemy", "submitit", "scipy"]


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh process has imported after running some code."""
    program = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_line_imports_nothing_heavy() -> None:
    assert modules_after("import orchestrator.cli").isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "module",
    ["launch", "job", "track", "grid", "frames", "export", "doctor", "db.store", "laws.fit", "report.tables",
     "report.progress"],
)  # fmt: skip
def test_the_control_plane_never_imports_torch(module: str) -> None:
    loaded = modules_after(f"import orchestrator.{module}")
    assert loaded.isdisjoint(["torch", "transformers", "vllm"])
