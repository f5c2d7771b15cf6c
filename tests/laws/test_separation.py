"""AUC, its interval and its tests: against scipy, against definitions written out, and how often the interval holds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from orchestrator.laws.separation import holm, interval, separation, variance


def scores(seed: int, shift: float = 0.8, *, ties: bool = True, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    event = generator.random(count) < 0.4
    event[:2] = True, False
    values = generator.normal(size=count) + shift * event
    return (np.round(values, 1) if ties else values), event


def pairs_won(values: np.ndarray, event: np.ndarray, strata: np.ndarray) -> tuple[float, int]:
    """By definition: the share of pairs of a stratum in which the event is larger; ties count half."""
    won = [
        (values[i] > values[j]) + (values[i] == values[j]) / 2
        for i, j in itertools.product(np.flatnonzero(event), np.flatnonzero(~event))
        if strata[i] == strata[j]
    ]
    return float(sum(won)), len(won)


@pytest.mark.parametrize("ties", [True, False])
def test_auc_and_its_test_agree_with_mann_whitney(ties: bool) -> None:
    for seed in range(5):
        values, event = scores(seed, ties=ties)
        found = separation(values, event)
        theirs = mannwhitneyu(values[event], values[~event], method="asymptotic", use_continuity=False)
        assert found is not None
        assert found.pairs == event.sum() * (~event).sum()
        assert found.auc == pytest.approx(theirs.statistic / found.pairs, rel=1e-12)
        assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)


def test_strata_compare_only_equals_and_have_the_variance_of_all_permutations() -> None:
    values = np.array([1.0, 2.0, 2.0, 5.0, 1.0, 3.0, 3.0, 0.0, 9.0])
    event = np.array([True, False, True, False, False, True, True, False, True])
    strata = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])  # the last is alone
    found = separation(values, event, strata)
    won, pairs = pairs_won(values, event, strata)
    assert found is not None and (found.auc, found.pairs) == (pytest.approx(won / pairs), pairs)

    all_won = []
    for first, second in itertools.product(itertools.combinations(range(4), 2), itertools.combinations(range(4, 8), 2)):
        shuffled = np.isin(np.arange(9), [*first, *second, 8])
        all_won.append(pairs_won(values, shuffled, strata)[0])
    z = (won - np.mean(all_won)) / np.std(all_won)
    assert found.p == pytest.approx(2 * norm.sf(abs(z)), rel=1e-9)


def test_nothing_to_compare() -> None:
    values = np.array([1.0, 2.0])
    assert separation(values, np.array([True, True])) is None
    assert separation(values, np.array([True, False]), np.array([0, 1])) is None
    assert separation(np.empty(0), np.empty(0, dtype=bool)) is None
    equal = separation(np.array([1.0, 1.0, 1.0]), np.array([True, False, False]))
    assert equal is not None and (equal.auc, equal.p) == (0.5, None)


def test_variance_is_delongs_and_obuchowskis_written_out() -> None:
    values, event = scores(3)
    clusters = np.where(event, np.cumsum(event), np.cumsum(~event)) % 6
    beats = np.sign(values[event][:, None] - values[~event][None, :]) / 2 + 0.5
    auc = beats.mean()
    of_events, of_others = beats.mean(axis=1), beats.mean(axis=0)
    delong = of_events.var(ddof=1) / len(of_events) + of_others.var(ddof=1) / len(of_others)
    assert variance(values, event, np.arange(len(values))) == pytest.approx(delong, rel=1e-12)

    m, n, count = len(of_events), len(of_others), 6
    x = [(of_events[clusters[event] == c] - auc).sum() for c in range(count)]
    y = [(of_others[clusters[~event] == c] - auc).sum() for c in range(count)]
    share = count / (count - 1)
    clustered = share * (np.dot(x, x) / m**2 + np.dot(y, y) / n**2 + 2 * np.dot(x, y) / (m * n))
    assert variance(values, event, clusters) == pytest.approx(clustered, rel=1e-12)
    assert variance(values, event, np.zeros(len(values))) is None


def simulated_runs(generator: np.random.Generator, shared: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of 10 seeds with 6 runs each, half of them events; ``shared`` is the share of variance of a seed."""
    seeds = np.repeat(np.arange(10), 6)
    event = np.tile([True, False], 30)
    common = generator.normal(size=(10, 2))[seeds, event.astype(int)]
    values = math.sqrt(shared) * common + math.sqrt(1 - shared) * generator.normal(size=60) + event
    return values, event, seeds


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_the_interval_holds_the_truth_also_when_runs_of_a_seed_resemble_each_other(shared: float) -> None:
    truth, generator = float(norm.cdf(1 / math.sqrt(2))), np.random.default_rng(7)
    found = [interval(*simulated_runs(generator, shared)) for _ in range(300)]
    covered = sum(low <= truth <= high for low, high in found)
    assert covered >= 0.91 * 300, covered
    if not shared:
        assert np.mean([high - low for low, high in found]) < 0.33  # twice 1.96 standard errors are 0.24


def test_perfect_separation_leaves_room_for_doubt() -> None:
    for few, many in ((2, 3), (5, 20), (50, 50)):
        values = np.arange(few + many, dtype=float)
        event = values >= many
        low, high = interval(values, event, np.arange(few + many))
        assert high == 1.0 and 0.2 < low < 1.0
        assert interval(-values, event, np.arange(few + many)) == (0.0, pytest.approx(1 - low))


def test_holm() -> None:
    assert holm([0.01, None, 0.04, 0.03, 0.5]) == [
        pytest.approx(0.04),
        None,
        pytest.approx(0.09),
        pytest.approx(0.09),
        0.5,
    ]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
