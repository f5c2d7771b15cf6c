"""Commands on runs that a user names: ``show``, ``rm``, ``gc``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.base.errors import NothingToDo, UsageError
from orchestrator.base.states import RunState
from orchestrator.base.words import counted
from orchestrator.cli.options import Database, Selection, States, Yes
from orchestrator.cli.output import confirm, one_of, open_store, progress, say, width

if TYPE_CHECKING:
    from orchestrator.runs.removal import Waste
    from orchestrator.store.database import Store
    from orchestrator.store.selection import SelectedRun

ASK_ABOVE = 10
"""Commands ask before they touch more runs than this."""


def show(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Numbers of runs, or sweeps for all of their runs.")
    ],
    state: States = None,
    format: Annotated[str, typer.Option(help="table or json.")] = "table",
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
        typer.echo(json.dumps(as_json(found), indent=2, allow_nan=False))
    else:
        _print_pages(found)


def rm(
    sel: Selection,
    state: States = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be removed, remove nothing.")] = False,
    yes: Yes = False,
    db: Database = None,
) -> None:
    """Remove the results, attempts and files of runs. Their configs stay, so `launch` can train them again."""
    from orchestrator.runs import removal
    from orchestrator.runs.named import find, find_up_to_date

    with open_store(db) as store:
        _recover(store, find_up_to_date(store, sel, state, say))
        plan = removal.plan(store, find(store, sel, state))
        _say_notes(plan.notes)
        typer.echo("\n".join(removal.summary(plan)))
        if dry_run:
            typer.echo("Nothing was removed.")
            return
        confirm(f"Remove {counted(len(plan.runs), 'run')}?", yes=yes)
        with progress("removing", len(plan.runs)) as advance:
            gone = removal.carry_out(store, plan, advance)
        typer.echo(f"removed {counted(len(plan.runs), 'run')}")
        for name in gone:
            typer.echo(f"sweep {name} was an import and is gone altogether: its file can be imported again")
        _print_free_space(store)


def gc(
    sel: Annotated[list[str] | None, typer.Argument(metavar="[SEL]...", help="Sweeps or runs; default all.")] = None,
    state: States = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Only checkpoints.")] = False,
    all: Annotated[bool, typer.Option("--all", help="Whole run directories, journals and logs included.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be removed, remove nothing.")] = False,
    yes: Yes = False,
    db: Database = None,
) -> None:
    """Free disk space: remove checkpoints and job files of finished runs; with --all, their run directories."""
    from orchestrator.runs import removal
    from orchestrator.runs.named import find_up_to_date

    if checkpoints and all:
        raise UsageError("--checkpoints and --all: choose one")
    notes: list[str] = []
    with open_store(db) as store:
        runs = find_up_to_date(store, sel or [], state, say)
        waste = list(removal.find_waste(store, runs, notes, checkpoints_only=checkpoints, directories=all))
    _say_notes(notes)
    if not waste:
        raise NothingToDo("nothing to free")
    _print_waste(waste)
    if dry_run:
        typer.echo("Nothing was removed.")
        return
    confirm(f"Remove these {counted(len(waste), 'file')}?", yes=yes or len(waste) <= ASK_ABOVE)
    if stuck := removal.discard(one.path for one in waste):
        raise UsageError("\n".join(["these could not be removed, all others are gone:", *stuck]))


def _recover(store: Store, runs: Iterable[SelectedRun]) -> None:
    from orchestrator.jobs.collecting import recover

    for sweep_id in sorted({run.sweep_id for run in runs if run.state == RunState.RUNNING}):
        recover(store, sweep_id)


def _print_pages(found: Iterable[dict[str, Any]]) -> None:
    from rich.console import Console

    from orchestrator.report.run_page import run_page

    columns = width()
    console = Console(width=columns, highlight=False)
    for place, details in enumerate(found):
        if place:
            console.print()
        console.print(run_page(details, columns), soft_wrap=True)


def _print_waste(waste: Iterable[Waste]) -> None:
    from collections import Counter

    from orchestrator.report.run_page import size

    counts, sizes = Counter[str](), Counter[str]()
    for one in waste:
        counts[one.kind] += 1
        sizes[one.kind] += one.size
    for kind, number in counts.items():
        typer.echo(f"{kind:16} {number:>8,} {size(sizes[kind]):>12}")
    typer.echo(f"{'in all':16} {counts.total():>8,} {size(sizes.total()):>12}")


def _print_free_space(store: Store) -> None:
    from orchestrator.report.run_page import size
    from orchestrator.store.removal import free_bytes

    with store.read() as connection:
        free = free_bytes(connection)
        file = connection.engine.url.database
    if free > 1_000_000:
        typer.echo(
            f"{size(free)} of {file} are free now, and new rows use them; to make the file smaller, while no job "
            f"runs: sqlite3 {file} VACUUM",
            err=True,
        )


def _say_notes(notes: Iterable[str]) -> None:
    for note in notes:
        say(f"note: {note}")
