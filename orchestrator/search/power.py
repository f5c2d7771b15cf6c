"""How well designs would know the boundary, and what they would cost: simulated before anything is paid for.

    what stored runs leave open ─► a truth ─► runs of each design ─► intervals, learner steps, hours ─► spreads

A truth is drawn from what is believed, so a simulation knows whether an interval would have held it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np

from orchestrator.grid.sweep import Sweep, group_name
from orchestrator.jobs.estimate import StepTime, run_hours
from orchestrator.laws.identified import Array
from orchestrator.search.design import Goal
from orchestrator.search.rehearsal import Rehearsal, Trained, World, rehearse_grid, rehearse_search
from orchestrator.search.search import Answer, Search
from orchestrator.search.searchfile import SearchConfig

TIMES = 4
"""How much more than its budget a further search may spend; it shows what a larger budget would buy."""

SEARCH, FURTHER = "search", f"search, {TIMES} × budget"


@dataclass(frozen=True, slots=True)
class Spread:
    """Over simulations: the median, and what nine in ten do not exceed."""

    median: float
    most: float

    @classmethod
    def of(cls, values: Array) -> Spread:
        """Of one value a simulation."""
        return cls(*(float(value) for value in np.quantile(values, (0.5, 0.9))))


@dataclass(frozen=True, slots=True)
class Known:
    """How well a design knows one quantity.

    Attributes:
        answer: Which: its group, quantity and k; its numbers are those of one simulation.
        half_width: Of its interval, of the logarithm but for the exponent, over the simulations that have the boundary
            in the file's range; None where none has.
        in_range: Share of simulations that have.
        held: Share of simulations whose interval held the truth.
        outside: Share of simulations that say that the range holds no boundary.
    """

    answer: Answer
    half_width: Spread | None
    in_range: float
    held: float
    outside: float


@dataclass(frozen=True, slots=True)
class Design:
    """What one way to spend learner steps would give.

    Attributes:
        name: For people.
        runs: New ones.
        learner_steps: Of them.
        hours: Of them, one after the other.
        gpu_hours: Of them.
        reached: Share of simulations that knew all that was asked for.
        held: Share of intervals that held the truth.
        known: Each quantity of each group.
    """

    name: str
    runs: Spread
    learner_steps: Spread
    hours: Spread
    gpu_hours: Spread
    reached: float
    held: float
    known: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated.

    Attributes:
        known: What stored runs tell.
        sweep: All runs that may be made.
        wanted: What is wanted of them.
        searched: Whether a search is rehearsed too.
        replicates: Of the grids, rising.
        paces: By model, as far as they are known.
        seed: Of the simulations.
    """

    known: Search
    sweep: Sweep
    wanted: SearchConfig
    searched: bool
    replicates: tuple[int, ...]
    paces: Mapping[str, StepTime]
    seed: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """An answer of one simulation, and the truth of it."""

    answer: Answer
    half_width: float
    held: bool
    in_range: bool


@dataclass(frozen=True, slots=True)
class _Trial:
    """One simulation of one design."""

    bill: tuple[float, float, float, float]
    reached: bool
    readings: Sequence[_Reading]


def simulate(plan: Plan, simulations: int, processes: int, done: Callable[[], None]) -> list[Design]:
    """Simulate every design of a plan on the same truths; the further search only where the budget ends a search.

    Args:
        plan: What to simulate.
        simulations: How many truths.
        processes: To share them out to.
        done: Is called after each.
    """
    trials: dict[str, list[_Trial]] = {}
    for of_one in _each(plan, simulations, processes):
        for name, trial in of_one.items():
            trials.setdefault(name, []).append(trial)
        done()
    if [one.bill for one in trials.get(FURTHER, ())] == [one.bill for one in trials.get(SEARCH, ())]:
        trials.pop(FURTHER, None)
    return [_design(name, of_design) for name, of_design in trials.items()]


