"""``rm`` and ``gc``: delete runs, and files that nothing needs any more.

``rm`` deletes from the database first, then files. If it is killed, a second one finds and removes what is left. Once
the rows of a run are deleted, no journal can bring them back: the run's fence lies above the numbers of all its
journals, and its next attempt works in a directory of another name.

After ``gc`` the database says the same of a run as before. A finished run needs no checkpoint. Its journals and logs
are an archive: they are deleted on request only, and only if the database has all of the journals. A folder of job
files is deleted when every run of its jobs is finished or removed.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from grpo_worker.schema.records import CHECKPOINT_NAME
from orchestrator.attempt import share
from orchestrator.base.errors import NothingToDo, UsageError
from orchestrator.base.settings import runs_dir
from orchestrator.base.states import FailureClass, RunState
from orchestrator.jobs import shares
from orchestrator.rundir import folder as rundirs
from orchestrator.rundir import journal
from orchestrator.store import places, removal
from orchestrator.store.database import Store
from orchestrator.store.removal import Leaving, Rows
from orchestrator.store.selection import SelectedRun

CHECKPOINTS, LEFT_OVERS, DIRECTORIES, JOB_FILES = "checkpoints", "left over by rm", "run directories", "job files"


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """What a removal would delete: rows of runs, and run directories, those that an earlier removal left included.

    ``size`` is that of the directories in bytes; ``notes`` has a line for each directory that is left alone.
    """

    runs: Sequence[SelectedRun]
    rows: Rows
    directories: dict[int, list[Path]]
    size: int
    notes: list[str]

    @property
    def remaining(self) -> list[SelectedRun]:
        """The runs that were not removed before, or launched since."""
        return [run for run in self.runs if run.failure_class != FailureClass.REMOVED]


def home(run: SelectedRun) -> Path | None:
    """The folder of a run's directories; imported runs have none."""
    if run.source == "import":
        return None
    return Path(run.directory).parent if run.directory else runs_dir().absolute()


def directories_of(
    store: Store, runs: Iterable[SelectedRun], notes: list[str], refused: list[str]
) -> dict[int, list[Path]]:
    """Find the run directories of runs that may be deleted, those from before a removal included.

    ``notes`` gets a line for each directory that has the name of one, but belongs to another run. ``refused`` gets one
    for each that lies, or leads, elsewhere: it may be that of the project that this one is a copy of.
    """
    found: dict[int, list[Path]] = {}
    all_in = functools.cache(rundirs.all_in)
    roots = _roots(store)
    for run in runs:
        folder = home(run)
        for path in all_in(folder).get(run.run_id, []) if folder and run.directory else ():
            if not (rundirs.belongs_to(path, run.sweep, run.config_digest) and _is_known(path, run)):
                notes.append(f"{path} does not say that it is run {run.run_id} of this database; left alone")
            elif path.is_symlink():
                refused.append(f"{path} is a link to {path.readlink()}, which may be anyone's")
            elif not _here({path}, roots):
                refused.append(
                    f"{path.resolve()} lies neither beside the database nor in the folder of runs: if this project is "
                    f"a copy, it is the original's; else set STALESWEEP_RUNS={path.resolve().parent}"
                )
            else:
                found.setdefault(run.run_id, []).append(path)
    return found


def _roots(store: Store) -> tuple[Path, ...]:
    """Where run directories may be deleted. A Postgres is not copied with a folder: what it names is its own."""
    with store.read() as connection:
        start = places.base(connection)
    if start is None:
        return (Path("/"),)
    # A link in a project is copied with it, and leads to the original's folder; what the setting names is meant.
    return (start, runs_dir().resolve() if os.environ.get("STALESWEEP_RUNS") else runs_dir().absolute())


def _here(paths: Set[Path], roots: Sequence[Path]) -> Set[Path]:
    """Those of some paths that lie in one of the roots, with links followed."""
    return {path for path in paths if any(path.resolve().is_relative_to(root) for root in roots)}


def _is_known(path: Path, run: SelectedRun) -> bool:
    """Whether a folder has the id that the database knows; those before a removal, or of older versions, have none."""
    if path != Path(run.directory or "") or run.folder_id is None:
        return True
    return rundirs.load(path).folder_id in (None, run.folder_id)


def refuse_elsewhere(refused: Sequence[str]) -> None:
    """Raise UsageError that names what was not removed, if there is anything."""
    if refused:
        rest = f"\nand {len(refused) - 10:,} more" if len(refused) > 10 else ""
        raise UsageError("these were not removed:\n" + "\n".join(refused[:10]) + rest)


def plan(store: Store, runs: Sequence[SelectedRun]) -> RemovalPlan:
    """Find what a removal of runs would delete.

    Raises:
        UsageError: Some of them are running, or have directories that may be another project's.
        NothingToDo: All were removed before.
    """
    _refuse_running(run.run_id for run in runs if run.state == RunState.RUNNING)
    notes: list[str] = []
    refused: list[str] = []
    directories = directories_of(store, runs, notes, refused)
    refuse_elsewhere(refused)
    with store.read() as connection:
        rows = removal.count(connection, [run.run_id for run in runs])
    size = sum(rundirs.size(path) for paths in directories.values() for path in paths)
    found = RemovalPlan(runs, rows, directories, size, notes)
    if not found.remaining and not directories:
        raise NothingToDo("these runs were removed before; nothing is left of them")
    return found


