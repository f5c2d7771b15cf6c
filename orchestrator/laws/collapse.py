"""Collapse under another definition: the worker's detectors, applied again to stored metrics of many runs at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grpo_worker.schema.collapse import DEGRADED_BELOW
from grpo_worker.schema.config import CollapseConfig

FINISHED = ("collapsed", "degraded", "stable")
"""States that say how training went; every other state says how the job went, but for `STOPPED`."""

STOPPED = "stopped"
"""The state of a run that was ended early on purpose: whether it would have collapsed is not known."""

BETWEEN = (0.2, 0.7)
"""A run that ends between these fractions of its initial validation reward is neither quite alive nor quite dead."""

Floats = NDArray[np.float64]


def redetect(detector: CollapseConfig, runs: pd.DataFrame, evals: pd.DataFrame, syncs: pd.DataFrame) -> pd.DataFrame:
    """Decide state and collapse columns of the finished runs anew, as `grpo_worker.schema.collapse` would.

    T* lies between two observations: two validations under ``half``, whose grid of learner steps does not depend on k;
    two weight syncs under ``zero``, which resolves T* to one rollout cycle.

    Args:
        detector: ``half`` reads the validation rewards of ``evals``; ``zero`` reads the training rewards of ``syncs``.
        runs: The export's ``runs``.
        evals: ``run``, ``learner_step`` and ``val_reward``.
        syncs: ``run``, ``learner_step`` and ``reward``.

    Returns:
        A copy of ``runs`` with two more columns. ``decided`` is False of a run that stays as it is, not being finished
        or without such metrics (imported with its collapse step). ``last_alive`` is the learner step at which a run
        that did not collapse, or was stopped, was last seen above the threshold, which is where it is censored.
    """
    metrics, column = (evals, "val_reward") if detector.detector == "half" else (syncs, "reward")
    series = _Series.of(_measured(metrics, column), column)
    found = runs.copy()
    found["last_alive"] = pd.array([pd.NA] * len(runs), dtype="Int64")
    chosen = (runs["state"].isin(FINISHED) & runs["run"].isin(series.runs)).to_numpy(dtype=bool)
    found["decided"] = chosen
    place = np.searchsorted(series.runs, runs["run"].to_numpy(dtype=np.int64)[chosen])
    for name, values in _columns(series, detector, place, syncs).items():
        found.loc[chosen, name] = values
    stopped = ((runs["state"] == STOPPED) & runs["run"].isin(series.runs)).to_numpy(dtype=bool)
    place = np.searchsorted(series.runs, runs["run"].to_numpy(dtype=np.int64)[stopped])
    found.loc[stopped, "last_alive"] = _last_alive(series, _last_above(series, _is_above(series, detector)))[place]
    return found


def ends_between(evals: pd.DataFrame) -> NDArray[np.int64]:
    """List the runs whose last validation reward lies `BETWEEN` fractions of the first."""
    series = _Series.of(_measured(evals, "val_reward"), "val_reward")
    low, high = BETWEEN
    initial, final = series.value[series.first], series.value[series.last]
    return series.runs[(initial > 0) & (final >= low * initial) & (final < high * initial)]


def never_alive(evals: pd.DataFrame) -> NDArray[np.int64]:
    """List the runs whose first validation reward is not above 0: `half` cannot tell whether they collapse."""
    series = _Series.of(_measured(evals, "val_reward"), "val_reward")
    return series.runs[~(series.value[series.first] > 0)]


@dataclass(frozen=True, eq=False, slots=True)
class _Series:
    """Observations of runs, by run, then learner step.

    Attributes:
        runs: The runs, rising.
        first: Row of each run's first observation, that of the initial policy.
        last: Row of its last one.
        of_run: Place of each row's run.
        step: Learner steps.
        value: What was observed.
    """

    runs: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    of_run: NDArray[np.int64]
    step: NDArray[np.int64]
    value: Floats

    @classmethod
    def of(cls, metrics: pd.DataFrame, column: str) -> _Series:
        run, step = (metrics[name].to_numpy(dtype=np.int64) for name in ("run", "learner_step"))
        order = np.lexsort((step, run))
        runs, first, of_run = np.unique(run[order], return_index=True, return_inverse=True)
        last = np.append(first[1:], len(run)) - 1 if len(run) else first
        value = metrics[column].to_numpy(dtype=float, na_value=np.nan)[order]
        return cls(runs, first, last, of_run, step[order], value)


def _measured(metrics: pd.DataFrame, column: str) -> pd.DataFrame:
    # Imported runs may lack a reward here and there. NaN, in contrast, was measured, and counts as below.
    is_nullable = isinstance(metrics[column].dtype, pd.ArrowDtype)
    return metrics[metrics[column].notna()] if is_nullable else metrics


def _columns(
    series: _Series, detector: CollapseConfig, chosen: NDArray[np.int64], syncs: pd.DataFrame
) -> Mapping[str, Any]:
    """What to store of chosen runs, given as places in the series."""
    initial = series.value[series.first]
    alive = _last_above(series, _is_above(series, detector))
    starts_alive = initial > 0
    below = series.last - alive
    collapsed = starts_alive & (below >= max(detector.min_evals, 1))
    degraded = starts_alive & ~(series.value[series.last] >= DEGRADED_BELOW * initial)
    step = np.where(collapsed, series.step[np.minimum(alive + 1, series.last)], 0)
    alive_step = _last_alive(series, alive)
    synced_before = _syncs_before(series.runs, step, syncs)
    state = np.where(collapsed, "collapsed", np.where(degraded, "degraded", "stable"))
    at = chosen
    return {
        "state": state[at].astype(object),
        "collapse_step": _where(collapsed, step)[at],
        "collapse_step_lo": _where(collapsed, alive_step)[at],
        "collapse_sync": _where(collapsed & (synced_before > 0), synced_before)[at],
        "collapse_detector": detector.detector,
        "last_alive": _where(~collapsed, alive_step)[at],
    }


def _is_above(series: _Series, detector: CollapseConfig) -> NDArray[np.bool_]:
    if detector.detector != "half":
        return series.value > 0
    return series.value >= (detector.fraction * series.value[series.first])[series.of_run]


def _last_above(series: _Series, above: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Row of each run that is not below: all after it are, to the end. The first is not, of a run that starts alive."""
    rows = np.arange(len(series.value))
    return np.maximum.reduceat(np.where(above, rows, -1), series.first) if len(rows) else rows


def _last_alive(series: _Series, above: NDArray[np.int64]) -> NDArray[np.int64]:
    # A run that starts with nothing cannot collapse; nor can it be seen alive, so it says nothing before its end.
    return np.where(series.value[series.first] > 0, series.step[above], series.step[series.last])


def _syncs_before(runs: NDArray[np.int64], step: NDArray[np.int64], syncs: pd.DataFrame) -> NDArray[np.int64]:
    """Count each run's weight syncs before a learner step: the first one at or after it has that number, from 0."""
    run, at = (syncs[name].to_numpy(dtype=np.int64) for name in ("run", "learner_step"))
    place = np.minimum(np.searchsorted(runs, run), max(len(runs) - 1, 0))
    counted = (runs[place] == run) & (at < step[place]) if len(runs) else np.zeros(0, dtype=bool)
    return np.bincount(place[counted], minlength=len(runs))


def _where(condition: NDArray[np.bool_], values: NDArray[np.int64]) -> pd.arrays.IntegerArray:
    return pd.arrays.IntegerArray(values.astype(np.int64), ~condition)
