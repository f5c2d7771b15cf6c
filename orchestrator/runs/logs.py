"""The logs of runs and of their jobs: where the files are, their text, and following them as they grow."""

from __future__ import annotations

import codecs
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.base.errors import StoreUnavailable, UsageError
from orchestrator.base.settings import runs_dir
from orchestrator.base.states import UNKNOWN, RunState
from orchestrator.base.words import Say
from orchestrator.jobs.slurm.survey import log_paths, survey
from orchestrator.jobs.status import with_standings
from orchestrator.rundir import folder as rundirs
from orchestrator.store import details, queries, submissions
from orchestrator.store.collect import collect_runs
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress
from orchestrator.store.selection import SelectedRun

_BLOCK = 1 << 16
_POLL_S = 0.5
_LOOK_S = 3.0


def own_logs(store: Store, run: SelectedRun, attempt: int | None) -> list[Path]:
    """Find what a run's attempts, or one of them, have logged: one file an attempt, oldest first.

    The file of a single attempt may not be there yet. If an older version has trained it, that is the log of all.

    Raises:
        UsageError: The run has no such attempt.
    """
    directory = directory_of(run)
    found = rundirs.logs(directory)
    if attempt is None:
        return found
    _attempt(store, run, attempt)
    own, former = rundirs.log_of(directory, attempt), directory / rundirs.FORMER_LOG
    return [former] if own not in found and former in found else [own]


def directory_of(run: SelectedRun) -> Path:
    """The run's directory, or where it will be."""
    return Path(run.directory) if run.directory else runs_dir().absolute() / rundirs.name_of(run.run_id)


def job_logs(store: Store, run: SelectedRun, attempt: int | None) -> list[Path]:
    """Where standard output and standard error of the job are that a run, or an attempt of it, was given to last.

    The files may have yet to be written, or be gone; there are none where it has no job of its own that is known.

    Raises:
        UsageError: The run has no such attempt.
    """
    attempts = _attempts(store, run)
    with store.read() as connection:
        found = details.run(connection, run.run_id)
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
        homes = {Path(run.directory).parent if run.directory else runs_dir(), runs_dir()}
        written = [path for home in homes for path in (home.absolute() / "jobs").glob(f"*/{of['job_id']}_0_log.err")]
        newest = max(written, key=lambda path: path.stat().st_mtime, default=None)  # process ids come again
        return [newest.with_suffix(".out"), newest] if newest else []
    return []


def progress_of(store: Store, run: SelectedRun) -> RunProgress:
    """How far a run is, with what Slurm says of it and what its journals hold."""
    if folder := queries.run_folder(store, run.run_id):
        collect_runs(store, [folder])
    seen = survey(store, run.sweep_id)
    return next(one for one in with_standings(queries.progress(store, run.sweep_id), seen) if one.run_id == run.run_id)


def read_all(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Read logs one after the other, piece by piece; nothing of a file that is not there."""
    for path in paths:
        growing = _Growing(path)
        while text := growing.read():
            yield path, text


def until_its_end(store: Store, run: SelectedRun, say: Say) -> Callable[[], bool]:
    """Make a function that says whether a run has ended. A run that is pending at first may yet begin."""
    seen = set[str]()

    def is_over() -> bool:
        try:
            state = progress_of(store, run).state
        except StoreUnavailable:
            return False
        if state == RunState.PENDING and not seen:
            say(f"run {run.run_id} is pending: waiting for a job to take it")
        seen.add(state)
        return state not in (RunState.QUEUED, RunState.RUNNING, UNKNOWN) and seen != {RunState.PENDING}

    return is_over


def why_empty(store: Store, run: SelectedRun) -> str:
    """Say how a run stands of which there is no log."""
    now = progress_of(store, run)
    why = f" ({now.detail or now.failure})" if now.detail or now.failure else ""
    nothing = f"no log of it is in {directory_of(run)}" if _attempts(store, run) else "it has not begun"
    return f"run {run.run_id} is {now.state}{why}, and {nothing}"


def follow(paths: Callable[[], Sequence[Path]], over: Callable[[], bool]) -> Iterator[tuple[Path, str]]:
    """Read logs as they grow; those that are not there yet are waited for.

    ``paths`` lists the files, and is asked again and again, because a new attempt has a file of its own. ``over`` is
    asked every few seconds whether nothing more will come.
    """
    growing: dict[Path, _Growing] = {}
    looked_at, last = -_LOOK_S, False
    while True:
        if time.monotonic() - looked_at > _LOOK_S:
            looked_at, last = time.monotonic(), over()  # before the files are read: what comes after it is not missed
        growing |= {path: _Growing(path) for path in paths() if path not in growing}
        some = False
        for path, one in growing.items():
            while text := one.read():
                some = True
                yield path, text
        if last:
            return
        if not some:
            time.sleep(_POLL_S)


def _attempts(store: Store, run: SelectedRun) -> list[dict[str, Any]]:
    with store.read() as connection:
        return details.attempts(connection, run.run_id)


def _attempt(store: Store, run: SelectedRun, number: int) -> dict[str, Any]:
    attempts = {one["number"]: one for one in _attempts(store, run)}
    if number in attempts:
        return attempts[number]
    has = f"it has {', '.join(map(str, attempts))}" if attempts else "it has not begun"
    raise UsageError(f"--attempt: run {run.run_id} has no attempt {number}; {has}")


class _Growing:
    """A text file that may have yet to appear, may grow, and may be replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = self._inode = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self) -> str:
        """The next piece; "" if there is no more at present."""
        text = ""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._path.open("rb") as file:
            while not text and (data := self._next_of(file)):
                text = self._decoder.decode(data)  # "" if it is only a part of a character
        return text

    def _next_of(self, file: BinaryIO) -> bytes:
        size, inode = file.seek(0, 2), os.fstat(file.fileno()).st_ino
        if size < self._at or inode != self._inode:
            self._at, self._inode = 0, inode
        file.seek(self._at)
        data = file.read(_BLOCK)
        self._at += len(data)
        return data
