"""``launch``: expand a grid, register its runs, and give what is missing to jobs."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.base.errors import NothingToDo, SlurmUnavailable
from orchestrator.cli.options import Database, Yes
from orchestrator.store import queries, registration

if TYPE_CHECKING:
    from orchestrator.grid.sweep import Sweep
    from orchestrator.jobs.launch import Executor
    from orchestrator.jobs.slurm.survey import Survey
    from orchestrator.store.store import RunProgress, Store

Refill = Callable[[list["RunProgress"]], bool]
"""Shown how far the runs of a sweep are, adds further ones; says whether it has."""

ASK_ABOVE = 100
"""``launch`` asks before it submits more runs than this."""


def launch(
    grid: Annotated[Path, typer.Argument(metavar="GRID.yaml", help="Grid file; `stalesweep init` writes one.")],
    executor: Annotated[
        str, typer.Option(help="auto, slurm, local or debug; auto = slurm where there is one.")
    ] = "auto",
    max_parallel: Annotated[
        int | None, typer.Option(min=1, help="Local jobs at a time; default: cores, or GPUs where runs ask for them.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, write nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Local: go on in the background, return at once.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Slurm: stay, watch, and try again what may be tried again.")
    ] = False,
    extend: Annotated[bool, typer.Option("--extend", help="Add new cells to a sweep of this name.")] = False,
    allow_huge: Annotated[bool, typer.Option("--allow-huge", help="Accept more than a million runs.")] = False,
    yes: Yes = False,
    db: Database = None,
) -> None:
    """Expand a grid, register its runs and train what is not yet done."""
    from orchestrator.base.settings import database_url, profile
    from orchestrator.grid.sweep import load_sweep
    from orchestrator.jobs import launch as launching
    from orchestrator.jobs import local
    from orchestrator.store.schema import upgrade
    from orchestrator.store.store import Store

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends the jobs in good order, as Ctrl-C does
    sweep = load_sweep(grid, allow_huge=allow_huge, profile=profile())
    chosen = launching.choose_executor(executor)
    if dry_run:
        print_plan(sweep, chosen, database_url(db))
        return
    if done := upgrade(database_url(db)):
        typer.echo(str(done), err=True)
    with Store(database_url(db)) as store:
        sweep_id = registration.register(store, sweep, extend=extend)
        try:
            run_ids = launching.pending_runs(store, sweep_id, catch_up(store, sweep_id, sweep.name))
        except NothingToDo as nothing:
            if not (wait and chosen == "slurm" and queries.unfinished_runs(store, sweep_id)):
                raise
            _say(f"{nothing}: watching them")
            run_ids = []
        if len(run_ids) > ASK_ABOVE and sys.stdin.isatty() and not yes:
            typer.confirm(f"Launch {len(run_ids)} runs on {chosen}?", abort=True)
        if detach and chosen == "local":
            pid, log = local.detach(grid, max_parallel, store.url)
            typer.echo(f"launched in the background as process {pid}; its log: {log}")
            return
        if train(store, sweep_id, sweep.name, run_ids, chosen, max_parallel=max_parallel, gpus=sweep.gpus, wait=wait):
            raise typer.Exit(1)


def catch_up(store: Store, sweep_id: int, name: str) -> Survey:
    """Bring the database up to what has become of a sweep's runs, and give those that have none a directory."""
    from orchestrator.cli.output import collect
    from orchestrator.jobs import launch as launching
    from orchestrator.jobs.slurm import dispatch

    launching.place(store, sweep_id)
    collect(store, name)
    launching.recover(store, sweep_id)
    return dispatch.catch_up(store, sweep_id, _say)


def train(
    store: Store,
    sweep_id: int,
    name: str,
    run_ids: Sequence[int],
    executor: Executor,
    *,
    max_parallel: int | None,
    gpus: int,
    wait: bool,
    alone: bool = False,
    ends: bool = True,
    refill: Refill | None = None,
) -> bool:
    """Give runs of a sweep to jobs, and stay until they have ended; on Slurm only where that is asked for.

    Args:
        store: The results database.
        sweep_id: The sweep.
        name: Its name.
        run_ids: The runs; nobody has them. Where there are none, those that jobs have are watched.
        executor: What trains them.
        max_parallel: Local processes at a time; None = as many as there are cores, or GPUs for.
        gpus: The most that one of the runs asks for, those that are added meanwhile included.
        wait: On Slurm: stay, watch, and try again what may be tried again.
        alone: Whether these runs alone count, and may be tried again; else all of the sweep.
        ends: Whether the sweep ends with these runs, so that its table is shown and its end told.
        refill: Adds further runs to the sweep while these are trained; None = there are none.

    Returns:
        Whether runs that count have failed.
    """
    from orchestrator.jobs import launch as launching
    from orchestrator.jobs import local
    from orchestrator.jobs.slurm import dispatch
    from orchestrator.report.live import show_progress

    directories = launching.prepare(store, sweep_id, run_ids) if run_ids else {}
    if reason := launching.why_journals_only(store, executor):
        _say(f"{reason}: jobs write journals only, and `stalesweep status` brings them in")
    if executor == "slurm":
        if directories:
            dispatch.submit(store, sweep_id, name, directories, _say)
        if not wait:
            typer.echo(f"{len(run_ids)} runs submitted; watch them with: stalesweep status {name} --watch")
            return False
    only = set(run_ids) if alone else None
    with show_progress(name) as show:
        if executor == "slurm":
            launching.watch(store, sweep_id, show, _Tender(store, sweep_id, name, only, refill))
        elif executor == "debug":
            launching.run_here(store, directories.values())
        else:
            more = None if refill is None else functools.partial(_further, store, sweep_id, refill)
            local.run_local(store, sweep_id, directories, max_parallel, gpus, show, more)
    return _finish(store, name, sweep_id, only, ends=ends)


