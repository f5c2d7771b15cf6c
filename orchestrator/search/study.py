"""The Optuna study of a search: what optuna-dashboard shows of it, in the results database beside the run store.

The run store is the truth. The study mirrors it, one trial a run, and can be made anew from it at any time:

    state of a run                      of its trial   value
    pending, queued, running            RUNNING        (never WAITING: Optuna's `ask` would hand those out)
    collapsed                           COMPLETE       T* / horizon, the share of its horizon that it survived
    degraded, stable                    COMPLETE       1
    cancelled, stopped by a search      PRUNED
    failed, lost, otherwise cancelled   FAIL

What has ended stays as it is in Optuna. Where a run is tried again, a new trial stands for it, and the newest counts;
where a trial tells another result than the store, or the axes have got further names, the study is made anew.

    with Study(url, sweep, choose) as study:
        study.mirror(store, sweep_id)      # once to begin with: of a search that was killed, too
        run = study.ask()                  # the run that `choose` gives, as a trial; then store it
        store.grow(sweep_id, sweep, [run])
        study.mirror(store, sweep_id, alarms={7: (0.99, 0.95)})
        study.doomed()                     # → [7]

No method raises for Optuna's sake: where its tables cannot be used, the search goes on without them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from orchestrator.base.states import EARLY_STOPS, GOING, RESULTS, WITHOUT_RESULT, RunState
from orchestrator.data import measured
from orchestrator.grid import sweep as grid
from orchestrator.search.sampling import STOP_ABOVE, WARNING, BoundarySampler, CollapsePruner, params, space
from orchestrator.search.study_storage import TROUBLE, Opened, reason
from orchestrator.store import queries
from orchestrator.store.store import RunProgress, Store

log = logging.getLogger(__name__)

STATES: dict[str, TrialState] = {
    **dict.fromkeys(GOING, TrialState.RUNNING),
    **dict.fromkeys(RESULTS, TrialState.COMPLETE),
    **dict.fromkeys(WITHOUT_RESULT, TrialState.FAIL),
}
"""The state of a run's trial; a run that a search stopped early is PRUNED."""

Point = frozenset[tuple[str, Any]]
"""Parameters of a trial; those of one run are those of no other."""

Trials = Mapping[Point, list[FrozenTrial]]
"""The trials of a study, oldest first."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What a run's trial is to tell.

    Attributes:
        run: The run.
        state: Of the trial.
        value: Of the trial; None where it has none.
        attributes: For people, JSON.
        rewards: Validation rewards by learner step, finite ones; filled in where they are needed.
    """

    run: RunProgress
    state: TrialState
    value: float | None
    attributes: dict[str, Any]
    rewards: dict[int, float]

    def is_told_by(self, trial: FrozenTrial) -> bool:
        """Whether an ended trial says so."""
        told = {name: trial.user_attrs.get(name) for name in self.attributes}
        return (trial.state, trial.value, told) == (self.state, self.value, self.attributes)


