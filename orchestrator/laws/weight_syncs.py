"""Weight syncs of many runs as sorted columns, and what is computed of each run from them.

The metrics of a weight sync are those of the rollout cycle that it starts. They are known when that cycle has ended,
which is at the next weight sync.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.laws.identified import Array

LEAST_FOR_SLOPE = 4
"""Fewest weight syncs from which a drift exponent is computed."""


@dataclass(frozen=True, eq=False, slots=True)
class WeightSyncs:
    """Weight syncs, sorted by run, then learner step.

    Attributes:
        count: Number of runs, with or without weight syncs.
        run: Place of each row's run among them, shape (rows,).
        ended: Learner step at which each row's rollout cycle had ended, shape (rows,).
        metrics: The metrics by name, each of shape (rows,); NaN where there is none.
    """

    count: int
    run: NDArray[np.int64]
    ended: Array
    metrics: dict[str, Array] = field(repr=False)

    def up_to(self, steps: Array) -> WeightSyncs:
        """Keep the rollout cycles that had ended by a learner step of their run, shape (runs,)."""
        kept = self.ended <= steps[self.run]
        metrics = {name: values[kept] for name, values in self.metrics.items()}
        return WeightSyncs(self.count, self.run[kept], self.ended[kept], metrics)

    def cycles(self) -> NDArray[np.int64]:
        """Number of rollout cycles of each run, shape (runs,)."""
        return np.bincount(self.run, minlength=self.count)

    def means(self, metric: str) -> Array:
        """Mean of a metric's finite values of each run, shape (runs,); NaN if a run has none."""
        values = self.metrics[metric]
        finite = np.isfinite(values)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            sums, counts = (np.bincount(self.run, x, self.count) for x in (np.where(finite, values, 0.0), finite))
            # rounded, because the mean of equal values must not depend on how many there are
            return (sums / counts).astype(np.float32).astype(float)

    def drift_exponents(self) -> Array:
        """α of ‖θ_t − θ_0‖ ∝ t^α of each run, shape (runs,); NaN if it has fewer than `LEAST_FOR_SLOPE` weight syncs.

        Fitted by least squares of the logarithms.
        """
        drift = self.metrics["drift_from_start"]
        usable = (drift > 0) & np.isfinite(drift) & (self.ended > 0)
        run, x, y = self.run[usable], np.log(self.ended[usable]), np.log(drift[usable])
        seen = np.bincount(run, minlength=self.count)
        with np.errstate(invalid="ignore", divide="ignore"):
            x = x - (np.bincount(run, x, self.count) / seen)[run]
            slopes = np.bincount(run, x * y, self.count) / np.bincount(run, x * x, self.count)
        return np.where(seen >= LEAST_FOR_SLOPE, slopes, np.nan)


def weight_syncs(syncs: pd.DataFrame, runs: pd.DataFrame, *, whole: bool) -> WeightSyncs:
    """Sort the weight syncs of some runs.

    Args:
        syncs: ``run``, ``learner_step`` and metrics, of these runs and any others.
        runs: ``run``, rising, and ``learner_steps``.
        whole: Whether ``syncs`` has all weight syncs of each run, so that the last cycle ended with the run. If False,
            they were read up to some learner step, by which the last cycle had not ended.
    """
    numbers, of_row = (frame["run"].to_numpy(dtype=np.int64) for frame in (runs, syncs))
    place = np.minimum(np.searchsorted(numbers, of_row), max(len(numbers) - 1, 0))
    kept = np.flatnonzero(numbers[place] == of_row) if len(numbers) else np.empty(0, dtype=np.int64)
    step = _floats(syncs["learner_step"])
    order = kept[np.lexsort((step[kept], place[kept]))]
    run, step = place[order], step[order]
    ended = np.append(step[1:], np.nan)[: len(run)]
    is_last = np.append(run[1:] != run[:-1], True)[: len(run)]
    ended[is_last] = _floats(runs["learner_steps"])[run[is_last]] if whole else np.inf
    metrics = {name: _floats(syncs[name])[order] for name in syncs.columns if name not in ("run", "learner_step")}
    return WeightSyncs(len(numbers), run, ended, metrics)


def _floats(column: pd.Series[Any]) -> Array:
    return column.to_numpy(dtype=float, na_value=np.nan)