def carry_out(store: Store, plan: RemovalPlan, on_batch: Callable[[int], None]) -> list[str]:
    """Remove what a plan names; returns the imported sweeps that are gone, because none of their runs is left.

    ``on_batch`` is called with how many more runs are done.

    Raises:
        UsageError: Some runs began to run, or some files cannot be deleted; all others are deleted.
    """
    running: list[int] = []
    stuck: list[str] = []
    for batch in removal.batches(plan.runs):
        held = removal.remove_runs(store, [_leaving(run, plan.directories.get(run.run_id, [])) for run in batch])
        running += held
        gone_runs = [run.run_id for run in batch if run.run_id not in held]
        stuck += discard(path for run_id in gone_runs for path in plan.directories.get(run_id, []))
        on_batch(len(batch))
    gone = removal.remove_imports(store, {run.sweep_id for run in plan.runs if run.source == "import"})
    if stuck:
        raise UsageError(
            f"{len(stuck)} run directories are still there, e.g. {stuck[0]}; the database is done with them: "
            "`stalesweep gc` removes them when they can be"
        )
    _refuse_running(running)
    return gone


def summary(plan: RemovalPlan) -> list[str]:
    """Say what a removal deletes and what it leaves, for people."""
    by_sweep: dict[str, Counter[str]] = {}
    for run in plan.remaining:
        by_sweep.setdefault(run.sweep, Counter())[run.state] += 1
    lines = [
        f"{sum(states.values()):,} runs of sweep {sweep}: {', '.join(f'{n:,} {state}' for state, n in states.items())}"
        for sweep, states in by_sweep.items()
    ]
    if len(plan.remaining) < len(plan.runs):
        lines.append(f"{len(plan.runs) - len(plan.remaining):,} runs that were removed before, whose files are left")
    rows = plan.rows
    lines.append(f"with {rows.attempts:,} attempts, {rows.syncs:,} weight syncs, {rows.evaluations:,} evaluations")
    folders = sum(len(paths) for paths in plan.directories.values())
    lines.append(f"and {folders:,} run directories, {plan.size / 1e6:,.1f} MB")
    if any(run.source != "import" for run in plan.runs):
        lines.append("Their configs stay: `stalesweep launch` of their grid trains them again, from the start.")
    return lines


def _leaving(run: SelectedRun, directories: Sequence[Path]) -> Leaving:
    newest = max((number for path in directories for number in journal.numbers(path)), default=0)
    return Leaving(run.run_id, home(run), newest)


def discard(paths: Iterable[Path]) -> list[str]:
    """Remove files and folders; returns a line for each that could not be."""
    stuck = []
    for path in paths:
        try:
            if path.is_dir() and not path.is_symlink():
                rundirs.discard(path)
            else:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
        except OSError as error:
            stuck.append(f"{path}: {error.strerror or error}")
    return stuck


def _refuse_running(run_ids: Iterable[int]) -> None:
    if running := list(run_ids):
        named = ", ".join(map(str, running[:10])) + (" and others" if len(running) > 10 else "")
        raise UsageError(
            f"{len(running)} of these runs are running and were left as they are: {named}; stop their jobs or let "
            "them end first, or leave them out with --state"
        )


@dataclass(frozen=True, slots=True)
class Waste:
    """Something that can go: a file, or a folder with all its files, and its size in bytes."""

    kind: str
    path: Path
    size: int


def find_waste(
    store: Store,
    runs: Sequence[SelectedRun],
    notes: list[str],
    refused: list[str],
    *,
    checkpoints_only: bool,
    directories: bool,
) -> Iterator[Waste]:
    """Find what nothing needs any more: checkpoints of finished runs, or whole run ``directories``, and job files.

    ``notes`` gets a line for each thing that stays although one may expect it to be deleted, ``refused`` as of
    `directories_of`.
    """
    lives = directories_of(store, runs, notes, refused)
    finished = [run.run_id for run in runs if run.finished and directories]
    with store.read() as connection:
        stored = removal.stored_journals(connection, finished)
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
        yield from _job_files(store, runs, notes)


def _checkpoints(directory: Path) -> Iterator[Waste]:
    for pattern in ("checkpoint-*.pt", "*.partial", "run.json.*"):
        for path in sorted(directory.glob(pattern)):
            if pattern != "checkpoint-*.pt" or CHECKPOINT_NAME.fullmatch(path.name):  # a user's own copy stays
                yield Waste(CHECKPOINTS, path, path.lstat().st_size)


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


def _job_files(store: Store, runs: Iterable[SelectedRun], notes: list[str]) -> Iterator[Waste]:
    finished = {Path(run.directory) for run in runs if run.directory and run.finished}
    for folder in sorted(_here({path.parent for path in finished} | {runs_dir().absolute()}, _roots(store))):
        names = {path.name for path in finished if path.parent == folder}
        for jobs in sorted((folder / "jobs").glob("*/")):
            if jobs.is_symlink() or jobs.parent.is_symlink():
                notes.append(f"{jobs} stays: it is a link, or lies in one")
            elif jobs.suffix == rundirs.REMOVED or _is_over(jobs, names):
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
