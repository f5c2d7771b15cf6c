"""``stalesweep import``: parse, read the file, store it, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.base.errors import UsageError
from orchestrator.base.states import RunState
from orchestrator.base.words import counted
from orchestrator.cli.options import Database
from orchestrator.cli.output import emit, one_of, open_upgraded

if TYPE_CHECKING:
    from orchestrator.data.importing.read import Import


def import_file(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV, Parquet, JSON, trainer_state.json; a folder of an export or TRL."),
    ],
    sweep: Annotated[str, typer.Option("--sweep", metavar="NAME", help="Name to store the runs under.")],
    map: Annotated[
        list[str] | None, typer.Option("--map", metavar="OURS=THEIRS", help="Which column of theirs is which of ours.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="COLUMN=VALUE", help="A column that is the same for all runs.")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option("--skip", metavar="THEIRS", help="A column to leave out.")] = None,
    format: Annotated[str, typer.Option(help="auto, runs, syncs, trl or wandb (any log by steps).")] = "auto",
    runs: Annotated[
        Path | None, typer.Option("--runs", metavar="RUNS.csv", help="What each named run is: run,model,k,eta,seed,...")
    ] = None,
    model: Annotated[str | None, typer.Option(help="As --set model=...")] = None,
    k: Annotated[str | None, typer.Option("--k", metavar="K", help="As --set k=...")] = None,
    eta: Annotated[str | None, typer.Option(metavar="ETA", help="As --set eta=...")] = None,
    seed: Annotated[str | None, typer.Option(metavar="SEED", help="As --set seed=...")] = None,
    horizon: Annotated[str | None, typer.Option(metavar="T", help="As --set horizon=...")] = None,
    detector: Annotated[
        str | None, typer.Option(help="half or zero: how collapse is found in logs; default: what they allow.")
    ] = None,
    lag_unit: Annotated[
        str | None,
        typer.Option(metavar="UNIT", help="A logged lag of 1 is: steps, versions, fraction, or learner steps."),
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add the runs to the import of that name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be imported, write nothing.")] = False,
    db: Database = None,
) -> None:
    """Bring in runs made elsewhere, for `fit-laws`: tables, exports, logs of TRL and Weights & Biases."""
    from orchestrator.data.importing.columns import LagUnit, Options
    from orchestrator.data.importing.read import FORMATS, read_import
    from orchestrator.data.importing.stored import store_import
    from orchestrator.grid.fields import SweepName

    one_of("--format", format, FORMATS)
    if detector is not None:
        one_of("--detector", detector, ("half", "zero"))
    constants = {"model": model, "k": k, "eta": eta, "seed": seed, "horizon": horizon}
    values = _pairs("--set", set_ or []) | {name: value for name, value in constants.items() if value is not None}
    if lag_unit is not None:
        _check("--lag-unit", LagUnit, lag_unit)
    _check("--sweep", SweepName, sweep)
    options = Options(format, _pairs("--map", map or []), values, tuple(skip or ()), detector, runs, lag_unit)
    found = read_import(source, options)
    emit(_summary(found))
    if dry_run:
        emit("Nothing was written.")
        return
    with open_upgraded(db) as store:
        store_import(store, found, sweep, append=append)
    emit(f"stored as sweep {sweep!r}; fit it with: stalesweep fit-laws {sweep}")


def _pairs(option: str, written: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in written:
        ours, equals, theirs = pair.partition("=")
        if not (ours and equals and theirs):
            raise UsageError(f"{option} {pair}: write two names with = between them, as in {option} k=8")
        if ours in pairs:
            raise UsageError(f"{option} {pair}: {ours} is given twice")
        pairs[ours] = theirs
    return pairs


def _check(option: str, kind: Any, value: object) -> None:
    from pydantic import TypeAdapter, ValidationError

    from orchestrator.grid.mistakes import allowed_values

    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise UsageError(f"{option}: cannot be used (found {value!r}; allowed: {allowed_values(kind)})") from error


def _summary(found: Import) -> str:
    cells = counted(len({run.cell for run in found.runs}), "cell")
    collapsed = sum(run.state == RunState.COLLAPSED for run in found.runs)
    counts = f"{counted(len(found.runs), 'run')} in {cells}, {collapsed:,} of them collapsed"
    rows = f"{counted(len(found.syncs), 'weight sync')}, {counted(len(found.evals), 'validation')}"
    return "\n".join([f"{found.source} ({found.format}): {counts}; {rows}", *(f"  {note}" for note in found.notes)])
