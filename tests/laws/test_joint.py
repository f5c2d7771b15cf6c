"""Both laws from one likelihood: known worlds with late, immune and lost runs, evaluated every few steps."""

from __future__ import annotations

import dataclasses
import math

import pandas as pd
import pytest

from orchestrator.laws.estimates import Estimate
from orchestrator.laws.fit import fit_laws
from orchestrator.laws.result import ModelLaws
from tests.benchmarks.simulated import GRIDS, World

pytestmark = pytest.mark.slow

GRID = GRIDS["4x7x3"]


def fit(runs: pd.DataFrame) -> ModelLaws:
    (model,) = fit_laws(runs).models.values()
    return model


def holds(value: Estimate, truth: float) -> bool:
    assert value.ci95 is not None
    lo, hi = value.ci95
    return (lo is None or lo <= truth) and (hi is None or truth <= hi)


@pytest.mark.parametrize(("a", "b", "q"), [(1.0, 1.0, 0.0), (0.5, 1.6, 0.0), (1.0, 2.0, 0.3)])
def test_recovers_the_exponents_of_worlds_with_immune_and_lost_runs(a: float, b: float, q: float) -> None:
    world = World(a, b, q)
    misses = 0
    for seed in (1, 2):
        runs, edge = world.sweep(GRID, seed)
        assert (runs["state"] == "failed").any() and (runs["state"] == "stable").any()
        joint = fit(runs).joint
        truths = [
            (joint.exponent, a),
            (joint.horizon.eta_exponent, b),
            (joint.horizon.k_exponent, q),
            (joint.horizon.sigma, 0.4),
        ]
        if (a, b, q) == (1.0, 1.0, 0.0):
            truths += [(joint.constant, 8 * edge), (joint.horizon.constant, 0.06)]
            assert joint.p_laws is not None and joint.p_laws > 0.01
        misses += sum(not holds(value, truth) for value, truth in truths)
        assert abs(joint.horizon.eta_exponent.estimate - b) < 0.5 and abs(joint.exponent.estimate - a) < 0.6
        assert joint.aic < joint.aic_all_susceptible - 10
    assert misses <= 1


def test_taking_all_runs_as_late_misses_the_truth_that_immune_runs_give() -> None:
    model = fit(World(1.0, 1.0, 0.0).sweep(GRID, 1)[0])
    assert holds(model.joint.horizon.eta_exponent, 1.0)
    assert not holds(model.horizon.censored.eta_exponent, 1.0)


def test_units_change_constants_and_nothing_else() -> None:
    runs = World(1.0, 1.6, 0.0).sweep(GRID, 3)[0]
    steps = ["learner_steps", "collapse_step", "collapse_step_lo", "horizon"]
    scaled = runs.assign(eta=runs["eta"] * 1e3, **{name: runs[name] * 10 for name in steps})
    here, there = fit(runs), fit(scaled)
    for one, other in ((here.joint, there.joint), (here.horizon.censored, there.horizon.censored)):
        for field in dataclasses.fields(one):
            value, same = getattr(one, field.name), getattr(other, field.name)
            if isinstance(value, Estimate) and field.name.endswith("exponent"):
                assert same.ci95 == pytest.approx(value.ci95, abs=0.02)
    assert there.joint.constant.estimate == pytest.approx(1e3 * here.joint.constant.estimate, rel=1e-3)
    assert there.joint.horizon.constant.estimate == pytest.approx(1e4 * here.joint.horizon.constant.estimate, rel=1e-3)
    assert there.local.exponent.ci95 == pytest.approx(here.local.exponent.ci95, abs=0.01)
    assert [one.stable for one in there.two_constraint.predictions] == [
        one.stable for one in here.two_constraint.predictions
    ]


def test_the_expected_share_of_immune_runs_is_near_the_true_one() -> None:
    runs = World(1.0, 1.0, 0.0, lost=0.0).sweep(GRID, 5)[0]
    joint = fit(runs).joint
    # T* has its median at 60 steps where eta = 1e-3, so that hardly a susceptible run outlives 480 where it matters
    assert joint.immune is not None and 0.85 < joint.immune <= 1.0
    assert joint.width is not None and 1.0 < joint.width < math.exp(2.5)
