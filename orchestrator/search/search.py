"""What a search knows of η_max(k), and which runs it makes next.

    outcomes of runs ─► beliefs ─► all known? ─► answers
                           │ no
                           ▼
         the runs with the largest expected gain per learner step, while the budget lasts

`Search.step` takes every decision of a search. `orchestrator.search.driver` applies it to runs that jobs train,
`orchestrator.search.simulation` to runs that are drawn.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from grpo_worker.schema.config import WorkerConfig, content_digest
from orchestrator.grid.sweep import Run, Sweep, group_name
from orchestrator.laws.estimates import Array
from orchestrator.laws.gaps import Coordinates
from orchestrator.search.beliefs import Beliefs, Goal, Seen
from orchestrator.search.search_file import SearchConfig
from orchestrator.store.outcomes import Outcome

Group = tuple[str, str]
"""Model, and further axes as JSON with sorted keys."""

Outcomes = Mapping[Group, Sequence[Outcome]]
"""Runs that have ended, by group."""

Key = tuple[Group, Coordinates, int]
"""A run: its group, cell and seed."""

Underway = Sequence[tuple[Run, float]]
"""Runs that have not ended, each with the learner steps that it is expected to take in all."""

NOT_OF_THE_GROUP = ("seed", "horizon", "k", "eta")
"""Worker fields in which the runs of one group may differ."""

USUAL_EXPONENT = 1.5
"""T* is taken to fall as η to this power. It is used for costs only."""

AnswerStanding = Literal["known", "above", "below", "open", "unasked"]


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What is known of one quantity.

    Attributes:
        group: The model, and its setting of further axes.
        quantity: ``eta_max`` at one k: the η at which half of the runs collapse within the horizon; or the ``exponent``
            a or the ``constant`` C of η_max = C·k^−a.
        k: Staleness, of ``eta_max``.
        estimate: The median.
        interval: At the confidence that was asked for.
        standing: ``known`` as well as was asked for; ``above`` or ``below`` all η of the file, at that confidence, at
            all k that matter but one at most; still ``open``; or ``unasked``.
        runs: How many runs it rests on.
    """

    group: str
    quantity: Literal["eta_max", "exponent", "constant"]
    k: int | None
    estimate: float
    interval: tuple[float, float]
    standing: AnswerStanding
    runs: int


@dataclass(frozen=True, slots=True)
class Step:
    """The decisions of one step: runs under way that need not go on, and runs to begin."""

    end: list[Run]
    begin: list[Run]


@dataclass(frozen=True, slots=True)
class Costs:
    """How far the runs of a group are trained.

    Attributes:
        horizon: Learner steps of a stable run.
        confirmed: Learner steps from T* to the end of a collapsed run; None: it is trained to its horizon.
        level: Mean of log T* + 1.5·log η over collapsed runs; None: there is none.
        scatter: Standard deviation of the same.
    """

    horizon: int
    confirmed: int | None
    level: float | None
    scatter: float

    @classmethod
    def of(cls, config: WorkerConfig, ended: Iterable[Outcome]) -> Costs:
        """Estimate them from runs of a group that have ended; the config may be that of any run of it."""
        levels = [
            math.log(one.collapse_step) + USUAL_EXPONENT * math.log(one.eta) for one in ended if one.collapse_step
        ]
        confirmed = config.collapse.stop_after_evals * config.eval_every_steps
        level, scatter = (float(np.mean(levels)), float(np.std(levels))) if levels else (None, 0.0)
        return cls(config.horizon, confirmed or None, level, scatter)

    def collapse_step(self, eta: float, deviation: float = 0.0) -> float:
        """T* at so many standard deviations from its mean; half of the horizon where no run has collapsed."""
        if self.level is None:
            return self.horizon / 2
        step = math.exp(self.level + self.scatter * deviation - USUAL_EXPONENT * math.log(eta))
        return min(step, self.horizon)

    def end(self, collapse_step: float | None) -> float:
        """Learner steps of a run that collapses at this step, or of a stable run for None."""
        if collapse_step is None or self.confirmed is None:
            return float(self.horizon)
        return min(collapse_step + self.confirmed, float(self.horizon))

    def expected(self, places: Iterable[Coordinates], chances: Array) -> Array:
        """Expected learner steps of a run of each cell, given its chance of a collapse, shape (cells,)."""
        collapsed = np.array([self.end(self.collapse_step(eta)) for _, eta in places])
        expected: Array = chances * collapsed + (1 - chances) * self.end(None)
        return expected


