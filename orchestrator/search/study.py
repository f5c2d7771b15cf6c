"""The Optuna study of a search: a view of its runs for optuna-dashboard, and the search as a sampler for any study.

The study lies in the results database, has one trial a run, and can be made anew from the runs at any time:

    state of a run                      of its trial   value
    pending, queued, running            RUNNING        (never WAITING: Optuna's `ask` would hand those out)
    collapsed                           COMPLETE       T* / horizon, the share of its horizon that it survived
    degraded, stable                    COMPLETE       1
    cancelled, ended by the search      PRUNED
    failed, lost, otherwise cancelled   FAIL

Optuna never changes a trial that has ended. A run that is tried again therefore gets another trial, and the newest
counts. If a trial contradicts its run, or an axis has other names than before, the study is made anew.

If Optuna cannot use its tables, a warning is logged once and the search goes on.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.base.errors import NothingToDo
from orchestrator.base.states import EARLY_STOPS, GOING, RESULTS, WITHOUT_RESULT, RunState
from orchestrator.data import measured
from orchestrator.grid.sweep import Cell, Run, Sweep
from orchestrator.search.study_storage import TROUBLE, opened, reason
from orchestrator.store import queries
from orchestrator.store.database import Store
from orchestrator.store.queries import RunProgress

log = logging.getLogger(__name__)

STATES: dict[str, TrialState] = {
    **dict.fromkeys(GOING, TrialState.RUNNING),
    **dict.fromkeys(RESULTS, TrialState.COMPLETE),
    **dict.fromkeys(WITHOUT_RESULT, TrialState.FAIL),
}
"""The state of a run's trial; a run that a search ended early is PRUNED."""

Point = frozenset[tuple[str, Any]]
"""The parameters of a trial; no two runs have the same."""


def space(sweep: Sweep) -> dict[str, BaseDistribution]:
    """The axes of a sweep as distributions: k and η are logarithmic, names and further axes are categories."""
    ks, etas, seeds = zip(*((run.cell.k, run.cell.eta, run.seed) for run in sweep.runs), strict=True)
    listed: dict[str, dict[Any, None]] = defaultdict(dict)
    for cell in sweep.cells:
        for name, value in (("model", cell.model), *cell.axes):
            listed[name][value] = None
    return {
        "k": IntDistribution(min(ks), max(ks), log=True),
        "eta": FloatDistribution(min(etas), max(etas), log=True),
        "seed": IntDistribution(min(seeds), max(seeds)),
        **{name: CategoricalDistribution(list(values)) for name, values in listed.items()},
    }


def params(cell: Cell, seed: int) -> dict[str, Any]:
    """A run as the parameters of a trial."""
    return {"k": cell.k, "eta": cell.eta, "seed": seed, "model": cell.model, **dict(cell.axes)}


class BoundarySampler(optuna.samplers.BaseSampler):
    """Gives each trial of any study the run that a search chooses next, of a sweep with this `space`.

    As ask-and-tell: ``optuna.create_study(sampler=sampler).ask(sampler.space)``. ``choose`` is called once a trial; it
    gives another run each time, None when there is none left.
    """

    def __init__(self, choose: Callable[[], Run | None], space: Mapping[str, BaseDistribution]) -> None:
        self.space = dict(space)
        self._choose = choose

    def infer_relative_search_space(self, *_: object) -> dict[str, BaseDistribution]:
        """All axes, because a run is chosen as a whole."""
        return self.space

    def sample_relative(self, *_: object) -> dict[str, Any]:
        """The parameters of the chosen run; raises NothingToDo when there is none left."""
        if (run := self._choose()) is None:
            raise NothingToDo("the search chooses no further run")
        return params(run.cell, run.seed)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: BaseDistribution) -> Any:
        """Always raises ValueError, because no parameter is chosen by itself."""
        raise ValueError(
            f"{param_name!r} in {param_distribution} does not belong to the search: its axes are "
            f"{', '.join(self.space)}; suggest them by the sampler's own `space`"
        )


