"""What runs and their jobs have written for people: finding the files, reading them, following them as they grow."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from orchestrator.base.errors import UsageError
from orchestrator.base.settings import runs_dir
from orchestrator.jobs.slurm.survey import log_paths, survey
from orchestrator.jobs.status import with_standings
from orchestrator.rundir.folder import name_of
from orchestrator.store import details, queries, submissions
from orchestrator.store.collect import collect_runs
from orchestrator.store.selection import SelectedRun
from orchestrator.store.store import RunProgress, Store

LOG = "log.txt"
"""The run's own log, of all its attempts, in its directory."""

_BEGIN = re.compile(r"\S+ \S+ INFO orchestrator(?:\.attempt)?\.job: run \d+, attempt (\d+) on ")
_BLOCK = 1 << 16
_POLL_S = 0.5
_LOOK_S = 3.0


def own_log(store: Store, run: SelectedRun, attempt: int | None) -> Path:
    """Where a run's own log is; it may have yet to be written.

    Args:
        store: The results database.
        run: The run.
        attempt: The attempt that is asked for; None = all.

    Raises:
        UsageError: The run has no such attempt.
    """
    if attempt is not None:
        _attempt(store, run, attempt)
    directory = Path(run.directory) if run.directory else runs_dir().absolute() / name_of(run.run_id)
    return directory / LOG


def job_logs(store: Store, run: SelectedRun, attempt: int | None) -> list[Path]:
    """Where standard output and standard error of a run's job are.

    Args:
        store: The results database.
        run: The run.
        attempt: The attempt whose job is meant; None = the one that it was given to last.

    Returns:
        The files, which may have yet to be written, or be gone; none where it has no job of its own that is known.

    Raises:
        UsageError: The run has no such attempt.
    """
    with store.read() as connection:
        found = details.run(connection, run.run_id)
        attempts = details.attempts(connection, run.run_id)
    if attempt is None and found["submission_id"] is not None:
        submitted = submissions.find(store, run.sweep_id, submission_id=found["submission_id"])
        return list(log_paths(submitted, found["task"])) if submitted and submitted.job_id else []
    if attempt is None and not attempts:
        return []
    of = attempts[-1] if attempt is None else _attempt(store, run, attempt)
    if of["executor"] == "slurm" and of["task_id"] is not None:
        submitted = submissions.find(store, run.sweep_id, job_id=of["job_id"])
        return list(log_paths(submitted, int(of["task_id"]))) if submitted else []
    if of["executor"] == "local" and of["job_id"] is not None:
        homes = [Path(run.directory).parent] if run.directory else []
        stems = [home.absolute() / "jobs" / "local" / f"{of['job_id']}_0_log" for home in (*homes, runs_dir())]
        stem = next((stem for stem in stems if stem.with_suffix(".err").exists()), stems[0])
        return [stem.with_suffix(".out"), stem.with_suffix(".err")]
    return []


def has_begun(store: Store, run: SelectedRun) -> bool:
    """Whether the database knows of an attempt of a run."""
    with store.read() as connection:
        return bool(details.attempts(connection, run.run_id))


def progress_of(store: Store, run: SelectedRun) -> RunProgress:
    """How far a run is, with what Slurm says of it and what its journals hold."""
    folders = [one for one in [queries.run_folder(store, run.run_id)] if one is not None]
    collect_runs(store, folders)
    seen = survey(store, run.sweep_id)
    return next(one for one in with_standings(queries.progress(store, run.sweep_id), seen) if one.run_id == run.run_id)


def read(path: Path, attempt: int | None = None) -> Iterator[str]:
    """Read a log piece by piece.

    Args:
        path: The file; nothing where there is none.
        attempt: Only the lines of this attempt; None = all.
    """
    growing = _Growing(path, attempt)
    while text := growing.read():
        yield text
    yield growing.rest()


def follow(paths: Sequence[Path], attempt: int | None, over: Callable[[], bool]) -> Iterator[tuple[Path, str]]:
    """Read logs as they grow; those that are not there yet are waited for.

    Args:
        paths: The files.
        attempt: Only the lines of this attempt; None = all.
        over: Asked every few seconds whether nothing more will come.
    """
    growing = [_Growing(path, attempt) for path in paths]
    looked_at, last = -_LOOK_S, False
    while True:
        if time.monotonic() - looked_at > _LOOK_S:
            looked_at, last = time.monotonic(), over()  # before the files are read: what comes after it is not missed
        some = False
        for one in growing:
            while text := one.read():
                some = True
                yield one.path, text
        if last:
            yield from ((one.path, rest) for one in growing if (rest := one.rest()))
            return
        if not some:
            time.sleep(_POLL_S)


def _attempt(store: Store, run: SelectedRun, number: int) -> dict[str, Any]:
    with store.read() as connection:
        attempts = details.attempts(connection, run.run_id)
    for one in attempts:
        if one["number"] == number:
            return one
    known = ", ".join(str(one["number"]) for one in attempts)
    has = f"it has {known}" if known else "it has not begun"
    raise UsageError(f"--attempt: run {run.run_id} has no attempt {number}; {has}")


class _Growing:
    """A text file that may have yet to appear, grow, or be written anew."""

    def __init__(self, path: Path, attempt: int | None) -> None:
        self.path, self._attempt = path, attempt
        self._at = self._inode = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line, self._of = "", 0

    def read(self) -> str:
        """The next piece; "" where there is no more at present."""
        while True:
            try:
                with self.path.open("rb") as file:
                    data = self._next_of(file)
            except (FileNotFoundError, NotADirectoryError):
                return ""
            if not data:
                return ""
            if text := self._chosen(self._decoder.decode(data)):
                return text

    def rest(self) -> str:
        """An unfinished last line, where only some lines are wanted."""
        return self._line if self._attempt is not None and self._of == self._attempt else ""

    def _next_of(self, file: Any) -> bytes:
        size, inode = file.seek(0, 2), self.path.stat().st_ino
        if size < self._at or inode != self._inode:
            self._at, self._inode = 0, inode
        file.seek(self._at)
        data: bytes = file.read(_BLOCK)
        self._at += len(data)
        return data

    def _chosen(self, text: str) -> str:
        if self._attempt is None:
            return text
        *lines, self._line = (self._line + text).split("\n")
        chosen = []
        for line in lines:
            if begun := _BEGIN.match(line):
                self._of = int(begun[1])
            if self._of == self._attempt:
                chosen.append(line + "\n")
        return "".join(chosen)
