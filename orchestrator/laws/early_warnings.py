"""Early warnings: how well metrics of the first learner steps separate runs that will collapse from the others.

Nothing later is used: only rollout cycles that had ended by learner step n are read, and only of runs that had not
collapsed by then. η and k decide most collapses, so a metric that only reflects η and k is no warning. Each metric is
therefore compared with η·k alone, and within cells, over pairs of runs with equal k and η.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.laws.estimates import Array
from orchestrator.laws.separation import holm, interval, separation

METRICS = (
    "cosine_update_within", "cosine_update_across", "cosine_gradient_within", "cosine_gradient_across", "ess_token",
    "ess_sequence", "gradient_norm", "update_norm", "drift_from_start", "kl_behavior", "entropy", "reward", "ratio_max",
    "clip_fraction_low", "clip_fraction_high",
)  # fmt: skip
"""Metrics of `grpo_worker.schema.records.SyncRecord` that are tried, each by its mean over the first steps."""

DRIFT_EXPONENT = "drift_exponent"
"""Also tried: α of ‖θ_t − θ_0‖ ∝ t^α over the first steps."""

SHARES = (16, 8, 4)
"""The shortest horizon divided by these gives the numbers of first steps that are read."""

LEAST_FOR_SLOPE = 4
"""Fewest weight syncs from which a drift exponent is computed."""

LEAST_CYCLES = 3
"""Fewest rollout cycles that must have ended."""


@dataclass(frozen=True, slots=True)
class Window:
    """The runs of which only what was known at learner step n, ``steps``, is read."""

    steps: int
    n_collapsed: int  # they collapse later
    n_other: int  # they do not collapse
    n_gone: int  # left out because they may have collapsed by step n
    n_short: int  # left out because fewer than LEAST_CYCLES of their rollout cycles had ended


@dataclass(frozen=True, slots=True)
class Predictor:
    """How well the mean of a metric over the first steps separates runs that collapse later from the others.

    The mean is ``collapse_is``, higher or lower, in a run that collapses, with probability ``auc`` over pairs of a
    collapsing run and another. ``…_same_cell`` are of pairs with equal k and η, ``auc_eta_k`` is of η·k alone, if the
    larger collapses. p is corrected for all metrics and windows that were tried (Holm).
    """

    name: str
    steps: int
    collapse_is: str
    auc: float
    ci95: tuple[float, float]
    p: float | None
    auc_same_cell: float | None
    p_same_cell: float | None
    pairs_same_cell: int
    auc_eta_k: float
    n_collapsed: int
    n_other: int


def first_steps(horizon: int) -> list[int]:
    """Numbers of first learner steps to read, rising, for runs whose shortest horizon is given."""
    return sorted({horizon // share for share in SHARES} - {0})


def early_warnings(runs: pd.DataFrame, early: WeightSyncs) -> tuple[tuple[Window, ...], tuple[Predictor, ...]]:
    """Try every metric over every window, given finished runs and their weight syncs up to the last `first_steps`."""
    # rounded, so that equal products of η and k stay equal
    runs = runs.assign(eta_k=np.round(np.log(runs["k"] * runs["eta"]), 9), cell=runs.groupby(["k", "eta"]).ngroup())
    collapsed, last_alive = runs["collapsed"].to_numpy(dtype=bool), runs["lo"].to_numpy(dtype=float)
    windows: list[Window] = []
    predictors: list[Predictor] = []
    for steps in first_steps(int(runs["horizon"].min())):
        known = early.up_to(float(steps))
        gone = collapsed & (last_alive <= steps)
        short = ~gone & (known.cycles() < LEAST_CYCLES)
        usable = ~gone & ~short
        counted = (usable & collapsed, usable & ~collapsed, gone, short)
        windows.append(Window(steps, *(int(runs.sum()) for runs in counted)))
        for name, values in _candidates(known):
            tried = usable & np.isfinite(values)
            found = _predictor(name, steps, values[tried], runs[tried])
            predictors += [found] if found else []
    p_values = holm([one.p for one in predictors]), holm([one.p_same_cell for one in predictors])
    corrected = zip(predictors, *p_values, strict=True)
    return tuple(windows), tuple(replace(one, p=p, p_same_cell=same) for one, p, same in corrected)


def _candidates(known: WeightSyncs) -> Iterator[tuple[str, Array]]:
    for name in METRICS:
        if name in known.rows:
            yield name, known.means(name)
    if "drift_from_start" in known.rows:
        yield DRIFT_EXPONENT, known.drift_exponents()


def _predictor(name: str, steps: int, values: Array, runs: pd.DataFrame) -> Predictor | None:
    """Try one metric, given its value of each run; None if they all end alike."""
    collapsed = runs["collapsed"].to_numpy(dtype=bool)
    overall, eta_k = (separation(number, collapsed) for number in (values, runs["eta_k"].to_numpy()))
    if overall is None or eta_k is None:
        return None
    higher = overall.auc >= 0.5
    values = values if higher else -values
    same_cell = separation(values, collapsed, runs["cell"].to_numpy())
    return Predictor(
        name=name,
        steps=steps,
        collapse_is="higher" if higher else "lower",
        auc=max(overall.auc, 1 - overall.auc),
        ci95=interval(values, collapsed, runs["seed"].to_numpy()),
        p=overall.p,
        auc_same_cell=same_cell.auc if same_cell else None,
        p_same_cell=same_cell.p if same_cell else None,
        pairs_same_cell=same_cell.pairs if same_cell else 0,
        auc_eta_k=eta_k.auc,
        n_collapsed=int(collapsed.sum()),
        n_other=int((~collapsed).sum()),
    )


@dataclass(frozen=True, eq=False, slots=True)
class WeightSyncs:
    """Weight syncs of many runs.

    The metrics of a weight sync are those of the rollout cycle that it starts. They are known when that cycle has
    ended, which is at the next weight sync.
    """

    runs: pd.Index  # numbers of the runs, with or without weight syncs
    rows: pd.DataFrame  # sorted: run, ended (learner step at which the rollout cycle had ended) and metrics, or NaN

    def up_to(self, steps: Array | float) -> WeightSyncs:
        """Keep the rollout cycles that had ended by a learner step, of all runs or of each, shape (runs,)."""
        ended = self.rows["ended"] <= self.rows["run"].map(pd.Series(steps, self.runs))
        return WeightSyncs(self.runs, self.rows[ended])

    def cycles(self) -> NDArray[np.int64]:
        """Number of rollout cycles of each run, shape (runs,)."""
        return np.asarray(self.rows["run"].value_counts().reindex(self.runs, fill_value=0), dtype=np.int64)

    def means(self, metric: str) -> Array:
        """Mean of a metric's finite values of each run, shape (runs,); NaN if a run has none."""
        values = self.rows[metric].where(np.isfinite(self.rows[metric]))
        means = values.groupby(self.rows["run"]).mean().reindex(self.runs)
        with np.errstate(over="ignore"):
            # rounded, because the mean of equal values must not depend on how many there are
            return means.to_numpy(dtype=np.float32).astype(float)

    def drift_exponents(self) -> Array:
        """α of ‖θ_t − θ_0‖ ∝ t^α of each run, shape (runs,); NaN if it has fewer than `LEAST_FOR_SLOPE` weight syncs.

        Fitted by least squares of the logarithms.
        """
        drift, ended = self.rows["drift_from_start"], self.rows["ended"]
        usable = (drift > 0) & np.isfinite(drift) & (ended > 0)
        run, x, y = self.rows.loc[usable, "run"], np.log(ended[usable]), np.log(drift[usable])
        x = x - x.groupby(run).transform("mean")
        slopes = (x * y).groupby(run).sum() / (x * x).groupby(run).sum()
        enough = slopes.where(run.groupby(run).size() >= LEAST_FOR_SLOPE)
        return np.asarray(enough.reindex(self.runs), dtype=float)


def weight_syncs(syncs: pd.DataFrame, runs: pd.DataFrame, *, whole: bool) -> WeightSyncs:
    """Sort the weight syncs of some runs, given ``learner_step`` and metrics of these runs and any others.

    If ``whole``, these are all weight syncs of each run, so that the last cycle ended with the run. Else they were read
    up to some learner step, by which the last cycle had not ended.
    """
    numbers = pd.Index(runs["run"].astype(int))
    rows = syncs[syncs["run"].isin(numbers)].sort_values(["run", "learner_step"], ignore_index=True)
    rows = rows.astype(dict.fromkeys(rows.columns, float) | {"run": int})
    following = rows.groupby("run")["learner_step"].shift(-1)
    last = rows["run"].map(pd.Series(runs["learner_steps"].to_numpy(dtype=float), numbers)) if whole else np.inf
    return WeightSyncs(numbers, rows.drop(columns="learner_step").assign(ended=following.fillna(last)))
