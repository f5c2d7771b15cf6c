"""Commands on runs that a user names: ``show``, ``rm``, ``gc``, ``logs``, ``cancel``, ``retry``."""

from __future__ import annotations

import functools
import getpass
import json
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.base.errors import NothingToDo, UsageError
from orchestrator.base.states import CANCELLABLE, RunState
from orchestrator.base.words import counted
from orchestrator.cli.launch import train
from orchestrator.cli.options import Database, DryRun, Format, Selection, States, Yes
from orchestrator.cli.output import confirm, emit, one_of, open_store, progress, say, say_notes, width

if TYPE_CHECKING:
    from orchestrator.runs.removal import Waste
    from orchestrator.store.database import Store

ASK_ABOVE = 10
"""Commands ask before they touch more runs than this."""


def show(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Numbers of runs, or sweeps for all of their runs.")
    ],
    state: States = None,
    format: Format = "table",
    db: Database = None,
) -> None:
    """Show all that is known of runs: result, config, code, machine, files and every attempt."""
    from orchestrator.runs.details import as_json, run_details
    from orchestrator.runs.named import find_up_to_date

    one_of("--format", format, ("table", "json"))
    with open_store(db) as store:
        chosen = find_up_to_date(store, runs, state, say)
        found = [run_details(store, run.run_id) for run in chosen]
    if format == "json":
        emit(json.dumps(as_json(found), indent=2, allow_nan=False))
    else:
        _print_pages(found)


def rm(sel: Selection, state: States = None, dry_run: DryRun = False, yes: Yes = False, db: Database = None) -> None:
    """Remove the results, attempts and files of runs. Their configs stay, so `launch` can train them again."""
    from orchestrator.jobs.collecting import recover
    from orchestrator.runs import removal
    from orchestrator.runs.named import find, find_up_to_date

    with open_store(db) as store:
        chosen = find_up_to_date(store, sel, state, say)
        for sweep_id in sorted({run.sweep_id for run in chosen if run.state == RunState.RUNNING}):
            recover(store, sweep_id)
        plan = removal.plan(store, find(store, sel, state))
        say_notes(plan.notes)
        emit("\n".join(removal.summary(plan)))
        if dry_run:
            emit("\n".join(str(path) for paths in plan.directories.values() for path in paths))
            emit("Nothing was removed.")
            return
        confirm(f"Remove {counted(len(plan.runs), 'run')}?", yes=yes)
        with progress("removing", len(plan.runs)) as advance:
            gone = removal.carry_out(store, plan, advance)
        emit(f"removed {counted(len(plan.runs), 'run')}")
        for name in gone:
            emit(f"sweep {name} was an import and is gone altogether: its file can be imported again")
        _print_free_space(store)


def gc(
    sel: Annotated[list[str] | None, typer.Argument(metavar="[SEL]...", help="Sweeps or runs; default all.")] = None,
    state: States = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Only checkpoints.")] = False,
    all: Annotated[bool, typer.Option("--all", help="Whole run directories, journals and logs included.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    db: Database = None,
) -> None:
    """Free disk space: remove checkpoints and job files of finished runs; with --all, their run directories."""
    from orchestrator.runs import removal
    from orchestrator.runs.named import find_up_to_date

    if checkpoints and all:
        raise UsageError("--checkpoints and --all: choose one")
    notes: list[str] = []
    refused: list[str] = []
    with open_store(db) as store:
        runs = find_up_to_date(store, sel or [], state, say)
        waste = list(removal.find_waste(store, runs, notes, refused, checkpoints_only=checkpoints, directories=all))
    say_notes(notes)
    if not waste:
        removal.refuse_elsewhere(refused)
        raise NothingToDo("nothing to free")
    _print_waste(waste)
    if dry_run:
        emit("\n".join(str(one.path) for one in waste))
        emit("Nothing was removed.")
        removal.refuse_elsewhere(refused)
        return
    confirm(f"Remove these {counted(len(waste), 'file')}?", yes=yes or len(waste) <= ASK_ABOVE)
    if stuck := removal.discard(one.path for one in waste):
        raise UsageError("\n".join(["these could not be removed, all others are gone:", *stuck]))
    removal.refuse_elsewhere(refused)


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
        emit(text, nl=False)
    return shown is not None


def cancel(sel: Selection, state: States = None, yes: Yes = False, db: Database = None) -> None:
    """Cancel runs that have not ended. Their jobs stop at the next learner step; `launch` and `retry` resume them."""
    from orchestrator.attempt.notice import tell_end
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
    say_notes(done.notes)
    tasks = f", and {counted(done.tasks, 'job')} of Slurm" if done.tasks else ""
    emit(f"cancelled {counted(len(done.runs), 'run')}{tasks}")


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
        submissions.set_pending(store, [*again.stopped, *(run.run_id for run in again.runs)])
        failed = False
        for sweep_id, name in sweeps_of(again.runs).items():
            run_ids = [run.run_id for run in again.runs if run.sweep_id == sweep_id]
            asked = queries.run_resources(store, sweep_id)
            gpus = max(asked[run_id].gpus for run_id in run_ids)
            training = Training(store, sweep_id, name, say)
            failed |= train(training, run_ids, chosen, wait=wait, alone=True, max_parallel=max_parallel, gpus=gpus)
    if failed:
        raise typer.Exit(1)


def _print_pages(found: Iterable[dict[str, Any]]) -> None:
    from orchestrator.report.console import SafeConsole
    from orchestrator.report.run_page import run_page

    columns = width()
    console = SafeConsole(width=columns)
    for place, details in enumerate(found):
        if place:
            console.print()
        console.print(run_page(details, columns), soft_wrap=True)


def _print_waste(waste: Iterable[Waste]) -> None:
    from rich.filesize import decimal as size

    counts, sizes = Counter[str](), Counter[str]()
    for one in waste:
        counts[one.kind] += 1
        sizes[one.kind] += one.size
    for kind, number in counts.items():
        emit(f"{kind:16} {number:>8,} {size(sizes[kind]):>12}")
    emit(f"{'in all':16} {counts.total():>8,} {size(sizes.total()):>12}")


def _print_free_space(store: Store) -> None:
    from rich.filesize import decimal as size

    from orchestrator.store.removal import free_bytes

    with store.read() as connection:
        free = free_bytes(connection)
        file = connection.engine.url.database
    if free > 1_000_000:
        say(f"{size(free)} of {file} are free now, and new rows use them; to make the file smaller, while no job runs: "
            f"sqlite3 {file} VACUUM")  # fmt: skip
