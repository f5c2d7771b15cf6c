"""The command line: parse, call one function, print. Exit codes live here and nowhere else.

0 ok · 1 some runs failed · 2 usage, invalid grid, unreachable database · 3 nothing to do · 130 interrupted.

Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.base.errors import GridError, NothingToDo, StalesweepError, UsageError
from orchestrator.base.safe_text import printable
from orchestrator.base.settings import database_url, shipped
from orchestrator.base.words import counted
from orchestrator.cli import output
from orchestrator.cli.doctor import doctor
from orchestrator.cli.importing import import_file
from orchestrator.cli.launch import launch
from orchestrator.cli.laws import advise, fit_laws, report
from orchestrator.cli.options import Database, Format, SweepNames
from orchestrator.cli.runs import cancel, gc, logs, retry, rm, show
from orchestrator.cli.search import plan, search

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


def exit_codes(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the errors of a command into messages on stderr and exit codes."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except NothingToDo as nothing:
            output.say(str(nothing))
            raise typer.Exit(NOTHING_TO_DO) from nothing
        except GridError as error:
            output.say(f"{error}\n{counted(len(error.mistakes), 'mistake')}; nothing was written")
            raise typer.Exit(USAGE) from error
        except StalesweepError as error:
            output.say(f"error: {error}")
            raise typer.Exit(USAGE) from error
        except KeyboardInterrupt as error:
            output.say("interrupted; the same command again finishes what is missing")
            raise typer.Exit(INTERRUPTED) from error

    return wrapped


def status(
    sweeps: SweepNames = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and refresh until all runs have ended.")] = False,
    format: Format = "table",
    db: Database = None,
) -> None:
    """Show which runs wait, train, collapsed or failed, and how long the rest will take."""
    from orchestrator.jobs.status import status_of
    from orchestrator.report.progress import progress_view

    output.one_of("--format", format, ("table", "json"))
    with output.open_store(db) as store:
        names = output.collect_all(store, sweeps)
        for name in names if watch else ():
            _watch(store, name)
        found = [status_of(store, name) for name in names]
    output.say_notes(sorted({one.silence for one in found} - {""}))
    if not found:
        raise NothingToDo("the database holds no sweep yet; `stalesweep launch GRID.yaml` starts one")
    if format == "json":
        output.emit(json.dumps([one.to_json() for one in found], indent=2, allow_nan=False))
    else:
        for one in found:
            output.show(progress_view(one))
    if any(one.failures for one in found):
        raise typer.Exit(SOME_FAILED)


def _watch(store: Store, name: str) -> None:
    from orchestrator.attempt.notice import tell_end
    from orchestrator.jobs.training import watch
    from orchestrator.report.progress import show_progress
    from orchestrator.store import queries

    with show_progress(name) as on_poll:
        watch(store, queries.sweep_id(store, name), on_poll)
    tell_end(store, name)


def collect(sweeps: SweepNames = None, db: Database = None) -> None:
    """Bring journals into the database; `status` and `fit-laws` do it too."""
    with output.open_store(db) as store:
        output.collect_all(store, sweeps)


def export(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to.")],
    sweeps: SweepNames = None,
    format: Annotated[str, typer.Option(help="parquet or csv.")] = "parquet",
    db: Database = None,
) -> None:
    """Write all that is stored, one file a table."""
    from orchestrator.data.frames import export as write

    output.one_of("--format", format, ("parquet", "csv"))
    with output.open_store(db) as store:
        for path in write(store, sweeps, out, format):  # type: ignore[arg-type]  # checked above
            output.emit(str(path))


def init(folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder to write to.")] = Path()) -> None:
    """Write a commented grid to start from."""
    target = folder / "grid.yaml"
    if target.exists():
        raise UsageError(f"{target} exists already; it was left as it is")
    folder.mkdir(parents=True, exist_ok=True)
    target.write_text((shipped("sweeps") / "quickstart.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    output.emit(f"wrote {target}; edit it, then: stalesweep launch {target}")


def upgrade(db: Database = None) -> None:
    """Bring the database's schema to this version's."""
    from orchestrator.store import schema

    done = schema.upgrade(database_url(db))
    output.emit(str(done) if done else f"schema {schema.REVISIONS[-1]}: up to date")


def current(db: Database = None) -> None:
    """Print the database's schema revision."""
    from orchestrator.store import schema

    found = schema.current(database_url(db))
    output.emit(found or "none: the database is empty")
    if found not in (None, *schema.REVISIONS):
        schema.check(database_url(db))


def check(db: Database = None) -> None:
    """Check that the schema is this version's."""
    from orchestrator.store import schema

    schema.check(database_url(db))
    output.emit("the schema is this version's")


COMMANDS: dict[str, Callable[..., None]] = {
    "launch": launch, "status": status, "fit-laws": fit_laws, "advise": advise, "plan": plan, "search": search,
    "collect": collect, "export": export, "import": import_file, "show": show, "rm": rm, "gc": gc, "logs": logs,
    "cancel": cancel, "retry": retry, "doctor": doctor, "report": report, "init": init,
}  # fmt: skip
for name, command in COMMANDS.items():
    app.command(name)(exit_codes(command))
for action in (upgrade, current, check):
    db_app.command()(exit_codes(action))


def main() -> None:
    """Entry point of the console script."""
    if logging.lastResort is not None:  # what writes warnings to stderr
        logging.lastResort.setFormatter(_SafeFormatter())
    app()


class _SafeFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


if __name__ == "__main__":
    main()
