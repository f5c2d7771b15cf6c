"""A growing list of runs in a file: a launcher adds runs while its local jobs take them one by one.

So a job that has imported torch waits for the next run, and no new job has to import it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.attempt.stop import Stop
from orchestrator.base.processes import is_alive, started_at

_POLL_S = 0.2


class Share:
    """The launcher's side; jobs follow it until it is closed, or until this process is gone."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        path.write_text(json.dumps({"pid": os.getpid(), "started_at": started_at(os.getpid()) or 0.0}) + "\n")

    def add(self, directories: Iterable[Path]) -> None:
        """Give further runs to the jobs."""
        self._append(str(directory) for directory in directories)

    def close(self) -> None:
        """Let the jobs end when they have nothing left."""
        self._append([None])

    def _append(self, entries: Iterable[str | None]) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write("".join(json.dumps(entry) + "\n" for entry in entries))


def is_open(path: Path) -> bool:
    """Whether the launcher of a share is alive, so that it may add further runs."""
    try:
        with path.open(encoding="utf-8") as stream:
            launcher = json.loads(stream.readline())
    except FileNotFoundError:
        return False
    return is_alive(launcher["pid"], launcher["started_at"])


def follow(path: Path, stop: Stop) -> Iterator[Path]:
    """Yield a share's run directories as they come, until it is closed, its launcher is gone, or ``stop`` is set."""
    with path.open(encoding="utf-8") as stream:
        launcher = json.loads(stream.readline())
        rest = ""
        while not stop.is_set():
            rest += stream.readline()
            if not rest.endswith("\n"):  # the end, for now; or half of a line
                if not is_alive(launcher["pid"], launcher["started_at"]):
                    return
                stop.wait(_POLL_S)
                continue
            entry, rest = json.loads(rest), ""
            if entry is None:
                return
            yield Path(entry)
