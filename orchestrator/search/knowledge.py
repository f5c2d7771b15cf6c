"""What is known of one group of runs: a model in one setting of its further axes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from grpo_worker.schema.config import WorkerConfig, content_digest
from orchestrator.grid.sweep import Run, group_name
from orchestrator.laws.estimates import Array
from orchestrator.laws.gaps import Coordinates
from orchestrator.search.beliefs import Beliefs, Goal, Quantity, Seen
from orchestrator.search.search_file import SearchConfig
from orchestrator.store.outcomes import Outcome

NOT_OF_THE_GROUP = ("seed", "horizon", "k", "eta")
"""Worker fields in which the runs of one group may differ."""

USUAL_EXPONENT = 1.5
"""T* is taken to fall as η to this power. It is used for costs only."""

AnswerStanding = Literal["known", "above", "below", "open", "unasked"]
"""``known`` as well as was asked for; ``above`` or ``below`` all η of the file, at the wanted confidence, at all k that
matter but one at most; still ``open``; or ``unasked``."""


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What is known of one quantity."""

    group: str  # the model, and its setting of further axes
    quantity: Quantity  # eta_max at one k is the η at which half of the runs collapse within the horizon
    k: int | None  # of eta_max
    estimate: float  # the median
    interval: tuple[float, float]  # at the confidence that was asked for
    standing: AnswerStanding
    runs: int  # how many it rests on


