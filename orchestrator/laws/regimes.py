"""Regimes: how the drift of collapsed and of stable runs grows, and what warns of a collapse before it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.base.states import RunState
from orchestrator.laws.early import Predictor, Window, early_warnings
from orchestrator.laws.tracks import Array, tracks

LEAST_SEEDS = 5
"""Fewest seeds for a bootstrap by seed: with fewer, its intervals are too short."""

RESAMPLES = 1000

COSINES = ("cosine_update_within", "cosine_update_across")
"""The paper's sign of collapse, the cosine of consecutive applied updates; across cycles only where k = 1."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The drift exponents α of some runs, ‖θ_t − θ_0‖ ∝ t^α: 1 is ballistic, 1/2 diffusive.

    Attributes:
        estimate: Their median.
        ci95: Of the median, by a bootstrap of seeds; None with fewer than `LEAST_SEEDS`.
        quartiles: Between which half of the runs lie.
        runs: How many runs have one.
    """

    estimate: float | None = None
    ci95: tuple[float, float] | None = None
    quartiles: tuple[float, float] | None = None
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Regime:
    """What the weight syncs of one group of runs say.

    Attributes:
        collapsed: Drift exponents of collapsed runs, up to T*.
        stable: Drift exponents of stable runs, over all their steps.
        windows: The first steps that are read, by rising number.
        predictors: Every metric that could be tried, by window.
        sentences: What this means.
    """

    collapsed: Drift = Drift()
    stable: Drift = Drift()
    windows: tuple[Window, ...] = ()
    predictors: tuple[Predictor, ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def cosine_auc(self) -> float | None:
        """AUC of a high cosine for collapse, over the longest first steps; below 1/2 where a low one collapses."""
        for name in COSINES:
            for one in reversed(self.predictors):
                if one.name == name:
                    return one.auc if one.collapse_is == "higher" else 1 - one.auc
        return None

    @property
    def early_warnings(self) -> list[Predictor]:
        """Predictors that tell runs of equal k and η apart, after correction for all that was tried; best first."""
        proven = [one for one in self.predictors if one.p_same_cell is not None and one.p_same_cell < 0.05]
        return sorted((one for one in proven if (one.auc_same_cell or 0) > 0.5), key=lambda one: one.p_same_cell or 0)

    def to_json(self) -> dict[str, Any]:
        """The contract's keys first; NaN and tuples are left to the caller."""
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
    """Compare the weight syncs of collapsed and other runs of one group.

    Args:
        runs: Finished rows of `orchestrator.laws.cells.evidence`.
        drifts: ``run``, ``learner_step`` and ``drift_from_start`` of all their weight syncs.
        early: ``run``, ``learner_step`` and any of `orchestrator.laws.early.METRICS` of their weight syncs up to the
            last of `orchestrator.laws.early.first_steps`.
    """
    runs = runs.sort_values("run", ignore_index=True)
    whole = tracks(drifts, runs, whole=True)
    if not len(whole.run):
        return Regime(sentences=("No weight syncs are stored for these runs, so nothing can be told of their drift and "
                                 "of early warnings; import them too, one row per weight sync.",))  # fmt: skip
    collapsed, stable = runs["collapsed"].to_numpy(dtype=bool), (runs["state"] == RunState.STABLE).to_numpy(dtype=bool)
    exponents = whole.up_to(np.where(collapsed, runs["hi"].to_numpy(dtype=float), np.inf)).drift_exponents()
    windows, predictors = early_warnings(runs, tracks(early, runs, whole=False))
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
    """95 % percentile interval of the median of all values, when seeds are drawn again, each with its runs."""
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
            runs = f"{drift.runs} {which} run{'' if drift.runs == 1 else 's'}"
            parts.append(f"t^{drift.estimate:.2f} in {runs} (middle half {low:.2f} to {high:.2f})")
    if not parts:
        return []
    return [f"The distance from the start grows as {' and as '.join(parts)}, in collapsed runs up to T*; ballistic "
            "drift is t^1, diffusive t^0.5."]  # fmt: skip


def _on_warnings(found: Regime) -> list[str]:
    if not found.predictors:
        return ["No metric could be tried as an early warning: past the first steps there are not both runs that "
                "collapse and runs that do not."]  # fmt: skip
    tried = f"{len(found.predictors)} looks were taken (metrics times first steps), and p is corrected for them."
    if found.early_warnings:
        one = found.early_warnings[0]
        return [
            f"Early warning: {_seen(one)}, and so it is among runs of equal k and η (AUC {one.auc_same_cell:.2f} over "
            f"{one.pairs_same_cell} pairs, p = {one.p_same_cell:.2g}). {tried}"
        ]
    one = max(found.predictors, key=lambda one: one.ci95[0])
    beyond = (
        "among runs of equal k and η no metric tells them apart beyond chance"
        if any(one.pairs_same_cell for one in found.predictors)
        else "no cell holds both runs that collapse later and runs that do not, so this cannot be told from η and k; "
        "run more seeds at the boundary"
    )
    return [f"No early warning is shown. {_seen(one)}, but {beyond}. {tried}"]


def _seen(one: Predictor) -> str:
    return (
        f"{one.name} over the first {one.steps} steps is {one.collapse_is} in {one.n_collapsed} runs that collapse "
        f"later than in {one.n_other} others (AUC {one.auc:.2f}, {one.ci95[0]:.2f} to {one.ci95[1]:.2f}; η·k alone "
        f"{one.auc_eta_k:.2f})"
    )
