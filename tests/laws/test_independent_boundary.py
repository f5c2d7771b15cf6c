"""The local law against statsmodels' logistic regression, which shares no code with it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.stats import chi2, norm
from scipy.stats import t as t_distribution

from orchestrator.laws import likelihood
from orchestrator.laws.fit import fit_laws
from orchestrator.laws.likelihood import PENALTY
from orchestrator.laws.result import LocalLaw
from tests.benchmarks.simulated import GRIDS, World
from tests.laws.library_fits import END
from tests.support.laws_data import tiny_sweep

pytestmark = pytest.mark.slow  # statsmodels takes a second to import

FREE = np.eye(3)


def local_law(runs: pd.DataFrame) -> LocalLaw:
    (model,) = fit_laws(runs).models.values()
    return model.local


def overlapping() -> pd.DataFrame:
    """No line separates the runs that collapsed, so there is an optimum without a penalty."""
    return World(0.5, 1.6, 0.2, steepness=2.0, lost=0.0).sweep(GRIDS["4x7x3"], 1)[0]


def inverse(a: float, c: float | None = None) -> np.ndarray:
    """The coefficients of 1, log η and log k if a is held, or a and C: η_max = C·k^−a."""
    return np.array([[1.0, 0.0], [0.0, 1.0], [0.0, a]] if c is None else [[-math.log(c)], [1.0], [a]])


def logit(runs: pd.DataFrame, embed: np.ndarray) -> sm.Logit:
    """statsmodels' regression of collapse on log η and log k."""
    design = np.column_stack([np.ones(len(runs)), np.log(runs["eta"]), np.log(runs["k"].astype(float))])
    return sm.Logit((runs["state"] == "collapsed").to_numpy(dtype=float), design @ embed)


def penalised(runs: pd.DataFrame, embed: np.ndarray) -> tuple[float, np.ndarray]:
    """The maximum of statsmodels' log-likelihood and log-determinant, and all coefficients there."""
    full, restricted = logit(runs, FREE), logit(runs, embed)

    def objective(x: np.ndarray) -> float:
        return -full.loglike(embed @ x) - PENALTY * float(np.linalg.slogdet(-full.hessian(embed @ x))[1])

    origin = np.zeros(embed.shape[1])
    unit = np.linalg.cholesky(np.linalg.inv(-restricted.hessian(origin)))  # steps of one standard error
    best = minimize(lambda y: objective(unit @ y), origin, method="BFGS", jac="3-point", options={"gtol": 1e-7})
    return -float(best.fun), embed @ unit @ best.x


def test_without_a_penalty_the_local_law_is_logistic_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "PENALTY", 0.0)
    runs = overlapping()
    found, free, law = local_law(runs), *(logit(runs, embed).fit(disp=0) for embed in (FREE, inverse(1.0)))
    level, slope, by_k = free.params
    assert found.exponent.estimate == pytest.approx(by_k / slope, rel=1e-6)
    assert found.prefactor.estimate == pytest.approx(math.exp(-level / slope), rel=1e-6)
    assert found.width == pytest.approx(math.exp(2 * math.log(9) / slope), rel=1e-6)
    assert found.constant.estimate == pytest.approx(math.exp(-law.params[0] / law.params[1]), rel=1e-6)
    assert found.p_exponent_is_1 == pytest.approx(chi2.sf(2 * (free.llf - law.llf), 1), rel=1e-6)
    for end in found.exponent.ci95:
        assert 2 * (free.llf - logit(runs, inverse(end)).fit(disp=0).llf) == pytest.approx(chi2.ppf(0.95, 1), rel=END)


def test_the_penalised_local_law_is_where_statsmodels_likelihood_and_information_have_their_optimum() -> None:
    runs = tiny_sweep().assign(seed=0)
    found, (best, (level, slope, by_k)) = local_law(runs), penalised(runs, FREE)
    assert found.exponent.estimate == pytest.approx(by_k / slope, rel=5e-5)
    assert found.prefactor.estimate == pytest.approx(math.exp(-level / slope), rel=5e-5)
    assert found.width == pytest.approx(math.exp(2 * math.log(9) / slope), rel=5e-5)
    for bracket in found.brackets:
        eta_half = math.exp(-(level + by_k * math.log(bracket.k)) / slope)
        assert bracket.eta_half.estimate == pytest.approx(eta_half, rel=5e-5)
    of_law, (level, slope, _) = penalised(runs, inverse(1.0))
    assert found.constant.estimate == pytest.approx(math.exp(-level / slope), rel=5e-6)
    assert found.p_exponent_is_1 == pytest.approx(chi2.sf(2 * (best - of_law), 1), rel=1e-6)
    for end in found.exponent.ci95:
        assert 2 * (best - penalised(runs, inverse(end))[0]) == pytest.approx(chi2.ppf(0.95, 1), rel=END)
    for end in found.constant.ci95:
        assert 2 * (of_law - penalised(runs, inverse(1.0, end))[0]) == pytest.approx(chi2.ppf(0.95, 1), rel=END)


def test_levels_of_the_boundary_have_variances_clustered_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the clustered variance is larger than that of independent runs, the ends move accordingly."""
    monkeypatch.setattr(likelihood, "PENALTY", 0.0)
    runs = overlapping().assign(seed=lambda runs: np.where(runs["state"] == "collapsed", 0, 1) + runs["seed"])
    alone, together = local_law(runs.assign(seed=0)), local_law(runs)
    free = logit(runs, FREE)
    kinds = {"nonrobust": {}, "cluster": {"cov_kwds": {"groups": runs["seed"].to_numpy(), "use_correction": False}}}
    model, clustered = (free.fit(disp=0, cov_type=kind, **options) for kind, options in kinds.items())
    level, slope, by_k = model.params
    count, moved = runs["seed"].nunique(), 0
    for one, other in zip(alone.brackets, together.brackets, strict=True):
        log_k = math.log(one.k)
        towards = np.array([-1.0, (level + by_k * log_k) / slope, -log_k]) / slope
        ratio = towards @ clustered.cov_params() @ towards / (towards @ model.cov_params() @ towards)
        wider = math.sqrt(ratio * count / (count - 1)) * t_distribution.ppf(0.975, count - 1) / norm.ppf(0.975)
        factor = wider if ratio * count / (count - 1) > 1 else 1.0
        near, far = (np.log(np.array(bracket.eta_half.ci95) / bracket.eta_half.estimate) for bracket in (one, other))
        assert far == pytest.approx(factor * near, rel=END)
        moved += factor > 1
    assert 0 < moved < len(alone.brackets)
