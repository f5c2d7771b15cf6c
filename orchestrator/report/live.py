"""A sweep's progress while it runs, on stderr: redrawn in a terminal, else a line for each run that ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from orchestrator.base.states import GOING, UNKNOWN
from orchestrator.jobs.status import SweepStatus, sweep_status
from orchestrator.report.progress import progress_view, run_line, summary_line
from orchestrator.store.store import RunProgress

Show = Callable[[list[RunProgress]], None]


@contextmanager
def show_progress(name: str) -> Iterator[Show]:
    """Yield a function that shows the sweep's progress each time it is called."""
    if not sys.stderr.isatty():
        yield _Lines(name)
        return
    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
        yield lambda progress: live.update(progress_view(sweep_status(name, progress)), refresh=True)


class _Lines:
    """Prints a line for each run that has ended since the last call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._ended: set[int] | None = None

    def __call__(self, progress: list[RunProgress]) -> None:
        status = sweep_status(self._name, progress)
        over = {run.run_id: run for run in status.runs if run.state not in (*GOING, UNKNOWN)}
        new = over.keys() - (self._ended or set())
        if self._ended is not None:
            for run_id in sorted(new):
                print(run_line(over[run_id]), file=sys.stderr)
        if new or self._ended is None:
            self._summarise(status)
        self._ended = set(over)

    def _summarise(self, status: SweepStatus) -> None:
        print(summary_line(status), file=sys.stderr, flush=True)
