"""What a task of a job array executes: ``python -m orchestrator.jobs.slurm.task FOLDER``.

FOLDER/shares.json lists the runs that the task is to train. It is written before the array is submitted, so that a
task needs nothing that is written later. Before its time limit the task saves a checkpoint and puts itself back into
the queue; Slurm by itself does that only for preempted jobs and failed nodes.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from orchestrator.attempt.job import run_share
from orchestrator.attempt.stop import Stop, on_signals
from orchestrator.base.errors import SlurmUnavailable
from orchestrator.base.states import AttemptOutcome, FailureClass
from orchestrator.jobs import shares
from orchestrator.jobs.slurm import client

_WAIT_S = 60.0
_NEAR_S = 150.0
"""Slurm's signal before the time limit may come a minute early; an earlier one means a preemption."""

log = logging.getLogger(__name__)


def main(folder: Path) -> int:
    """Train the runs of this task's share; returns the process's exit code."""
    content = _wait_for_shares(folder)
    index = os.environ["SLURM_ARRAY_TASK_ID"]
    # Not SLURM_JOB_ID: the last task's is the whole array's.
    job_id = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{index}"
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    spec = shares.spec_of(content, int(index))
    stop = Stop()
    clock = _Clock(job_id, content["margin_s"], stop)

    def ended_by_slurm(number: int, _: object) -> None:
        is_near = clock.ends_at - time.monotonic() < _NEAR_S
        stop.request(FailureClass.TIME_LIMIT if is_near else FailureClass.PREEMPTED)

    with on_signals(stop, dict.fromkeys((signal.SIGTERM, signal.SIGINT), FailureClass.STOPPED)):
        signal.signal(signal.SIGUSR2, ended_by_slurm)
        clock.start()
        ended = run_share(spec, stop=stop)
    all_over = len(ended) == len(spec.directories) and all(one.outcome != AttemptOutcome.INTERRUPTED for one in ended)
    if stop.why in (FailureClass.TIME_LIMIT, FailureClass.PREEMPTED) and not all_over:
        fruitless = stop.why == FailureClass.TIME_LIMIT and not any(one.learner_steps for one in ended)
        if _may_go_on(folder / f"fruitless-{index}", fruitless, restarts, content["requeues"]):
            try:
                client.ask("scontrol", "requeue", job_id)
            except SlurmUnavailable as error:
                log.error("%s; `stalesweep launch` lets the runs go on", error)
    return 1 if any(one.outcome in (AttemptOutcome.FAILED, AttemptOutcome.DIVERGED) for one in ended) else 0


class _Clock(threading.Thread):
    """Requests the end in good time, for sites that send no signal. Slurm may be slow to say when that is."""

    ends_at = math.inf  # also if nothing limits the job, or the limit is not known

    def __init__(self, job_id: str, margin_s: float, stop: Stop) -> None:
        super().__init__(name="time-limit", daemon=True)
        self._job_id, self._margin_s, self._job_stop = job_id, margin_s, stop

    def run(self) -> None:
        try:
            left_s = client.seconds_left(self._job_id)
        except SlurmUnavailable as error:
            log.warning("the time limit is not known: %s", error)
            return
        if left_s is None:
            return
        self.ends_at = time.monotonic() + left_s
        if not self._job_stop.wait(max(0.0, left_s - self._margin_s)):
            log.warning("the time limit is near: saving a checkpoint")
            self._job_stop.request(FailureClass.TIME_LIMIT)


def _may_go_on(mark: Path, fruitless: bool, restarts: int, most: int) -> bool:
    # Slurm's signal may come early, and a slow start may take what is left: only twice in a row means too short.
    twice = fruitless and mark.exists()
    if fruitless:
        mark.touch()
    else:
        mark.unlink(missing_ok=True)
    if twice:
        log.error("the time limit is too short for one learner step: not tried again")
    elif restarts >= most:
        log.error("the job was put back into the queue %d times: not again", restarts)
    return not twice and restarts < most


def _wait_for_shares(folder: Path) -> dict[str, Any]:
    # On a network file system a file that another host has written may take a while to appear.
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            return shares.read(folder)
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.exit(main(Path(sys.argv[1])))
