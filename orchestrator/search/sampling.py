"""How a search chooses and ends runs, in Optuna's terms: a sampler and a pruner that any Optuna study can have.

import optuna
from orchestrator.search.sampling import BoundarySampler, CollapsePruner, space

sampler = BoundarySampler(choose, space(sweep))
study = optuna.create_study(direction="maximize", sampler=sampler, pruner=CollapsePruner())
trial = study.ask(sampler.space)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from orchestrator.base.errors import NothingToDo
from orchestrator.grid.sweep import Cell, Run, Sweep

WARNING, STOP_ABOVE = "warning", "stop_above"
"""User attributes of a running trial: how much it looks like a collapse, and above what it is to be ended."""


def space(sweep: Sweep) -> dict[str, BaseDistribution]:
    """What the axes of a sweep are to Optuna: k and η on log axes, names and further axes as categories."""
    ks, etas = {run.cell.k for run in sweep.runs}, {run.cell.eta for run in sweep.runs}
    seeds = {run.seed for run in sweep.runs}
    listed: dict[str, dict[Any, None]] = {"model": {}}
    for cell in sweep.cells:
        for name, value in (("model", cell.model), *cell.axes):
            listed.setdefault(name, {})[value] = None
    return {
        "k": IntDistribution(min(ks), max(ks), log=True),
        "eta": FloatDistribution(min(etas), max(etas), log=True),
        "seed": IntDistribution(min(seeds), max(seeds)),
        **{name: CategoricalDistribution(list(values)) for name, values in listed.items()},
    }


def params(cell: Cell, seed: int) -> dict[str, Any]:
    """A run as a point of the space."""
    return {"k": cell.k, "eta": cell.eta, "seed": seed, "model": cell.model, **dict(cell.axes)}


class BoundarySampler(BaseSampler):
    """Gives the run that a search chooses next.

    Args:
        choose: Called once a trial; gives another run each time, None when there is none left.
        space: Of the sweep that the runs are of, see `space`.
    """

    def __init__(self, choose: Callable[[], Run | None], space: Mapping[str, BaseDistribution]) -> None:
        self.space = dict(space)
        self._choose = choose
        self._next: Run | None = None

    def peek(self) -> Run | None:
        """The run that the next trial will be; None when there is none left."""
        if self._next is None:
            self._next = self._choose()
        return self._next

    def forget(self) -> None:
        """Let the next trial be another run."""
        self._next = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All axes: a run is chosen as a whole."""
        return self.space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The chosen run as a point of the space.

        Raises:
            NothingToDo: There is none left.
        """
        run = self.peek()
        if run is None:
            raise NothingToDo("the search chooses no further run")
        self.forget()
        return params(run.cell, run.seed)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Nothing is chosen on its own.

        Raises:
            ValueError: Always; the message names the axes.
        """
        axes = ", ".join(self.space)
        raise ValueError(
            f"{param_name!r} in {param_distribution} is not of the search: its axes are {axes}; "
            "suggest them by the sampler's own `space`"
        )


class CollapsePruner(BasePruner):
    """Ends a trial whose attribute ``warning`` lies above its attribute ``stop_above``."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to end it; False where one of the two is not known."""
        warning, limit = trial.user_attrs.get(WARNING), trial.user_attrs.get(STOP_ABOVE)
        return warning is not None and limit is not None and bool(warning > limit)