@dataclass(frozen=True, slots=True)
class Costs:
    """How far the runs of a group are trained, in learner steps."""

    horizon: int
    confirmed: float  # from T* to the end of a collapsed run; infinite: it is trained to its horizon
    level: float | None  # mean of log T* + 1.5·log η over collapsed runs; None: there is none
    scatter: float  # standard deviation of the same

    @classmethod
    def of(cls, config: WorkerConfig, ended: Iterable[Outcome]) -> Costs:
        """Estimate them from runs of a group that have ended; the config may be that of any run of it."""
        levels = [
            math.log(one.collapse_step) + USUAL_EXPONENT * math.log(one.eta) for one in ended if one.collapse_step
        ]
        confirmed = config.collapse.stop_after_evals * config.eval_every_steps
        level, scatter = (float(np.mean(levels)), float(np.std(levels))) if levels else (None, 0.0)
        return cls(config.horizon, confirmed or math.inf, level, scatter)

    def collapse_step(self, eta: float, deviation: float = 0.0) -> float:
        """T* at so many standard deviations from its mean; half of the horizon where no run has collapsed."""
        if self.level is None:
            return self.horizon / 2
        step = math.exp(self.level + self.scatter * deviation - USUAL_EXPONENT * math.log(eta))
        return min(step, self.horizon)

    def end(self, collapse_step: float = math.inf) -> float:
        """Learner steps of a run that collapses at this step, or of a stable run."""
        return min(collapse_step + self.confirmed, float(self.horizon))

    def expected(self, places: Iterable[Coordinates], chances: Array) -> Array:
        """Expected learner steps of a run of each cell, given its chance of a collapse, shape (cells,)."""
        collapsed = np.array([self.end(self.collapse_step(eta)) for _, eta in places])
        expected: Array = chances * collapsed + (1 - chances) * self.end()
        return expected


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """What is known of one group."""

    runs: Sequence[Run]  # all that may be made
    wanted: SearchConfig
    goals: Sequence[Goal]
    beliefs: Beliefs
    ended: Sequence[Outcome]  # what the beliefs rest on
    costs: Costs
    fingerprint: str  # what the configs of its runs have in common

    @classmethod
    def before(cls, runs: Sequence[Run], wanted: SearchConfig) -> Knowledge:
        """What is known when no run has ended."""
        ks, etas = sorted({run.cell.k for run in runs}), [run.cell.eta for run in runs]
        goals = wanted.target.goals(ks)
        beliefs = Beliefs.before(ks, (min(etas), max(etas)), min(goal.half_width for goal in goals))
        config = runs[0].config
        return cls(runs, wanted, goals, beliefs, (), Costs.of(config, ()), _fingerprint(config.model_dump(mode="json")))

    def then(self, outcomes: Iterable[Outcome]) -> Knowledge:
        """What is known after further runs."""
        outcomes = list(outcomes)
        ended = [*self.ended, *outcomes]
        beliefs = self.beliefs.after(seen_by(outcomes, self.horizon))
        return replace(self, beliefs=beliefs, ended=ended, costs=Costs.of(self.runs[0].config, ended))

    def is_like(self, outcome: Outcome) -> bool:
        """Whether a stored run has the config of this group's."""
        return _fingerprint(outcome.config) == self.fingerprint

    @property
    def horizon(self) -> int:
        """Learner steps of a stable run."""
        return self.runs[0].config.horizon

    def expected_steps(self, run: Run) -> float:
        """Expected learner steps of a run."""
        place = run.cell.k, run.cell.eta
        return float(self.costs.expected([place], self.beliefs.chances([place]))[0])

    def as_expected(self, run: Run, p: float | None = None) -> Knowledge:
        """What is known after a run that collapses with this chance, or as often as is expected."""
        k, eta = run.cell.k, run.cell.eta
        p = self.beliefs.p_collapse(k, eta) if p is None else p
        return replace(self, beliefs=self.beliefs.after([Seen(k, eta, p, 1 - p)]))

    def open_goals(self) -> list[Goal]:
        """The goals that are neither known nor known to lie out of range."""
        return [goal for goal in self.goals if self._standing(goal) == "open"]

    def decided_without(self, run: Run) -> bool:
        """Whether all that is asked for stays known, at the wanted confidence, however a run ends."""
        if self.open_goals():
            return False
        p = self.beliefs.p_collapse(run.cell.k, run.cell.eta)
        ends = (p, 1.0), (1 - p, 0.0)
        reopened = sum(chance for chance, collapsed in ends if self.as_expected(run, collapsed).open_goals())
        return reopened <= 1 - self.wanted.confidence

    def answers(self) -> list[SearchAnswer]:
        """What is known of η_max at every k, then of the law where there are several k."""
        ks = self.beliefs.ks
        every = [Goal("eta_max", math.inf, k) for k in ks]
        every += [Goal("exponent", math.inf), Goal("constant", math.inf)] if len(ks) > 1 else []
        asked = {(goal.quantity, goal.k): goal for goal in self.goals}
        return [self._answer(asked.get((goal.quantity, goal.k), goal)) for goal in every]

    def _answer(self, goal: Goal) -> SearchAnswer:
        low, high = self.beliefs.interval(goal, self.wanted.confidence)
        middle = sum(self.beliefs.interval(goal, 0.0)) / 2
        if goal.quantity != "exponent":
            low, middle, high = math.exp(low), math.exp(middle), math.exp(high)
        runs = sum(goal.k in (None, one.k) and one.collapsed_by(self.horizon) is not None for one in self.ended)
        name = group_name(self.runs[0].cell.model, self.runs[0].cell.axes_text)
        return SearchAnswer(name, goal.quantity, goal.k, middle, (low, high), self._standing(goal), runs)

    def _standing(self, goal: Goal) -> AnswerStanding:
        confidence = self.wanted.confidence
        ks = [goal.k] if goal.k is not None else self.beliefs.ks
        outside = [self.beliefs.p_outside(k) for k in ks]
        needed = min(2, len(ks))  # a law in k needs the boundary at two of them
        if sum(below <= confidence for below, _ in outside) < needed:
            return "below"
        if sum(above <= confidence for _, above in outside) < needed:
            return "above"
        if goal.half_width == math.inf:
            return "unasked"
        low, high = self.beliefs.interval(goal, confidence)
        narrow = high - low <= 2 * goal.half_width
        return "known" if narrow and sum(max(ends) < 0.5 for ends in outside) >= needed else "open"


def seen_by(outcomes: Iterable[Outcome], horizon: int) -> list[Seen]:
    """Count by cell the runs of one group that collapsed within so many learner steps, and those that did not."""
    counts: dict[Coordinates, list[int]] = defaultdict(lambda: [0, 0])
    for one in outcomes:
        collapsed = one.collapsed_by(horizon)
        if collapsed is not None:
            counts[one.k, one.eta][0 if collapsed else 1] += 1
    return [Seen(k, eta, collapsed, stable) for (k, eta), (collapsed, stable) in counts.items()]


def _fingerprint(config: Mapping[str, Any]) -> str:
    """What the runs of one group have in common; training on after a collapse changes nothing before T*."""
    rest = {name: value for name, value in config.items() if name not in NOT_OF_THE_GROUP}
    if isinstance(rest.get("collapse"), Mapping):
        rest["collapse"] = {name: value for name, value in rest["collapse"].items() if name != "stop_after_evals"}
    return content_digest(rest)