class Search:
    """What is known from the runs that have ended, and which runs to make next.

    Attributes:
        prices: Relative price of a learner step in each group.
    """

    def __init__(self, sweep: Sweep, wanted: SearchConfig) -> None:
        self._wanted = wanted
        self._candidates: dict[Group, list[Run]] = defaultdict(list)
        for run in sweep.runs:
            self._candidates[group_of(run)].append(run)
        self._places = {key_of(run): place for place, run in enumerate(sweep.runs)}
        self._goals = {group: wanted.target.goals(_ks(runs)) for group, runs in self._candidates.items()}
        self._priors = {group: _prior(runs, self._goals[group]) for group, runs in self._candidates.items()}
        self._alike = {
            group: _fingerprint(runs[0].config.model_dump(mode="json")) for group, runs in self._candidates.items()
        }
        self._know(dict.fromkeys(self._candidates, ()), self._priors)
        self.prices: Mapping[Group, float] = dict.fromkeys(self._candidates, 1.0)

    def learn(self, outcomes: Iterable[Outcome]) -> None:
        """Learn from all runs that have ended, those of other sweeps included if they have the same config.

        What was learned before is forgotten.
        """
        ended: dict[Group, list[Outcome]] = {group: [] for group in self._candidates}
        for one in outcomes:
            group = one.model, one.axes
            if group in ended and _fingerprint(one.config) == self._alike[group]:
                ended[group].append(one)
        self._know(ended, self._after(self._priors, ended))

    def then(self, outcomes: Iterable[Outcome]) -> Search:
        """A copy that knows further runs of this search too."""
        further: dict[Group, list[Outcome]] = defaultdict(list)
        for one in outcomes:
            further[one.model, one.axes].append(one)
        after = copy(self)
        ended = {group: [*before, *further[group]] for group, before in self._ended.items()}
        after._know(ended, self._after(self._beliefs, further))
        return after

    def _know(self, ended: Outcomes, beliefs: Mapping[Group, Beliefs]) -> None:
        self._ended, self._beliefs = ended, beliefs
        self._costs = {group: Costs.of(runs[0].config, ended[group]) for group, runs in self._candidates.items()}

    def _after(self, beliefs: Mapping[Group, Beliefs], outcomes: Outcomes) -> dict[Group, Beliefs]:
        return {group: one.after(seen_by(outcomes[group], self._horizon(group))) for group, one in beliefs.items()}

    @property
    def beliefs(self) -> Mapping[Group, Beliefs]:
        """Beliefs about the boundaries of each group."""
        return self._beliefs

    @property
    def ended(self) -> Outcomes:
        """The runs that the beliefs rest on."""
        return self._ended

    def costs(self, group: Group) -> Costs:
        """How far the runs of a group are trained."""
        return self._costs[group]

    def expected_steps(self, run: Run) -> float:
        """Expected learner steps of a run."""
        place = run.cell.k, run.cell.eta
        p = self._beliefs[group_of(run)].p_collapse(*place)
        return float(self.costs(group_of(run)).expected([place], np.array([p]))[0])

    def answers(self) -> list[SearchAnswer]:
        """What is known of every group, in the file's order: η_max at every k, then the law where it has several k."""
        return [self._answer(group, goal) for group in self._candidates for goal in self._all_goals(group)]

    @property
    def done(self) -> bool:
        """Whether everything that was asked for is known, or known to lie out of range."""
        return not any(self._open_goals(group) for group in self._candidates)

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
        under_way = sorted(under_way, key=self._order)  # what is expected of one depends on those before it
        if self.done:
            decided = self._wanted.early_stops.decided
            return Step([run for run in under_way if decided and self.decided_without(run)], [])
        begin: list[Run] = []
        expected = [(run, self.expected_steps(run)) for run in under_way]
        for run in self.choose(taken, under_way, number=places - len(under_way)):
            if is_spent(expected):
                break
            begin.append(run)
            expected.append((run, self.expected_steps(run)))
        return Step([], begin)

    def decided_without(self, run: Run) -> bool:
        """Whether everything asked for of a run's group stays known, at the wanted confidence, however the run ends."""
        group, (k, eta) = group_of(run), (run.cell.k, run.cell.eta)
        beliefs = self._beliefs[group]
        if self._open_goals(group, beliefs):
            return False
        p = beliefs.p_collapse(k, eta)
        ends = ((p, Seen(k, eta, 1, 0)), (1 - p, Seen(k, eta, 0, 1)))
        reopened = sum(chance for chance, end in ends if self._open_goals(group, beliefs.after([end])))
        return reopened <= 1 - self._wanted.confidence

    def choose(
        self, taken: Collection[Key] = (), under_way: Sequence[Run] = (), *, number: int | None = None
    ) -> list[Run]:
        """The runs with the largest expected gain per expected cost, chosen one after the other.

        Args:
            taken: Runs that were made or begun; none of them is chosen, nor one that has ended.
            under_way: Those of them that have not ended; each counts as if it ended as often as is expected.
            number: How many to choose at most; None = as many as may be under way at once.
        """
        left = self._left({*taken, *map(key_of, under_way)})
        goals = {group: open_goals for group in self._candidates if (open_goals := self._open_goals(group))}
        beliefs, chosen = dict(self._beliefs), list[Run]()
        for run in under_way:
            beliefs[group_of(run)] = _as_expected(beliefs[group_of(run)], run)
        while len(chosen) < (self._wanted.parallel if number is None else number):
            best: tuple[float, Run] | None = None
            for group, of_group in goals.items():
                places = [place for place, runs in left[group].items() if runs]
                if not places:
                    continue
                gains, chances = beliefs[group].gains(places, of_group)
                worth = gains / (self.prices[group] * self.costs(group).expected(places, chances))
                at = int(np.argmax(worth))
                if worth[at] > 0 and (best is None or worth[at] > best[0]):
                    best = float(worth[at]), left[group][places[at]][0]
            if best is None:
                break
            run = best[1]
            chosen.append(run)
            left[group_of(run)][run.cell.k, run.cell.eta].pop(0)
            beliefs[group_of(run)] = _as_expected(beliefs[group_of(run)], run)
        return chosen

    def _left(self, taken: set[Key]) -> dict[Group, dict[Coordinates, list[Run]]]:
        """The runs that may be chosen, by group and cell, in the file's order."""
        taken |= {(group, (one.k, one.eta), one.seed) for group, ended in self._ended.items() for one in ended}
        left: dict[Group, dict[Coordinates, list[Run]]] = {group: defaultdict(list) for group in self._candidates}
        for group, runs in self._candidates.items():
            for run in runs:
                if key_of(run) not in taken:
                    left[group][run.cell.k, run.cell.eta].append(run)
        return left

    def _order(self, run: Run) -> int:
        return self._places[key_of(run)]

    def _horizon(self, group: Group) -> int:
        return self._candidates[group][0].config.horizon

    def _all_goals(self, group: Group) -> list[Goal]:
        """The quantities that are answered: those asked for with their widths, and those known anyway."""
        ks = _ks(self._candidates[group])
        every = [Goal("eta_max", math.inf, k) for k in ks]
        every += [Goal("exponent", math.inf), Goal("constant", math.inf)] if len(ks) > 1 else []
        asked = {(goal.quantity, goal.k): goal for goal in self._goals[group]}
        return [asked.get((goal.quantity, goal.k), goal) for goal in every]

    def _open_goals(self, group: Group, beliefs: Beliefs | None = None) -> list[Goal]:
        beliefs = beliefs or self._beliefs[group]
        return [goal for goal in self._goals[group] if self._standing(group, goal, beliefs) == "open"]

    def _answer(self, group: Group, goal: Goal) -> SearchAnswer:
        beliefs = self._beliefs[group]
        low, high = beliefs.interval(goal, self._wanted.confidence)
        middle = sum(beliefs.interval(goal, 0.0)) / 2
        if goal.quantity != "exponent":
            low, middle, high = math.exp(low), math.exp(middle), math.exp(high)
        horizon = self._horizon(group)
        runs = sum(goal.k in (None, one.k) and one.collapsed_by(horizon) is not None for one in self._ended[group])
        standing = self._standing(group, goal, beliefs)
        return SearchAnswer(group_name(*group), goal.quantity, goal.k, middle, (low, high), standing, runs)

    def _standing(self, group: Group, goal: Goal, beliefs: Beliefs) -> AnswerStanding:
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
    """What distinguishes a run from all others of its sweep."""
    return group_of(run), (run.cell.k, run.cell.eta), run.seed


