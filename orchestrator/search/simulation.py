"""Compare searches and grids before anything is paid for: how well they would know the boundary, and their cost.

    beliefs from stored runs ─► a truth is drawn ─► runs of each design are drawn ─► intervals and costs

The truth of a simulation is known, so it also shows how often intervals hold it. A simulated search takes its decisions
by `orchestrator.search.search.Search.step`, as a real one does.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing import get_context

import numpy as np

from orchestrator.base.words import counted
from orchestrator.grid.sweep import Run
from orchestrator.jobs.estimate import StepTime, run_hours
from orchestrator.laws.estimates import Array
from orchestrator.search.beliefs import Beliefs, Goal
from orchestrator.search.knowledge import SearchAnswer
from orchestrator.search.search import Group, Search, Underway, group_of, key_of
from orchestrator.store.outcomes import Outcome

TIMES = 4
"""The larger search has so many times the budget; it shows what more budget would buy."""

SEARCH, LARGER = "search", f"search, {TIMES} × budget"

Train = Callable[[Run], Outcome]
"""Gives the end of a run."""

Trained = tuple[Run, int]
"""A run, and the learner steps that it was trained."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What is known after simulated runs, and the runs."""

    known: Search
    trained: Sequence[Trained] = ()


class World:
    """A truth drawn from the beliefs about each group, and runs drawn from it."""

    def __init__(self, known: Search, draw: np.random.Generator) -> None:
        self.truth = {group: one.beliefs.drawn(draw) for group, one in known.groups.items()}
        self._costs = {group: one.costs for group, one in known.groups.items()}
        self._draw = draw

    def train(self, run: Run) -> Outcome:
        """Draw the end of a run."""
        group, k, eta = group_of(run), run.cell.k, run.cell.eta
        costs = self._costs[group]
        chance, deviation = self._draw.random(), self._draw.standard_normal()
        collapses = chance < self.truth[group].p_collapse(k, eta)
        step = costs.collapse_step(eta, deviation) if collapses else math.inf
        end = math.ceil(costs.end(step))
        return Outcome(*group, k, eta, run.seed, end, math.ceil(step) if collapses else None, {})


def simulate_grid(before: Simulated, replicates: int, train: Train) -> Simulated:
    """Fill every cell up to so many runs; known runs count if they say how their cell ends."""
    made = Counter[tuple[Group, int, float]]()
    for group, of in before.known.groups.items():
        made.update((group, one.k, one.eta) for one in of.ended if one.collapsed_by(of.horizon) is not None)
    cells = {run.cell: run for run in before.known.sweep.runs}.values()
    runs = [run for run in cells for _ in range(replicates - made[group_of(run), run.cell.k, run.cell.eta])]
    outcomes = [train(run) for run in runs]
    trained = [(run, one.learner_steps) for run, one in zip(runs, outcomes, strict=True)]
    return Simulated(before.known.then(outcomes), (*before.trained, *trained))


