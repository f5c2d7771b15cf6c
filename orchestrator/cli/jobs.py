"""Commands on the jobs of runs that a user names: ``logs``, ``cancel``, ``retry``."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.base.errors import NothingToDo, UsageError
from orchestrator.base.states import CANCELLABLE
from orchestrator.base.words import counted
from orchestrator.cli import launch as cli_launch
from orchestrator.cli.options import Database, Selection, States, Yes
from orchestrator.cli.output import confirm, open_store, progress, say
from orchestrator.cli.runs import ASK_ABOVE

if TYPE_CHECKING:
    pass


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Number of a run.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until the run has ended.")] = False,
    attempt: Annotated[int | None, typer.Option(metavar="N", help="Only this attempt; default all.")] = None,
    job: Annotated[bool, typer.Option("--job", help="Print its job's output instead of the run's own log.")] = False,
    db: Database = None,
) -> None:
    """Print what a run has logged, or what its job has printed."""
    from orchestrator.runs import logs as logging
    from orchestrator.runs.named import find_up_to_date

    with open_store(db) as store:
        chosen = find_up_to_date(store, [run], None, say)
        if len(chosen) > 1:
            raise UsageError(f"`logs` shows one run, and {run} has {len(chosen)}: name one by its number, e.g. "
                             f"{chosen[0].run_id}")  # fmt: skip
        [wanted] = chosen
        if attempt is None and not job:
            paths = functools.partial(logging.own_logs, store, wanted, None)  # a new attempt has a file of its own
        else:
            found = (logging.job_logs if job else logging.own_logs)(store, wanted, attempt)
            paths = functools.partial(list, found)
        over = logging.until_its_end(store, wanted, say)
        printed = _print(logging.follow(paths, over) if follow else logging.read_all(paths()), paths)
        if not printed and not job:
            say(f"{logging.why_empty(store, wanted)}; what its job printed:")
            paths = functools.partial(list, logging.job_logs(store, wanted, attempt))
            printed = _print(logging.read_all(paths()), paths)
        if not printed:
            raise NothingToDo("; ".join(["its job has printed nothing, or its log is gone", *map(str, paths())]))


def _print(pieces: Iterable[tuple[Path, str]], paths: Callable[[], Sequence[Path]]) -> bool:
    """Print pieces of logs, each log under its name if there are several; whether there was anything."""
    shown: Path | None = None
    for path, text in pieces:
        if path != shown and len(paths()) > 1:
            say(f"==> {path} <==")
        shown = path
        typer.echo(text, nl=False)
    return shown is not None


def cancel(sel: Selection, state: States = None, yes: Yes = False, db: Database = None) -> None:
    """Cancel runs that have not ended. Their jobs stop at the next learner step; `launch` and `retry` resume them."""
    import getpass

    from orchestrator.attempt.notifying import tell_end
    from orchestrator.runs import cancelling
    from orchestrator.runs.named import find_up_to_date, sweeps_of

    with open_store(db) as store:
        going = [run for run in find_up_to_date(store, sel, state, say) if run.state in CANCELLABLE]
        if not going:
            raise NothingToDo("nothing to cancel: these runs have ended")
        confirm(f"Cancel {counted(len(going), 'run')}?", yes=yes or len(going) <= ASK_ABOVE)
        with progress("cancelling", len(going)) as advance:
            done = cancelling.cancel(store, going, f"cancelled by {getpass.getuser()}", advance)
        for name in sweeps_of(going).values():
            tell_end(store, name)
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    tasks = f", and {counted(done.tasks, 'job')} of Slurm" if done.tasks else ""
    typer.echo(f"cancelled {counted(len(done.runs), 'run')}{tasks}")


def retry(
    sel: Selection,
    state: States = None,
    yes: Yes = False,
    executor: Annotated[str, typer.Option(help="As of `launch`: auto, slurm, local or debug.")] = "auto",
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Local jobs at a time; default: cores.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Slurm: stay and watch.")] = False,
    db: Database = None,
) -> None:
    """Train failed, lost, cancelled and leftover runs again; with -s cancelled also those that a search stopped."""
    from orchestrator.jobs.training import Training, choose_executor
    from orchestrator.runs.named import choose_again, sweeps_of
    from orchestrator.store import queries, submissions

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as in `launch`
    chosen = choose_executor(executor)
    with open_store(db) as store:
        again = choose_again(store, sel, state, say)
        for why in again.left_alone:
            say(why)
        if not again.runs:
            raise NothingToDo("nothing to try again")
        confirm(f"Train {counted(len(again.runs), 'run')} again on {chosen}?", yes=yes or len(again.runs) <= ASK_ABOVE)
        submissions.set_pending(store, again.stopped)
        failed = False
        for sweep_id, name in sweeps_of(again.runs).items():
            run_ids = [run.run_id for run in again.runs if run.sweep_id == sweep_id]
            asked = queries.run_resources(store, sweep_id)
            gpus = max(asked[run_id].gpus for run_id in run_ids)
            training = Training(store, sweep_id, name, say)
            failed |= cli_launch.train(
                training, run_ids, chosen, wait=wait, alone=True, max_parallel=max_parallel, gpus=gpus
            )
    if failed:
        raise typer.Exit(1)
