"""A sweep's progress: the phase table with the states of its runs, a bar and the time left; redrawn while it runs."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.base.safe_text import printable
from orchestrator.base.states import GOING, RESULTS, UNKNOWN, RunState
from orchestrator.grid.sweep import Cell, Run, Sweep
from orchestrator.jobs.status import CellStatus, SweepStatus, sweep_status
from orchestrator.report.columns import listing, narrow
from orchestrator.report.console import SafeConsole
from orchestrator.report.numbers import duration
from orchestrator.store.queries import RunProgress

Show = Callable[[list[RunProgress]], None]

_LISTED = 20
"""How many failed runs, and silent ones, are named."""

STYLES: dict[str, str] = {
    RunState.COLLAPSED: "red", RunState.DEGRADED: "yellow", RunState.STABLE: "green",
    RunState.FAILED: "magenta", RunState.LOST: "magenta", RunState.CANCELLED: "blue",
}  # fmt: skip
"""The colour of each state that has one."""


def progress_view(status: SweepStatus) -> RenderableType:
    """A table for each model and setting of further axes, the bar, and what went wrong."""
    parts: list[RenderableType] = []
    groups = defaultdict[str, list[CellStatus]](list)
    for cell in status.cells:
        groups[" · ".join([cell.model, *(f"{name} = {value}" for name, value in cell.axes.items())])].append(cell)
    for heading, cells in groups.items():
        parts += [Text(f"{status.name} · {heading}", style="bold"), _PhaseTable(cells)]
    bar = Table.grid(padding=(0, 1))
    done = ProgressBar(total=status.steps_total, completed=status.steps_done, width=24)
    bar.add_row(done, Text(summary_line(status)))
    parts.append(bar)
    often = {run.run_id: f" after {run.attempts} attempts" for run in status.failures if run.attempts > 1}
    told: list[tuple[str, Sequence[RunProgress], Callable[[RunProgress], str]]] = [
        ("magenta", status.failures, lambda run: f"{run.state}{_known(run)}{often.get(run.run_id, '')}: {run.failure}"),
        ("blue", status.stopped, lambda run: f"stopped early{_known(run)}: {run.failure}"),
        ("yellow", status.silent, _silent),
    ]
    for style, runs, said in told:
        lines = [f"run {run.run_id} ({run_label(run)}) {said(run)}" for run in runs]
        parts += [Text(line, style=style) for line in _first(lines)]
    parts += [Text(line, style="yellow") for line in _waiting(status)]
    if again := sum(map(Counter, status.interruptions.values()), Counter[str]()):
        counts = ", ".join(f"{count} {_spaced(name)}" for name, count in again.most_common())
        parts.append(Text(f"attempts that ended early: {counts}", style="dim"))
    return Group(*parts)


def _silent(run: RunProgress) -> str:
    return (
        f"has sent no heartbeat for {run.heartbeat_age_s:.0f} s; if its process is gone, "
        f"`stalesweep cancel {run.run_id}` frees it"
    )


def _known(run: RunProgress) -> str:
    return f" ({_spaced(run.failure_class)})" if run.failure_class else ""


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _waiting(status: SweepStatus) -> list[str]:
    """Why runs wait in Slurm's queue, and which of them need help."""
    waits = [run for run in status.runs if run.state == RunState.QUEUED and not run.needs_help]
    unknown = [run for run in status.runs if run.state == UNKNOWN]
    lines = []
    for one, many, runs in (
        ("waits and needs help", "wait and need help", status.stuck),
        ("waits in the queue", "wait in the queue", waits),
        ("is not known", "are not known", unknown),
    ):
        for detail, count in Counter(run.detail for run in runs if run.detail).most_common():
            lines.append(f"{count} runs {many}: {detail}" if count > 1 else f"1 run {one}: {detail}")
    return lines


