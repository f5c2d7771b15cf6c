"""What several commands print and ask: views to stdout, notes to stderr, questions to the terminal."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.base.errors import NothingToDo, UsageError
from orchestrator.base.safe_text import printable
from orchestrator.base.settings import database_url

if TYPE_CHECKING:
    from orchestrator.store.database import Store


def open_store(db: str | None) -> Store:
    """Open the database that ``--db`` or the settings name."""
    from orchestrator.store.database import Store

    return Store(database_url(db))


def open_upgraded(db: str | None) -> Store:
    """Open the database after bringing its schema to this version's, which is printed."""
    from orchestrator.store.database import Store
    from orchestrator.store.schema import upgrade

    url = database_url(db)
    if done := upgrade(url):
        say(str(done))
    return Store(url)


def collect_all(store: Store, sweeps: list[str] | None) -> list[str]:
    """Bring in the journals of sweeps, of all where none is named, and return the sweeps' names."""
    from orchestrator.jobs.collecting import bring_in
    from orchestrator.store import queries

    names = sweeps or queries.sweep_names(store)
    for name in names:
        bring_in(store, name, say)
    return names


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse an option's value that is not among the allowed ones.

    Raises:
        UsageError: It is not.
    """
    if value not in allowed:
        raise UsageError(f"{option}: expected {', '.join(allowed[:-1])} or {allowed[-1]}, found {value!r}")


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless the user gave ``--yes``.

    Raises:
        UsageError: This is not a terminal, so the question cannot be asked.
        NothingToDo: The user says no.
    """
    if yes:
        return
    if not _is_terminal():
        raise UsageError(f"{question} This is not a terminal, so nobody can be asked: say --yes")
    if not typer.confirm(question):
        raise NothingToDo("nothing was done")


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def emit(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Print text to stdout, or to stderr; what would steer the terminal is written as text."""
    typer.echo(printable(text), nl=nl, err=err)


def say(text: str) -> None:
    """Print a line to stderr."""
    emit(text, err=True)


def say_notes(notes: Iterable[str]) -> None:
    """Print notes to stderr."""
    for note in notes:
        say(f"note: {note}")


def show(content: Any) -> None:
    """Print a view as wide as the terminal."""
    from orchestrator.report.console import SafeConsole

    SafeConsole(width=width()).print(content)


def width() -> int:
    """Columns of the terminal; 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns


@contextlib.contextmanager
def progress(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal, and nothing elsewhere. Yields a function that takes how many more are done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda done: bar.advance(task, done)


def one_blas_thread() -> None:
    """Keep the fits' many small matrices off OpenBLAS's threads, which cost four times the time; call before numpy."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
