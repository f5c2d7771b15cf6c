"""A growing list of runs in a file: a launcher adds runs while its local jobs take them one by one.

So a job that has imported torch waits for the next run, and no new job has to import it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from orchestrator.attempt.stop import Stop
from orchestrator.base.life import Writer, lives, lock

_POLL_S = 0.2


class Share:
    """The launcher's side; jobs follow it until it is closed, or until this process is gone.

    A context: when it ends, the file is removed. Jobs that still read it keep it until they have.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("a", encoding="utf-8")  # kept open, because it is locked while this process lives
        self._write(Writer.this_process(locked=lock(self._file.fileno())).to_json())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.path.unlink()
        self._file.close()

    def add(self, directories: Iterable[Path]) -> None:
        """Give further runs to the jobs."""
        self._write(*map(str, directories))

    def close(self) -> None:
        """Let the jobs end when they have nothing left."""
        self._write(None)

    def _write(self, *entries: object) -> None:
        self._file.write("".join(json.dumps(entry) + "\n" for entry in entries))
        self._file.flush()


def is_open(path: Path) -> bool:
    """Whether the launcher of a share is alive, so that it may add further runs."""
    try:
        with path.open(encoding="utf-8") as stream:
            launcher = json.loads(stream.readline())
    except FileNotFoundError:
        return False
    return lives(path, launcher) is not False


def follow(path: Path, stop: Stop) -> Iterator[Path]:
    """Yield a share's run directories as they come, until it is closed, its launcher is gone, or ``stop`` is set."""
    with path.open(encoding="utf-8") as stream:
        launcher = json.loads(stream.readline())
        rest = ""
        while not stop.is_set():
            rest += stream.readline()
            if not rest.endswith("\n"):  # the end, for now; or half of a line
                if lives(path, launcher) is False:
                    return
                stop.wait(_POLL_S)
                continue
            entry, rest = json.loads(rest), ""
            if entry is None:
                return
            yield Path(entry)
