"""A sweep's progress while it runs, on stderr: redrawn in a terminal, else a line for each run that ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from orchestrator.base.states import GOING, UNKNOWN
from orchestrator.jobs.status import sweep_status
from orchestrator.report.progress import progress_view, run_line, summary_line
from orchestrator.store.queries import RunProgress

Show = Callable[[list[RunProgress]], None]


@contextmanager
def show_progress(name: str) -> Iterator[Show]:
    """Yield a function that shows the sweep's progress each time it is called."""
    if not sys.stderr.isatty():
        yield _lines(name)
        return
    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
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
            print(run_line(over[run_id]), file=sys.stderr)
        if new or ended is None:
            print(summary_line(status), file=sys.stderr, flush=True)
        ended = set(over)

    return show
