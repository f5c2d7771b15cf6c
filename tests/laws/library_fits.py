"""The laws as lifelines fits them: its likelihoods of censored data, derivatives by autograd, its own search.

A coefficient of log T* is held at a value by scaling the times; so no formula of `orchestrator.laws` is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import autograd.numpy as anp
import numpy as np
import pandas as pd
from autograd.scipy.stats import norm
from lifelines import LogNormalAFTFitter
from lifelines.fitters import ParametricRegressionFitter

END = 5e-3
"""Relative error that the loss at an interval's end may have, because ends are searched to 2e-3 of their distance."""

FIT = {"gtol": 1e-6}
EARLIEST = 1e-9
"""Takes the place of step 0, whose logarithm autograd cannot compute."""
NEVER = 1e20
"""Later times stand for infinity."""


@dataclass(frozen=True)
class LibraryFit:
    """The fit of a library.

    Attributes:
        log_likelihood: As maximised, with a penalty where there is one.
        penalty: Its value at the maximum.
        aic: By the log-likelihood without the penalty.
        values: Parameters that were free, under their names in `orchestrator.laws`; ``a``, ``slope`` and ``at``, the
            log η of the boundary at k = 1, for the log-odds.
    """

    log_likelihood: float
    penalty: float
    aic: float
    values: Mapping[str, float]


def scaled_times(rows: pd.DataFrame, held: Mapping[str, float]) -> pd.DataFrame:
    """The interval of each T*, times η^b·k^q for held b and q, and log η and log k with a minus: columns b and q."""
    data = pd.DataFrame({"b": -np.log(rows["eta"]), "q": -np.log(rows["k"].astype(float))})
    scale = np.exp(-sum(value * data[name] for name, value in held.items())) if held else 1.0
    return data.assign(lo=rows["lo"].clip(lower=EARLIEST) * scale, hi=rows["hi"] * scale)


def all_susceptible(rows: pd.DataFrame, held: Mapping[str, float] | None = None) -> LibraryFit:
    """Log-normal regression with interval- and right-censoring; ``held`` has values of b and q."""
    data, free = scaled_times(rows, held or {}), [name for name in ("b", "q") if name not in (held or {})]
    fitter = LogNormalAFTFitter().fit_interval_censoring(data[[*free, "lo", "hi"]], "lo", "hi", fit_options=FIT)
    found = fitter.params_
    values = {name: float(found["mu_", name]) for name in free}
    values |= {"c": float(found["mu_", "Intercept"]), "log_sigma": float(found["sigma_", "Intercept"])}
    return LibraryFit(float(fitter.log_likelihood_), 0.0, float(fitter.AIC_), values)


class MixtureCure(ParametricRegressionFitter):
    """Log-normal times of susceptible runs; log-odds of susceptibility, penalised by the information's determinant."""

    _fitted_parameter_names = ("mu_", "sigma_", "odds_")

    def __init__(self, weight: float, design: np.ndarray, odds: np.ndarray) -> None:
        super().__init__()
        self.weight, self.design, self.odds = weight, design, odds

    def _cumulative_hazard(self, params, T, Xs):
        """−log survival. It is 0 at infinity, where immune runs survive too, so (t, ∞) means that a run outlived t."""
        z = (np.log(T) - anp.dot(Xs["mu_"], params["mu_"])) / anp.exp(anp.dot(Xs["sigma_"], params["sigma_"]))
        u = anp.dot(Xs["odds_"], params["odds_"])
        late, immune = norm.logsf(z) - anp.logaddexp(0, -u), -anp.logaddexp(0, u)
        return anp.where(T < NEVER, -anp.logaddexp(late, immune), 1e3)

    def _add_penalty(self, params, neg_ll):
        return neg_ll - self.penalty(params["odds_"]) / len(self.design)

    def penalty(self, odds):
        p = 1 / (1 + anp.exp(-anp.dot(self.odds, odds)))
        return self.weight * anp.linalg.slogdet(anp.dot(self.design.T * (p * (1 - p)), self.design))[1]


def with_immune(
    rows: pd.DataFrame, weight: float, held: Mapping[str, float] | None = None, a: float | None = None
) -> LibraryFit:
    """Mixture-cure regression; ``held`` has values of b and q.

    Args:
        rows: Evidence that bounds T*.
        weight: Of the penalty.
        held: Values of b and q.
        a: Where the boundary's exponent is held.
    """
    data, free = scaled_times(rows, held or {}), [name for name in ("b", "q") if name not in (held or {})]
    data["hi"] = data["hi"].clip(upper=10 * NEVER)
    axes = data[["b", "q"]] if a is None else (data["b"] + a * data["q"]).to_frame("ba")
    centre, scale = axes.mean(), axes.std()
    odds = (axes - centre) / scale  # of standard deviation 1, which lifelines would scale them to
    data[[f"odds_{name}" for name in axes]] = odds
    ones = np.ones((len(data), 1))
    fitter = MixtureCure(weight, np.hstack([ones, data[["b", "q"]]]), np.hstack([ones, odds]))
    terms = {"mu_": " + ".join(["1", *free]), "sigma_": "1", "odds_": " + ".join(f"odds_{name}" for name in axes)}
    early = float(np.log(data["lo"].clip(lower=1.0)).mean())
    start = {
        "mu_": np.array([early, *np.ones(len(free))]),
        "sigma_": np.zeros(1),
        "odds_": np.array([0.0, *-np.ones(odds.shape[1])]),
    }
    fitter.fit_interval_censoring(data, "lo", "hi", regressors=terms, initial_point=start, fit_options=FIT)
    found = fitter.params_
    slopes = found["odds_"].iloc[1:].to_numpy() / scale.to_numpy()
    level = float(found["odds_", "Intercept"] - slopes @ centre)
    values = {name: float(found["mu_", name]) for name in free}
    values |= {"c": float(found["mu_", "Intercept"]), "log_sigma": float(found["sigma_", "Intercept"])}
    values |= {"a": float(slopes[-1] / slopes[0]), "slope": -float(slopes[0]), "at": level / float(slopes[0])}
    penalty = float(fitter.penalty(found["odds_"].to_numpy()))
    parameters = len(found)
    total = float(fitter.log_likelihood_)
    return LibraryFit(total, penalty, 2 * parameters - 2 * (total - penalty), values)
