"""The command line stays light, and the control plane never imports torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestrator.grid.sweep import load_sweep
from orchestrator.store import registration, schema
from orchestrator.store.database import Store

HEAVY = ["torch", "transformers", "pandas", "optuna", "sqlalchemy", "submitit", "scipy", "matplotlib", "jinja2"]


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh process has imported after running some code."""
    program = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_command_line_imports_nothing_heavy() -> None:
    assert modules_after("import orchestrator.cli.app").isdisjoint(HEAVY)


def test_status_imports_only_what_it_needs(tmp_path: Path) -> None:
    # Imports are most of its time.
    url = f"sqlite:///{tmp_path}/sweeps.db"
    schema.upgrade(url)
    with Store(url) as store:
        grid = tmp_path / "grid.yaml"
        grid.write_text("name: demo\ngrid: {model: [tiny], k: [2], eta: [1.0e-3], seed: [0]}\n")
        registration.register(store, load_sweep(grid))
    loaded = modules_after(
        f"from orchestrator.cli.app import app; app(['status', '--db', '{url}'], standalone_mode=False)"
    )
    assert "sqlalchemy" in loaded
    assert loaded.isdisjoint({*HEAVY, "numpy", "pyarrow"} - {"sqlalchemy"})


def test_a_fit_that_is_only_printed_draws_nothing() -> None:
    loaded = modules_after("import orchestrator.cli.laws, orchestrator.report.fitting, orchestrator.report.tables")
    assert "scipy" in loaded and loaded.isdisjoint(["matplotlib", "jinja2"])


def test_the_control_plane_never_imports_torch() -> None:
    loaded = modules_after(
        "import importlib, pkgutil, sys, orchestrator\n"
        "for module in pkgutil.walk_packages(orchestrator.__path__, 'orchestrator.'):\n"
        "    importlib.import_module(module.name)\n"
        "    assert 'torch' not in sys.modules, module.name\n"
    )
    assert "submitit" in loaded
    assert loaded.isdisjoint(["torch", "transformers", "vllm"])
