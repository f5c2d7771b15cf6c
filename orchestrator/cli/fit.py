"""``stalesweep fit-laws``: fit the laws, print them, write them to files and store them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.base.errors import NothingToDo, StoreError, UsageError
from orchestrator.cli.options import Database, SweepNames
from orchestrator.cli.output import collect_all, emit, one_blas_thread, one_of, open_store, say, show, width

if TYPE_CHECKING:
    from orchestrator.report.fitting import Fitted
    from orchestrator.store.database import Store


def fit_laws(
    sweeps: SweepNames = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    format: Annotated[str, typer.Option(help="table, markdown, latex, csv or json.")] = "table",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write every format and figures here.")] = None,
    detector: Annotated[str, typer.Option(help="What counts as collapse: stored, half or zero.")] = "stored",
    fraction: Annotated[float | None, typer.Option(help="Setting of half; default: that of the runs.")] = None,
    min_evals: Annotated[int | None, typer.Option(help="Setting of half and zero; default: that of the runs.")] = None,
    history: Annotated[bool, typer.Option("--history", hidden=True)] = False,
    db: Database = None,
) -> None:
    """Print the phase-diagram table and the fitted laws."""
    one_blas_thread()
    from orchestrator.report import fitting, tables

    if history:
        raise UsageError("--history was removed in version 0.1.0: `stalesweep export` writes the stored fits, `fits`")
    one_of("--format", format, tables.FORMATS)
    definition = fitting.Definition(detector, fraction, min_evals)
    with open_store(db) as store:
        names = collect_all(store, sweeps)
        fitted = fitting.fit(store, names, model=model, definition=definition)
        if fitted.runs.empty:
            raise NothingToDo("no runs to fit" + (f" of model {model!r}" if model else ""))
        if format == "table":
            show(tables.terminal(fitted.laws, width()))
        else:
            emit(tables.render(fitted.laws, format), nl=False)
        if out is not None:
            _write(store, fitted, out)
        _keep(store, fitted)


def _write(store: Store, fitted: Fitted, folder: Path) -> None:
    from orchestrator.report import tables
    from orchestrator.report.figures import write_figures

    for path in tables.write_all(fitted.laws, folder):
        say(f"wrote {path}")
    for path_or_note in write_figures(store, fitted.laws, fitted.runs, folder):
        say(f"{'note:' if isinstance(path_or_note, str) else 'wrote'} {path_or_note}")


def _keep(store: Store, fitted: Fitted) -> None:
    """Store a fit; if that fails, say so and go on."""
    from orchestrator.report import fitting

    try:
        fitting.save(store, fitted)
    except StoreError as error:
        say(f"note: this fit was not stored, so export will not write it: {error}")
