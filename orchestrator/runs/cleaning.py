"""``gc``: delete files that nothing needs any more. The database says the same of a run afterwards.

A finished run needs no checkpoint. Its journals and logs are an archive: they are deleted on request only, and only if
the database has all of the journals. A folder of job files is deleted when every run of its jobs is finished or
removed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from orchestrator.attempt import share
from orchestrator.base.settings import runs_dir
from orchestrator.jobs import shares
from orchestrator.rundir import folder as rundirs
from orchestrator.rundir import journal
from orchestrator.runs.removal import directories_of
from orchestrator.store.database import Store
from orchestrator.store.removal import stored_journals
from orchestrator.store.selection import SelectedRun

CHECKPOINTS, LEFT_OVERS, DIRECTORIES, JOB_FILES = "checkpoints", "left over by rm", "run directories", "job files"


@dataclass(frozen=True, slots=True)
class Waste:
    """Something that can go.

    Attributes:
        kind: What it is.
        path: A file, or a folder with all its files.
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
        notes: Gets a line for each thing that stays although one may expect it to be deleted.
        checkpoints_only: Whether to find checkpoints only.
        directories: Whether to find whole run directories.
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
        yield from _job_files(runs, notes)


def remove(waste: Iterable[Waste]) -> list[str]:
    """Remove what was found; returns a line for each thing that could not be."""
    stuck = []
    for one in waste:
        try:
            if one.path.is_dir() and not one.path.is_symlink():
                rundirs.discard(one.path)
            else:
                one.path.unlink()
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
            continue  # it cancelled the run, and the run's state says so
        left = path.stat().st_size - stored.get(number, 0)
        if left > 0:
            notes.append(f"{directory} stays: {left:,} bytes of {path.name} are not in the database")
            return False
    return True


def _job_files(runs: Iterable[SelectedRun], notes: list[str]) -> Iterator[Waste]:
    finished = {Path(run.directory) for run in runs if run.directory and run.finished}
    for folder in sorted({path.parent for path in finished} | {runs_dir().absolute()}):
        names = {path.name for path in finished if path.parent == folder}
        for jobs in sorted((folder / "jobs").glob("*/")):
            if jobs.suffix == rundirs.REMOVED or _is_over(jobs, names):
                yield Waste(JOB_FILES, jobs, rundirs.size(jobs))
            elif not (jobs / shares.SHARES).exists() and any(jobs.iterdir()):
                notes.append(
                    f"{jobs} stays: an older version wrote it without {shares.SHARES}, so it is not known which runs "
                    "its jobs train; delete it yourself when none of them runs"
                )


def _is_over(jobs: Path, finished: Set[str]) -> bool:
    """Whether every run of the jobs in a folder is finished or removed, and no launch gives them further ones."""
    try:
        directories = map(Path, itertools.chain.from_iterable(shares.read(jobs)["shares"]))
        runs = jobs.parent.parent
        all_done = all(path.name in finished or not (runs / path.name).exists() for path in directories)
        return all_done and not any(map(share.is_open, jobs.glob("*.jsonl")))
    except (OSError, ValueError, KeyError):
        return False
