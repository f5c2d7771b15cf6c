"""The fits of the laws against lifelines and statsmodels, which share no code with them.

Each test's docstring says where the two define something differently. No second implementation was found of Firth's
penalty (its optimum is searched here with statsmodels' likelihood and information instead), of Newcombe's interval of
an AUC, of Obuchowski's variance and of Cox and Reid's adjustment of σ with censoring.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from lifelines import LogNormalFitter, MixtureCureFitter
from scipy.stats import chi2
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.nonparametric import rank_compare_2indep

from orchestrator.laws import likelihood, survival
from orchestrator.laws.evidence import evidence
from orchestrator.laws.horizon import describe
from orchestrator.laws.likelihood import PENALTY
from orchestrator.laws.separation import holm, separation, variance
from tests.benchmarks.simulated import GRIDS, World
from tests.laws.library_fits import END, all_susceptible, with_immune
from tests.support.laws_data import simulated, tiny_sweep

pytestmark = [
    pytest.mark.slow,
    # lifelines calls pandas in ways that pandas 4 will refuse
    pytest.mark.filterwarnings("ignore:Starting with pandas version 4.0"),
]

WIDTH = 1e-5
"""Relative width of the intervals that stand for a known T*."""


def bounded(runs: pd.DataFrame) -> pd.DataFrame:
    rows = evidence(runs)
    return rows[rows["bounds"]].reset_index(drop=True)


def known_exactly() -> pd.DataFrame:
    runs = simulated(1.3, 0.2, 0.4, 1, horizon=10**9).iloc[::12]
    return bounded(runs).assign(lo=lambda rows: rows["hi"] * (1 - WIDTH), seed=0)


def world() -> pd.DataFrame:
    return World(0.5, 1.6, 0.2).sweep(GRIDS["4x7x3"], 1)[0]


def allowed(n: int, p: int) -> float:
    """The documented loss at the ends of an interval."""
    return n * math.log1p(t_distribution.ppf(0.975, n - p) ** 2 / (n - p))


DATA = {
    "T* known exactly": lambda: (known_exactly(), {}),
    "T* known to 8 steps": lambda: (bounded(simulated(1.3, 0.2, 0.4, 1, horizon=10**9)), {}),
    "right-censored": lambda: (bounded(simulated(2.0, 0.3, 0.5, 2)), {}),
    "one k, right-censored": lambda: (bounded(simulated(1.0, 0.0, 0.6, 3).query("k == 8")), {"q": 0.0}),
    "a real sweep": lambda: (bounded(tiny_sweep()), {}),
    "lost runs": lambda: (bounded(world()), {}),
}


@pytest.mark.parametrize("data", DATA)
def test_the_horizon_law_is_log_normal_regression(data: str) -> None:
    """The fit has the σ of maximum likelihood; the reported σ is adjusted."""
    rows, held = DATA[data]()
    ours, theirs = survival.fit(rows, immune=False, values=held), all_susceptible(rows, held)
    assert ours is not None
    assert ours.maximum.log_likelihood == pytest.approx(theirs.log_likelihood, abs=1e-7)
    assert ours.aic == pytest.approx(theirs.aic, abs=2e-7)
    assert math.log(ours.c_horizon_point) == pytest.approx(theirs.values["c"], abs=1e-5)
    for name in theirs.values.keys() - {"c"}:
        assert ours.value(name) == pytest.approx(theirs.values[name], abs=2e-6), name


def test_intervals_tests_and_readings_of_the_horizon_law() -> None:
    """The statistic is the same, but p comes from an F distribution here and from χ² in lifelines."""
    rows = bounded(simulated(1.2, 0.1, 0.5, 4))
    fitted, free = survival.fit(rows, immune=False, values={}), all_susceptible(rows)
    assert fitted is not None
    found = describe(fitted, ("eta", "k"))
    assert found.eta_exponent.estimate == pytest.approx(free.values["b"], abs=1e-6)
    assert found.k_exponent.estimate == pytest.approx(free.values["q"], abs=1e-6)
    assert math.log(found.prefactor.estimate) == pytest.approx(free.values["c"], abs=1e-5)

    readings = {"ballistic": {"b": 1.0, "q": 0.0}, "diffusive": {"b": 2.0, "q": 0.0}, "eta": {"q": 0.0}}
    fits = {"eta and k": free} | {name: all_susceptible(rows, held) for name, held in readings.items()}
    assert {one.name: one.aic for one in found.alternatives} == pytest.approx(
        {name: one.aic for name, one in fits.items()}, abs=1e-6
    )
    assert math.log(found.constant.estimate) == pytest.approx(fits["ballistic"].values["c"], abs=1e-6)

    n, threshold = found.n_collapsed, allowed(found.n_collapsed, 3)
    loss = 2 * (free.log_likelihood - fits["ballistic"].log_likelihood)
    ratio = (n - 3) / 2 * math.expm1(loss / n)
    assert found.p_law == pytest.approx(f_distribution.sf(ratio, 2, n - 3), rel=1e-5)
    for name, value in (("b", found.eta_exponent), ("q", found.k_exponent)):
        for end in value.ci95:
            loss = 2 * (free.log_likelihood - all_susceptible(rows, {name: end}).log_likelihood)
            assert loss == pytest.approx(threshold, rel=END), (name, end)


def test_known_collapse_steps_give_the_intervals_and_tests_of_least_squares() -> None:
    """Akaike's criterion counts σ here, not in statsmodels; a density there is a probability here."""
    rows = known_exactly()
    found = survival.fit(rows, immune=False, values={})
    assert found is not None and found.ballistic is not None
    n = len(rows)
    design = np.column_stack([-np.log(rows["eta"]), -np.log(rows["k"]), np.ones(n)])
    line = sm.OLS(np.log(rows["hi"].to_numpy()) - WIDTH / 2, design).fit()
    probability = n * math.log(-math.log1p(-WIDTH))
    assert found.maximum.log_likelihood == pytest.approx(line.llf + probability, abs=1e-5)
    assert found.aic == pytest.approx(line.aic + 2 - 2 * probability, abs=2e-5)
    for place, name in enumerate(("b", "q")):
        low, high = line.conf_int()[place]
        assert found.value(name) == pytest.approx(line.params[place], abs=1e-4 * (high - low))
        assert found.estimate(name).ci95 == pytest.approx((low, high), abs=2e-3 * (high - low))
    test = line.f_test((np.eye(3)[:2], [1.0, 0.0]))
    assert found.p_of(found.ballistic) == pytest.approx(float(test.pvalue), rel=1e-4)

    median = found.median_at(4, 5e-4)
    low, high = line.get_prediction([-math.log(5e-4), -math.log(4), 1.0]).conf_int()[0]
    assert np.log(median.ci95) == pytest.approx((low, high), abs=2e-3 * (high - low))
    law = sm.OLS(line.model.endog + np.log(rows["eta"].to_numpy()), np.ones(n)).fit()
    constant, (low, high) = found.ballistic.median_at(1, 1), law.conf_int()[0]
    assert math.log(constant.estimate) == pytest.approx(law.params[0], abs=1e-4)
    assert np.log(constant.ci95) == pytest.approx((low, high), abs=2e-3 * (high - low))

    sigma, freedom = found.sigma(), line.df_resid
    assert sigma.estimate == pytest.approx(math.sqrt(line.mse_resid), rel=1e-2)
    for end in sigma.ci95:  # of the likelihood of the residuals alone
        share = line.mse_resid / end**2
        assert freedom * (share - 1 - math.log(share)) == pytest.approx(allowed(n, 3), rel=2 * END)


