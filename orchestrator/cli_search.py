"""``stalesweep search``: make the runs that teach most about the stability boundary, until it is known."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli_launch import catch_up, train
from orchestrator.cli_options import Database
from orchestrator.cli_output import one_blas_thread, one_of, show
from orchestrator.errors import NothingToDo

if TYPE_CHECKING:
    from orchestrator.db.store import Store
    from orchestrator.grid import Sweep
    from orchestrator.launch import Executor
    from orchestrator.search import Search
    from orchestrator.searchfile import SearchConfig


def search(
    file: Annotated[Path, typer.Argument(metavar="SEARCH.yaml", help="The search file.")],
    executor: Annotated[
        str, typer.Option(help="auto, slurm, local or debug; auto = slurm where there is one.")
    ] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is known and what would be run next, write nothing.")
    ] = False,
    format: Annotated[str, typer.Option(help="table or json, of what is known at the end.")] = "table",
    db: Database = None,
) -> None:
    """Find eta_max at every k with few learner steps: choose runs by what stored ones say, train, choose again."""
    one_blas_thread()
    from orchestrator.db.schema import upgrade
    from orchestrator.db.store import Store
    from orchestrator.launch import choose_executor
    from orchestrator.outlook import stored_outcomes
    from orchestrator.report.answers import answers_json, answers_view
    from orchestrator.search import Search
    from orchestrator.searchfile import load_search
    from orchestrator.settings import database_url, profile

    one_of("--format", format, ("table", "json"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends the jobs in good order, as Ctrl-C does
    sweep, wanted = load_search(file, profile=profile())
    looking = Search(sweep, wanted)
    chosen, failed, spent = choose_executor(executor), False, 0
    if dry_run:
        looking.learn(stored_outcomes(database_url(db), {run.cell.model for run in sweep.runs}))
        ending = _next_texts(looking)
    else:
        if done := upgrade(database_url(db)):
            typer.echo(str(done), err=True)
        with Store(database_url(db)) as store:
            sweep_id = store.begin(sweep)
            ending, failed = _search(store, sweep_id, sweep, wanted, looking, chosen)
            spent = _spent(store, sweep_id)
    answers = looking.answers()
    if format == "json":
        content = answers_json(answers, ending, spent)
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        show(answers_view(answers, wanted.confidence, ending))
    if failed:
        raise typer.Exit(1)


def _search(
    store: Store, sweep_id: int, sweep: Sweep, wanted: SearchConfig, looking: Search, executor: Executor
) -> tuple[str, bool]:
    """Train and learn until there is an end; why it ended, and whether runs have failed."""
    models = {run.cell.model for run in sweep.runs}
    while True:
        failed = _train_rest(store, sweep_id, sweep.name, wanted, executor)
        looking.learn(store.outcomes(models))
        if failed:
            return f"Runs have failed: `stalesweep status {sweep.name}` tells why; the same command tries again.", True
        spent, taken = _spent(store, sweep_id), store.seeds(sweep_id)
        used = f"{len(taken)} runs, {spent:,} of {wanted.learner_steps:,} learner steps."
        if all(answer.standing != "open" for answer in looking.answers()):
            return f"Done: {used}", False
        if spent >= wanted.learner_steps:
            return f"The budget is spent: {used}", False
        runs = looking.choose(taken)
        if not runs:
            return f"No run of the file is left that would teach more: {used}", False
        store.grow(sweep_id, sweep, runs)


def _train_rest(store: Store, sweep_id: int, name: str, wanted: SearchConfig, executor: Executor) -> bool:
    """Train the runs of the search that have no result yet, wherever a former search has left them."""
    from orchestrator import launch as launching

    try:
        run_ids = launching.pending_runs(store, sweep_id, catch_up(store, sweep_id, name))
    except NothingToDo:
        if not store.unfinished_runs(sweep_id):
            return False
        run_ids = []
    return train(store, sweep_id, name, run_ids, executor, max_parallel=wanted.parallel, wait=True, ends=False)


def _spent(store: Store, sweep_id: int) -> int:
    return sum(run.learner_steps for run in store.progress(sweep_id))


def _next_texts(looking: Search) -> str:
    runs = [f"k={run.cell.k}, eta={run.cell.eta:g}, seed={run.seed}" for run in looking.choose(())]
    return f"Next would be: {'; '.join(runs)}. Nothing was written." if runs else "Nothing is left to be run."
