"""``stalesweep report``: fit, draw and write one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.base.errors import NothingToDo, UsageError
from orchestrator.cli.options import Database, SweepNames
from orchestrator.cli.output import collect_all, emit, one_blas_thread, open_store


def report(
    sweeps: SweepNames = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Page to write.")] = Path("report.html"),
    db: Database = None,
) -> None:
    """Write tables, laws, figures and provenance as one HTML page, readable offline."""
    one_blas_thread()
    from orchestrator.report import fitting
    from orchestrator.report.page import page, write_page

    with open_store(db) as store:
        names = collect_all(store, sweeps)
        fitted = fitting.fit(store, names, model=model)
        if fitted.runs.empty:
            raise NothingToDo("no runs to report on" + (f" of model {model!r}" if model else ""))
        text = page(store, fitted.laws, fitted.runs, model)
    try:
        write_page(text, out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from error
    emit(str(out))
