"""Which run to make next: what is known agrees with Bayes' rule by hand, and a search that follows it finds laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from orchestrator.laws.design import Beliefs, Seen, choose

KS = (2, 8, 32)
RANGE = (1e-4, 1e-2)
ETAS = np.geomspace(*RANGE, 9)
PLACES = [(k, float(eta)) for k in KS for eta in ETAS]
HORIZON = 480


def test_nothing_is_known_at_first() -> None:
    beliefs = Beliefs.before(KS, RANGE)
    mean, deviation = beliefs.log_eta_max(8)
    assert mean == pytest.approx(math.log(1e-3), abs=1e-9)
    assert deviation == pytest.approx(math.log(64 * 100) / math.sqrt(12), rel=0.02), "that of a uniform"
    assert beliefs.p_collapse(8, 1e-3) == pytest.approx(0.5, abs=1e-6)
    assert beliefs.p_outside(8) == pytest.approx((math.log(8) / math.log(6400),) * 2, abs=0.01)


def test_what_was_seen_moves_the_boundary() -> None:
    beliefs = Beliefs.before(KS, RANGE).after([Seen(8, 1e-3, 5, 0), Seen(8, 5e-4, 0, 5)])
    mean, deviation = beliefs.log_eta_max(8)
    assert math.log(5e-4) < mean < math.log(1e-3) and deviation < 0.4
    assert beliefs.p_collapse(8, 2e-3) > 0.95 > 0.05 > beliefs.p_collapse(8, 2.5e-4)
    assert beliefs.log_eta_max(32)[1] > 1.5 * deviation, "it was seen at one k"


def test_order_does_not_matter_and_fractions_are_parts_of_runs() -> None:
    one, other = Seen(8, 1e-3, 2, 1), Seen(2, 2e-3, 0, 3)
    before = Beliefs.before(KS, RANGE)
    expected = before.after([one, other]).log_eta_max(2)
    assert before.after([other]).after([one]).log_eta_max(2) == pytest.approx(expected, rel=1e-6)
    halves = [Seen(8, 1e-3, 1, 0.5), Seen(8, 1e-3, 1, 0.5), other]
    assert before.after(halves).log_eta_max(2) == pytest.approx(expected, rel=1e-6)


def test_gains_are_the_expected_fall_of_the_variance() -> None:
    beliefs = Beliefs.before(KS, RANGE).after([Seen(8, 2e-3, 3, 1), Seen(2, 5e-4, 0, 2)])
    for (k, eta), gain in zip(PLACES[::5], beliefs.gains(PLACES[::5], KS), strict=True):
        p = beliefs.p_collapse(k, eta)
        ends = (p, beliefs.after([Seen(k, eta, 1, 0)])), (1 - p, beliefs.after([Seen(k, eta, 0, 1)]))
        fall = sum(
            beliefs.log_eta_max(at)[1] ** 2 - sum(share * then.log_eta_max(at)[1] ** 2 for share, then in ends)
            for at in KS
        )
        assert gain == pytest.approx(fall, rel=1e-3)


def test_runs_at_once_are_spread_and_cost_counts() -> None:
    beliefs = Beliefs.before(KS, RANGE).after([Seen(8, 1e-3, 2, 2)])
    alike = np.full(len(PLACES), 1.0)
    chosen = choose(beliefs, PLACES, KS, alike, 4)
    assert len(chosen) == 4 and len(set(chosen)) > 2
    dear = alike.copy()
    dear[chosen[0]] = 1e6
    assert chosen[0] not in choose(beliefs, PLACES, KS, dear, 4)
    assert choose(beliefs, PLACES, KS, np.full(len(PLACES), math.inf), 4) == []


WORLDS = {"steep": (15.0, 0.7, 7e-4), "usual": (6.0, 0.7, 7e-4), "shallow": (2.5, 0.7, 7e-4), "paper": (6.0, 1.0, 1e-3)}


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_searches_know_how_much_they_know(world: str) -> None:
    """When a 95 % interval of every η_max is narrower than a factor of 1.5 each way, it holds the truth as often."""
    s, a, at_8 = WORLDS[world]
    inside, runs = [], []
    for seed in range(5):
        draw = np.random.default_rng(seed)
        seen: dict[tuple[int, float], list[int]] = {}
        beliefs = before = Beliefs.before(KS, RANGE)
        while wanted := [k for k in KS if 1.96 * beliefs.log_eta_max(k)[1] > math.log(1.5)]:
            costs = [HORIZON * (1 - 0.8 * beliefs.p_collapse(k, eta)) for k, eta in PLACES]
            for place in choose(beliefs, PLACES, wanted, costs, 2):
                k, eta = PLACES[place]
                p = 1 / (1 + math.exp(-s * (math.log(eta / at_8) + a * math.log(k / 8))))
                seen.setdefault((k, eta), [0, 0])[int(draw.random() > p)] += 1
            beliefs = before.after(Seen(*place, *counts) for place, counts in seen.items())
        runs.append(sum(map(sum, seen.values())))
        for k in KS:
            mean, deviation = beliefs.log_eta_max(k)
            inside.append(abs(mean - (math.log(at_8) - a * math.log(k / 8))) < 1.96 * deviation)
    assert np.mean(inside) > 0.8
    assert np.mean(runs) < 81, "a grid of as many places has 81 runs with 3 replicates"


def test_a_boundary_out_of_range_is_known_to_be_there() -> None:
    beliefs = Beliefs.before(KS, RANGE).after([Seen(k, RANGE[1], 0, 4) for k in KS])
    assert all(beliefs.p_outside(k)[1] > 0.9 for k in KS)
    beliefs = Beliefs.before(KS, RANGE).after([Seen(k, RANGE[0], 4, 0) for k in KS])
    assert all(beliefs.p_outside(k)[0] > 0.9 for k in KS)
