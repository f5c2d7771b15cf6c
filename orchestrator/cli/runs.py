"""Commands on runs that a user names: ``show``, ``rm``, ``gc``."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.base.errors import NothingToDo, UsageError
from orchestrator.cli.options import Database, Selection, States, Yes
from orchestrator.store import queries

if TYPE_CHECKING:
    from orchestrator.runs.cleaning import Waste
    from orchestrator.store.selection import SelectedRun
    from orchestrator.store.store import Store

ASK_ABOVE = 10
"""Commands ask before they touch more runs than this."""


def show(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Numbers of runs; a sweep stands for its runs.")],
    state: States = None,
    format: Annotated[str, typer.Option(help="table or json.")] = "table",
    db: Database = None,
) -> None:
    """Show all that is known of runs: result, config, code, machine, files and every attempt."""
    from orchestrator.runs.details import as_json, run_details

    if format not in ("table", "json"):
        raise UsageError(f"--format: expected table or json, found {format!r}")
    with open_store(db) as store:
        chosen = selected(store, runs, state)
        bring_in(store, chosen)
        found = [run_details(store, run.run_id) for run in chosen]
    if format == "json":
        typer.echo(json.dumps(as_json(found), indent=2, allow_nan=False))
    else:
        _print_pages(found)


def rm(
    sel: Selection,
    state: States = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would go, remove nothing.")] = False,
    yes: Yes = False,
    db: Database = None,
) -> None:
    """Remove what runs have measured, their attempts and their files; their configs stay, to be launched again."""
    from orchestrator.runs import removal

    with open_store(db) as store:
        chosen = selected(store, sel, state)
        bring_in(store, chosen)
        _recover(store, chosen)
        plan = removal.plan(store, selected(store, sel, state))
        _print_notes(plan.notes)
        typer.echo("\n".join(removal.summary(plan)))
        if dry_run:
            typer.echo("Nothing was removed.")
            return
        confirm(f"Remove {count(len(plan.runs), 'run')}?", yes=yes)
        with progress("removing", len(plan.runs)) as advance:
            gone = removal.carry_out(store, plan, advance)
        typer.echo(f"removed {count(len(plan.runs), 'run')}")
        for name in gone:
            typer.echo(f"sweep {name} was an import and is gone altogether: its file can be imported again")
        _print_free_space(store)


def gc(
    sel: Annotated[list[str] | None, typer.Argument(metavar="[SEL]...", help="Sweeps or runs; default all.")] = None,
    state: States = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Nothing but checkpoints.")] = False,
    all: Annotated[bool, typer.Option("--all", help="Whole run directories, journals and logs included.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would go, remove nothing.")] = False,
    yes: Yes = False,
    db: Database = None,
) -> None:
    """Free the disk of what finished runs do not need: checkpoints and job files; with --all, their directories."""
    from orchestrator.runs import cleaning

    if checkpoints and all:
        raise UsageError("--checkpoints and --all: choose one")
    notes: list[str] = []
    with open_store(db) as store:
        bring_in(store, selected(store, sel or [], state))
        runs = selected(store, sel or [], state)
        waste = list(cleaning.find(store, runs, notes, checkpoints_only=checkpoints, directories=all))
    _print_notes(notes)
    if not waste:
        raise NothingToDo("nothing to free")
    _print_waste(waste)
    if dry_run:
        typer.echo("Nothing was removed.")
        return
    confirm(f"Remove these {count(len(waste), 'file')}?", yes=yes or len(waste) <= ASK_ABOVE)
    if stuck := cleaning.remove(waste):
        raise UsageError("\n".join(["these could not be removed, all others are gone:", *stuck]))


def selected(store: Store, words: Sequence[str], states: Sequence[str] | None) -> list[SelectedRun]:
    """Find the runs that are asked for, see `orchestrator.store.selection.select_runs`.

    Raises:
        NothingToDo: There is none.
    """
    from orchestrator.store.selection import select_runs

    with store.read() as connection:
        runs = select_runs(connection, words, states or ())
    if not runs:
        raise NothingToDo(f"no run in state {' or '.join(states)}" if states else "the database holds no run yet")
    return runs


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless the user has said yes beforehand.

    Raises:
        UsageError: There is nobody to ask.
        NothingToDo: The user says no.
    """
    if yes:
        return
    if not _is_terminal():
        raise UsageError(f"{question} This is not a terminal, so nobody can be asked: say --yes")
    if not typer.confirm(question):
        raise NothingToDo("nothing was done")


def bring_in(store: Store, runs: Iterable[SelectedRun]) -> None:
    """Bring what the journals of unfinished runs hold and the database does not, and say so."""
    from orchestrator.store.collect import collect_runs

    wanted = {run.run_id for run in runs if not run.finished}
    sweeps = {run.sweep_id for run in runs if not run.finished}
    folders = [folder for sweep_id in sorted(sweeps) for folder in queries.run_folders(store, sweep_id)]
    found = collect_runs(store, [folder for folder in folders if folder.run_id in wanted])
    if found.records:
        typer.echo(f"brought {found.records:,} records of {count(found.runs, 'run')} from journals", err=True)
    _print_notes(found.notes)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def open_store(db: str | None) -> Store:
    """Open the database that is meant."""
    from orchestrator.base.settings import database_url
    from orchestrator.store.store import Store

    return Store(database_url(db))


def _recover(store: Store, runs: Iterable[SelectedRun]) -> None:
    from orchestrator.jobs.launch import recover

    for sweep_id in sorted({run.sweep_id for run in runs if run.state == "running"}):
        recover(store, sweep_id)


def _print_pages(found: Iterable[dict[str, Any]]) -> None:
    import shutil

    from rich.console import Console

    from orchestrator.report.run_page import run_page

    width = shutil.get_terminal_size((100, 24)).columns
    console = Console(width=width, highlight=False)
    for place, details in enumerate(found):
        if place:
            console.print()
        console.print(run_page(details, width), soft_wrap=True)


def _print_waste(waste: Iterable[Waste]) -> None:
    from collections import Counter

    from orchestrator.report.run_page import size

    counts, sizes = Counter[str](), Counter[str]()
    for one in waste:
        counts[one.kind] += 1
        sizes[one.kind] += one.size
    for kind, count in counts.items():
        typer.echo(f"{kind:16} {count:>8,} {size(sizes[kind]):>12}")
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


def _print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def count(number: int, noun: str) -> str:
    """A number and a noun, in the plural where it has to be."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@contextlib.contextmanager
def progress(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, and nothing elsewhere; what is yielded is told of so many more that are done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda done: bar.advance(task, done)
