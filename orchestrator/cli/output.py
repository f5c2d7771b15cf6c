"""What several commands print: pictures to stdout, what journals held to stderr; and how fits are to be computed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.base.errors import UsageError
from orchestrator.store import queries

if TYPE_CHECKING:
    from orchestrator.store.store import Store


def collect(store: Store, sweep: str) -> None:
    """Bring in what the journals of a sweep hold, and say so."""
    from orchestrator.attempt.notifying import tell_end
    from orchestrator.store.collect import collect as bring

    found = bring(store, queries.sweep_id(store, sweep))
    if found.records:
        runs = f"{found.runs} run{'s' if found.runs > 1 else ''}"
        typer.echo(f"brought {found.records:,} records of {runs} from journals into the database", err=True)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    tell_end(store, sweep)


def collect_all(store: Store, sweeps: list[str] | None) -> list[str]:
    """Do so for sweeps, all where none is named, and return their names."""
    names = sweeps or queries.sweep_names(store)
    for name in names:
        collect(store, name)
    return names


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse an option's value that is not among the allowed ones, of which there are several.

    Raises:
        UsageError: It is not.
    """
    if value not in allowed:
        raise UsageError(f"{option}: expected {', '.join(allowed[:-1])} or {allowed[-1]}, found {value!r}")


def show(content: Any) -> None:
    """Print a picture as wide as the terminal."""
    from rich.console import Console

    Console(width=width(), highlight=False).print(content)


def width() -> int:
    """Columns of the terminal; 100 where there is none."""
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


def one_blas_thread() -> None:
    """Keep the fits' many small matrices off OpenBLAS's threads, which cost four times the time; call before numpy."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