def simulate_search(
    before: Simulated, places: int, train: Train, is_spent: Callable[[Sequence[Trained]], bool]
) -> Simulated:
    """Search until everything wanted is known, the budget is spent, or no run is left.

    ``is_spent`` says whether so much training spends the budget; it is given what is expected of runs under way too.
    """
    known, trained, now, number = before.known, list(before.trained), 0, count()
    taken = {key_of(run) for run, _ in trained}
    under_way: list[tuple[int, int, int, Run, Outcome]] = []  # end, number, begin; a heap, so the next to end is first

    def will_be_spent(expected: Underway) -> bool:
        return is_spent([*trained, *((run, round(steps)) for run, steps in expected)])

    while True:
        step = known.step(taken, [run for *_, run, _ in under_way], places, will_be_spent)
        trained += [(run, now - begun) for _, _, begun, run, _ in under_way if run in step.end]
        under_way = [one for one in under_way if one[3] not in step.end]
        heapq.heapify(under_way)
        for run in step.begin:
            outcome = train(run)
            heapq.heappush(under_way, (now + outcome.learner_steps, next(number), now, run, outcome))
        taken |= {key_of(run) for run in step.begin}
        if not under_way:
            return Simulated(known, trained)
        now, _, _, run, outcome = heapq.heappop(under_way)
        trained.append((run, outcome.learner_steps))
        known = known.then([outcome])


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Over simulations: the median, and what nine in ten do not exceed."""

    median: float
    most: float

    @classmethod
    def of(cls, values: Array) -> Quantiles:
        """Of one value a simulation."""
        return cls(*(float(value) for value in np.quantile(values, (0.5, 0.9))))


@dataclass(frozen=True, slots=True)
class Known:
    """How well a design knows one quantity; shares are of simulations.

    Attributes:
        half_width: Of its interval, over the simulations whose boundary lies in the file's range; of the logarithm,
            except for the exponent. None: there is no such simulation.
    """

    answer: SearchAnswer  # its group, quantity and k; the numbers in it are those of one simulation
    half_width: Quantiles | None
    in_range: float  # the boundary lies in the range
    held: float  # the interval held the truth
    outside: float  # no boundary was found in the range


@dataclass(frozen=True, slots=True)
class Design:
    """What one way to spend learner steps would give; the costs are those of its new runs."""

    name: str  # for people
    runs: Quantiles
    learner_steps: Quantiles
    hours: Quantiles  # one run after the other
    gpu_hours: Quantiles
    reached: float  # share of simulations in which everything asked for was known
    held: float  # share of intervals that held the truth
    known: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class PowerPlan:
    """What is simulated."""

    known: Search  # from stored runs
    searched: bool  # whether a search is simulated beside the grids
    replicates: tuple[int, ...]  # runs of each cell, a number for each grid, rising
    paces: Mapping[str, StepTime]  # by model, as far as they are known
    seed: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """An answer of one simulation, compared with the truth."""

    answer: SearchAnswer
    half_width: float
    held: bool
    in_range: bool


@dataclass(frozen=True, slots=True)
class _Trial:
    """One simulation of one design; the bill is runs, learner steps, hours and GPU-hours."""

    bill: tuple[float, float, float, float]
    reached: bool
    readings: Sequence[_Reading]


def simulate(plan: PowerPlan, simulations: int, processes: int, done: Callable[[], None]) -> list[Design]:
    """Simulate every design on the same truths; the larger search is left out if no search ends by its budget.

    ``done`` is called after each simulation.
    """
    trials: dict[str, list[_Trial]] = {}
    for of_one in _each(plan, simulations, processes):
        for name, trial in of_one.items():
            trials.setdefault(name, []).append(trial)
        done()
    if [one.bill for one in trials.get(LARGER, ())] == [one.bill for one in trials.get(SEARCH, ())]:
        trials.pop(LARGER, None)
    return [_design(name, of_design) for name, of_design in trials.items()]


def _each(plan: PowerPlan, simulations: int, processes: int) -> Iterator[dict[str, _Trial]]:
    one = partial(_simulation, plan)
    if processes == 1:
        yield from map(one, range(simulations))
        return
    chunk = max(1, simulations // (4 * processes))  # the plan is sent once a chunk
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from pool.map(one, range(simulations), chunksize=chunk)


def _simulation(plan: PowerPlan, number: int) -> dict[str, _Trial]:
    """All designs on one truth."""
    world = World(plan.known, np.random.default_rng((plan.seed, number)))
    found: dict[str, _Trial] = {}
    made = Simulated(plan.known)
    for name, times in ((SEARCH, 1), (LARGER, TIMES)) if plan.searched else ():
        made = simulate_search(made, plan.known.wanted.parallel, world.train, partial(_is_spent, plan, times))
        found[name] = _trial(plan, world, made)
    made = Simulated(plan.known)
    for replicates in plan.replicates:
        made = simulate_grid(made, replicates, world.train)
        found[f"grid, {counted(replicates, 'run')} a cell"] = _trial(plan, world, made)
    return found


def _is_spent(plan: PowerPlan, times: int, trained: Sequence[Trained]) -> bool:
    _, learner_steps, _, gpu_hours = _bill(plan.paces, trained)
    return plan.known.wanted.is_spent(learner_steps, gpu_hours, times)


def _bill(paces: Mapping[str, StepTime], trained: Sequence[Trained]) -> tuple[float, float, float, float]:
    hours = [run_hours(run, steps, paces.get(run.cell.model)) for run, steps in trained]
    gpu_hours = sum(each_h * run.resources.gpus for each_h, (run, _) in zip(hours, trained, strict=True))
    return len(trained), sum(steps for _, steps in trained), sum(hours), gpu_hours


def _trial(plan: PowerPlan, world: World, made: Simulated) -> _Trial:
    groups = made.known.groups
    readings = [_reading(world.truth[group], answer) for group, of in groups.items() for answer in of.answers()]
    return _Trial(_bill(plan.paces, made.trained), made.known.done, readings)


def _reading(truth: Beliefs, answer: SearchAnswer) -> _Reading:
    value, _ = truth.moments(Goal(answer.quantity, math.inf, answer.k))
    low, high = answer.interval
    if answer.quantity != "exponent":
        low, high = math.log(low), math.log(high)
    needed = [answer.k] if answer.k is not None else truth.ks
    inside = sum(max(truth.p_outside(k)) < 0.5 for k in needed)
    held = low - 1e-9 <= value <= high + 1e-9
    return _Reading(answer, (high - low) / 2, held, inside >= min(2, len(needed)))


def _design(name: str, trials: Sequence[_Trial]) -> Design:
    runs, steps, hours, gpu_hours = map(Quantiles.of, np.array([one.bill for one in trials]).T)
    known = tuple(_known(readings) for readings in zip(*(one.readings for one in trials), strict=True))
    reached = float(np.mean([one.reached for one in trials]))
    held = float(np.mean([one.held for one in known]))
    return Design(name, runs, steps, hours, gpu_hours, reached, held, known)


def _known(readings: Sequence[_Reading]) -> Known:
    widths = np.array([one.half_width for one in readings if one.in_range])
    return Known(
        readings[0].answer,
        Quantiles.of(widths) if len(widths) else None,
        len(widths) / len(readings),
        float(np.mean([one.held for one in readings])),
        float(np.mean([one.answer.standing in ("above", "below") for one in readings])),
    )
