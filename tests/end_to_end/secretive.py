"""Launches by a user who keeps a password, and looks at all that they start and leave behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import cast

from orchestrator.jobs.shares import SHARES
from tests.end_to_end.sweeps import Workspace
from tests.support.passwords import NAMES, form, shows_nothing
from tests.support.servers import TOKEN, Server

GRID = """
name: secret
grid: {model: [tiny], k: [4], eta: [5e-4, 2e-3], seed: [0]}
fixed: {horizon: 24, checkpoint_every_steps: 16}
"""


def keeping(name: str, server: Server, folder: Path, cache: Path) -> Workspace:
    """A workspace whose user keeps the password in a way, on an empty database."""
    server.execute("DROP DATABASE IF EXISTS sweeps WITH (FORCE)", "CREATE DATABASE sweeps OWNER me")
    (folder / "work").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if name not in NAMES},
        **form(name, server, folder),
        "STALESWEEP_RUNS": str(folder / "work" / "runs"),
        "STALESWEEP_CACHE": str(cache),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
    return Workspace(folder / "work", environment)


def processes_show_nothing(ws: Workspace, launcher: subprocess.Popen[str]) -> set[str]:
    """Look at the arguments of all processes of a workspace, and at the environment of those that we started."""
    ours = f"STALESWEEP_RUNS={ws.environment['STALESWEEP_RUNS']}"
    launched_as = "".join(f"{argument}\0" for argument in cast(list[str], launcher.args))
    seen = set()
    for folder in Path("/proc").iterdir():
        found = look(int(folder.name)) if folder.name.isdecimal() else None
        if found is None:
            continue
        arguments, environment = found
        if ours in environment.split("\0"):
            shows_nothing(arguments)
            # The launcher has what the user gave it; so has, for a moment, its copy that will execute a program.
            if arguments != launched_as:
                shows_nothing(environment)
                seen.add(folder.name)
    return seen


def look(process: int) -> tuple[str, str] | None:
    """Arguments and environment of one program: None where the process ended, or executed another one meanwhile."""
    folder = Path(f"/proc/{process}")
    try:
        before = (folder / "cmdline").read_bytes()
        environment = (folder / "environ").read_bytes()
        after = (folder / "cmdline").read_bytes()
    except OSError:
        return None
    return (before.decode(errors="replace"), environment.decode(errors="replace")) if before == after else None


def files_show_nothing(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".pkl" or path.name == SHARES for path in files), "what jobs are handed"
    assert any(path.suffix == ".log" for path in files)
    for path in files:
        assert TOKEN.encode() not in path.read_bytes(), path
