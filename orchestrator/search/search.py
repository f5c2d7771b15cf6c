"""What a search knows of η_max(k), and which runs it makes next.

    outcomes of runs ─► beliefs ─► all known? ─► answers
                           │ no
                           ▼
         the runs with the largest expected gain per learner step, while the budget lasts

`Search.step` takes every decision of a search. `orchestrator.search.driver` applies it to runs that jobs train,
`orchestrator.search.simulation` to runs that are drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from orchestrator.grid.sweep import Run, Sweep
from orchestrator.laws.gaps import Coordinates
from orchestrator.search.knowledge import Knowledge, SearchAnswer
from orchestrator.search.search_file import SearchConfig
from orchestrator.store.outcomes import Outcome
from orchestrator.store.queries import RunProgress

Group = tuple[str, str]
"""Model, and further axes as JSON with sorted keys."""

Key = tuple[Group, Coordinates, int]
"""A run: its group, cell and seed."""

Underway = Sequence[tuple[Run, float]]
"""Runs that have not ended, each with the learner steps that it is expected to take in all."""


@dataclass(frozen=True, slots=True)
class Step:
    """The decisions of one step: runs under way that need not go on, and runs to begin."""

    end: list[Run]
    begin: list[Run]


class Search:
    """What is known from the runs that have ended, and which runs to make next.

    Attributes:
        runs: All that may be made, in the file's order.
        groups: What is known of each group.
        prices: Relative price of a learner step in each group.

    Args:
        sweep: All runs that may be made.
        wanted: What is wanted of them.
    """

    def __init__(self, sweep: Sweep, wanted: SearchConfig) -> None:
        self.sweep, self.wanted = sweep, wanted
        self.runs = {key_of(run): run for run in sweep.runs}
        candidates: dict[Group, list[Run]] = defaultdict(list)
        for (group, *_), run in self.runs.items():
            candidates[group].append(run)
        self._before = {group: Knowledge.before(runs, wanted) for group, runs in candidates.items()}
        self.groups: Mapping[Group, Knowledge] = self._before
        self.prices: Mapping[Group, float] = dict.fromkeys(candidates, 1.0)

    def learn(self, outcomes: Iterable[Outcome]) -> None:
        """Learn from all runs that have ended, those of other sweeps included if they have the same config.

        What was learned before is forgotten.
        """
        self.groups = known = self._before
        alike = [one for one in outcomes if (group := (one.model, one.axes)) in known and known[group].is_like(one)]
        self.groups = self.then(alike).groups

    def then(self, outcomes: Iterable[Outcome]) -> Search:
        """A copy that knows further runs of this search too."""
        ended: dict[Group, list[Outcome]] = defaultdict(list)
        for one in outcomes:
            ended[one.model, one.axes].append(one)
        further = copy(self)
        further.groups = {group: known.then(ended[group]) for group, known in self.groups.items()}
        return further

    def answers(self) -> list[SearchAnswer]:
        """What is known of every group, in the file's order: η_max at every k, then the law where it has several k."""
        return [answer for known in self.groups.values() for answer in known.answers()]

    @property
    def done(self) -> bool:
        """Whether everything that was asked for is known, or known to lie out of range."""
        return not any(known.open_goals() for known in self.groups.values())

    def step(
        self, taken: Collection[Key], under_way: Sequence[Run], places: int, is_spent: Callable[[Underway], bool]
    ) -> Step:
        """Decide which runs to end and which to begin, now that something has ended.

        Args:
            taken: Runs that were made or begun; none of them is begun again.
            under_way: Those of them that have not ended.
            places: Runs that may be under way at once.
            is_spent: Whether the budget will be spent when these runs, and all that have ended, are paid for.
        """
        going = set(map(key_of, under_way))
        # In the file's order, as what is expected of a run depends on those before it.
        under_way = [run for key, run in self.runs.items() if key in going]
        if self.done:
            decided = self.wanted.early_stops.decided
            return Step([run for run in under_way if decided and self._of(run).decided_without(run)], [])
        begin: list[Run] = []
        expected = [(run, self._of(run).expected_steps(run)) for run in under_way]
        for run in self.choose(taken, under_way, number=places - len(under_way)):
            if is_spent(expected):
                break
            begin.append(run)
            expected.append((run, self._of(run).expected_steps(run)))
        return Step([], begin)

    def choose(
        self, taken: Collection[Key] = (), under_way: Sequence[Run] = (), *, number: int | None = None
    ) -> list[Run]:
        """The runs with the largest expected gain per expected cost, chosen one after the other, see `step`.

        Runs under way count as if they ended as often as is expected. At most ``number`` are chosen, by default as many
        as may be under way at once.
        """
        ended = {(group, (one.k, one.eta), one.seed) for group, known in self.groups.items() for one in known.ended}
        gone = ended | {*taken, *map(key_of, under_way)}
        left: dict[Group, dict[Coordinates, list[Run]]] = defaultdict(lambda: defaultdict(list))
        for key, run in self.runs.items():
            if key not in gone:
                left[key[0]][key[1]].append(run)
        goals = {group: open_goals for group, known in self.groups.items() if (open_goals := known.open_goals())}
        expected, chosen = dict(self.groups), list[Run]()
        for run in under_way:
            expected[group_of(run)] = expected[group_of(run)].as_expected(run)
        while len(chosen) < (self.wanted.parallel if number is None else number):
            best: tuple[float, Run] | None = None
            for group, of_group in goals.items():
                places = [place for place, runs in left[group].items() if runs]
                if not places:
                    continue
                gains, chances = expected[group].beliefs.gains(places, of_group)
                worth = gains / (self.prices[group] * self.groups[group].costs.expected(places, chances))
                at = int(np.argmax(worth))
                if worth[at] > 0 and (best is None or worth[at] > best[0]):
                    best = float(worth[at]), left[group][places[at]][0]
            if best is None:
                break
            run = best[1]
            chosen.append(run)
            left[group_of(run)][run.cell.k, run.cell.eta].pop(0)
            expected[group_of(run)] = expected[group_of(run)].as_expected(run)
        return chosen

    def _of(self, run: Run) -> Knowledge:
        return self.groups[group_of(run)]


def group_of(run: Run | RunProgress) -> Group:
    """The group that a run belongs to."""
    return run.cell.model, run.cell.axes_text


def key_of(run: Run | RunProgress) -> Key:
    """What distinguishes a run from all others of its sweep."""
    return group_of(run), (run.cell.k, run.cell.eta), run.seed
