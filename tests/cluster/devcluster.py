"""A handle on slurm/cluster for tests."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.guard import end_services_with_me

ClusterMaker = Callable[..., AbstractContextManager["DevCluster"]]
"""The fixture `make_cluster`: options of ``up``."""

SCRIPT = Path(__file__).parents[2] / "slurm/cluster"


@dataclass(frozen=True)
class DevCluster:
    """A development cluster in a folder; it may be up or down."""

    folder: Path

    @property
    def slurm_conf(self) -> Path:
        """What SLURM_CONF must name for Slurm's commands to talk to this cluster."""
        return self.folder / "etc/slurm.conf"

    def impatient_conf(self) -> Path:
        """The same for commands that soon give up, where the controller does not answer: after 1 s, and not 9 s."""
        path = self.slurm_conf.with_name("impatient.conf")
        path.write_text(re.sub("(?m)^MessageTimeout=.*", "MessageTimeout=2", self.slurm_conf.read_text()))
        return path

    def command(self, verb: str, *options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``slurm/cluster VERB FOLDER OPTIONS``."""
        argv = [sys.executable, str(SCRIPT), verb, str(self.folder), *options]
        return subprocess.run(argv, capture_output=True, text=True, timeout=90, env=env)

    def up(self, *options: str) -> None:
        """Start it, or fail the test with what the script says, e.g. to run slurm/install-debian.

        It ends with this process, however that ends.
        """
        end_services_with_me(self.folder)
        done = self.command("up", *options)
        if done.returncode:
            pytest.fail(done.stderr, pytrace=False)

    def kill(self, daemon: str) -> int:
        """Kill -9 a daemon; returns 1 where there is none."""
        return self.command("kill", daemon).returncode

    def start(self, daemon: str) -> None:
        """Start it again."""
        assert self.command("start", daemon).returncode == 0
