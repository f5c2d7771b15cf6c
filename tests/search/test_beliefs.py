"""Which run to make next: what is known agrees with Bayes' rule by hand, and a search that follows it finds laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from orchestrator.search.beliefs import DEVIATIONS, EXPONENTS, STEEPNESSES, Beliefs, Goal, Seen

KS = (2, 8, 32)
RANGE = (1e-4, 1e-2)
ETAS = np.geomspace(*RANGE, 9)
PLACES = [(k, float(eta)) for k in KS for eta in ETAS]
GOALS = [Goal("eta_max", 1.0, k) for k in KS]


def test_nothing_is_known_at_first() -> None:
    beliefs = Beliefs.before(KS, RANGE)
    mean, deviation = beliefs.moments(GOALS[1])
    assert mean == pytest.approx(math.log(1e-3), abs=1e-9)
    assert deviation == pytest.approx(math.log(64 * 100) / math.sqrt(12), rel=0.02), "that of a uniform"
    assert beliefs.p_collapse(8, 1e-3) == pytest.approx(0.5, abs=1e-6)
    assert beliefs.p_outside(8) == pytest.approx((math.log(8) / math.log(6400),) * 2, abs=0.01)


def test_what_was_seen_moves_the_boundary() -> None:
    beliefs = Beliefs.before(KS, RANGE).after([Seen(8, 1e-3, 5, 0), Seen(8, 5e-4, 0, 5)])
    mean, deviation = beliefs.moments(GOALS[1])
    assert math.log(5e-4) < mean < math.log(1e-3) and deviation < 0.4
    assert beliefs.p_collapse(8, 2e-3) > 0.95 > 0.05 > beliefs.p_collapse(8, 2.5e-4)
    assert beliefs.moments(GOALS[2])[1] > 1.5 * deviation, "it was seen at one k"


def test_order_does_not_matter_and_fractions_are_parts_of_runs() -> None:
    one, other = Seen(8, 1e-3, 2, 1), Seen(2, 2e-3, 0, 3)
    before = Beliefs.before(KS, RANGE)
    expected = before.after([one, other]).moments(GOALS[0])
    assert before.after([other]).after([one]).moments(GOALS[0]) == pytest.approx(expected, rel=1e-6)
    halves = [Seen(8, 1e-3, 1, 0.5), Seen(8, 1e-3, 1, 0.5), other]
    assert before.after(halves).moments(GOALS[0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("goals", [GOALS, [Goal("exponent", 0.3), Goal("constant", 0.4)]])
def test_gains_are_the_expected_fall_of_the_variance(goals: list[Goal]) -> None:
    beliefs = Beliefs.before(KS, RANGE).after([Seen(8, 2e-3, 3, 1), Seen(2, 5e-4, 0, 2)])

    def variance(beliefs: Beliefs) -> float:
        return sum((beliefs.moments(goal)[1] / goal.half_width) ** 2 for goal in goals)

    for (k, eta), gain in zip(PLACES[::5], beliefs.gains(PLACES[::5], goals)[0], strict=True):
        p = beliefs.p_collapse(k, eta)
        then = p * variance(beliefs.after([Seen(k, eta, 1, 0)])) + (1 - p) * variance(
            beliefs.after([Seen(k, eta, 0, 1)])
        )
        assert gain == pytest.approx(variance(beliefs) - then, rel=1e-3)


def test_a_narrow_target_has_a_fine_grid() -> None:
    seen = [Seen(k, eta, 200 * (eta > 1e-3), 200 * (eta < 1e-3)) for k, eta in PLACES]
    for half_width in (0.4, 0.1):
        beliefs = Beliefs.before(KS, RANGE, half_width).after(seen)
        likely = beliefs.boundary(8).sum(axis=1)
        assert np.diff(beliefs.b).max() < half_width / 2 and (likely > 0.01).sum() > 1


def test_what_is_known_is_bayes_rule() -> None:
    """By brute force: boundaries at two k drawn from the prior, each weighed by what was seen."""
    ks, seen = (4, 16), [Seen(4, 1e-3, 2, 1), Seen(4, 3e-4, 0, 2), Seen(16, 3e-4, 1, 1)]
    draw, number = np.random.default_rng(0), 2_000_000
    before = Beliefs.before(ks, RANGE)
    u = draw.uniform(before.b[0], before.b[-1], number)
    a = draw.choice(EXPONENTS, number)
    s = draw.choice(STEEPNESSES, number, p=1 / STEEPNESSES / np.sum(1 / STEEPNESSES))
    tau = draw.choice(DEVIATIONS, number)
    boundary = {k: u - a * (math.log(k) - math.log(8)) + tau * draw.standard_normal(number) for k in ks}
    weight = np.ones(number)
    for cell in seen:
        p = 1 / (1 + np.exp(-s * (math.log(cell.eta) - boundary[cell.k])))
        weight *= p**cell.collapsed * (1 - p) ** cell.stable
    weight /= weight.sum()
    slope = (boundary[16] - boundary[4]) / math.log(4)
    quantities = {
        Goal("eta_max", 1.0, 4): boundary[4],
        Goal("eta_max", 1.0, 16): boundary[16],
        Goal("exponent", 1.0): -slope,
        Goal("constant", 1.0): boundary[4] - slope * math.log(4),
    }
    after = before.after(seen)
    for goal, values in quantities.items():
        mean = weight @ values
        deviation = math.sqrt(weight @ (values - mean) ** 2)
        # boundaries far outside of the range are as far outside as its grid goes
        assert after.moments(goal) == pytest.approx((mean, deviation), rel=0.05, abs=0.06), goal
    p = 1 / (1 + np.exp(-s * (math.log(1e-3) - boundary[16])))
    assert after.p_collapse(16, 1e-3) == pytest.approx(weight @ p, abs=0.02)
    assert after.gains([(16, 1e-3)], GOALS)[1] == pytest.approx([after.p_collapse(16, 1e-3)])


def test_where_a_law_does_not_hold_runs_are_believed() -> None:
    """η_max falls between k = 2 and 8 and not from there on; plenty of runs at each k say so."""
    edges = {2: 3e-3, 8: 6e-4, 32: 6e-4}
    draw = np.random.default_rng(0)
    seen = []
    for k, eta in PLACES:
        collapsed = draw.binomial(60, 1 / (1 + (edges[k] / eta) ** 6))
        seen.append(Seen(k, eta, collapsed, 60 - collapsed))
    beliefs = Beliefs.before(KS, RANGE).after(seen)
    for goal in GOALS:
        low, high = beliefs.interval(goal, 0.95)
        assert low - 0.04 < math.log(edges[goal.k or 0]) < high + 0.04 and high - low < 0.3
    low, high = beliefs.interval(Goal("exponent", 0.3), 0.95)
    assert low < math.log(5) / math.log(16) < high, "of the line through all"


def test_a_truth_is_drawn_from_what_is_possible() -> None:
    beliefs = Beliefs.before(KS, RANGE).after([Seen(8, 1e-3, 3, 3), Seen(2, 2e-3, 4, 0)])
    draw = np.random.default_rng(0)
    truths = [beliefs.drawn(draw) for _ in range(300)]
    for goal in (*GOALS, Goal("exponent", 1.0)):
        mean, deviation = beliefs.moments(goal)
        drawn = [truth.moments(goal)[0] for truth in truths]
        assert np.mean(drawn) == pytest.approx(mean, abs=3 * deviation / math.sqrt(300))
        assert np.std(drawn) == pytest.approx(deviation, rel=0.2)
        assert max(truth.moments(goal)[1] for truth in truths) < 0.01, "and is certain"


def test_a_boundary_out_of_range_is_known_to_be_there() -> None:
    beliefs = Beliefs.before(KS, RANGE).after([Seen(k, RANGE[1], 0, 4) for k in KS])
    assert all(beliefs.p_outside(k)[1] > 0.9 for k in KS)
    beliefs = Beliefs.before(KS, RANGE).after([Seen(k, RANGE[0], 4, 0) for k in KS])
    assert all(beliefs.p_outside(k)[0] > 0.9 for k in KS)
