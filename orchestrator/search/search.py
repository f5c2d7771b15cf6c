"""Adaptive search of η_max(k): which runs of a search file to make next, and when enough is known.

        stored runs ─► beliefs ─► known well enough, budget spent, nothing left? ─► answers
                          │ no
                          ▼
            the runs that teach most per learner step ─► made ─► stored runs

The results database is all that a search remembers: killed anywhere, it goes on from the runs that are stored.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from grpo_worker.schema.config import content_digest
from orchestrator.grid.sweep import Run, Sweep, group_name
from orchestrator.laws.settle import Place
from orchestrator.search.costs import Costs
from orchestrator.search.design import Beliefs, Goal, Seen
from orchestrator.search.outlook import seen_by
from orchestrator.search.searchfile import SearchConfig
from orchestrator.store.store import Outcome

Group = tuple[str, str]
"""Model, and further axes as JSON with sorted keys."""

Ended = Mapping[Group, Sequence[Outcome]]
"""Runs that have ended, by group."""

Key = tuple[Group, Place, int]
"""A run: its group, cell and seed."""

NOT_OF_THE_CELL = ("seed", "horizon", "k", "eta")
"""Worker fields in which runs of one group may differ."""


Standing = Literal["known", "above", "below", "open", "unasked"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of one quantity.

    Attributes:
        group: The model, and its setting of further axes.
        quantity: ``eta_max`` at one k: the η at which half of the runs collapse within the horizon; or the ``exponent``
            a or the ``constant`` C of η_max = C·k^−a.
        k: Staleness, of ``eta_max``.
        estimate: The median.
        interval: At the confidence that was asked for.
        standing: ``known`` as well as was asked for; ``above`` or ``below`` all η of the file, at that confidence, as
            far as this quantity needs them; still ``open``; or ``unasked``.
        runs: How many runs say so.
    """

    group: str
    quantity: Literal["eta_max", "exponent", "constant"]
    k: int | None
    estimate: float
    interval: tuple[float, float]
    standing: Standing
    runs: int