def _first(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _LISTED
    rest = [f"and {more:,} more: `stalesweep status --format json` lists all"] if more > 0 else []
    return [*lines[:_LISTED], *rest]


def run_label(run: RunProgress) -> str:
    """A run by its axes, e.g. ``tiny, k = 8, η = 0.001, seed 0``."""
    axes = "".join(f", {name} = {value}" for name, value in run.axes.items())
    return f"{run.model}, k = {run.k}, η = {run.eta:g}{axes}, seed {run.seed}"


def run_line(run: RunProgress) -> str:
    """How one run ended, as a line for a log."""
    result = run.state
    if run.state == RunState.COLLAPSED:
        result = f"collapsed at T* = {run.collapse_step}"
    elif run.failure:
        result = f"{run.state}: {run.failure}"
    reward = "" if run.val_reward is None else f", validation reward {run.val_reward:.2f}"
    return f"run {run.run_id} ({run_label(run)}): {result} after {run.learner_steps} learner steps{reward}"


def summary_line(status: SweepStatus) -> str:
    """Counts of runs, share of the learner steps, and the time left."""
    states = status.states
    done = sum(states[state] for state in RESULTS)
    counts = [f"{done} of {len(status.runs)} runs done"]
    counts += [f"{states[state]} {word}" for state, word in _OTHER_STATES.items() if states[state]]
    share = 100 * status.steps_done / status.steps_total
    eta = f"{_left(status.eta_s)} left" if status.eta_s is not None else ""
    return f"{', '.join(counts)} · {share:.0f} % of {status.steps_total:,} learner steps{eta}"


_OTHER_STATES: dict[str, str] = {
    RunState.RUNNING: "running", RunState.QUEUED: "waiting", RunState.PENDING: "not submitted",
    RunState.FAILED: "failed", RunState.LOST: "lost", RunState.CANCELLED: "cancelled", UNKNOWN: "not known",
}  # fmt: skip


def plan_view(
    sweep: Sweep, executor: str, hours: Sequence[str], arrays: Sequence[str], gaps: Sequence[str]
) -> RenderableType:
    """What a launch would do.

    ``hours`` has a line for each model, how long its runs will take; ``arrays`` one for each job array that would be
    submitted; and ``gaps`` are sentences on what the laws will not identify.
    """
    by_cell = defaultdict[Cell, list[Run]](list)
    for run in sweep.runs:
        by_cell[run.cell].append(run)
    rows = []
    for cell, runs in by_cell.items():
        axes = ", ".join(f"{name} = {value}" for name, value in cell.axes)
        steps = sum(run.config.horizon for run in runs)
        rows.append([cell.model, str(cell.k), f"{cell.eta:g}", axes, str(len(runs)), f"{steps:,}"])
    right = ("k", "η", "runs", "learner steps")
    table = listing(("model", "k", "η", "further axes", "runs", "learner steps"), rows, right=right)
    lines = [
        f"{len(sweep.runs)} runs in {len(by_cell)} cells, {sweep.total_learner_steps:,} learner steps in all.",
        *hours,
        f"Executor: {executor}.",
        *arrays,
        *(["What these runs will not identify:", *(f"- {gap}" for gap in gaps)] if gaps else []),
        "Nothing was written.",
    ]
    return Group(table, *(Text(line) for line in lines))


class _PhaseTable:
    """The cells, rows k and columns η, both rising; several tables if the columns do not fit."""

    def __init__(self, cells: Sequence[CellStatus]) -> None:
        self._texts = {(cell.k, cell.eta): _cell_text(cell) for cell in cells}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        etas, ks = sorted({eta for _, eta in self._texts}), sorted({k for k, _ in self._texts})
        rows = [[str(k), *(self._texts.get((k, eta), "") for eta in etas)] for k in ks]
        yield from narrow(["k", *(f"η = {eta:g}" for eta in etas)], rows, options.max_width, 1)


def _cell_text(cell: CellStatus) -> Text:
    if len(cell.runs) == 1:
        return _run_text(cell.runs[0], cell.eta_s)
    lines = []
    for state, count in sorted(cell.states.items()):
        detail = ""
        if state == RunState.COLLAPSED:
            detail = f", T* {cell.collapse_step:g}"
        elif state == RunState.RUNNING and cell.leader:
            detail = f", sync {cell.leader.sync or 0}{_left(cell.eta_s)}"
        lines.append(Text(f"{count} {_word(state)}{detail}", style=STYLES.get(state, "")))
    return Text("\n").join(lines)


def _run_text(run: RunProgress, eta_s: float | None) -> Text:
    style = STYLES.get(run.state, "")
    if run.state == RunState.RUNNING:
        reward = run.val_reward if run.val_reward is not None else run.reward
        measured = "" if reward is None else f" · reward {reward:.2f}"
        far = "starting" if run.sync is None else f"sync {run.sync}{measured}{_left(eta_s)}"
        return Text(far, style="cyan")
    if run.state == RunState.COLLAPSED:
        return Text(f"T* {run.collapse_step}", style=style)
    if run.state in RESULTS and run.val_reward is not None:
        return Text(f"{run.state} · {run.val_reward:.2f}", style=style)
    return Text(_word(run.state), style=style or "dim")


def _left(eta_s: float | None) -> str:
    return "" if eta_s is None else f" · {duration(eta_s)}"


def _word(state: str) -> str:
    return "waiting" if state in (RunState.PENDING, RunState.QUEUED) else state


@contextmanager
def show_progress(name: str) -> Iterator[Show]:
    """Yield a function that shows the sweep's progress each time it is called."""
    if not sys.stderr.isatty():
        yield _lines(name)
        return
    with Live(console=SafeConsole(stderr=True), transient=True, auto_refresh=False) as live:
        yield lambda progress: live.update(progress_view(sweep_status(name, progress)), refresh=True)


def _lines(name: str) -> Show:
    """Print a line for each run that has ended since the last call; on the first call only a summary."""
    ended: set[int] | None = None

    def show(progress: list[RunProgress]) -> None:
        nonlocal ended
        status = sweep_status(name, progress)
        over = {run.run_id: run for run in status.runs if run.state not in (*GOING, UNKNOWN)}
        new = sorted(over.keys() - ended) if ended is not None else []
        for run_id in new:
            print(printable(run_line(over[run_id])), file=sys.stderr)
        if new or ended is None:
            print(printable(summary_line(status)), file=sys.stderr, flush=True)
        ended = set(over)

    return show
