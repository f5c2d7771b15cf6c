"""The command line: parse, call one function, print. Exit codes live here and nowhere else.

0 ok · 1 some runs failed · 2 usage, invalid grid, unreachable database · 3 nothing to do · 130 interrupted.

Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

import typer

from orchestrator.base.errors import GridError, NothingToDo, StalesweepError, UsageError
from orchestrator.base.words import counted
from orchestrator.cli import advise as cli_advise
from orchestrator.cli import db as cli_db
from orchestrator.cli import doctor as cli_doctor
from orchestrator.cli import fit as cli_fit
from orchestrator.cli import jobs as cli_jobs
from orchestrator.cli import launch as cli_launch
from orchestrator.cli import plan as cli_plan
from orchestrator.cli import report as cli_report
from orchestrator.cli import runs as cli_runs
from orchestrator.cli import search as cli_search
from orchestrator.cli.importing import import_file
from orchestrator.cli.options import Database, SweepNames
from orchestrator.cli.output import collect_all, one_of, open_store, show

if TYPE_CHECKING:
    from orchestrator.store.database import Store

OK, SOME_FAILED, USAGE, NOTHING_TO_DO, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    help="Measure how stale rollouts may be, at which learning rate, before asynchronous RL training collapses.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich would double the time of --help
)
db_app = typer.Typer(help="The database's schema.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(db_app, name="db")

P = ParamSpec("P")
R = TypeVar("R")


def exit_codes(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors of a command into messages on stderr and exit codes."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except NothingToDo as nothing:
            typer.echo(str(nothing), err=True)
            raise typer.Exit(NOTHING_TO_DO) from nothing
        except GridError as error:
            typer.echo(f"{error}\n{counted(len(error.mistakes), 'mistake')}; nothing was written", err=True)
            raise typer.Exit(USAGE) from error
        except StalesweepError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(USAGE) from error
        except KeyboardInterrupt as error:
            typer.echo("interrupted; the same command again finishes what is missing", err=True)
            raise typer.Exit(INTERRUPTED) from error

    return wrapped


app.command()(exit_codes(cli_launch.launch))


@app.command()
@exit_codes
def status(
    sweeps: SweepNames = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and refresh until all runs have ended.")] = False,
    format: Annotated[str, typer.Option(help="table or json.")] = "table",
    db: Database = None,
) -> None:
    """Show which runs wait, train, collapsed or failed, and how long the rest will take."""
    import json

    from orchestrator.jobs.status import status_of
    from orchestrator.report.progress import progress_view

    one_of("--format", format, ("table", "json"))
    with open_store(db) as store:
        names = collect_all(store, sweeps)
        if watch:
            _watch(store, names)
        found = [status_of(store, name) for name in names]
    for silence in sorted({one.silence for one in found} - {""}):
        typer.echo(f"note: {silence}", err=True)
    if not found:
        raise NothingToDo("the database holds no sweep yet; `stalesweep launch GRID.yaml` starts one")
    if format == "json":
        typer.echo(json.dumps([one.to_json() for one in found], indent=2, allow_nan=False))
    else:
        for one in found:
            show(progress_view(one))
    if any(one.failures for one in found):
        raise typer.Exit(SOME_FAILED)


def _watch(store: Store, names: list[str]) -> None:
    from orchestrator.attempt.notifying import tell_end
    from orchestrator.jobs.training import watch
    from orchestrator.report.live import show_progress
    from orchestrator.store import queries

    for name in names:
        with show_progress(name) as show:
            watch(store, queries.sweep_id(store, name), show)
        tell_end(store, name)


app.command("fit-laws")(exit_codes(cli_fit.fit_laws))
app.command()(exit_codes(cli_advise.advise))
app.command()(exit_codes(cli_plan.plan))
app.command()(exit_codes(cli_search.search))


@app.command()
@exit_codes
def collect(sweeps: SweepNames = None, db: Database = None) -> None:
    """Bring journals into the database; `status` and `fit-laws` do it too."""
    with open_store(db) as store:
        collect_all(store, sweeps)


@app.command()
@exit_codes
def export(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to.")],
    sweeps: SweepNames = None,
    format: Annotated[str, typer.Option(help="parquet or csv.")] = "parquet",
    db: Database = None,
) -> None:
    """Write all that is stored, one file a table."""
    from orchestrator.data.export import export as write
    from orchestrator.store import queries

    one_of("--format", format, ("parquet", "csv"))
    with open_store(db) as store:
        for name in sweeps or []:
            queries.sweep_id(store, name)
        for path in write(store, sweeps, out, format):  # type: ignore[arg-type]  # checked above
            typer.echo(str(path))


app.command("import")(exit_codes(import_file))
app.command()(exit_codes(cli_runs.show))
app.command()(exit_codes(cli_runs.rm))
app.command()(exit_codes(cli_runs.gc))
app.command()(exit_codes(cli_jobs.logs))
app.command()(exit_codes(cli_jobs.cancel))
app.command()(exit_codes(cli_jobs.retry))
app.command()(exit_codes(cli_doctor.doctor))
app.command()(exit_codes(cli_report.report))


@app.command()
@exit_codes
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder to write to.")] = Path(),
) -> None:
    """Write a commented grid to start from."""
    from orchestrator.base.settings import shipped

    target = folder / "grid.yaml"
    if target.exists():
        raise UsageError(f"{target} exists already; it was left as it is")
    folder.mkdir(parents=True, exist_ok=True)
    target.write_text((shipped("sweeps") / "quickstart.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    typer.echo(f"wrote {target}; edit it, then: stalesweep launch {target}")


for action in (cli_db.upgrade, cli_db.current, cli_db.check):
    db_app.command()(exit_codes(action))


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
