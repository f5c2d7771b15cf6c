"""``launch``: expand a grid, register its runs, and give what is missing to jobs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.base.errors import NothingToDo
from orchestrator.base.settings import database_url, profile
from orchestrator.cli.options import Database, ExecutorName, Yes
from orchestrator.cli.output import emit, open_upgraded, say, show

if TYPE_CHECKING:
    from orchestrator.grid.sweep import Sweep
    from orchestrator.jobs.training import Executor, Training

ASK_ABOVE = 100
"""``launch`` asks before it submits more runs than this."""


def launch(
    grid: Annotated[Path, typer.Argument(metavar="GRID.yaml", help="Grid file; `stalesweep init` writes one.")],
    executor: ExecutorName = "auto",
    max_parallel: Annotated[
        int | None, typer.Option(min=1, help="Local jobs at a time; default: cores, or GPUs where runs ask for them.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, write nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Local: go on in the background, return at once.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Slurm: stay, watch, and retry runs that failed in a way that may pass.")
    ] = False,
    extend: Annotated[bool, typer.Option("--extend", help="Add new cells to a sweep of this name.")] = False,
    allow_huge: Annotated[bool, typer.Option("--allow-huge", help="Accept more than a million runs.")] = False,
    yes: Yes = False,
    db: Database = None,
    detached: Annotated[bool, typer.Option("--detached", hidden=True)] = False,
) -> None:
    """Expand a grid, register its runs and train what is not yet done."""
    from orchestrator.grid.sweep import load_sweep
    from orchestrator.jobs import local
    from orchestrator.jobs.training import Training, choose_executor
    from orchestrator.store import queries, registration, submissions

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends the jobs in good order, as Ctrl-C does
    sweep = load_sweep(grid, allow_huge=allow_huge, profile=profile())
    chosen = choose_executor(executor)
    if dry_run:
        print_plan(sweep, chosen, database_url(db))
        return
    with open_upgraded(db) as store:
        training = Training(store, registration.register(store, sweep, extend=extend), sweep.name, say)
        try:
            run_ids = training.runs()
        except NothingToDo as nothing:
            if not (wait and chosen == "slurm" and queries.unfinished_runs(store, training.sweep_id)):
                raise
            say(f"{nothing}: watching them")
            run_ids = []
        if len(run_ids) > ASK_ABOVE and sys.stdin.isatty() and not yes:
            typer.confirm(f"Launch {len(run_ids)} runs on {chosen}?", abort=True)
        if not detached:  # then the launch that the user called has done it, and a cancel since then is to win
            submissions.set_pending(store, run_ids)
        if detach and chosen == "local":
            pid, log = local.detach(grid, max_parallel, store.url)
            emit(f"launched in the background as process {pid}; its log: {log}")
            return
        if train(training, run_ids, chosen, wait=wait, max_parallel=max_parallel, gpus=sweep.gpus):
            raise typer.Exit(1)


def train(
    training: Training,
    run_ids: Sequence[int],
    executor: Executor,
    *,
    wait: bool,
    alone: bool = False,
    ends: bool = True,
    **options: Any,
) -> bool:
    """Train runs, see `orchestrator.jobs.training.Training.train`, and show how the sweep stands.

    On Slurm runs are only submitted unless told to ``wait``. If these runs are taken ``alone``, only they count and
    may be tried again, else all of the sweep. If the sweep ``ends`` with them, its table is shown, and the webhook
    notified. Returns whether runs that count have failed.
    """
    from orchestrator.attempt.notice import tell_end
    from orchestrator.jobs.training import why_journals_only
    from orchestrator.report.progress import progress_view, show_progress

    if reason := why_journals_only(training.store, executor):
        say(f"{reason}: jobs write journals only, and `stalesweep status` brings them in")
    if executor == "slurm" and not wait:
        training.submit(run_ids)
        emit(f"{len(run_ids)} runs submitted; watch them with: stalesweep status {training.name} --watch")
        return False
    only = set(run_ids) if alone else None
    with show_progress(training.name) as on_poll:
        status = training.train(run_ids, executor, on_poll, only=only, **options)
    if ends:
        show(progress_view(status))
        tell_end(training.store, training.name)
    return any(only is None or run.run_id in only for run in status.failures)


def print_plan(sweep: Sweep, executor: str, url: str) -> None:
    """Print what a launch of all runs would do and cost, and which questions it would leave open."""
    from orchestrator.jobs import estimate
    from orchestrator.jobs.slurm import arrays
    from orchestrator.report.progress import plan_view
    from orchestrator.search import outlook

    lines: Sequence[str] = ()
    if executor == "slurm":
        plan = arrays.plan({number: run.resources for number, run in enumerate(sweep.runs)})
        lines = [*(arrays.describe(array) for array in plan.arrays), *plan.notes]
    models = {run.cell.model for run in sweep.runs}
    hours = estimate.hours(sweep.runs, estimate.stored_paces(url, models))
    gaps = outlook.gaps(sweep.runs, outlook.stored_outcomes(url, models))
    show(plan_view(sweep, executor, hours, lines, gaps))
