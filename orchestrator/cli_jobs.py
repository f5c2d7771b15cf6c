"""Commands on the jobs of runs that a user names: ``logs``, ``cancel``, ``retry``."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli_runs import ASK_ABOVE, Database, States, Yes, bring_in, confirm, count, open_store, selected
from orchestrator.errors import NothingToDo

Selection = Annotated[list[str], typer.Argument(metavar="SEL...", help="Sweeps, or numbers of runs.")]


def cancel(sel: Selection, state: States = None, yes: Yes = False, db: Database = None) -> None:
    """Take runs back that are going: their jobs stop at the next learner step; `launch` and `retry` let them go on."""
    import getpass

    from orchestrator import cancelling

    with open_store(db) as store:
        chosen = selected(store, sel, state)
        bring_in(store, chosen)
        going = [run for run in selected(store, sel, state) if run.state in cancelling.GOING]
        if not going:
            raise NothingToDo("nothing to cancel: these runs have ended")
        confirm(f"Cancel {count(len(going), 'run')}?", yes=yes or len(going) <= ASK_ABOVE)
        done = cancelling.cancel(store, going, f"cancelled by {getpass.getuser()}")
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    tasks = f", and {count(done.tasks, 'job')} of Slurm" if done.tasks else ""
    typer.echo(f"cancelled {count(len(done.runs), 'run')}{tasks}")