def _each(plan: Plan, simulations: int, processes: int) -> Iterator[dict[str, _Trial]]:
    one = partial(_simulation, plan)
    if processes == 1:
        yield from map(one, range(simulations))
        return
    chunk = max(1, simulations // (4 * processes))  # the plan travels once a chunk
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from pool.map(one, range(simulations), chunksize=chunk)


def _simulation(plan: Plan, number: int) -> dict[str, _Trial]:
    """All designs on one truth."""
    world = World.drawn(plan.known, np.random.default_rng((plan.seed, number)))
    found = dict(_searches(plan, world)) if plan.searched else {}
    made = Rehearsal(plan.known)
    cells = list({run.cell: run for run in plan.sweep.runs}.values())
    for replicates in plan.replicates:
        made = rehearse_grid(made, cells, replicates, world.train)
        found[f"grid, {replicates} run{'s' if replicates > 1 else ''} a cell"] = _trial(plan, world, made)
    return found


def _searches(plan: Plan, world: World) -> Iterator[tuple[str, _Trial]]:
    made = rehearse_search(Rehearsal(plan.known), plan.wanted, world.train, partial(_spent, plan, 1))
    yield SEARCH, _trial(plan, world, made)
    made = rehearse_search(made, plan.wanted, world.train, partial(_spent, plan, TIMES))
    yield FURTHER, _trial(plan, world, made)


def _spent(plan: Plan, times: int, trained: Sequence[Trained]) -> bool:
    _, learner_steps, _, gpu_hours = _bill(plan.paces, trained)
    limits = (plan.wanted.learner_steps, learner_steps), (plan.wanted.gpu_hours, gpu_hours)
    return any(limit is not None and used >= times * limit for limit, used in limits)


def _bill(paces: Mapping[str, StepTime], trained: Sequence[Trained]) -> tuple[float, float, float, float]:
    hours = [run_hours(run, steps, paces.get(run.cell.model)) for run, steps in trained]
    gpu_hours = sum(each_h * run.resources.gpus for each_h, (run, _) in zip(hours, trained, strict=True))
    return len(trained), sum(steps for _, steps in trained), sum(hours), gpu_hours


def _trial(plan: Plan, world: World, made: Rehearsal) -> _Trial:
    answers = made.known.answers()
    ks: dict[str, list[int]] = {}
    for answer in answers:
        if answer.k is not None:
            ks.setdefault(answer.group, []).append(answer.k)
    readings = [_reading(world, answer, ks[answer.group]) for answer in answers]
    return _Trial(_bill(plan.paces, made.trained), made.known.done, readings)


def _reading(world: World, answer: Answer, ks: Sequence[int]) -> _Reading:
    (truth,) = [truth for group, truth in world.truth.items() if group_name(*group) == answer.group]
    value, _ = truth.moments(Goal(answer.quantity, math.inf, answer.k))
    low, high = answer.interval
    if answer.quantity != "exponent":
        low, high = math.log(low), math.log(high)
    needed = [answer.k] if answer.k is not None else ks
    inside = sum(max(truth.p_outside(k)) < 0.5 for k in needed)
    held = low - 1e-9 <= value <= high + 1e-9
    return _Reading(answer, (high - low) / 2, held, inside >= min(2, len(needed)))


def _design(name: str, trials: Sequence[_Trial]) -> Design:
    runs, learner_steps, hours, gpu_hours = (Spread.of(column) for column in np.array([one.bill for one in trials]).T)
    known = tuple(_known(readings) for readings in zip(*(one.readings for one in trials), strict=True))
    reached = float(np.mean([one.reached for one in trials]))
    held = float(np.mean([one.held for one in known]))
    return Design(name, runs, learner_steps, hours, gpu_hours, reached, held, known)


def _known(readings: Sequence[_Reading]) -> Known:
    widths = np.array([one.half_width for one in readings if one.in_range])
    return Known(
        readings[0].answer,
        Spread.of(widths) if len(widths) else None,
        len(widths) / len(readings),
        float(np.mean([one.held for one in readings])),
        float(np.mean([one.answer.standing in ("above", "below") for one in readings])),
    )
