"""Commands on the laws: ``fit-laws`` prints, writes and stores them, ``advise`` asks them, ``report`` writes a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.base.errors import NothingToDo, StoreError, UsageError
from orchestrator.cli.options import Database, Format, Model, SweepNames
from orchestrator.cli.output import collect_all, emit, one_blas_thread, one_of, open_store, say, show, width

if TYPE_CHECKING:
    from orchestrator.report.fitting import Fitted
    from orchestrator.store.database import Store


def fit_laws(
    sweeps: SweepNames = None,
    model: Model = None,
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


def advise(
    k: Annotated[int, typer.Option(min=1, help="Staleness: learner steps per rollout cycle.")],
    horizon: Annotated[int, typer.Option(min=1, help="Learner steps you want to train.")],
    model: Annotated[
        str | None, typer.Option(help="Model, or model · axis=value; needed if there are several.")
    ] = None,
    sweeps: SweepNames = None,
    risk: Annotated[float, typer.Option(help="Share of runs that may collapse, between 0 and 1.")] = 0.05,
    format: Format = "table",
    db: Database = None,
) -> None:
    """Print the largest safe learning rate for a model, a staleness and a horizon, and what limits it."""
    one_blas_thread()
    from orchestrator.data import frames
    from orchestrator.laws.advice import advise as ask
    from orchestrator.laws.evidence import cells, evidence, groups
    from orchestrator.report.advising import as_json, as_text

    one_of("--format", format, ("table", "json"))
    if not 0 < risk < 1:
        raise UsageError(f"--risk: expected a share between 0 and 1, found {risk:g}")
    with open_store(db) as store:
        names = collect_all(store, sweeps)
        of_groups = dict(groups(evidence(frames.runs(store, names))))
    group = _chosen(model, list(of_groups))
    members = of_groups[group]
    answer = ask(members[members["bounds"]], cells(members), k, horizon, risk)
    if isinstance(answer, str):
        raise NothingToDo(f"{group}: {answer}")
    if format == "json":
        emit(json.dumps(as_json(group, answer), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        emit(as_text(group, answer))


def _chosen(model: str | None, groups: list[str]) -> str:
    if not groups:
        raise NothingToDo("no runs to fit")
    if model is None and len(groups) == 1:
        return groups[0]
    if model in groups:
        return str(model)
    listed = ", ".join(repr(group) for group in groups)
    said = "name one with --model" if model is None else f"there is no {model!r}"
    raise UsageError(f"--model: {said}; these have runs: {listed}")


def report(
    sweeps: SweepNames = None,
    model: Model = None,
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
