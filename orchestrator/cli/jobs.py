"""Commands on the jobs of runs that a user names: ``logs``, ``cancel``, ``retry``."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.base.errors import NothingToDo, UsageError
from orchestrator.base.states import CANCELLABLE, UNKNOWN, RunState
from orchestrator.base.words import counted
from orchestrator.cli import launch as cli_launch
from orchestrator.cli.options import Database, Selection, States, Yes
from orchestrator.cli.output import confirm, open_store, progress, say
from orchestrator.cli.runs import ASK_ABOVE

if TYPE_CHECKING:
    from orchestrator.store.selection import SelectedRun
    from orchestrator.store.store import Store


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Number of a run.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print what comes until the run has ended.")] = False,
    attempt: Annotated[int | None, typer.Option(metavar="N", help="Only this attempt; default all.")] = None,
    job: Annotated[bool, typer.Option("--job", help="What its job printed, instead of the run's own log.")] = False,
    db: Database = None,
) -> None:
    """Print what a run has logged, or what its job has printed."""
    from orchestrator.runs import logs as logging
    from orchestrator.runs.named import find_up_to_date

    with open_store(db) as store:
        chosen = find_up_to_date(store, [run], None, say)
        if len(chosen) > 1:
            raise UsageError(f"`logs` shows one run, and {run} has {len(chosen)}: name one by its number, e.g. "
                             f"{chosen[0].run_id}")  # fmt: skip
        [wanted] = chosen
        find = logging.job_logs if job else logging.own_logs
        paths, show = find(store, wanted, attempt), _Logs()
        if follow:
            grows = not job and attempt is None  # a new attempt has a file of its own
            listed = (lambda: logging.own_logs(store, wanted, None)) if grows else (lambda: paths)
            show.follow(listed, _IsOver(store, wanted))
        else:
            show.print(paths)
        if show.empty and not job:
            _explain(store, wanted, logging.directory_of(wanted))
            paths = logging.job_logs(store, wanted, attempt)
            show.print(paths)
    if show.empty:
        raise NothingToDo("; ".join(["its job has printed nothing, or its log is gone", *map(str, paths)]))


class _Logs:
    """Prints logs, each under its name if there are several."""

    def __init__(self) -> None:
        self._shown: Path | None = None
        self.empty = True

    def print(self, paths: Sequence[Path]) -> None:
        from orchestrator.runs.logs import read

        for path in paths:
            for text in read(path):
                self._add(path, text, len(paths) > 1)

    def follow(self, paths: Callable[[], Sequence[Path]], over: Callable[[], bool]) -> None:
        from orchestrator.runs.logs import follow

        for path, text in follow(paths, over):
            self._add(path, text, len(paths()) > 1)

    def _add(self, path: Path, text: str, several: bool) -> None:
        if not text:
            return
        if several and path != self._shown:
            typer.echo(f"==> {path} <==", err=True)
        self._shown, self.empty = path, False
        typer.echo(text, nl=False)


class _IsOver:
    """Whether a run has ended; one that waits at first may yet begin."""

    def __init__(self, store: Store, run: SelectedRun) -> None:
        self._store, self._run = store, run
        self._waits, self._told = True, False

    def __call__(self) -> bool:
        from orchestrator.base.errors import StoreUnavailable
        from orchestrator.runs.logs import progress_of

        try:
            state = progress_of(self._store, self._run).state
        except StoreUnavailable:
            return False
        if self._waits and state == RunState.PENDING and not self._told:
            typer.echo(f"run {self._run.run_id} is pending: waiting for a job to take it", err=True)
            self._told = True
        self._waits &= state == RunState.PENDING
        return state not in (RunState.QUEUED, RunState.RUNNING, UNKNOWN) and not self._waits


def _explain(store: Store, run: SelectedRun, directory: Path) -> None:
    from orchestrator.runs.logs import has_begun, progress_of

    now = progress_of(store, run)
    why = f" ({now.detail or now.failure})" if now.detail or now.failure else ""
    nothing = f"no log of it is in {directory}" if has_begun(store, run) else "it has not begun"
    typer.echo(f"run {run.run_id} is {now.state}{why}, and {nothing}; what its job printed:", err=True)


def cancel(sel: Selection, state: States = None, yes: Yes = False, db: Database = None) -> None:
    """Take runs back that are going: their jobs stop at the next learner step; `launch` and `retry` let them go on."""
    import getpass

    from orchestrator.attempt.notifying import tell_end
    from orchestrator.runs import cancelling
    from orchestrator.runs.named import find_up_to_date, sweeps_of

    with open_store(db) as store:
        going = [run for run in find_up_to_date(store, sel, state, say) if run.state in CANCELLABLE]
        if not going:
            raise NothingToDo("nothing to cancel: these runs have ended")
        confirm(f"Cancel {counted(len(going), 'run')}?", yes=yes or len(going) <= ASK_ABOVE)
        with progress("cancelling", len(going)) as advance:
            done = cancelling.cancel(store, going, f"cancelled by {getpass.getuser()}", advance)
        for name in sweeps_of(going).values():
            tell_end(store, name)
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    tasks = f", and {counted(done.tasks, 'job')} of Slurm" if done.tasks else ""
    typer.echo(f"cancelled {counted(len(done.runs), 'run')}{tasks}")


def retry(
    sel: Selection,
    state: States = None,
    yes: Yes = False,
    executor: Annotated[str, typer.Option(help="As of `launch`: auto, slurm, local or debug.")] = "auto",
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Local jobs at a time; default: cores.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Slurm: stay and watch.")] = False,
    db: Database = None,
) -> None:
    """Train runs again that failed, were lost, cancelled or left over; those a search stopped, with -s cancelled."""
    from orchestrator.jobs.launch import choose_executor
    from orchestrator.runs import retrying
    from orchestrator.runs.named import sweeps_of
    from orchestrator.store import queries, submissions

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as in `launch`
    chosen = choose_executor(executor)
    with open_store(db) as store:
        again = retrying.choose(store, sel, state, say)
        for why in again.left_alone:
            say(why)
        if not again.runs:
            raise NothingToDo("nothing to try again")
        confirm(f"Train {counted(len(again.runs), 'run')} again on {chosen}?", yes=yes or len(again.runs) <= ASK_ABOVE)
        submissions.set_pending(store, again.stopped)
        failed = False
        for sweep_id, name in sweeps_of(again.runs).items():
            run_ids = [run.run_id for run in again.runs if run.sweep_id == sweep_id]
            asked = queries.run_resources(store, sweep_id)
            gpus = max(asked[run_id].gpus for run_id in run_ids)
            failed |= cli_launch.train(
                store, sweep_id, name, run_ids, chosen, max_parallel=max_parallel, gpus=gpus, wait=wait, alone=True
            )
    if failed:
        raise typer.Exit(1)