def test_levels_of_least_squares_have_variances_clustered_by_seed() -> None:
    """statsmodels' correction for small samples uses n − 1, the likelihood uses n."""
    rows = known_exactly()
    n, draw = len(rows), np.random.default_rng(10)
    seeds = np.arange(n) % 5
    luck = np.exp(0.5 * draw.standard_normal(5))[seeds]
    rows = rows.assign(seed=seeds, lo=rows["lo"] * luck, hi=rows["hi"] * luck)
    design = np.column_stack([-np.log(rows["eta"]), -np.log(rows["k"]), np.ones(n)])
    line = sm.OLS(np.log(rows["hi"].to_numpy()) - WIDTH / 2, design).fit()
    clustered = line.get_robustcov_results("cluster", groups=seeds, use_t=True)
    found = survival.fit(rows, immune=False, values={})
    assert found is not None
    theirs = clustered.t_test([-math.log(5e-4), -math.log(4), 1.0])
    half = np.diff(theirs.conf_int()[0])[0] / 2 * math.sqrt(n / (n - 1))
    assert half > 1.2 * np.diff(line.t_test([-math.log(5e-4), -math.log(4), 1.0]).conf_int()[0])[0] / 2
    expected = theirs.effect[0] + np.array([-half, half])
    assert np.log(found.median_at(4, 5e-4).ci95) == pytest.approx(expected, abs=END * half)


@pytest.mark.parametrize("weight", [0.0, PENALTY])
def test_both_laws_are_a_mixture_cure_regression(weight: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "PENALTY", weight)
    rows = bounded(world())
    ours, theirs = survival.fit(rows, immune=True, values={}), with_immune(rows, weight)
    assert ours is not None
    assert ours.maximum.log_likelihood == pytest.approx(theirs.log_likelihood, abs=1e-7)
    assert ours.aic == pytest.approx(theirs.aic, abs=1e-5)
    for name in ("b", "q", "log_sigma"):
        assert ours.value(name) == pytest.approx(theirs.values[name], abs=5e-6), name
    assert ours.odds[2] / ours.odds[1] == pytest.approx(theirs.values["a"], abs=5e-6)