class Study:
    """The study of a search in the results database; it has the name of the sweep of all runs that may be made."""

    def __init__(self, url: str, sweep: Sweep) -> None:
        self._url, self._name, self._space = url, sweep.name, space(sweep)
        self._in_use = self._complained = False

    def mirror(self, store: Store, sweep_id: int, begun: Sequence[Run] = ()) -> None:
        """Bring the trials in line with the stored runs. If it is killed, the next call completes its work.

        Optuna is asked for the trials of runs that were just stored, ``begun``. StoreError: the runs cannot be read.
        """
        runs = sorted(queries.progress(store, sweep_id), key=lambda run: run.run_id)
        wanted = {_point(trial): trial for run in runs for trial in [_trial_of(run, self._space)]}
        try:
            if not self._bring_in_line(store, wanted, begun):  # it was deleted, so it is made anew
                self._bring_in_line(store, wanted, ())
            self._in_use, self._complained = True, False
        except TROUBLE as error:
            if not self._complained:
                what = reason(error, self._url)
                log.warning("optuna-dashboard does not show what is new, the search goes on: %s", what)
            self._in_use, self._complained = False, True

    def _bring_in_line(self, store: Store, wanted: Mapping[Point, FrozenTrial], begun: Sequence[Run]) -> bool:
        """Bring the trials in line; or delete the study, if it says what it cannot take back, and return False."""
        each = iter(begun)
        sampler = BoundarySampler(lambda: next(each, None), self._space)
        with opened(self._url, self._name, sampler, check_version=not self._in_use) as found:
            trials: dict[Point, list[FrozenTrial]] = defaultdict(list)  # of each run, oldest first
            for trial in found.study.get_trials(deepcopy=False):
                trials[_point(trial)].append(trial)
            if self._contradicts(trials, wanted):
                optuna.delete_study(study_name=self._name, storage=found.storage)
                return False
            for _ in begun:
                asked = found.study.ask(self._space)
                trials[_point(asked)].append(found.storage.get_trial(asked._trial_id))
            for point, of_point in trials.items():
                for trial in of_point[:-1] if point in wanted else of_point:
                    if not trial.state.is_finished():
                        found.fail(trial, "it stands for no run")
            newest = {point: of_point[-1] for point, of_point in trials.items()}
            behind = {point: trial for point, trial in wanted.items() if not _is_told(trial, newest.get(point))}
            _read_rewards(store, behind.values())
            for point, trial in behind.items():
                old = newest.get(point)
                if old is None or old.state.is_finished():
                    found.add(trial)
                elif trial.state.is_finished() and old.intermediate_values.keys() - trial.intermediate_values.keys():
                    found.fail(old, "a later attempt went on from before what this one measured")
                    found.add(trial)
                else:
                    found.update(old, trial)
        return True

    def _contradicts(self, trials: Mapping[Point, Sequence[FrozenTrial]], wanted: Mapping[Point, FrozenTrial]) -> bool:
        """Whether the study shows a result that its run does not have, or an axis of other names."""
        names = {name: of for name, of in self._space.items() if isinstance(of, CategoricalDistribution)}
        each = [(point, trial, trial is listed[-1]) for point, listed in trials.items() for trial in listed]
        return any(
            any(trial.distributions.get(name, of) != of for name, of in names.items())
            or (trial.state is TrialState.COMPLETE and not (newest and _is_told(wanted.get(point), trial)))
            for point, trial, newest in each
        )


def _point(trial: FrozenTrial | optuna.Trial) -> Point:
    return frozenset(trial.params.items())


def _trial_of(run: RunProgress, axes: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """The trial that shows a run, without its rewards."""
    state = TrialState.PRUNED if run.failure_class in EARLY_STOPS else STATES[run.state]
    attributes = {"run": run.run_id, "state": run.state, "learner_steps": run.learner_steps}
    attributes |= {} if run.collapse_step is None else {"collapse_step": run.collapse_step}
    attributes |= {"why": run.failure} if run.failure and state in (TrialState.FAIL, TrialState.PRUNED) else {}
    value = (run.collapse_step or run.horizon) / run.horizon if state is TrialState.COMPLETE else None
    trial = create_trial(
        state=state, value=value, params=params(run.cell, run.seed), distributions=dict(axes), user_attrs=attributes
    )
    trial.datetime_start = datetime.now() - timedelta(seconds=run.started_age_s or 0.0)
    if state.is_finished():
        trial.datetime_complete = datetime.now() - timedelta(seconds=run.heartbeat_age_s or 0.0)
    return trial


def _is_told(wanted: FrozenTrial | None, trial: FrozenTrial | None) -> bool:
    """Whether a trial has ended as it should."""
    if wanted is None or trial is None or not wanted.state.is_finished():
        return False
    is_alike = (trial.state, trial.value) == (wanted.state, wanted.value)
    return is_alike and wanted.user_attrs.items() <= trial.user_attrs.items()


def _read_rewards(store: Store, trials: Iterable[FrozenTrial]) -> None:
    """Add finite validation rewards to trials; not if their runs wait, as the next attempt may drop some."""
    waits = RunState.PENDING, RunState.QUEUED
    by_run = {trial.user_attrs["run"]: trial for trial in trials if trial.user_attrs["state"] not in waits}
    evals = measured.evals_of(store, by_run)
    for run_id, step, reward in zip(*(evals[name].tolist() for name in evals.columns), strict=True):
        if math.isfinite(reward):
            by_run[run_id].intermediate_values[step] = reward
