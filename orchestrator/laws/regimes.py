"""Regimes: how the drift of collapsed and of stable runs grows, and which metrics warn of a collapse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.base.states import RunState
from orchestrator.base.words import plural
from orchestrator.laws.early_warnings import Predictor, Window, early_warnings, weight_syncs
from orchestrator.laws.estimates import Array

LEAST_SEEDS = 5
"""Fewest seeds for a bootstrap by seed. With fewer, its intervals are too short."""

RESAMPLES = 1000

COSINES = ("cosine_update_within", "cosine_update_across")
"""The paper's sign of collapse: the cosine of consecutive applied updates. With k = 1 only ``across`` exists."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Drift exponents α of some runs, ‖θ_t − θ_0‖ ∝ t^α. α = 1 is ballistic drift, α = 1/2 diffusive."""

    estimate: float | None = None  # the median
    ci95: tuple[float, float] | None = None  # of the median, by a bootstrap of seeds; None with fewer than LEAST_SEEDS
    quartiles: tuple[float, float] | None = None  # the first and the third
    runs: int = 0  # those with an exponent


@dataclass(frozen=True, slots=True)
class Regime:
    """What the weight syncs of one group of runs show; ``sentences`` say it in words.

    Drift exponents of collapsed runs are up to T*, those of stable runs over all their steps. Windows are by rising
    number of steps, and predictors, all metrics that could be tried, by window.
    """

    collapsed: Drift = Drift()
    stable: Drift = Drift()
    windows: tuple[Window, ...] = ()
    predictors: tuple[Predictor, ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def cosine_auc(self) -> float | None:
        """AUC of a high cosine for collapse, over the longest window; below 1/2 if runs with a low cosine collapse."""
        for name in COSINES:
            for one in reversed(self.predictors):
                if one.name == name:
                    return one.auc if one.collapse_is == "higher" else 1 - one.auc
        return None

    @property
    def early_warnings(self) -> list[Predictor]:
        """Predictors that separate runs with equal k and η, after correction for all that was tried; best first."""
        proven = [one for one in self.predictors if one.p_same_cell is not None and one.p_same_cell < 0.05]
        return sorted((one for one in proven if (one.auc_same_cell or 0) > 0.5), key=lambda one: one.p_same_cell or 0)

    def to_json(self) -> dict[str, Any]:
        """The contract's keys first. The caller replaces NaN and tuples."""
        content = asdict(self)
        drifts = {outcome: content.pop(outcome) for outcome in ("collapsed", "stable")}
        return {
            "cosine_auc": self.cosine_auc,
            "drift_exponent": {outcome: drift["estimate"] for outcome, drift in drifts.items()},
            "drift": drifts,
            "early_warnings": [[one.name, one.steps] for one in self.early_warnings],
            **content,
        }


def regime(runs: pd.DataFrame, drifts: pd.DataFrame, early: pd.DataFrame) -> Regime:
    """Compare the weight syncs of collapsed and other finished runs of one group, by ``run`` and ``learner_step``.

    ``drifts`` has ``drift_from_start`` of all weight syncs, ``early`` any of
    `orchestrator.laws.early_warnings.METRICS` up to the last of `orchestrator.laws.early_warnings.first_steps`.
    """
    runs = runs.sort_values("run", ignore_index=True)
    whole = weight_syncs(drifts, runs, whole=True)
    if whole.rows.empty:
        return Regime(sentences=("No weight syncs are stored for these runs, so their drift and early warnings are not "
                                 "known. Import them too, one row per weight sync.",))  # fmt: skip
    collapsed, stable = runs["collapsed"].to_numpy(dtype=bool), (runs["state"] == RunState.STABLE).to_numpy(dtype=bool)
    exponents = whole.up_to(np.where(collapsed, runs["hi"].to_numpy(dtype=float), np.inf)).drift_exponents()
    windows, predictors = early_warnings(runs, weight_syncs(early, runs, whole=False))
    seeds = runs["seed"].to_numpy()
    found = Regime(_drift(exponents, collapsed, seeds), _drift(exponents, stable, seeds), windows, predictors)
    return replace(found, sentences=(*_on_drift(found), *_on_warnings(found)))


def _drift(exponents: Array, chosen: NDArray[np.bool_], seeds: NDArray[Any]) -> Drift:
    chosen = chosen & np.isfinite(exponents)
    if not chosen.any():
        return Drift()
    values, seeds = exponents[chosen], seeds[chosen]
    low, high = np.quantile(values, [0.25, 0.75])
    by_seed = [np.sort(values[seeds == seed]) for seed in np.unique(seeds)]
    return Drift(float(np.median(values)), _bootstrapped_median(by_seed), (float(low), float(high)), len(values))


def _bootstrapped_median(by_seed: Sequence[Array]) -> tuple[float, float] | None:
    """95 % percentile interval of the median, by drawing seeds with replacement, each with all its runs."""
    if len(by_seed) < LEAST_SEEDS:
        return None
    draws = np.random.default_rng(0).integers(len(by_seed), size=(RESAMPLES, len(by_seed)))
    medians = [np.median(np.concatenate([by_seed[place] for place in draw])) for draw in draws]
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def _on_drift(found: Regime) -> list[str]:
    parts = []
    for which, drift in (("collapsed", found.collapsed), ("stable", found.stable)):
        if drift.estimate is not None and drift.quartiles is not None:
            low, high = drift.quartiles
            runs = f"{drift.runs} {which} {plural(drift.runs, 'run')}"
            parts.append(f"t^{drift.estimate:.2f} in {runs} (middle half {low:.2f} to {high:.2f})")
    if not parts:
        return []
    return [f"The distance from the start grows as {' and as '.join(parts)}. Collapsed runs count up to T*. Ballistic "
            "drift grows as t^1, diffusive drift as t^0.5."]  # fmt: skip


def _on_warnings(found: Regime) -> list[str]:
    if not found.predictors:
        return ["No metric could be tried as an early warning, because after the first steps all runs end alike."]
    tried = f"p is corrected for the {len(found.predictors)} comparisons that were made (metrics times first steps)."
    if found.early_warnings:
        one = found.early_warnings[0]
        return [
            f"Early warning: {_seen(one)}. The same holds at equal k and η (AUC {one.auc_same_cell:.2f} over "
            f"{one.pairs_same_cell} pairs, p = {one.p_same_cell:.2g}). {tried}"
        ]
    one = max(found.predictors, key=lambda one: one.ci95[0])
    but = (
        "Among runs of equal k and η, however, no metric separates them better than chance."
        if any(one.pairs_same_cell for one in found.predictors)
        else "But no cell has both runs that collapse later and runs that do not, so η and k alone may explain it; run "
        "more seeds at the boundary."
    )
    return [f"There is no early warning. The best metric: {_seen(one)}. {but} {tried}"]


def _seen(one: Predictor) -> str:
    return (
        f"{one.name} over the first {one.steps} steps is {one.collapse_is} in the {one.n_collapsed} runs that collapse "
        f"later than in the {one.n_other} others (AUC {one.auc:.2f}, 95 %: {one.ci95[0]:.2f} to {one.ci95[1]:.2f}; of "
        f"η·k alone {one.auc_eta_k:.2f})"
    )
