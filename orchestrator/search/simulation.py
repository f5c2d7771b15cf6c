"""Simulate a search or a grid on a truth that is drawn from what is believed.

A simulated search takes its decisions by `orchestrator.search.search.Search.step`, as a real one does.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from orchestrator.grid.sweep import Run
from orchestrator.search.search import Group, Search, Underway, group_of, key_of
from orchestrator.store.outcomes import Outcome

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
