"""``gc``: files that nothing needs any more. What a database says of a run never depends on them.

A finished run needs no checkpoint. Its journals and log are an archive: they go on request only, and only where all of
the journals is in the database. Job files go when every run of the job, or of its array, is finished or removed.
"""

from __future__ import annotations

import contextlib
import pickletools
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.settings import runs_dir
from orchestrator.jobs.slurm.task import SHARES, read_shares
from orchestrator.rundir import folder as rundirs
from orchestrator.rundir import journal
from orchestrator.runs.removal import directories_of
from orchestrator.store.removal import stored_journals
from orchestrator.store.selection import SelectedRun
from orchestrator.store.store import Store

CHECKPOINTS, LEFT_OVERS, DIRECTORIES, JOB_FILES = "checkpoints", "left over by rm", "run directories", "job files"

_SUBMITTED = re.compile(r"(\d+(?:_\d+)?)_submitted\.pkl")
_RUN = re.compile(r"(?:^|/)(run-\d{6,}(?:-after-\d+)?)$")
_UNSURE_FOR_S = 7 * 24 * 3600.0
"""A job that has left no result is taken for over when its files have not changed for so long."""


@dataclass(frozen=True, slots=True)
class Waste:
    """Something that can go.

    Attributes:
        kind: What it is.
        path: A file, or a folder with all that it holds.
        size: In bytes.
    """

    kind: str
    path: Path
    size: int


def find(
    store: Store, runs: Sequence[SelectedRun], notes: list[str], *, checkpoints_only: bool, directories: bool
) -> Iterator[Waste]:
    """Find what nothing needs any more.

    Args:
        store: The results database.
        runs: Whose files to look at; those of unfinished runs are left alone.
        notes: Takes a line for each thing that might be expected to go, and stays.
        checkpoints_only: Whether to leave all but checkpoints.
        directories: Whether whole run directories are to go.
    """
    lives = directories_of(runs, notes)
    with store.read() as connection:
        stored = stored_journals(connection, [run.run_id for run in runs if run.finished]) if directories else {}
    for run in runs:
        here = Path(run.directory) if run.directory else None
        for path in lives.get(run.run_id, []):
            if path != here:
                if not checkpoints_only and here is not None and rundirs.life(path) < rundirs.life(here):
                    yield Waste(LEFT_OVERS, path, rundirs.size(path))
            elif run.finished:
                if directories and _is_archived(path, stored.get(run.run_id, {}), notes):
                    yield Waste(DIRECTORIES, path, rundirs.size(path))
                else:
                    yield from _checkpoints(path)
    if not checkpoints_only:
        yield from _job_files(runs)


def remove(waste: Iterable[Waste]) -> list[str]:
    """Remove what was found; returns a line for each thing that could not be."""
    stuck = []
    for one in waste:
        try:
            if one.path.is_dir() and not one.path.is_symlink():
                rundirs.discard(one.path)
            else:
                one.path.unlink()
            if one.kind == JOB_FILES and one.path.parent.name != "local":  # that one is shared by all local launches
                with contextlib.suppress(OSError):  # it still holds others
                    one.path.parent.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            stuck.append(f"{one.path}: {error.strerror or error}")
    return stuck


def _checkpoints(directory: Path) -> Iterator[Waste]:
    for pattern in ("checkpoint-*.pt", "*.partial", "run.json.*"):
        for path in sorted(directory.glob(pattern)):
            yield Waste(CHECKPOINTS, path, path.stat().st_size)


def _is_archived(directory: Path, stored: Mapping[int, int], notes: list[str]) -> bool:
    for number in journal.numbers(directory):
        path = journal.path_of(directory, number)
        if (last := journal.last(path)) and last["record"] in journal.WORDS:
            continue  # what it says, the run's state says
        left = path.stat().st_size - stored.get(number, 0)
        if left > 0:
            notes.append(f"{directory} stays: {left:,} bytes of {path.name} are not in the database")
            return False
    return True


def _job_files(runs: Iterable[SelectedRun]) -> Iterator[Waste]:
    finished = {Path(run.directory) for run in runs if run.directory and run.finished}
    for folder in sorted({path.parent for path in finished} | {runs_dir().absolute()}):
        names = {path.name for path in finished if path.parent == folder}
        for jobs in sorted((folder / "jobs").glob("*/")):
            if jobs.suffix == rundirs.REMOVED:
                yield Waste(JOB_FILES, jobs, rundirs.size(jobs))
            elif (jobs / SHARES).exists():
                if all(name in names or not (folder / name).exists() for name in _runs_of_array(jobs)):
                    yield Waste(JOB_FILES, jobs, rundirs.size(jobs))
            else:
                yield from _of_jobs(jobs, names)


def _runs_of_array(jobs: Path) -> set[str]:
    """The run directories of an array's shares, by name."""
    try:
        return {Path(directory).name for share in read_shares(jobs)["shares"] for directory in share}
    except (OSError, ValueError, KeyError):
        return {"."}  # which is there, and no finished run


def _of_jobs(jobs: Path, finished: set[str]) -> Iterator[Waste]:
    files = sorted(path for path in jobs.iterdir() if path.is_file())
    ids = [found[1] for path in files if (found := _SUBMITTED.fullmatch(path.name))]
    over = []
    for job_id in ids:
        own = [path for path in files if path.name.startswith(f"{job_id}_")]
        if _share(jobs / f"{job_id}_submitted.pkl") <= finished and _is_over(own):
            over.append(own)
    # An array's script is of all its tasks: it goes with the last.
    for own in [files] if len(over) == len(ids) > 0 else over:
        yield from (Waste(JOB_FILES, path, path.lstat().st_size) for path in own)


def _share(submitted: Path) -> set[str]:
    """The run directories that a job was handed, by name; read without running what a pickle may hold."""
    try:
        operations = list(pickletools.genops(submitted.read_bytes()))
    except (OSError, ValueError):
        return {"unknown"}
    texts = [argument for _, argument, _ in operations if isinstance(argument, str)]
    return {found[1] for text in texts if (found := _RUN.search(text))} or {"unknown"}


def _is_over(files: Iterable[Path]) -> bool:
    files = list(files)
    newest = max(path.lstat().st_mtime for path in files)
    return any(path.name.endswith("_result.pkl") for path in files) or time.time() - newest > _UNSURE_FOR_S
