"""The command line: parse, call one function, print. Exit codes live here and nowhere else.

0 ok · 1 some runs failed · 2 usage, invalid grid, unreachable database · 3 nothing to do · 130 interrupted.

Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer

from orchestrator import cli_db, cli_runs
from orchestrator.cli_import import import_file
from orchestrator.errors import GridError, NothingToDo, StalesweepError

if TYPE_CHECKING:
    from orchestrator.db.store import Store
    from orchestrator.grid import Sweep

OK, SOME_FAILED, USAGE, NOTHING_TO_DO, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    help="Measure how stale rollouts may be, at which learning rate, before asynchronous RL training collapses.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich would double the time of --help
)
db_app = typer.Typer(help="The database's schema.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(db_app, name="db")

Database = Annotated[
    str | None,
    typer.Option("--db", metavar="URL", help="Database; default STALESWEEP_DB, else sqlite:///stalesweep.db here."),
]
SweepNames = Annotated[list[str] | None, typer.Argument(metavar="[SWEEP]...", help="Sweeps; default all.")]


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
            count = len(error.mistakes)
            typer.echo(f"{error}\n{count} mistake{'s' if count > 1 else ''}; nothing was written", err=True)
            raise typer.Exit(USAGE) from error
        except StalesweepError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(USAGE) from error
        except KeyboardInterrupt as error:
            typer.echo("interrupted; the same command again finishes what is missing", err=True)
            raise typer.Exit(INTERRUPTED) from error

    return wrapped


@app.command()
@exit_codes
def launch(
    grid: Annotated[Path, typer.Argument(metavar="GRID.yaml", help="Grid file; `stalesweep init` writes one.")],
    executor: Annotated[
        str, typer.Option(help="auto, slurm, local or debug; auto = slurm where sbatch answers.")
    ] = "auto",
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Local jobs at a time; default: cores.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, write nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Local: go on in the background, return at once.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Slurm: stay and watch until all runs have ended.")] = False,
    extend: Annotated[bool, typer.Option("--extend", help="Add new cells to a sweep of this name.")] = False,
    allow_huge: Annotated[bool, typer.Option("--allow-huge", help="Accept more than a million runs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db: Database = None,
) -> None:
    """Expand a grid, register its runs and train what is not yet done."""
    from orchestrator import launch as launching
    from orchestrator import local, slurm
    from orchestrator.db.schema import upgrade
    from orchestrator.db.store import Store
    from orchestrator.grid import load_sweep
    from orchestrator.report.live import show_progress
    from orchestrator.report.progress import plan_view
    from orchestrator.settings import database_url

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends the jobs in good order, as Ctrl-C does
    sweep = load_sweep(grid, allow_huge=allow_huge)
    chosen = launching.choose_executor(executor)
    if dry_run:
        arrays = slurm.planned_arrays(sweep) if chosen == "slurm" else []
        _print(plan_view(sweep, chosen, arrays))
        return
    if done := upgrade(database_url(db)):
        typer.echo(str(done), err=True)
    with Store(database_url(db)) as store:
        sweep_id = store.register(sweep, extend=extend)
        launching.place(store, sweep_id)
        _collect(store, sweep_id)
        launching.recover(store, sweep_id)
        run_ids = launching.pending_runs(store, sweep_id)
        if len(run_ids) > 100 and sys.stdin.isatty() and not yes:
            typer.confirm(f"Launch {len(run_ids)} runs on {chosen}?", abort=True)
        if detach and chosen == "local":
            pid, log = local.detach(grid, max_parallel, store.url)
            typer.echo(f"launched in the background as process {pid}; its log: {log}")
            return
        directories = launching.prepare(store, sweep_id, run_ids)
        if reason := launching.why_journals_only(store, chosen):
            typer.echo(f"{reason}: jobs write journals only, and `stalesweep status` brings them in", err=True)
        if chosen == "slurm":
            for array_id in slurm.submit(store, sweep_id, sweep.name, directories):
                typer.echo(f"submitted array {array_id}", err=True)
            if not wait:
                typer.echo(f"{len(run_ids)} runs submitted; watch them with: stalesweep status {sweep.name} --watch")
                return
        with show_progress(sweep.name) as show:
            if chosen == "slurm":
                launching.watch(store, sweep_id, show)
            elif chosen == "debug":
                launching.run_here(store, directories.values())
            else:
                local.run_local(store, sweep_id, directories, max_parallel or local.cores(), show)
        _finish(store, sweep, sweep_id)


def _finish(store: Store, sweep: Sweep, sweep_id: int) -> None:
    from orchestrator.report.progress import progress_view
    from orchestrator.track import sweep_status

    status = sweep_status(sweep.name, store.progress(sweep_id))
    _print(progress_view(status))
    if status.failures:
        raise typer.Exit(SOME_FAILED)


@app.command()
@exit_codes
def status(
    sweeps: SweepNames = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and refresh until all runs have ended.")] = False,
    format: Annotated[str, typer.Option(help="table or json.")] = "table",
    db: Database = None,
) -> None:
    """Show what runs, collapsed or failed, and how long it will take."""
    import json

    from orchestrator.report.progress import progress_view
    from orchestrator.track import sweep_status

    _one_of("--format", format, ("table", "json"))
    with _store(db) as store:
        names = sweeps or store.sweep_names()
        for name in names:
            _collect(store, store.sweep_id(name))
        if watch:
            _watch(store, names)
        found = [sweep_status(name, store.progress(store.sweep_id(name))) for name in names]
    if not found:
        raise NothingToDo("the database holds no sweep yet; `stalesweep launch GRID.yaml` starts one")
    if format == "json":
        typer.echo(json.dumps([one.to_json() for one in found], indent=2, allow_nan=False))
    else:
        for one in found:
            _print(progress_view(one))
    if any(one.failures for one in found):
        raise typer.Exit(SOME_FAILED)


def _watch(store: Store, names: list[str]) -> None:
    from orchestrator.launch import watch
    from orchestrator.report.live import show_progress

    for name in names:
        with show_progress(name) as show:
            watch(store, store.sweep_id(name), show)


@app.command("fit-laws")
@exit_codes
def fit_laws(
    sweeps: SweepNames = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    format: Annotated[str, typer.Option(help="table, markdown, latex, csv or json.")] = "table",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write every format and laws.json here.")] = None,
    db: Database = None,
) -> None:
    """Print the phase-diagram table and the fitted laws."""
    from orchestrator import frames
    from orchestrator.laws.fit import fit_laws as fit
    from orchestrator.report import tables

    _one_of("--format", format, tables.FORMATS)
    with _store(db) as store:
        names = sweeps or store.sweep_names()
        for name in names:
            _collect(store, store.sweep_id(name))
        runs = frames.runs(store, names)
        if model is not None:
            runs = runs[runs["model"] == model]
        if runs.empty:
            raise NothingToDo("no runs to fit" + (f" of model {model!r}" if model else ""))
        laws = fit(runs)
        finished = runs[~runs["run"].isin([left.run for left in laws.left_out])]
        detectors = sorted(finished["collapse_detector"].dropna().unique())
        store.save_fit(
            sweeps=names, run_ids=finished["run"].tolist(), detector=", ".join(detectors), result=laws.to_json()
        )
    if format == "table":
        _print(tables.terminal(laws, _width()))
    else:
        typer.echo(tables.render(laws, format), nl=False)
    if out is not None:
        for path in tables.write_all(laws, out):
            typer.echo(f"wrote {path}", err=True)


@app.command()
@exit_codes
def collect(sweeps: SweepNames = None, db: Database = None) -> None:
    """Bring what journals hold and the database does not; `status` and `fit-laws` do so too."""
    with _store(db) as store:
        for name in sweeps or store.sweep_names():
            _collect(store, store.sweep_id(name))


@app.command()
@exit_codes
def export(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to.")],
    sweeps: SweepNames = None,
    format: Annotated[str, typer.Option(help="parquet or csv.")] = "parquet",
    db: Database = None,
) -> None:
    """Write everything stored, one tidy file a table."""
    from orchestrator.export import export as write

    _one_of("--format", format, ("parquet", "csv"))
    with _store(db) as store:
        for name in sweeps or []:
            store.sweep_id(name)
        for path in write(store, sweeps, out, format):  # type: ignore[arg-type]  # checked above
            typer.echo(str(path))


app.command("import")(exit_codes(import_file))
app.command()(exit_codes(cli_runs.show))
app.command()(exit_codes(cli_runs.rm))
app.command()(exit_codes(cli_runs.gc))


@app.command()
@exit_codes
def doctor(db: Database = None) -> None:
    """Check packages, database, folders, Slurm and torch."""
    from orchestrator.doctor import examine

    bad = False
    for finding in examine(db):
        mark = {True: "ok", False: "BAD", None: "-"}[finding.good]
        typer.echo(f"{mark:>3}  {finding.name:16} {finding.detail}")
        bad |= finding.good is False
    if bad:
        raise typer.Exit(USAGE)


@app.command()
@exit_codes
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder to write to.")] = Path(),
) -> None:
    """Write a commented grid to start from."""
    from orchestrator.settings import shipped

    target = folder / "grid.yaml"
    if target.exists():
        _usage(f"{target} exists already; it was left as it is")
    folder.mkdir(parents=True, exist_ok=True)
    target.write_text((shipped("sweeps") / "quickstart.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    typer.echo(f"wrote {target}; edit it, then: stalesweep launch {target}")


for action in (cli_db.upgrade, cli_db.current, cli_db.check):
    db_app.command()(exit_codes(action))


def _store(db: str | None) -> Store:
    from orchestrator.db.store import Store
    from orchestrator.settings import database_url

    return Store(database_url(db))


def _collect(store: Store, sweep_id: int) -> None:
    from orchestrator.collect import collect

    found = collect(store, sweep_id)
    if found.records:
        runs = f"{found.runs} run{'s' if found.runs > 1 else ''}"
        typer.echo(f"brought {found.records:,} records of {runs} from journals into the database", err=True)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)


def _print(content: Any) -> None:
    from rich.console import Console

    Console(width=_width(), highlight=False).print(content)


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        _usage(f"{option}: expected {', '.join(allowed[:-1])} or {allowed[-1]}, found {value!r}")


def _usage(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(USAGE)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
