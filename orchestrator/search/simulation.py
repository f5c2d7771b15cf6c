"""Simulate a search or a grid on a truth that is drawn from what is believed.

A simulated search takes its decisions by `orchestrator.search.search.Search.step`, as a real one does.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from orchestrator.grid.sweep import Run
from orchestrator.search.beliefs import Beliefs
from orchestrator.search.knowledge import Costs
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


@dataclass(frozen=True, slots=True)
class World:
    """A truth drawn from the beliefs about each group, and runs drawn from it."""

    truth: dict[Group, Beliefs]
    costs: dict[Group, Costs]
    draw: np.random.Generator

    @classmethod
    def drawn(cls, known: Search, draw: np.random.Generator) -> World:
        """Draw a truth."""
        truth = {group: one.beliefs.drawn(draw) for group, one in known.groups.items()}
        return cls(truth, {group: one.costs for group, one in known.groups.items()}, draw)

    def train(self, run: Run) -> Outcome:
        """Draw the end of a run."""
        group = group_of(run)
        k, eta, costs = run.cell.k, run.cell.eta, self.costs[group]
        chance, deviation = self.draw.random(), self.draw.standard_normal()
        step = costs.collapse_step(eta, deviation) if chance < self.truth[group].p_collapse(k, eta) else None
        end = math.ceil(costs.end(step))
        return Outcome(*group, k, eta, run.seed, end, None if step is None else math.ceil(step), {})


def simulate_grid(before: Simulated, cells: Iterable[Run], replicates: int, train: Train) -> Simulated:
    """Fill each cell up to so many runs.

    Args:
        before: What is known; runs that say how a cell ends count as runs of it.
        cells: One run of each cell.
        replicates: Runs of each cell.
        train: Gives the end of each.
    """
    made = Counter[tuple[Group, int, float]]()
    for group, of in before.known.groups.items():
        made.update((group, one.k, one.eta) for one in of.ended if one.collapsed_by(of.horizon) is not None)
    runs = [run for run in cells for _ in range(replicates - made[group_of(run), run.cell.k, run.cell.eta])]
    outcomes = [train(run) for run in runs]
    trained = [(run, one.learner_steps) for run, one in zip(runs, outcomes, strict=True)]
    return Simulated(before.known.then(outcomes), (*before.trained, *trained))


def simulate_search(
    before: Simulated, places: int, train: Train, is_spent: Callable[[Sequence[Trained]], bool]
) -> Simulated:
    """Search until everything wanted is known, the budget is spent, or no run is left.

    Args:
        before: What is known, and what has been paid for.
        places: Runs under way at once.
        train: Gives the end of each run.
        is_spent: Whether so much training spends the budget; it is given what is expected of the runs under way too.
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