def _further(
    store: Store, sweep_id: int, refill: Refill, progress: list[RunProgress], given: Set[int]
) -> Mapping[int, Path]:
    """Let runs be added to a sweep, and prepare those that no job has been given."""
    from orchestrator.jobs import launch as launching

    if refill(progress):
        progress = queries.progress(store, sweep_id)
    new = [run.run_id for run in progress if run.state == "pending" and run.run_id not in given]
    if not new:
        return {}
    launching.place(store, sweep_id)
    return launching.prepare(store, sweep_id, new)


class _Tender:
    """Submits again, while somebody watches, what failed in a way that may pass; and what is added meanwhile."""

    def __init__(
        self, store: Store, sweep_id: int, name: str, only: set[int] | None, refill: Refill | None = None
    ) -> None:
        self._store, self._sweep_id, self._name = store, sweep_id, name
        self._only, self._refill = only, refill
        self._said = ""

    def __call__(self, found: Survey) -> bool:
        try:
            again = self._submit_again(found)
            return self._submit_further(found) or again
        except (NothingToDo, SlurmUnavailable) as error:  # the queue is full, or Slurm away: both pass
            if str(error) != self._said:
                self._said = str(error)
                _say(error)
            return True

    def _submit_again(self, found: Survey) -> bool:
        from orchestrator.jobs.slurm import dispatch

        dispatch.find_lost_answers(self._store, self._sweep_id, _say)
        again = dispatch.settle_and_choose(self._store, self._sweep_id, found)
        again = [run_id for run_id in again if self._only is None or run_id in self._only]
        if not again:
            return False
        self._submit(again)
        _say(f"{len(again)} run{'s are' if len(again) > 1 else ' is'} tried again")
        return True

    def _submit_further(self, found: Survey) -> bool:
        from orchestrator.jobs import launch as launching
        from orchestrator.jobs.slurm import dispatch

        if self._refill is None or not self._refill(queries.progress(self._store, self._sweep_id)):
            return False
        launching.place(self._store, self._sweep_id)
        self._submit(dispatch.settle_and_choose(self._store, self._sweep_id, found))
        return True

    def _submit(self, run_ids: Sequence[int]) -> None:
        from orchestrator.jobs import launch as launching
        from orchestrator.jobs.slurm import dispatch

        directories = launching.prepare(self._store, self._sweep_id, run_ids)
        dispatch.submit(self._store, self._sweep_id, self._name, directories, _say)


def print_plan(sweep: Sweep, executor: str, url: str) -> None:
    """Say what a launch of all runs would do, what they would cost, and what they would not tell."""
    from orchestrator.cli.output import show
    from orchestrator.jobs import estimate
    from orchestrator.jobs.slurm import arrays
    from orchestrator.report.progress import plan_view
    from orchestrator.search import outlook

    lines: Sequence[str] = ()
    if executor == "slurm":
        plan = arrays.plan({number: run.resources for number, run in enumerate(sweep.runs)}, arrays.limits_of)
        lines = [*(arrays.describe(array) for array in plan.arrays), *plan.notes]
    models = {run.cell.model for run in sweep.runs}
    hours = estimate.hours(sweep.runs, estimate.stored_paces(url, models))
    gaps = outlook.gaps(sweep.runs, outlook.stored_outcomes(url, models))
    show(plan_view(sweep, executor, hours, lines, gaps))


def _finish(store: Store, name: str, sweep_id: int, only: set[int] | None, *, ends: bool) -> bool:
    from orchestrator.attempt.notifying import tell_end
    from orchestrator.cli.output import show
    from orchestrator.jobs.slurm.survey import survey
    from orchestrator.jobs.status import sweep_status, with_standings
    from orchestrator.report.progress import progress_view

    status = sweep_status(name, with_standings(queries.progress(store, sweep_id), survey(store, sweep_id)))
    if ends:
        show(progress_view(status))
        tell_end(store, name)
    return any(only is None or run.run_id in only for run in status.failures)


def _say(text: Any) -> None:
    typer.echo(text, err=True)
