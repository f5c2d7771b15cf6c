"""The alarm that ends runs: as often wrong as was asked at most, whatever the metric; what it tells besides k and η."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from orchestrator.laws.weight_syncs import WeightSyncs, weight_syncs
from orchestrator.search.alarm import Alarm, alarm

HORIZON, K = 64, 2


def made(seed: int, runs: int, *, signal: float = 1.0, within: float = 0.0) -> tuple[pd.DataFrame, WeightSyncs]:
    """Runs of ten cells, the more collapsing the larger η.

    Args:
        seed: Of the draw.
        runs: How many.
        signal: How much lower the reward is where η is larger.
        within: How much lower it is in runs that collapse, of equal η.
    """
    draw = np.random.default_rng(seed)
    level = draw.integers(0, 10, runs)
    collapsed = draw.random(runs) < level / 10
    rows = pd.DataFrame(
        {
            "run": np.arange(1, runs + 1), "k": K, "eta": 1e-3 * 1.3**level, "seed": np.arange(runs) % 8,
            "horizon": HORIZON, "collapsed": collapsed, "lo": np.where(collapsed, 40.0, HORIZON),
            "learner_steps": np.where(collapsed, 56.0, HORIZON),
        }
    )  # fmt: skip
    noise = draw.standard_t(3, runs)  # of heavy tails: the bound must not need a normal
    value = 10 - signal * level - within * collapsed + 0.5 * noise
    steps = np.arange(0, HORIZON // 2, K)
    syncs = pd.DataFrame(
        {
            "run": np.repeat(rows["run"], len(steps)), "learner_step": np.tile(steps, runs),
            "reward": np.repeat(value, len(steps)), "entropy": draw.standard_normal(runs * len(steps)),
        }
    )  # fmt: skip
    return rows, weight_syncs(syncs, rows, whole=False)


TELLING = {"signal": 0.3, "within": 4.0}


def loud(found: Alarm, early: WeightSyncs) -> np.ndarray:
    return found.is_loud(found.values(early))


@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_stable_runs_are_ended_as_often_as_was_asked_at_most(rate: float) -> None:
    wrong, caught = [], []
    for seed in range(40):
        found = alarm(*made(seed, 160, **TELLING), rate)
        assert found is not None
        assert found.metric == "reward" and found.collapse_is == "lower"
        others, early = made(1000 + seed, 200, **TELLING)
        collapsed = others["collapsed"].to_numpy()
        wrong.append(loud(found, early)[~collapsed].mean())
        caught.append(loud(found, early)[collapsed].mean())
    assert np.mean(wrong) <= rate + 2 * np.std(wrong) / np.sqrt(40)
    assert np.mean(wrong) > rate / 3, "nor is it much rarer, which would save less"
    assert np.mean(caught) > 0.5


def test_what_only_restates_k_and_eta_sets_none() -> None:
    """It would tell the collapsing runs of all cells together well enough."""
    found = [alarm(*made(seed, 160), 0.2) for seed in range(20)]
    assert sum(one is not None for one in found) <= 2


def test_what_is_told_besides_is_its_odds() -> None:
    weak, strong = (
        [one.odds for seed in range(20) if (one := alarm(*made(seed, 160, signal=0.3, within=within), 0.1))]
        for within in (1.5, 4.0)
    )
    assert len(strong) >= 18 and 1.8 < np.median(weak) < np.median(strong)
    assert Alarm("reward", 16, "lower", 0.4, 0.05, 30, 0.8, 1.0).tells == 0.0
    assert Alarm("reward", 16, "lower", 0.4, 0.05, 30, 0.8, 3.0).tells == pytest.approx(0.25)


def test_chance_sets_no_alarm() -> None:
    found = [alarm(*made(seed, 60, signal=0.0), 0.2) for seed in range(40)]
    assert sum(one is not None for one in found) <= 6


def test_few_stable_runs_set_no_alarm() -> None:
    rows, early = made(0, 60, **TELLING)
    stable = int((~rows["collapsed"]).sum())
    assert alarm(rows, early, 1 / (stable + 1)) is not None
    assert alarm(rows, early, 1 / (stable + 2)) is None
    assert alarm(rows, early, 0.0) is None
    assert alarm(rows.assign(collapsed=False, lo=64.0), early, 0.2) is None


def test_a_run_too_short_is_not_judged() -> None:
    found = alarm(*made(0, 160, **TELLING), 0.1)
    assert found is not None
    _, early = made(1, 20)
    begun = early.up_to(np.full(20, 3.0))
    assert not loud(found, begun).any() and np.isnan(found.values(begun)).all()


def test_it_says_why() -> None:
    found = Alarm("reward", 16, "lower", 0.4, 0.05, 30, 0.8, 3.0)
    assert found.loudness(0.3) == (-0.3, -0.4)
    assert found.sentence(0.3) == (
        "reward over the first 16 learner steps is 0.3, below 0.4, as in at most 5 % of runs that do not collapse "
        "(30 say so)"
    )
