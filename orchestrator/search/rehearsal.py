"""Rehearse a grid or a search without training: the same decisions, with runs from elsewhere in the place of jobs.

A search is rehearsed as it is made: so many runs are under way at once, and when one ends the next is chosen.
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
from orchestrator.search.costs import Costs
from orchestrator.search.design import Beliefs
from orchestrator.search.search import Group, Search, group_of, key_of
from orchestrator.search.searchfile import SearchConfig
from orchestrator.store.store import Outcome

Train = Callable[[Run], Outcome]
"""Tells how a run ends."""

Trained = tuple[Run, int]
"""A run, and how many learner steps it has had."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would be known, and which runs it would take."""

    known: Search
    trained: Sequence[Trained] = ()


@dataclass(frozen=True, slots=True)
class World:
    """A truth, one point of what is believed of each group, and runs drawn from it."""

    truth: dict[Group, Beliefs]
    costs: dict[Group, Costs]
    draw: np.random.Generator

    @classmethod
    def drawn(cls, known: Search, draw: np.random.Generator) -> World:
        """Draw a truth from what is known."""
        truth = {group: beliefs.drawn(draw) for group, beliefs in known.beliefs.items()}
        return cls(truth, {group: known.costs(group) for group in truth}, draw)

    def train(self, run: Run) -> Outcome:
        """Draw how a run ends."""
        group = group_of(run)
        k, eta, costs = run.cell.k, run.cell.eta, self.costs[group]
        chance, deviation = self.draw.random(), self.draw.standard_normal()
        step = costs.collapse_step(eta, deviation) if chance < self.truth[group].p_collapse(k, eta) else None
        end = math.ceil(costs.end(step))
        return Outcome(*group, k, eta, run.seed, end, None if step is None else math.ceil(step), {})


def rehearse_grid(before: Rehearsal, cells: Iterable[Run], replicates: int, train: Train) -> Rehearsal:
    """Fill each cell up to so many runs.

    Args:
        before: What is known; runs that tell of a cell count as runs of it.
        cells: One run of each cell.
        replicates: Runs of each cell.
        train: Tells how they end.
    """
    told = Counter[tuple[Group, int, float]]()
    for group, ended in before.known.ended.items():
        horizon = before.known.costs(group).horizon
        told.update((group, one.k, one.eta) for one in ended if one.collapsed_by(horizon) is not None)
    runs = [run for run in cells for _ in range(replicates - told[group_of(run), run.cell.k, run.cell.eta])]
    outcomes = [train(run) for run in runs]
    trained = [(run, one.learner_steps) for run, one in zip(runs, outcomes, strict=True)]
    return Rehearsal(before.known.then(outcomes), (*before.trained, *trained))


def rehearse_search(
    before: Rehearsal, wanted: SearchConfig, train: Train, spent: Callable[[Sequence[Trained]], bool]
) -> Rehearsal:
    """Search until all is known that is wanted, the budget is spent, or no run is left.

    Args:
        before: What is known, and what has been paid for.
        wanted: Of the search.
        train: Tells how runs end.
        spent: Whether so much training spends the budget, that of runs under way as far as is expected.
    """
    known, trained, now, number = before.known, list(before.trained), 0, count()
    taken = {key_of(run) for run, _ in trained}
    under_way: list[tuple[int, int, int, Run, Outcome]] = []  # ordered by when they end

    def due() -> list[Trained]:
        return [*trained, *((run, round(known.expected_steps(key_of(run)))) for *_, run, _ in under_way)]

    while True:
        while len(under_way) < wanted.parallel and not known.done and not spent(due()):
            chosen = known.choose(taken, [key_of(run) for *_, run, _ in under_way], number=1)
            for run in chosen:
                taken.add(key_of(run))
                outcome = train(run)
                heapq.heappush(under_way, (now + outcome.learner_steps, next(number), now, run, outcome))
            if not chosen:
                break
        if not under_way:
            return Rehearsal(known, trained)
        now, _, _, run, outcome = heapq.heappop(under_way)
        trained.append((run, outcome.learner_steps))
        known = known.then([outcome])
        if wanted.early_stops.decided and known.done:
            for going in [one for one in under_way if known.decided_without(one[3])]:
                under_way.remove(going)
                trained.append((going[3], now - going[2]))
            heapq.heapify(under_way)
