"""An installed wheel works outside the checkout: migrations and example sweeps travel inside it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from orchestrator.store.schema import REVISIONS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_in_an_environment_of_its_own(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), "."]
    subprocess.run(build, cwd=ROOT, check=True)
    [wheel] = tmp_path.glob("stalesweep-*.whl")

    with zipfile.ZipFile(wheel) as content:
        assert {f"orchestrator/report/templates/page.{kind}" for kind in ("html", "css")} <= set(content.namelist())

    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True)
    # The dependencies are those of this environment, behind the new one's own packages; the checkout is on neither.
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    (site / "dependencies.pth").write_text(
        f"import site; site.addsitedir({sysconfig.get_path('purelib')!r}); "
        f"import sys; sys.path[:] = [p for p in sys.path if p != {str(ROOT)!r}]\n"
    )

    folder = tmp_path / "empty"
    folder.mkdir()
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STALESWEEP"))}

    def stalesweep(*arguments: str) -> str:
        command = [environment / "bin" / "stalesweep", *arguments]
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "wrote grid.yaml" in stalesweep("init")
    assert "12 runs in 12 cells, 3,840 learner steps in all." in stalesweep("launch", "grid.yaml", "--dry-run")
    assert [path.name for path in folder.iterdir()] == ["grid.yaml"]
    assert f"schema {REVISIONS[-1]}" in stalesweep("db", "upgrade")
    where = subprocess.run(
        [python, "-c", "import orchestrator, grpo_worker; print(orchestrator.__file__, grpo_worker.__file__)"],
        cwd=folder, env=variables, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert all(str(environment) in path for path in where.split())