class Study:
    """A search's study, see above.

    Args:
        url: The results database.
        sweep: All runs that may be made; the study has its name.
        choose: Gives the run to make next, another one each time; None when there is none left. What it raises, `ask`
            raises.
    """

    def __init__(self, url: str, sweep: grid.Sweep, choose: Callable[[], grid.Run | None]) -> None:
        self._url, self._name = url, sweep.name
        self._sampler = BoundarySampler(choose, space(sweep))
        self._opened: Opened | None = None
        self._complained = False

    def __enter__(self) -> Self:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with self._or_without():
            self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def ask(self) -> grid.Run | None:
        """The run to make next, as Optuna's ask-and-tell has it; None when there is none left.

        Its trial is ``RUNNING`` from now on. Store the run before the next `mirror`, which fails trials without a run.
        """
        run = self._sampler.peek()
        if run is not None and self._opened is not None:
            with self._or_without():
                self._opened.study.ask(self._sampler.space)
        self._sampler.forget()
        return run

    def mirror(self, store: Store, sweep_id: int, alarms: Mapping[int, tuple[float, float]] | None = None) -> None:
        """Bring the trials in line with the runs; what is in line stays untouched. Killed anywhere, the next goes on.

        Args:
            store: The run store.
            sweep_id: The sweep of the search.
            alarms: By running run, how much it looks like a collapse, and above what it is to be ended; for `doomed`.

        Raises:
            StoreError: The run store cannot be read.
        """
        runs = {_point(run): _told(run, (alarms or {}).get(run.run_id)) for run in queries.progress(store, sweep_id)}
        trials: Trials | None = None
        with self._or_without():
            trials = self._trials(runs)
        if trials is None:
            return
        behind = {point: told for point, told in runs.items() if not _has_told(told, trials.get(point))}
        _read_rewards(store, behind.values())
        with self._or_without():
            self._end_others(trials, runs)
            for point, told in sorted(behind.items(), key=lambda item: item[1].run.run_id):
                self._tell(told, trials.get(point, []))
            self._complained = False

    def doomed(self) -> list[int]:
        """The running runs that the pruner would end, by the alarms that the last `mirror` was given."""
        found: list[int] = []
        if self._opened is not None:
            with self._or_without():
                study = self._opened.study
                trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
                running = [trial for trial in trials if trial.user_attrs.get("state") == RunState.RUNNING]
                found = [trial.user_attrs["run"] for trial in running if study.pruner.prune(study, trial)]
        return found

    def _trials(self, runs: Mapping[Point, _Told]) -> Trials:
        try:
            trials = self._load()
        except TROUBLE:  # its tables may have been dropped: opening it makes them anew
            self._close()
            trials = self._load()
        if self._contradicts(trials, runs):
            self._open().delete()
            self._close()
            trials = self._load()
        return trials

    def _load(self) -> Trials:
        if self._opened is not None and not self._opened.lasts:
            self._close()
        trials: dict[Point, list[FrozenTrial]] = {}
        for trial in self._open().study.get_trials(deepcopy=False):
            trials.setdefault(frozenset(trial.params.items()), []).append(trial)
        return trials

    def _contradicts(self, trials: Trials, runs: Mapping[Point, _Told]) -> bool:
        """Whether the study tells what cannot be unsaid: a result that is none, or axes of other names."""
        names = {name: of for name, of in self._sampler.space.items() if isinstance(of, CategoricalDistribution)}
        for point, of_point in trials.items():
            for trial in of_point:
                if any(trial.distributions.get(name, of) != of for name, of in names.items()):
                    return True
                counts = trial is of_point[-1] and point in runs
                if trial.state is TrialState.COMPLETE and not (counts and runs[point].is_told_by(trial)):
                    return True
        return False

    def _end_others(self, trials: Trials, runs: Mapping[Point, _Told]) -> None:
        """Fail the trials that stand for no run."""
        for point, of_point in trials.items():
            for trial in of_point[:-1] if point in runs else of_point:
                if not trial.state.is_finished():
                    self._fail(trial, "it stands for no run")

    def _tell(self, told: _Told, trials: Sequence[FrozenTrial]) -> None:
        newest = trials[-1] if trials else None
        if newest is None or newest.state.is_finished():
            self._add(told)
        elif told.state.is_finished() and newest.intermediate_values.keys() - told.rewards.keys():
            self._fail(newest, "a later attempt went on from before what this one measured")
            self._add(told)
        else:
            self._bring_up(newest, told)

    def _fail(self, trial: FrozenTrial, why: str) -> None:
        self._open().storage.set_trial_user_attr(trial._trial_id, "why", why)
        self._open().storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _add(self, told: _Told) -> None:
        trial = optuna.trial.create_trial(
            state=told.state,
            value=told.value,
            params=_params(told.run),
            distributions=self._sampler.space,
            user_attrs=told.attributes,
            intermediate_values=told.rewards,
        )
        trial.datetime_start = datetime.now() - timedelta(seconds=told.run.started_age_s or 0.0)
        if told.state.is_finished():
            trial.datetime_complete = datetime.now() - timedelta(seconds=told.run.heartbeat_age_s or 0.0)
        self._open().add(trial)

    def _bring_up(self, trial: FrozenTrial, told: _Told) -> None:
        storage, number = self._open().storage, trial._trial_id
        over = {name: None for name in (WARNING, STOP_ABOVE) if name in trial.user_attrs}
        for name, value in (over | told.attributes).items():
            if name not in trial.user_attrs or trial.user_attrs[name] != value:
                storage.set_trial_user_attr(number, name, value)
        for step, reward in told.rewards.items():
            if trial.intermediate_values.get(step) != reward:
                storage.set_trial_intermediate_value(number, step, reward)
        if told.state.is_finished():
            storage.set_trial_state_values(number, told.state, None if told.value is None else [told.value])

    def _open(self) -> Opened:
        if self._opened is None:
            self._opened = Opened(self._url, self._name, self._sampler, CollapsePruner())
        return self._opened

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @contextmanager
    def _or_without(self) -> Iterator[None]:
        """Go on without Optuna where it fails, until the next `mirror`; say so once."""
        try:
            yield
        except TROUBLE as error:
            self._close()
            if not self._complained:
                log.warning(
                    "optuna-dashboard does not show what is new, the search goes on: %s", reason(error, self._url)
                )
            self._complained = True


def _told(run: RunProgress, alarm: tuple[float, float] | None) -> _Told:
    state = TrialState.PRUNED if run.failure_class in EARLY_STOPS else STATES[run.state]
    attributes: dict[str, Any] = {"run": run.run_id, "state": run.state, "learner_steps": run.learner_steps}
    if run.collapse_step is not None:
        attributes["collapse_step"] = run.collapse_step
    if state in (TrialState.FAIL, TrialState.PRUNED) and run.failure:
        attributes["why"] = run.failure
    if run.state == RunState.RUNNING and alarm is not None and all(map(math.isfinite, alarm)):
        attributes |= dict(zip((WARNING, STOP_ABOVE), alarm, strict=True))
    value = (run.collapse_step or run.horizon) / run.horizon if state is TrialState.COMPLETE else None
    return _Told(run, state, value, attributes, {})


def _params(run: RunProgress) -> dict[str, Any]:
    return params(run.cell, run.seed)


def _point(run: RunProgress) -> Point:
    return frozenset(_params(run).items())


def _has_told(told: _Told, trials: Sequence[FrozenTrial] | None) -> bool:
    return trials is not None and told.state.is_finished() and told.is_told_by(trials[-1])


def _read_rewards(store: Store, behind: Collection[_Told]) -> None:
    # What a former attempt of a waiting run has measured may be dropped when the next one begins.
    by_run = {
        told.run.run_id: told.rewards for told in behind if told.run.state not in (RunState.PENDING, RunState.QUEUED)
    }
    evals = measured.evals_of(store, by_run)
    for run_id, step, reward in zip(*(evals[name].tolist() for name in evals.columns), strict=True):
        if math.isfinite(reward):
            by_run[run_id][step] = reward
