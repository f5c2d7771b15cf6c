"""Commands on the jobs of runs that a user names: ``logs``, ``cancel``, ``retry``."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator import cli_launch
from orchestrator.cli_runs import ASK_ABOVE, Database, States, Yes, bring_in, confirm, count, open_store, selected
from orchestrator.errors import NothingToDo

if TYPE_CHECKING:
    from orchestrator.db.selection import SelectedRun
    from orchestrator.db.store import Store

Selection = Annotated[list[str], typer.Argument(metavar="SEL...", help="Sweeps, or numbers of runs.")]


def cancel(sel: Selection, state: States = None, yes: Yes = False, db: Database = None) -> None:
    """Take runs back that are going: their jobs stop at the next learner step; `launch` and `retry` let them go on."""
    import getpass

    from orchestrator import cancelling
    from orchestrator.notifying import tell_end

    with open_store(db) as store:
        chosen = selected(store, sel, state)
        bring_in(store, chosen)
        going = [run for run in selected(store, sel, state) if run.state in cancelling.GOING]
        if not going:
            raise NothingToDo("nothing to cancel: these runs have ended")
        confirm(f"Cancel {count(len(going), 'run')}?", yes=yes or len(going) <= ASK_ABOVE)
        done = cancelling.cancel(store, going, f"cancelled by {getpass.getuser()}")
        for name in _sweeps(going).values():
            tell_end(store, name)
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    tasks = f", and {count(done.tasks, 'job')} of Slurm" if done.tasks else ""
    typer.echo(f"cancelled {count(len(done.runs), 'run')}{tasks}")


def retry(
    sel: Selection,
    state: States = None,
    yes: Yes = False,
    executor: Annotated[str, typer.Option(help="As of `launch`: auto, slurm, local or debug.")] = "auto",
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Local jobs at a time; default: cores.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Slurm: stay and watch.")] = False,
    db: Database = None,
) -> None:
    """Train runs again that failed, were lost, cancelled or left over: these and no others, whatever they failed of."""
    from orchestrator.launch import choose_executor

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as in `launch`
    chosen = choose_executor(executor)
    with open_store(db) as store:
        wanted = [run for run in selected(store, sel, None) if run.source == "grid"]
        free: set[int] = set()
        for sweep_id, name in _sweeps(wanted).items():
            free |= _free(store, sweep_id, name)
        runs = [run for run in selected(store, sel, state) if run.source == "grid"]
        again = [run for run in runs if run.run_id in free]
        _print_left_out(runs, free)
        if not again:
            raise NothingToDo("nothing to try again")
        confirm(f"Train {count(len(again), 'run')} again on {chosen}?", yes=yes or len(again) <= ASK_ABOVE)
        failed = False
        for sweep_id, name in _sweeps(again).items():
            run_ids = [run.run_id for run in again if run.sweep_id == sweep_id]
            failed |= cli_launch.train(
                store, sweep_id, name, run_ids, chosen, max_parallel=max_parallel, wait=wait, alone=True
            )
    if failed:
        raise typer.Exit(1)


def _sweeps(runs: Sequence[SelectedRun]) -> dict[int, str]:
    return {run.sweep_id: run.sweep for run in runs}


def _free(store: Store, sweep_id: int, name: str) -> set[int]:
    """The runs of a sweep that may be given to jobs."""
    from orchestrator.launch import pending_runs

    try:
        return set(pending_runs(store, sweep_id, cli_launch.catch_up(store, sweep_id, name)))
    except NothingToDo:
        return set()


def _print_left_out(runs: Sequence[SelectedRun], free: set[int]) -> None:
    finished = sum(run.finished for run in runs)
    if finished:
        typer.echo(f"{count(finished, 'run')} finished: nothing to try again", err=True)
    if taken := sum(not run.finished and run.run_id not in free for run in runs):
        typer.echo(f"{count(taken, 'run')} in the hands of jobs: left alone", err=True)