def seen_by(outcomes: Iterable[Outcome], horizon: int) -> list[Seen]:
    """Count by cell the runs of one group that collapsed within so many learner steps, and those that did not."""
    counts: dict[Coordinates, list[int]] = defaultdict(lambda: [0, 0])
    for one in outcomes:
        collapsed = one.collapsed_by(horizon)
        if collapsed is not None:
            counts[one.k, one.eta][0 if collapsed else 1] += 1
    return [Seen(k, eta, collapsed, stable) for (k, eta), (collapsed, stable) in counts.items()]


def _as_expected(beliefs: Beliefs, run: Run) -> Beliefs:
    p = beliefs.p_collapse(run.cell.k, run.cell.eta)
    return beliefs.after([Seen(run.cell.k, run.cell.eta, p, 1 - p)])


def _prior(runs: Sequence[Run], goals: Sequence[Goal]) -> Beliefs:
    etas = [run.cell.eta for run in runs]
    return Beliefs.before(_ks(runs), (min(etas), max(etas)), min(goal.half_width for goal in goals))


def _ks(runs: Sequence[Run]) -> list[int]:
    return sorted({run.cell.k for run in runs})


def _fingerprint(config: Mapping[str, Any]) -> str:
    """What the runs of one group have in common; training on after a collapse changes nothing before T*."""
    rest = {name: value for name, value in config.items() if name not in NOT_OF_THE_GROUP}
    if isinstance(rest.get("collapse"), Mapping):
        rest["collapse"] = {name: value for name, value in rest["collapse"].items() if name != "stop_after_evals"}
    return content_digest(rest)
