"""Runs of one seed resemble each other, so the intervals of constants are computed between seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as t_distribution

from orchestrator.laws import survival
from orchestrator.laws.fit import fit_laws
from tests.benchmarks.simulated import GRIDS, World
from tests.support.laws_data import frame, run

BALLISTIC = {"b": 1.0, "q": 0.0}


def exact_steps(between_seeds: float, seed: int) -> pd.DataFrame:
    """Evidence of 4 × 4 cells and 4 seeds that all collapse at known steps near 0.06/η."""
    draw = np.random.default_rng(seed)
    k, eta, number = (x.ravel() for x in np.meshgrid([2, 4, 8, 16], np.geomspace(2e-4, 2e-3, 4), range(4)))
    scatter = between_seeds * draw.standard_normal(4)[number] + 0.3 * draw.standard_normal(len(k))
    step = 0.06 / eta * np.exp(scatter)
    return pd.DataFrame({"k": k, "eta": eta, "seed": number, "lo": step * (1 - 1e-5), "hi": step, "collapsed": True})


def log_ends(rows: pd.DataFrame) -> np.ndarray:
    found = survival.fit(rows, immune=False, values=BALLISTIC)
    assert found is not None and found.median_at(1, 1).ci95 is not None
    return np.log(np.array(found.median_at(1, 1).ci95, dtype=float))


def test_a_constant_between_seeds_has_the_t_interval_of_their_means() -> None:
    rows = exact_steps(0.5, 1)
    means = np.log(rows["eta"] * rows["hi"]).groupby(rows["seed"]).mean()
    half = t_distribution.ppf(0.975, 3) * means.std() / 2
    n = len(rows)
    expected = means.mean() + np.array([-half, half]) * np.sqrt(n / (n - 1))  # of a variance with divisor n
    assert log_ends(rows) == pytest.approx(expected, abs=2e-2 * half)


def test_seeds_that_do_not_differ_leave_the_interval_of_independent_runs() -> None:
    rows = exact_steps(0.5, 1)
    moved = np.log(rows["eta"] * rows["hi"]).groupby(rows["seed"]).transform("mean")
    alike = rows.assign(hi=rows["hi"] / np.exp(moved), lo=rows["lo"] / np.exp(moved))
    values = np.log(alike["eta"] * alike["hi"])
    n = len(values)
    half = t_distribution.ppf(0.975, n - 1) * values.std() / np.sqrt(n)
    assert log_ends(alike) == pytest.approx(values.mean() + np.array([-half, half]), abs=2e-2 * half)
    one_seed = alike.assign(seed=0)
    assert log_ends(one_seed) == pytest.approx(log_ends(alike))


def test_exponents_are_of_runs() -> None:
    rows = exact_steps(0.5, 2)
    found = [survival.fit(chosen, immune=False, values={}) for chosen in (rows, rows.assign(seed=0))]
    by_seed, by_run = (fit.estimate("b") for fit in found if fit)
    assert by_seed == by_run


@pytest.mark.parametrize("law", ["local", "joint"])
def test_a_boundary_that_moves_between_seeds_has_a_wider_interval(law: str) -> None:
    runs, _ = World(1.0, 1.0, 0.0, between_seeds=0.5).sweep(GRIDS["4x7x3"], 3)
    shuffled = runs.assign(seed=np.random.default_rng(0).permutation(runs["seed"]))

    def width(of: pd.DataFrame) -> float:
        (model,) = fit_laws(of).models.values()
        constant = getattr(model, law).constant
        return float(np.log(constant.ci95[1] / constant.ci95[0]))

    assert width(runs) > 1.5 * width(shuffled)


def test_seeds_that_differ_are_named_with_what_they_cost() -> None:
    runs, _ = World(1.0, 1.0, 0.0, between_seeds=0.5).sweep(GRIDS["4x7x3"], 3)
    (model,) = fit_laws(runs).models.values()
    factor = model.joint.constant.seed_factor
    assert factor > 1
    said = f"{factor:.2g} times (C_local)"
    assert any(said in warning and "with seeds 3 and 4" in warning for warning in model.warnings)
    (model,) = fit_laws(runs.assign(seed=np.random.default_rng(1).permutation(runs["seed"]))).models.values()
    assert model.joint.constant.seed_factor == 1
    assert not any("(C_local)" in warning and "seeds differ more" in warning for warning in model.warnings)


def test_one_seed_says_nothing_of_others() -> None:
    rows = [run(k, eta, 3, step) for k in (2, 8) for eta, step in ((1e-3, None), (2e-3, 96), (4e-3, 48))]
    (model,) = fit_laws(frame(rows)).models.values()
    assert any("seed 3 only" in warning and "seeds other than 3" in warning for warning in model.warnings)


def test_the_constant_that_differs_between_seeds_is_named() -> None:
    steps = {(k, eta, s): int(0.06 / eta) + 8 * s + k for k in (2, 8) for eta in (1e-3, 5e-4) for s in range(3)}
    for others, name in (({}, "C_horizon"), ({(2, 5e-4, 0): None}, "C_local")):
        rows = [run(*cell, step) for cell, step in (steps | others).items()]
        (model,) = fit_laws(frame(rows)).models.values()
        assert any(f"times ({name}) as wide" in sentence for sentence in model.warnings)
