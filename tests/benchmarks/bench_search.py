"""Learner steps until η_max(k) is known within a factor of 1.5, at k = 2, 8 and 32; asserts nothing.

    .venv/bin/python -m tests.benchmarks.bench_search [--replays 40] [--parallel 1 2 8]

Replayed on 600 stored runs of the tiny policy (tests/data/dense-tiny.csv, made by make_dense): 25 η at each k, 8 seeds.
A replay shuffles the seeds of every cell, and all methods draw from the same shuffles, each run once. A run costs the
learner steps that it had, so a collapse ends it when 3 validations have confirmed it, whoever asks for it.

The truth of a k is where the logistic regression over its 200 runs has one half. Stops, and the intervals of all but
bisection, are those of the search: 95 % intervals that are no wider than a factor of 1.5 either way at all three k.

- search: as `stalesweep search`, with so many runs under way at once.
- grid: all cells with 1 run, then 2, …, up to the first number that is enough; of all 25 η, of every second, every
  fourth. And all 8 runs of all 25 η, which is what the search may choose from.
- TPE: Optuna's TPESampler, a study a k, asked for the k whose interval is widest. It sees the place in the range of η,
  0 to 1, and maximises it over runs that are stable ("largest"; a collapsed run counts minus its place); or minimises
  the distance to the posterior median of log η_max, which is reckoned anew for all runs before each ask ("nearest").
- bisection: halves the range of log η at each k, whose ends are taken as stable and collapsing without a run, by the
  majority of 1, 3, 5 or 7 runs (no more are made once it stands), until what is left is within a factor of 1.5². "Until
  sure" asks a sign test at 5 % instead: 6 runs of 6 that end alike, or else the majority of 8.
"""

from __future__ import annotations

import argparse
import csv
import math
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.optimize import minimize
from scipy.special import log_expit
from scipy.stats import binomtest

from orchestrator.grid.sweep import Run, Sweep
from orchestrator.search.search import Search
from orchestrator.search.search_file import SearchConfig, load_search
from orchestrator.search.simulation import Simulated, simulate_search
from orchestrator.store.outcomes import Outcome
from tests.benchmarks.make_dense import FILE, GRID

FACTOR = 1.5
HORIZON = 320
SEARCH = "search: {learner_steps: 1000000, target: {eta_max: 1.5}}\n"
Place = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Result:
    """What one method came to in one replay: learner steps, runs, and whether the truth of each k was held."""

    steps: int
    runs: int
    held: tuple[bool, ...]


@dataclass
class Replay:
    """Stored runs in the order of one shuffle; each is drawn once."""

    sweep: Sweep
    wanted: SearchConfig
    order: Mapping[Place, list[tuple[int, int | None]]]
    truth: Mapping[int, float]
    drawn: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    steps: int = 0

    def train(self, run: Run) -> Outcome:
        """The next run of a cell."""
        place = run.cell.k, run.cell.eta
        steps, collapse = self.order[place][self.drawn[place]]
        self.drawn[place] += 1
        self.steps += steps
        return Outcome("tiny", "{}", *place, run.seed, steps, collapse, {})

    def is_left(self, place: Place) -> bool:
        """Whether a run of a cell was not drawn yet."""
        return self.drawn[place] < len(self.order[place])

    def known(self) -> Search:
        """A search that has learnt nothing yet."""
        return Search(self.sweep, self.wanted)

    def result(self, known: Search) -> Result:
        """Of a method whose intervals are the search's."""
        intervals = {one.k: one.interval for one in known.answers() if one.k is not None}
        held = tuple(low <= self.truth[k] <= high for k, (low, high) in intervals.items())
        return Result(self.steps, sum(self.drawn.values()), held)


def searched(replay: Replay, parallel: int) -> Result:
    """As the command does."""
    made = simulate_search(Simulated(replay.known()), parallel, replay.train, lambda trained: False)
    steps = sum(steps for _, steps in made.trained)
    return Result(steps, len(made.trained), replay.result(made.known).held)


