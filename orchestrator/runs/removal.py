"""``rm``: the database first, then files. If it is killed, a second one finds and removes what is left.

Once the rows of a run are deleted, no journal can bring them back: the run's fence lies above the numbers of all its
journals, and its next attempt works in a directory of another name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import NothingToDo, UsageError
from orchestrator.base.settings import runs_dir
from orchestrator.base.states import FailureClass, RunState
from orchestrator.rundir import folder as rundirs
from orchestrator.rundir import journal
from orchestrator.store import removal
from orchestrator.store.database import Store
from orchestrator.store.removal import Leaving, Rows
from orchestrator.store.selection import SelectedRun


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """What a removal would delete.

    Attributes:
        runs: The runs that were asked for.
        rows: How many rows of them the database has.
        directories: Their run directories, by run: the present ones, and those that an earlier removal left.
        size: Bytes in these directories.
        notes: A line for each directory that is left alone.
    """

    runs: Sequence[SelectedRun]
    rows: Rows
    directories: dict[int, list[Path]]
    size: int
    notes: list[str]

    @property
    def remaining(self) -> list[SelectedRun]:
        """The runs that were not removed before."""
        return [run for run in self.runs if not is_removed(run)]


def is_removed(run: SelectedRun) -> bool:
    """Whether a run was removed, and not launched since."""
    return run.failure_class == FailureClass.REMOVED


def home(run: SelectedRun) -> Path | None:
    """The folder of a run's directories; imported runs have none."""
    if run.source == "import":
        return None
    return Path(run.directory).parent if run.directory else runs_dir().absolute()


def directories_of(runs: Iterable[SelectedRun], notes: list[str]) -> dict[int, list[Path]]:
    """Find the run directories of runs, those from before a removal included.

    Args:
        runs: The runs.
        notes: Gets a line for each directory that has the name of one, but belongs to another run.
    """
    found: dict[int, list[Path]] = {}
    folders: dict[Path, dict[int, list[Path]]] = {}
    for run in runs:
        folder = home(run)
        if folder is None:
            continue
        if folder not in folders:
            folders[folder] = rundirs.all_in(folder)
        for path in folders[folder].get(run.run_id, []):
            if rundirs.belongs_to(path, run.sweep, run.config_digest):
                found.setdefault(run.run_id, []).append(path)
            else:
                notes.append(f"{path} does not say that it is run {run.run_id} of this database; left alone")
    return found


def plan(store: Store, runs: Sequence[SelectedRun]) -> RemovalPlan:
    """Find what a removal of runs would delete.

    Raises:
        UsageError: Some of them are running.
        NothingToDo: All were removed before.
    """
    _refuse_running(run.run_id for run in runs if run.state == RunState.RUNNING)
    notes: list[str] = []
    directories = directories_of(runs, notes)
    with store.read() as connection:
        rows = removal.count(connection, [run.run_id for run in runs])
    size = sum(rundirs.size(path) for paths in directories.values() for path in paths)
    found = RemovalPlan(runs, rows, directories, size, notes)
    if not found.remaining and not directories:
        raise NothingToDo("these runs were removed before; nothing is left of them")
    return found


def carry_out(store: Store, plan: RemovalPlan, on_batch: Callable[[int], None]) -> list[str]:
    """Remove what a plan names.

    Args:
        store: The results database.
        plan: The plan.
        on_batch: Called with how many more runs are done.

    Returns:
        The imported sweeps that were deleted, because none of their runs is left.

    Raises:
        UsageError: Some runs began to run, or some files cannot be deleted; all others are deleted.
    """
    running: list[int] = []
    stuck: list[str] = []
    for batch in removal.batches(plan.runs):
        held = removal.remove_runs(store, [_leaving(run, plan.directories.get(run.run_id, [])) for run in batch])
        running += held
        for run in batch:
            if run.run_id not in held:
                stuck += _discard(plan.directories.get(run.run_id, []))
        on_batch(len(batch))
    gone = removal.remove_imports(store, {run.sweep_id for run in plan.runs if run.source == "import"})
    if stuck:
        raise UsageError(
            f"{len(stuck)} run directories are still there, {stuck[0]}; the database is done with them: "
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


def _discard(directories: Sequence[Path]) -> list[str]:
    stuck = []
    for path in directories:
        try:
            rundirs.discard(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            stuck.append(f"e.g. {path}: {error.strerror or error}")
    return stuck


def _refuse_running(run_ids: Iterable[int]) -> None:
    running = list(run_ids)
    if running:
        named = ", ".join(map(str, running[:10])) + (" and others" if len(running) > 10 else "")
        raise UsageError(
            f"{len(running)} of these runs are running and were left as they are: {named}; stop their jobs or let "
            "them end first, or leave them out with --state"
        )