def test_intervals_and_tests_of_both_laws() -> None:
    rows = bounded(world())
    found, free, ballistic = (
        survival.fit(rows, immune=True, values={}),
        with_immune(rows, PENALTY),
        {"b": 1.0, "q": 0.0},
    )
    assert found is not None and found.inverse is not None and found.ballistic is not None
    assert found.odds[1] == pytest.approx(free.values["slope"], rel=1e-5)
    local, law, both = (with_immune(rows, PENALTY, *args) for args in (({}, 1.0), (ballistic,), (ballistic, 1.0)))
    assert math.log(found.inverse.c_local_point) == pytest.approx(local.values["at"], abs=1e-5)
    assert math.log(found.ballistic.c_horizon_point) == pytest.approx(law.values["c"], abs=1e-5)
    together = found.under(a=1.0, **ballistic)
    for ours, theirs, restrictions in ((found.inverse, local, 1), (together, both, 3)):
        loss = 2 * (free.log_likelihood - theirs.log_likelihood)
        assert found.p_of(ours) == pytest.approx(chi2.sf(loss, restrictions), rel=1e-5)

    for end in found.exponent().ci95:
        loss = 2 * (free.log_likelihood - with_immune(rows, PENALTY, a=end).log_likelihood)
        assert loss == pytest.approx(chi2.ppf(0.95, 1), rel=END), end
    for end in found.estimate("b").ci95:
        loss = 2 * (free.log_likelihood - with_immune(rows, PENALTY, {"b": end}).log_likelihood)
        assert loss == pytest.approx(allowed(found.n_collapsed, 3), rel=END), end


def test_cells_that_are_all_alike_are_one_univariate_mixture_cure_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """lifelines takes T* as known: it has densities, and the laws have probabilities of narrow intervals."""
    monkeypatch.setattr(likelihood, "PENALTY", 0.0)
    steps = np.exp(4 + 0.5 * np.random.default_rng(5).standard_normal(30))
    end = np.where(np.arange(30) < 10, 90.0, 150.0)
    collapsed = (steps <= end) & (np.arange(30) % 3 > 0)
    seen = np.where(collapsed, steps * (1 - WIDTH / 2), end)
    theirs = MixtureCureFitter(base_fitter=LogNormalFitter()).fit_right_censoring(seen, collapsed)

    alike = pd.DataFrame({"collapsed": collapsed, "lo": end, "hi": np.inf, "seed": range(30)})
    alike.loc[collapsed, ["lo", "hi"]] = np.column_stack([steps * (1 - WIDTH), steps])[collapsed]
    cells = [alike.assign(k=k, eta=eta) for k in (2, 8) for eta in (1e-3, 2e-3)]
    ours = survival.fit(pd.concat(cells), immune=True, values={})
    assert ours is not None
    probability = np.log(steps[collapsed] * WIDTH).sum()
    assert ours.maximum.log_likelihood == pytest.approx(4 * (theirs.log_likelihood_ + probability), abs=1e-5)
    b, q, c, log_sigma, z0, z1, z2 = ours.maximum.parameters
    assert [b, q, z1, z2] == pytest.approx([0, 0, 0, 0], abs=1e-5)
    assert c == pytest.approx(theirs.mu_, abs=1e-4)
    assert math.exp(log_sigma) == pytest.approx(theirs.sigma_, rel=1e-4)
    assert 1 / (1 + math.exp(z0)) == pytest.approx(theirs.cured_fraction_, abs=1e-4)


def test_auc_and_its_variance_are_those_of_brunner_and_munzel() -> None:
    """DeLong's variance of an AUC is the one that Brunner and Munzel's test estimates."""
    generator = np.random.default_rng(8)
    for digits in (1, 8):  # with ties, and without
        event = generator.random(50) < 0.4
        values = np.round(generator.normal(size=50) + event, digits)
        theirs, ours = rank_compare_2indep(values[event], values[~event]), separation(values, event)
        assert ours is not None and ours.auc == pytest.approx(theirs.prob1, rel=1e-12)
        assert variance(values, event, np.arange(50)) == pytest.approx(theirs.var_prob, rel=1e-12)


def test_holm_is_that_of_statsmodels() -> None:
    generator = np.random.default_rng(9)
    for count in (1, 2, 7, 40):
        p = generator.random(count) ** 4
        p[: count // 3] = p[-1]
        assert holm(list(p)) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)