def gridded(replay: Replay, every: int, least: int) -> Result:
    """All cells with one run, then two, …; ``least`` at any rate."""
    places = [place for at, place in enumerate(cells(replay.sweep)) if at % 25 % every == 0]
    known, runs = replay.known(), cells(replay.sweep)
    for number in range(1, 9):
        known = known.then([replay.train(runs[place]) for place in places])
        if known.done and number >= least:
            break
    return replay.result(known)


def largest(place: float, stable: bool, middle: float) -> float:
    """What TPE minimises to find the largest stable η."""
    return -place if stable else place


def nearest(place: float, stable: bool, middle: float) -> float:
    """What TPE minimises to sample where the boundary is believed to be."""
    return abs(place - middle)


def tpe(replay: Replay, objective: Callable[[float, bool, float], float], seed: int) -> Result:
    """TPE chooses the η, the posterior says when it is enough."""
    known, runs = replay.known(), cells(replay.sweep)
    etas = {k: [eta for at, eta in runs if at == k] for k in replay.truth}
    told: dict[int, list[tuple[int, bool]]] = defaultdict(list)
    scale = optuna.distributions.IntDistribution(0, 24)
    samplers = {k: optuna.samplers.TPESampler(seed=seed) for k in etas}
    while not known.done:
        answers = {one.k: one for one in known.answers() if one.k is not None and one.standing == "open"}
        k = max(answers, key=lambda k: answers[k].interval[1] / answers[k].interval[0])
        span = math.log(etas[k][-1] / etas[k][0])
        middle = math.log(answers[k].estimate / etas[k][0]) / span
        study = optuna.create_study(sampler=samplers[k])
        for at, stable in told[k]:
            value = objective(at / 24, stable, middle)
            study.add_trial(optuna.create_trial(params={"eta": at}, distributions={"eta": scale}, value=value))
        asked = study.ask({"eta": scale}).params["eta"]
        free = [at for at, eta in enumerate(etas[k]) if replay.is_left((k, eta))]
        at = min(free, key=lambda at: abs(at - asked))
        outcome = replay.train(runs[k, etas[k][at]])
        told[k].append((at, outcome.collapse_step is None))
        known = known.then([outcome])
    return replay.result(known)


def majority(stable: int, collapsed: int, replicates: int) -> bool:
    """Whether the majority of so many runs stands."""
    return max(stable, collapsed) > replicates // 2


def sure(stable: int, collapsed: int, most: int) -> bool:
    """Whether a sign test of all runs says so at 5 % (6 of 6), or there are no more."""
    runs = stable + collapsed
    return runs == most or (runs > 0 and float(binomtest(stable, runs).pvalue) < 0.05)


def bisected(replay: Replay, enough: Callable[[int, int, int], bool], replicates: int) -> Result:
    """Halve the range at each k, by what most runs do."""
    runs, held = cells(replay.sweep), []
    for k, truth in replay.truth.items():
        etas = [eta for at, eta in runs if at == k]
        low, high = 0, len(etas) - 1
        while etas[high] / etas[low] > FACTOR**2:
            middle, ended = (low + high) // 2, [0, 0]
            while not enough(ended[True], ended[False], replicates):
                ended[replay.train(runs[k, etas[middle]]).collapse_step is None] += 1
            low, high = (middle, high) if ended[True] > ended[False] else (low, middle)
        held.append(etas[low] <= truth <= etas[high])
    return Result(replay.steps, sum(replay.drawn.values()), tuple(held))


def cells(sweep: Sweep) -> dict[Place, Run]:
    """One run of each cell."""
    return {(run.cell.k, run.cell.eta): run for run in sweep.runs}