class Search:
    """What is known from the runs that have ended, and which to make next.

    Attributes:
        prices: What a learner step costs in each group, beside that of another.
    """

    def __init__(self, sweep: Sweep, wanted: SearchConfig) -> None:
        self._wanted = wanted
        self._candidates: dict[Group, list[Run]] = defaultdict(list)
        for run in sweep.runs:
            self._candidates[group_of(run)].append(run)
        self._goals = {group: wanted.target.goals(_ks(runs)) for group, runs in self._candidates.items()}
        self._priors = {group: _prior(runs, self._goals[group]) for group, runs in self._candidates.items()}
        self._alike = {
            group: _fingerprint(runs[0].config.model_dump(mode="json")) for group, runs in self._candidates.items()
        }
        self._ended: Ended = dict.fromkeys(self._candidates, ())
        self._beliefs = dict(self._priors)
        self._costs = self._reckoned()
        self.prices: Mapping[Group, float] = dict.fromkeys(self._candidates, 1.0)

    def _sorted(self, outcomes: Iterable[Outcome]) -> Ended:
        """Sort runs by group, those of other sweeps included; those trained with other settings are left out."""
        found: dict[Group, list[Outcome]] = {group: [] for group in self._candidates}
        for one in outcomes:
            group = one.model, one.axes
            if group in found and _fingerprint(one.config) == self._alike[group]:
                found[group].append(one)
        return found

    def learn(
        self, outcomes: Iterable[Outcome], odds_of: Callable[[Ended], Mapping[Group, float]] = lambda _: {}
    ) -> None:
        """Take what is known from runs that have ended, those of other sweeps included if they are of the same config.

        Args:
            outcomes: All of them; what was learnt before is forgotten.
            odds_of: Given them by group, what an alarm tells of a run that it has ended, see
                `orchestrator.search.alarm.Alarm`; where it says nothing, such a run tells nothing.
        """
        self._ended = self._sorted(outcomes)
        odds = odds_of(self._ended)
        self._beliefs = {
            group: self._priors[group].after(seen_by(ended, self.horizons[group], odds.get(group, 1.0)))
            for group, ended in self._ended.items()
        }
        self._costs = self._reckoned()

    def then(self, outcomes: Iterable[Outcome], odds: Mapping[Group, float] = MappingProxyType({})) -> Search:
        """What would be known after further runs of this search; it is left as it is.

        Args:
            outcomes: Of its own candidates.
            odds: By group, see `learn`.
        """
        further: dict[Group, list[Outcome]] = defaultdict(list)
        for one in outcomes:
            further[one.model, one.axes].append(one)
        after = copy(self)
        after._ended = {group: [*ended, *further[group]] for group, ended in self._ended.items()}
        after._beliefs = {
            group: beliefs.after(seen_by(further[group], self.horizons[group], odds.get(group, 1.0)))
            for group, beliefs in self._beliefs.items()
        }
        after._costs = after._reckoned()
        return after

    @property
    def horizons(self) -> dict[Group, int]:
        """Learner steps that runs of each group are to be trained."""
        return {group: runs[0].config.horizon for group, runs in self._candidates.items()}

    @property
    def beliefs(self) -> Mapping[Group, Beliefs]:
        """What is known of each group."""
        return self._beliefs

    @property
    def ended(self) -> Ended:
        """The runs that say so."""
        return self._ended

    def costs(self, group: Group) -> Costs:
        """What runs of a group may cost."""
        return self._costs[group]

    def expected_steps(self, key: Key) -> float:
        """How many learner steps a run is expected to take."""
        group, place, _ = key
        p = self._beliefs[group].p_collapse(*place)
        return float(self.costs(group).expected([place], np.array([p]))[0])

    def answers(self) -> list[Answer]:
        """What is known of every group, in the file's order: η_max at every k, then the law where it has several k."""
        return [self._answer(group, goal) for group in self._candidates for goal in self._all_goals(group)]

    @property
    def done(self) -> bool:
        """Whether nothing that was asked for is open."""
        return not any(self._open_goals(group) for group in self._candidates)

    def decided_without(self, run: Run) -> bool:
        """Whether all that is asked for of a run's group stands, at the confidence asked for, however the run ends."""
        group, (k, eta) = group_of(run), (run.cell.k, run.cell.eta)
        beliefs = self._beliefs[group]
        if self._open_goals(group, beliefs):
            return False
        p = beliefs.p_collapse(k, eta)
        ends = ((p, Seen(k, eta, 1, 0)), (1 - p, Seen(k, eta, 0, 1)))
        reopened = sum(chance for chance, end in ends if self._open_goals(group, beliefs.after([end])))
        return reopened <= 1 - self._wanted.confidence

    def choose(self, taken: Iterable[Key], under_way: Collection[Key] = (), *, number: int | None = None) -> list[Run]:
        """The runs to make next: those that teach most about what is still open per learner step.

        Args:
            taken: Runs that were made or begun; none of them is chosen, nor one that has ended.
            under_way: Those of them that are to end yet; each counts as if it ended as often as is expected.
            number: How many to choose at most; None = as many as are to be under way at once.
        """
        made = {*taken, *under_way}
        made |= {(group, (one.k, one.eta), one.seed) for group, ended in self._ended.items() for one in ended}
        left: dict[Group, dict[Place, list[Run]]] = {group: defaultdict(list) for group in self._candidates}
        for group, runs in self._candidates.items():
            for run in runs:
                if (group, (run.cell.k, run.cell.eta), run.seed) not in made:
                    left[group][run.cell.k, run.cell.eta].append(run)
        goals = {group: open_goals for group in self._candidates if (open_goals := self._open_goals(group))}
        beliefs, chosen = dict(self._beliefs), list[Run]()
        for group, place, _ in under_way:
            if group in beliefs:
                beliefs[group] = _as_expected(beliefs[group], place)
        while len(chosen) < (self._wanted.parallel if number is None else number):
            best: tuple[float, Group, Place] | None = None
            for group, of_group in goals.items():
                places = [place for place, runs in left[group].items() if runs]
                if not places:
                    continue
                gains, chances = beliefs[group].gains(places, of_group)
                worth = gains / (self.prices[group] * self.costs(group).expected(places, chances))
                at = int(np.argmax(worth))
                if worth[at] > 0 and (best is None or worth[at] > best[0]):
                    best = float(worth[at]), group, places[at]
            if best is None:
                break
            _, group, place = best
            chosen.append(left[group][place].pop(0))
            beliefs[group] = _as_expected(beliefs[group], place)
        return chosen

    def _reckoned(self) -> dict[Group, Costs]:
        return {group: Costs.of(runs[0].config, self._ended[group]) for group, runs in self._candidates.items()}

    def _all_goals(self, group: Group) -> list[Goal]:
        """What answers are given to: what is asked for, and what is known anyway."""
        ks = _ks(self._candidates[group])
        every = [Goal("eta_max", math.inf, k) for k in ks]
        every += [Goal("exponent", math.inf), Goal("constant", math.inf)] if len(ks) > 1 else []
        asked = {(goal.quantity, goal.k): goal for goal in self._goals[group]}
        return [asked.get((goal.quantity, goal.k), goal) for goal in every]

    def _open_goals(self, group: Group, beliefs: Beliefs | None = None) -> list[Goal]:
        beliefs = beliefs or self._beliefs[group]
        return [goal for goal in self._goals[group] if self._standing(group, goal, beliefs) == "open"]

    def _answer(self, group: Group, goal: Goal) -> Answer:
        beliefs = self._beliefs[group]
        low, high = beliefs.interval(goal, self._wanted.confidence)
        middle = sum(beliefs.interval(goal, 0.0)) / 2
        if goal.quantity != "exponent":
            low, middle, high = math.exp(low), math.exp(middle), math.exp(high)
        horizon = self._candidates[group][0].config.horizon
        runs = sum(goal.k in (None, one.k) and one.collapsed_by(horizon) is not None for one in self._ended[group])
        standing = self._standing(group, goal, beliefs)
        return Answer(group_name(*group), goal.quantity, goal.k, middle, (low, high), standing, runs)

    def _standing(self, group: Group, goal: Goal, beliefs: Beliefs) -> Standing:
        confidence = self._wanted.confidence
        ks = [goal.k] if goal.k is not None else _ks(self._candidates[group])
        outside = [beliefs.p_outside(k) for k in ks]
        needed = min(2, len(ks))  # a law in k needs the boundary at two of them
        if sum(below <= confidence for below, _ in outside) < needed:
            return "below"
        if sum(above <= confidence for _, above in outside) < needed:
            return "above"
        if goal.half_width == math.inf:
            return "unasked"
        low, high = beliefs.interval(goal, confidence)
        narrow = high - low <= 2 * goal.half_width
        return "known" if narrow and sum(max(ends) < 0.5 for ends in outside) >= needed else "open"


def group_of(run: Run) -> Group:
    """The group that a run belongs to."""
    return run.cell.model, run.cell.axes_text


def key_of(run: Run) -> Key:
    """What tells a run from all others of its sweep."""
    return group_of(run), (run.cell.k, run.cell.eta), run.seed


def _as_expected(beliefs: Beliefs, place: Place) -> Beliefs:
    p = beliefs.p_collapse(*place)
    return beliefs.after([Seen(*place, p, 1 - p)])


def _prior(runs: Sequence[Run], goals: Sequence[Goal]) -> Beliefs:
    etas = [run.cell.eta for run in runs]
    return Beliefs.before(_ks(runs), (min(etas), max(etas)), min(goal.half_width for goal in goals))


def _ks(runs: Sequence[Run]) -> list[int]:
    return sorted({run.cell.k for run in runs})


def _fingerprint(config: Mapping[str, Any]) -> str:
    """What runs of one group have in common; whether a collapsed run is trained on changes nothing before T*."""
    rest = {name: value for name, value in config.items() if name not in NOT_OF_THE_CELL}
    if isinstance(rest.get("collapse"), Mapping):
        rest["collapse"] = {name: value for name, value in rest["collapse"].items() if name != "stop_after_evals"}
    return content_digest(rest)
