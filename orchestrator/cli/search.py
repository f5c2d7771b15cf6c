"""``search`` trains the runs that narrow the stability boundary most; ``plan`` simulates what that would give."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.base.errors import NothingToDo
from orchestrator.base.states import RunState
from orchestrator.cli.launch import print_plan, train
from orchestrator.cli.options import Database, ExecutorName
from orchestrator.cli.output import emit, one_blas_thread, one_of, open_upgraded, progress, say, show

if TYPE_CHECKING:
    from orchestrator.grid.sweep import Sweep
    from orchestrator.jobs.training import Executor, Refill
    from orchestrator.search.search import Search
    from orchestrator.search.search_file import SearchConfig
    from orchestrator.store.database import Store

GRIDS = (1, 3)
"""Default runs of each cell of the simulated grids; the file's own number is added."""

FEW = 10
"""Fewest simulations for each further process."""


def search(
    file: Annotated[Path, typer.Argument(metavar="SEARCH.yaml", help="The search file.")],
    executor: ExecutorName = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what is known and the next runs; write nothing.")
    ] = False,
    format: Annotated[str, typer.Option(help="Of the answers at the end: table or json.")] = "table",
    db: Database = None,
) -> None:
    """Find eta_max at every k with few learner steps: learn from stored runs, train the most telling ones, repeat."""
    one_blas_thread()
    from orchestrator.attempt.notice import tell_end
    from orchestrator.base.settings import database_url, profile
    from orchestrator.jobs.training import choose_executor
    from orchestrator.report.answers import answers_json, answers_view
    from orchestrator.search.outlook import stored_outcomes
    from orchestrator.search.search import Search
    from orchestrator.search.search_file import load_search
    from orchestrator.store import queries, registration

    one_of("--format", format, ("table", "json"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends the jobs in good order, as Ctrl-C does
    sweep, wanted = load_search(file, profile=profile())
    chosen, failed, spent = choose_executor(executor), False, 0
    if dry_run:
        looking = Search(sweep, wanted)
        looking.learn(stored_outcomes(database_url(db), {run.cell.model for run in sweep.runs}))
        ending = _next_texts(looking)
    else:
        with open_upgraded(db) as store:
            sweep_id = registration.begin(store, sweep)
            looking, ending, failed = _search(store, sweep_id, sweep, wanted, chosen)
            spent = sum(run.learner_steps for run in queries.progress(store, sweep_id))
            tell_end(store, sweep.name, searched=True)
    answers = looking.answers()
    if format == "json":
        content = answers_json(answers, ending, spent)
        emit(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        show(answers_view(answers, wanted.confidence, ending))
    if failed:
        raise typer.Exit(1)


def _search(
    store: Store, sweep_id: int, sweep: Sweep, wanted: SearchConfig, executor: Executor
) -> tuple[Search, str, bool]:
    """Train and learn to the end; returns what is known then, why the search ended, and whether runs have failed."""
    from orchestrator.search.driver import SearchDriver
    from orchestrator.store import queries

    places = 1 if executor == "debug" else wanted.parallel
    driver = SearchDriver(store, sweep_id, sweep, wanted, places)
    while True:
        failed = _train_rest(store, sweep_id, sweep, executor, places, driver.look)
        further = driver.look(queries.progress(store, sweep_id))
        if failed:
            how = f"`stalesweep status {sweep.name}` says why; the same command tries again."
            return driver.search, f"Runs have failed: {how}", True
        if not further:
            return driver.search, driver.ending(queries.progress(store, sweep_id)), False


def _train_rest(store: Store, sweep_id: int, sweep: Sweep, executor: Executor, places: int, refill: Refill) -> bool:
    """Train the stored runs without a result, and those that `refill` stores meanwhile; returns whether any failed."""
    from orchestrator.jobs.training import Training
    from orchestrator.store import queries

    training = Training(store, sweep_id, sweep.name, say)
    try:
        run_ids = training.runs()
        cancelled = {run.run_id for run in queries.progress(store, sweep_id) if run.state == RunState.CANCELLED}
        run_ids = [run_id for run_id in run_ids if run_id not in cancelled]
    except NothingToDo:
        if not queries.unfinished_runs(store, sweep_id):
            return False
        run_ids = []
    return train(
        training, run_ids, executor, wait=True, ends=False, max_parallel=places, gpus=sweep.gpus, refill=refill
    )


def _next_texts(looking: Search) -> str:
    runs = [f"k={run.cell.k}, eta={run.cell.eta:g}, seed={run.seed}" for run in looking.choose()]
    return f"Next would be: {'; '.join(runs)}. Nothing was written." if runs else "Nothing is left to be run."


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
