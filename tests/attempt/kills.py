"""Kills attempts and collectors at every operation, in a process of its own: ``python -m tests.attempt.kills ...``."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support import fake_worker
from tests.support.jobs import CUT_OFF, QUICK, Jobs, killed_at

AWAY = {"sqlite": "sqlite:////nowhere/at/all.db", "postgresql": "postgresql://nobody@/nothing?host=/nowhere/at/all"}


STATEMENTS = {"COMMIT", "INSERT INTO sync_metric", "INSERT INTO evaluation", "UPDATE attempt SET"}


class Killing:
    """Chains of attempts at one run, each killed at an operation, until one comes through."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.before: Counter[str] = Counter()
        self.run_id = 0

    def chain(self, *kills: int, away: frozenset[int] = frozenset()) -> bool:
        """Train the next run: attempt i is killed at operation ``kills[i]``, the last one lives.

        Args:
            kills: At which operations.
            away: Attempts during which the database is away.

        Returns:
            Whether the first attempt was killed.
        """
        self.run_id += 1
        first = False
        for place, kill_at in enumerate((*kills, 0)):
            cut_off = place in away
            directories = self.jobs.submit(self.run_id)
            if not directories:
                break  # it was killed after all was said
            url = AWAY[self.jobs.url.partition(":")[0]] if cut_off else None
            pace = CUT_OFF if cut_off else QUICK
            killed, said = killed_at(kill_at, lambda: self.jobs.train(*directories, pace=pace, url=url))  # noqa: B023
            first |= killed and place == 0
            if not killed:
                break
            self.before[said] += 1
        found = self.jobs.collect()
        assert found.notes == [], found.notes
        self.jobs.check(self.run_id)
        return first


def attempts(jobs: Jobs) -> Counter[str]:
    """At every operation of an attempt, and at one of the attempt that follows it; 200 times at least.

    Until each statement that stores something was met: writers that fall behind bring many records at once.
    """
    killing = Killing(jobs)
    every_operation(killing)
    kill_at = 2
    while killing.before.total() < 200 or not killing.before.keys() >= STATEMENTS:
        killing.chain(kill_at, 1 + kill_at * 7 % 80)
        kill_at += 1
    return killing.before


def journals(jobs: Jobs) -> Counter[str]:
    """As `attempts`, once."""
    killing = Killing(jobs)
    every_operation(killing)
    return killing.before


def every_operation(killing: Killing) -> None:
    kill_at = 1
    while killing.chain(kill_at, 1 + kill_at * 7 % 80):
        kill_at += 1


def outages(jobs: Jobs) -> Counter[str]:
    """As `attempts`, where the database is away during the first attempt, or the second."""
    killing = Killing(jobs)
    kill_at = 1
    while killing.chain(kill_at, 1 + kill_at * 5 % 60, 40, away=frozenset({kill_at // 2 % 2})):
        kill_at += 2
    return killing.before


def collectors(jobs: Jobs) -> Counter[str]:
    """At every operation of who brings a journal; each time the next one goes on."""
    before: Counter[str] = Counter()
    directories = jobs.submit(*range(1, len(jobs.sweep.runs) + 1))
    jobs.train(*directories)
    kill_at = 1
    while True:
        killed, said = killed_at(kill_at, jobs.collect)
        if not killed:
            break
        before[said] += 1
        kill_at += 1
    found = jobs.collect()
    assert found.notes == [], found.notes
    for run_id in range(1, len(jobs.sweep.runs) + 1):
        jobs.check(run_id)
    return before


MODES: dict[str, tuple[Callable[[Jobs], Counter[str]], str, int]] = {
    "attempts": (attempts, "database", 200),
    "outages": (outages, "database", 100),
    "journals": (journals, "journal", 120),
    "collectors": (collectors, "journal", 8),
}


def main(mode: str, url: str, folder: str) -> None:
    """Kill, check, and print how often before what."""
    logging.disable()
    function, writes, runs = MODES[mode]
    fake_worker.STEP_S = 0.001
    print(json.dumps(function(Jobs(url, Path(folder), runs, writes=writes))))


if __name__ == "__main__":
    main(*sys.argv[1:])
