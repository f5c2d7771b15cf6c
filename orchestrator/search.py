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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from grpo_worker.config import content_digest
from orchestrator.db.store import Outcome
from orchestrator.grid import Run, Sweep, group_name
from orchestrator.laws.design import Beliefs, Seen
from orchestrator.laws.settle import Place
from orchestrator.outlook import seen_by
from orchestrator.searchfile import SearchConfig

Group = tuple[str, str]
"""Model, and further axes as JSON with sorted keys."""

USUAL_EXPONENT = 1.5
"""Of T* in η, where a cost is to be guessed; it decides no result."""

NOT_OF_THE_CELL = ("seed", "horizon", "k", "eta")
"""Worker fields in which runs of one group may differ."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of η_max at one k.

    Attributes:
        group: The model, and its setting of further axes.
        k: Staleness.
        eta_max: The η at which half of the runs collapse within the horizon; the median.
        interval: Of it, at the confidence that was asked for.
        standing: ``known`` within the factor that was asked for; ``above`` or ``below`` all η of the file, at that
            confidence; or still ``open``.
        runs: How many runs at this k say so.
    """

    group: str
    k: int
    eta_max: float
    interval: tuple[float, float]
    standing: Literal["known", "above", "below", "open"]
    runs: int


class Search:
    """What is known from the runs that have ended, and which to make next."""

    def __init__(self, sweep: Sweep, wanted: SearchConfig) -> None:
        self._wanted = wanted
        self._candidates: dict[Group, list[Run]] = defaultdict(list)
        for run in sweep.runs:
            self._candidates[group_of(run)].append(run)
        self._priors = {group: _prior(runs) for group, runs in self._candidates.items()}
        self._alike = {
            group: _fingerprint(runs[0].config.model_dump(mode="json")) for group, runs in self._candidates.items()
        }
        self._ended: Mapping[Group, Sequence[Outcome]] = dict.fromkeys(self._candidates, ())
        self._beliefs = dict(self._priors)

    def learn(self, outcomes: Iterable[Outcome]) -> None:
        """Take what is known from runs that have ended, those of other sweeps included if they are of the same config.

        Args:
            outcomes: All of them; what was learnt before is forgotten.
        """
        ended: dict[Group, list[Outcome]] = {group: [] for group in self._candidates}
        for one in outcomes:
            group = one.model, one.axes
            if group in ended and _fingerprint(one.config) == self._alike[group]:
                ended[group].append(one)
        self._ended = ended
        self._beliefs = {
            group: self._priors[group].after(seen_by(ended[group], runs[0].config.horizon))
            for group, runs in self._candidates.items()
        }

    def answers(self) -> list[Answer]:
        """What is known at every k of every group, in the file's order."""
        return [self._answer(group, k) for group, runs in self._candidates.items() for k in _ks(runs)]

    def choose(self, taken: Iterable[tuple[Group, Place, int]]) -> list[Run]:
        """The runs to make next: those that teach most about what is still open per learner step.

        Args:
            taken: Group, cell and seed of runs that were made or begun; none of them is chosen, nor one that has ended.
        """
        made = set(taken)
        made |= {(group, (one.k, one.eta), one.seed) for group, ended in self._ended.items() for one in ended}
        left: dict[tuple[Group, Place], list[Run]] = defaultdict(list)
        for group, runs in self._candidates.items():
            for run in runs:
                place = run.cell.k, run.cell.eta
                if (group, place, run.seed) not in made:
                    left[group, place].append(run)
        beliefs, chosen = dict(self._beliefs), list[Run]()
        open_ks = {group: [one.k for one in self._of_group(group) if one.standing == "open"] for group in beliefs}
        while len(chosen) < self._wanted.parallel:
            best: tuple[float, Group, Place] | None = None
            for group, ks in open_ks.items():
                places = [place for of, place in left if of == group and left[of, place]]
                if not ks or not places:
                    continue
                worth = beliefs[group].gains(places, ks) / self._costs(group, beliefs[group], places)
                at = int(np.argmax(worth))
                if worth[at] > 0 and (best is None or worth[at] > best[0]):
                    best = float(worth[at]), group, places[at]
            if best is None:
                break
            _, group, (k, eta) = best
            chosen.append(left[group, (k, eta)].pop(0))
            p = beliefs[group].p_collapse(k, eta)
            beliefs[group] = beliefs[group].after([Seen(k, eta, p, 1 - p)])
        return chosen

    def _costs(self, group: Group, beliefs: Beliefs, places: Sequence[Place]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Expected learner steps of a run at each place; a run that collapses may end early."""
        config = self._candidates[group][0].config
        if not config.collapse.stop_after_evals:
            return np.full(len(places), float(config.horizon))
        known = [(one.eta, one.collapse_step) for one in self._ended[group] if one.collapse_step]
        level = np.mean([math.log(step) + USUAL_EXPONENT * math.log(eta) for eta, step in known]) if known else None
        confirmed = config.collapse.stop_after_evals * config.eval_every_steps
        costs = []
        for k, eta in places:
            step = config.horizon / 2 if level is None else math.exp(level - USUAL_EXPONENT * math.log(eta))
            p = beliefs.p_collapse(k, eta)
            costs.append(p * min(step + confirmed, config.horizon) + (1 - p) * config.horizon)
        return np.array(costs)

    def _of_group(self, group: Group) -> list[Answer]:
        return [self._answer(group, k) for k in _ks(self._candidates[group])]

    def _answer(self, group: Group, k: int) -> Answer:
        beliefs, confidence = self._beliefs[group], self._wanted.confidence
        low, high = beliefs.interval(k, confidence)
        below, above = beliefs.p_outside(k)
        standing: Literal["known", "above", "below", "open"] = "open"
        if above > confidence:
            standing = "above"
        elif below > confidence:
            standing = "below"
        elif high - low <= 2 * math.log(self._wanted.factor) and max(below, above) < 0.5:
            standing = "known"
        middle = math.exp(sum(beliefs.interval(k, 0.0)) / 2)
        runs = sum(one.k == k for one in self._ended[group])
        return Answer(group_name(*group), k, middle, (math.exp(low), math.exp(high)), standing, runs)


def group_of(run: Run) -> Group:
    """The group that a run belongs to."""
    return run.cell.model, run.cell.axes_text


def _prior(runs: Sequence[Run]) -> Beliefs:
    etas = [run.cell.eta for run in runs]
    return Beliefs.before(_ks(runs), (min(etas), max(etas)))


def _ks(runs: Sequence[Run]) -> list[int]:
    return sorted({run.cell.k for run in runs})


def _fingerprint(config: Mapping[str, Any]) -> str:
    """What runs of one group have in common; whether a collapsed run is trained on changes nothing before T*."""
    rest = {name: value for name, value in config.items() if name not in NOT_OF_THE_CELL}
    if isinstance(rest.get("collapse"), Mapping):
        rest["collapse"] = {name: value for name, value in rest["collapse"].items() if name != "stop_after_evals"}
    return content_digest(rest)