def stored() -> dict[Place, list[tuple[int, int | None]]]:
    """Learner steps and T* of the runs of each cell."""
    found: dict[Place, list[tuple[int, int | None]]] = defaultdict(list)
    with FILE.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = int(row["collapse_step"]) if row["collapse_step"] else None
            found[int(row["k"]), float(row["eta"])].append((int(row["learner_steps"]), step))
    return found


def truths(runs: Mapping[Place, list[tuple[int, int | None]]]) -> dict[int, float]:
    """Where the logistic regression over all runs of a k has one half."""
    found = {}
    for k in sorted({k for k, _ in runs}):
        rows = [(math.log(eta), step is not None) for (at, eta), ended in runs.items() if at == k for _, step in ended]
        x, y = np.array(rows).T

        def loss(u_s: Any, x: Any = x, sign: Any = 2 * y - 1) -> float:
            return -float(log_expit(sign * math.exp(u_s[1]) * (x - u_s[0])).sum())

        found[k] = math.exp(minimize(loss, (x.mean(), 1.0), method="Nelder-Mead", options={"maxiter": 2000}).x[0])
    return found


def methods(parallels: list[int]) -> Iterator[tuple[str, Callable[[Replay, int], Result]]]:
    """By name; each takes a replay and its number."""
    for parallel in parallels:
        yield f"search, {parallel} at once", lambda replay, _, parallel=parallel: searched(replay, parallel)
    yield "grid, 25 η, 8 runs", lambda replay, _: gridded(replay, 1, 8)
    yield "grid, 25 η, 3 runs", lambda replay, _: gridded(replay, 1, 3)
    for every, etas in ((1, 25), (2, 13), (4, 7)):
        yield f"grid, {etas} η, enough runs", lambda replay, _, every=every: gridded(replay, every, 1)
    yield "TPE, largest", lambda replay, number: tpe(replay, largest, number)
    yield "TPE, nearest", lambda replay, number: tpe(replay, nearest, number)
    for replicates in (1, 3, 5, 7):
        yield f"bisection, {replicates} runs", lambda replay, _, n=replicates: bisected(replay, majority, n)
    yield "bisection, until sure", lambda replay, _: bisected(replay, sure, 8)


def one(parallels: list[int], number: int) -> dict[str, Result]:
    """All methods on one shuffle."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    runs = stored()
    draw, truth = np.random.default_rng(number), truths(runs)
    order = {place: [ended[at] for at in draw.permutation(len(ended))] for place, ended in runs.items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dense.yaml"
        file.write_text(GRID + SEARCH)
        sweep, wanted = load_search(file)
    names = {(k, float(f"{eta:.9g}")): (k, eta) for k, eta in cells(sweep)}
    order = {names[k, float(f"{eta:.9g}")]: ended for (k, eta), ended in order.items()}
    return {name: method(Replay(sweep, wanted, order, truth), number) for name, method in methods(parallels)}


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=40)
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 2, 8], help="runs of the search at once")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    print("η_max:", ", ".join(f"{eta:.3g} at k={k}" for k, eta in truths(stored()).items()))
    steps = [steps for runs in stored().values() for steps, _ in runs]
    print(f"stops after a confirmed collapse: {sum(steps):,} learner steps instead of {len(steps) * HORIZON:,}")
    with ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool:
        replays = list(pool.map(partial(one, arguments.parallel), range(arguments.replays)))
    print(f"{'method':26} {'learner steps':>24} {'runs':>6} {'held':>6} {'all held':>8}")
    for name in replays[0]:
        results = [replay[name] for replay in replays]
        low, median, high = np.quantile([result.steps for result in results], (0.25, 0.5, 0.75))
        runs = np.median([result.runs for result in results])
        held = np.array([result.held for result in results])
        spread = f"{median:,.0f} ({low:,.0f} to {high:,.0f})"
        print(f"{name:26} {spread:>24} {runs:6.0f} {held.mean():6.1%} {held.all(axis=1).mean():8.1%}")


if __name__ == "__main__":
    main()
