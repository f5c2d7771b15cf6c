"""Options and arguments that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Database = Annotated[
    str | None,
    typer.Option("--db", metavar="URL", help="Database; default STALESWEEP_DB, else sqlite:///stalesweep.db here."),
]
SweepNames = Annotated[list[str] | None, typer.Argument(metavar="[SWEEP]...", help="Sweeps; default all.")]
Model = Annotated[str | None, typer.Option(help="Only this model.")]
Selection = Annotated[list[str], typer.Argument(metavar="SEL...", help="Sweeps, or numbers of runs.")]
States = Annotated[
    list[str] | None, typer.Option("--state", "-s", metavar="STATE", help="Only runs in this state; may be repeated.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Format = Annotated[str, typer.Option(help="table or json.")]
ExecutorName = Annotated[
    str, typer.Option("--executor", help="auto, slurm, local or debug; auto = slurm where there is one.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be removed, remove nothing.")]
