"""``stalesweep plan``: simulate what a search and full grids would know, and cost, before anything is paid for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import Database
from orchestrator.cli.output import emit, one_blas_thread, one_of, show

if TYPE_CHECKING:
    from orchestrator.grid.sweep import Sweep
    from orchestrator.search.search_file import SearchConfig

GRIDS = (1, 3)
"""Default runs of each cell of the simulated grids; the file's own number is added."""

FEW = 10
"""Fewest simulations for each further process."""


def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="A search file, or a grid file.")],
    power: Annotated[
        bool, typer.Option("--power/--no-power", help="Simulate designs; else what `launch --dry-run` says.")
    ] = True,
    replicates: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Runs of each cell of a grid to compare; may be repeated. Default 1 and 3."),
    ] = None,
    simulations: Annotated[int, typer.Option(min=2, help="Simulations of each design.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulations.")] = 0,
    format: Annotated[str, typer.Option(help="table, markdown or json.")] = "table",
    db: Database = None,
) -> None:
    """Say how well a search and full grids would know the boundary, and what they would cost; writes nothing."""
    one_blas_thread()
    from orchestrator.base.settings import database_url, profile
    from orchestrator.jobs.training import choose_executor
    from orchestrator.search.search_file import load_either

    one_of("--format", format, ("table", "markdown", "json"))
    sweep, wanted = load_either(file, profile=profile())
    if power:
        _simulate(sweep, wanted, replicates or GRIDS, simulations, seed, format, database_url(db))
    else:
        from orchestrator.cli.launch import print_plan

        print_plan(sweep, choose_executor("auto"), database_url(db))


def _simulate(
    sweep: Sweep,
    wanted: SearchConfig | None,
    replicates: Sequence[int],
    simulations: int,
    seed: int,
    format: str,
    url: str,
) -> None:
    from orchestrator.cli.output import progress
    from orchestrator.jobs.estimate import stored_paces
    from orchestrator.jobs.local import cores
    from orchestrator.report.answers import power_json, power_markdown, power_view
    from orchestrator.search.outlook import stored_outcomes
    from orchestrator.search.search import Search
    from orchestrator.search.search_file import SearchConfig
    from orchestrator.search.simulation import PowerPlan, simulate

    models = {run.cell.model for run in sweep.runs}
    asked = wanted or SearchConfig(learner_steps=1)  # for a grid file: the default target, and no search
    known = Search(sweep, asked)
    known.learn(stored_outcomes(url, models))
    own = max(Counter(run.cell for run in sweep.runs).values())
    grids = tuple(sorted({*replicates, own}))
    plan = PowerPlan(known, wanted is not None, grids, stored_paces(url, models), seed)
    with progress("simulating", simulations) as advance:
        processes = min(cores(), max(1, simulations // FEW))
        designs = simulate(plan, simulations, processes, lambda: advance(1))
    if format == "json":
        content = power_json(plan, designs, simulations)
        emit(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
    elif format == "markdown":
        emit(power_markdown(plan, designs, simulations))
    else:
        show(power_view(plan, designs, simulations))
