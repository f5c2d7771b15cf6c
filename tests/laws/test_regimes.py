"""Drift exponents and early warnings: known drifts, no use of later steps, and no credit for repeating k and η."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from orchestrator.laws.early_warnings import METRICS, SHARES, first_steps, weight_syncs
from orchestrator.laws.evidence import evidence
from orchestrator.laws.regimes import Regime, regime
from tests.support.laws_data import frame, run

HORIZON = 320


def syncs_of(number: int, k: int, last_step: int = HORIZON, **metrics: object) -> pd.DataFrame:
    """Weight syncs of a run, each metric a number or a function of the learner steps at which the cycles end."""
    steps = np.arange(0, last_step, k)
    ends = np.minimum(steps + k, last_step)
    columns = {name: value(ends) if callable(value) else value for name, value in metrics.items()}
    return pd.DataFrame({"run": number, "learner_step": steps} | columns)


def sweep(seed: int, warn: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs that collapse late in half of the cells' seeds; ``warn`` is how much their entropy differs early.

    The gradient norm is η·k: it tells the cells that collapse more often, and nothing within them.
    """
    generator = np.random.default_rng(seed)
    rows, parts = [], []
    for k in (2, 8, 32):
        for eta, share in ((2.5e-4, 0.1), (5e-4, 0.5), (1e-3, 0.9)):
            for replicate in range(10):
                collapses = generator.random() < share
                step = {"step": 200, "collapse_step_lo": 192} if collapses else {}
                rows.append(run(k, eta, replicate, horizon=HORIZON, **step))
                entropy = generator.normal() + warn * collapses
                power = 1.0 if collapses else 0.5
                parts.append(syncs_of(len(rows), k, entropy=entropy, gradient_norm=k * eta, reward=0.5,
                                      drift_from_start=lambda t, power=power: 0.1 * t**power))  # fmt: skip
    return frame(rows), pd.concat(parts, ignore_index=True)


def told(runs: pd.DataFrame, syncs: pd.DataFrame) -> Regime:
    rows = evidence(runs)
    early = syncs[syncs["learner_step"] <= max(first_steps(int(rows["horizon"].min())), default=0)]
    return regime(rows[rows["why"] == ""], syncs[["run", "learner_step", "drift_from_start"]], early)


def test_drift_exponents_are_those_of_the_drift_at_the_end_of_each_cycle() -> None:
    rows = evidence(frame([run(k, 1e-3, horizon=HORIZON) for k in (1, 8, 32, 128)])).sort_values("run")
    syncs = pd.concat([syncs_of(n, k, drift_from_start=lambda t: 3 * t**0.7) for n, k in enumerate((1, 8, 32, 128), 1)])
    found = weight_syncs(syncs.sample(frac=1, random_state=0), rows, whole=True).drift_exponents()
    assert found[:3] == pytest.approx([0.7] * 3)
    assert np.isnan(found[3])  # three weight syncs are too few


def test_a_drift_exponent_is_least_squares_of_the_logarithms() -> None:
    noise = np.exp(np.random.default_rng(0).normal(size=40))
    for k in (1, 8):
        syncs = syncs_of(1, k, 40 * k, drift_from_start=noise)
        syncs.loc[[3, 4, 5], "drift_from_start"] = [np.nan, 0.0, np.inf]
        rows = evidence(frame([run(k, 1e-3, horizon=40 * k)]))
        used = np.delete(np.arange(40), [3, 4, 5])
        slope, _ = np.polyfit(np.log(k * (used + 1)), np.log(noise[used]), 1)
        assert weight_syncs(syncs, rows, whole=True).drift_exponents() == pytest.approx([slope])


def test_four_weight_syncs_are_enough_for_a_drift_exponent() -> None:
    rows = evidence(frame([run(8, 1e-3, horizon=32)]))
    found = weight_syncs(syncs_of(1, 8, 32, drift_from_start=lambda t: t**0.5), rows, whole=True)
    assert found.cycles().tolist() == [4] and found.drift_exponents() == pytest.approx([0.5])


def test_the_quartiles_and_their_number_of_runs_are_told() -> None:
    rows = [run(8, 1e-4, seed, horizon=HORIZON) for seed in range(5)]
    syncs = [syncs_of(n, 8, drift_from_start=lambda t, n=n: t ** (n / 4)) for n in range(1, 6)]
    found = told(frame(rows), pd.concat(syncs)).stable
    assert (found.estimate, found.quartiles, found.runs) == (pytest.approx(0.75), pytest.approx((0.5, 1.0)), 5)
    assert found.ci95 == pytest.approx((0.25, 1.25)), "five seeds: the median may be any"


def test_collapsed_runs_drift_up_to_their_collapse_and_stable_ones_to_the_end() -> None:
    rows = [run(8, 1e-3, seed, 160, horizon=HORIZON) for seed in range(6)] + [
        run(8, 1e-4, s, horizon=HORIZON) for s in (0, 1)
    ]
    rows += [run(8, 1e-4, 2, horizon=HORIZON, state="degraded"), run(8, 1e-4, 3, state="failed")]
    flat = [syncs_of(n, 8, drift_from_start=lambda t: np.minimum(t, 160.0)) for n in range(1, 7)]
    rest = [syncs_of(n, 8, drift_from_start=lambda t: t**0.5) for n in (7, 8)]
    rest += [syncs_of(n, 8, drift_from_start=lambda t: t**9.0) for n in (9, 10)]
    found = told(frame(rows), pd.concat(flat + rest))
    assert (found.collapsed.runs, found.stable.runs) == (6, 2)
    assert found.collapsed.estimate == pytest.approx(1.0)
    assert found.collapsed.ci95 == pytest.approx((1.0, 1.0))
    assert found.stable.estimate == pytest.approx(0.5)
    assert found.stable.ci95 is None  # two seeds are too few for a bootstrap
    assert "t^1.00 in 6 collapsed runs" in found.sentences[0] and "t^0.50 in 2 stable runs" in found.sentences[0]


def test_nothing_later_than_the_first_steps_leaks_into_an_early_warning() -> None:
    runs, syncs = sweep(1, warn=1.0)
    before = told(runs, syncs)
    for window in before.windows:
        later = syncs.copy()
        ends = later.groupby("run")["learner_step"].shift(-1).fillna(HORIZON)
        later.loc[ends > window.steps, [name for name in METRICS if name in later]] = 1e9
        after = told(runs, later)
        for one, other in zip(before.predictors, after.predictors, strict=True):
            if one.steps == window.steps:
                assert (one.auc, one.ci95, one.auc_same_cell, one.n_other) == (
                    other.auc, other.ci95, other.auc_same_cell, other.n_other
                )  # fmt: skip


def test_runs_that_may_have_collapsed_already_or_have_too_few_cycles_are_left_out_and_counted() -> None:
    lows = (10, 19, 20, 21, 200)
    rows = [run(4, 1e-3, s, low + 4, collapse_step_lo=low, horizon=HORIZON) for s, low in enumerate(lows)]
    rows += [run(4, 1e-4, 0, horizon=HORIZON), run(16, 1e-4, 0, horizon=HORIZON)]
    syncs = pd.concat([syncs_of(n, k, reward=0.5, drift_from_start=1.0) for n, k in enumerate([4] * 6 + [16], 1)])
    windows = told(frame(rows), syncs).windows
    assert [window.steps for window in windows] == [HORIZON // share for share in SHARES] == [20, 40, 80]
    assert [(w.n_collapsed, w.n_other, w.n_gone, w.n_short) for w in windows] == [
        (2, 1, 3, 1), (1, 1, 4, 1), (1, 2, 4, 0),
    ]  # fmt: skip


def test_the_first_steps_are_shares_of_the_shortest_horizon() -> None:
    """With shares of the longest horizon, a window could reach past the end of the shortest runs."""
    runs, syncs = sweep(6, warn=1.0)
    runs.loc[runs["eta"] == 1e-3, ["horizon", "learner_steps"]] = 10 * HORIZON
    found = told(runs, syncs)
    assert {one.steps for one in found.predictors} == {window.steps for window in found.windows} == {20, 40, 80}
    assert all(window.n_gone == 0 for window in found.windows)


def test_what_repeats_eta_and_k_is_no_early_warning() -> None:
    found = told(*sweep(2, warn=0.0))
    by_name = {(one.name, one.steps): one for one in found.predictors}
    restated = by_name["gradient_norm", 80]
    assert restated.auc > 0.7 and restated.auc == pytest.approx(restated.auc_eta_k)
    assert restated.p is not None and restated.p < 0.05
    assert (restated.auc_same_cell, restated.p_same_cell) == (0.5, None)
    assert not any(one.name == "entropy" for one in found.early_warnings)


def test_what_tells_replicates_apart_is_an_early_warning() -> None:
    found = told(*sweep(3, warn=2.0))
    assert all(one.pairs_same_cell > 0 for one in found.early_warnings)
    assert f"over {found.early_warnings[0].pairs_same_cell} pairs, p = " in found.sentences[-1]
    assert {one.name for one in found.early_warnings} == {"entropy", "drift_from_start", "drift_exponent"}
    assert all(one.auc_same_cell > 0.8 for one in found.early_warnings)
    assert "Early warning" in found.sentences[-1] and f"the {len(found.predictors)} comparisons" in found.sentences[-1]
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["drift_exponent"] == {"collapsed": pytest.approx(1.0), "stable": pytest.approx(0.5)}
    assert content["cosine_auc"] is None and ["entropy", 80] in content["early_warnings"]


def test_many_looks_at_noise_are_corrected() -> None:
    warned = 0
    for seed in range(20):
        runs, syncs = sweep(seed, warn=0.0)
        generator = np.random.default_rng(seed)
        noise = {name: generator.normal(size=len(runs))[syncs["run"] - 1] for name in METRICS[:7]}
        warned += bool(told(runs, syncs.assign(**noise, drift_from_start=1.0)).early_warnings)
    assert warned <= 3


def test_the_cosine_is_read_the_papers_way() -> None:
    runs, syncs = sweep(4, warn=2.0)
    found = told(runs, syncs.assign(cosine_update_within=-syncs["entropy"], cosine_update_across=1.0))
    by_entropy = next(one for one in found.predictors if (one.name, one.steps) == ("entropy", 80))
    assert found.cosine_auc == pytest.approx(1 - by_entropy.auc)  # a low cosine collapses here, against the paper


def test_the_order_of_rows_does_not_matter() -> None:
    runs, syncs = sweep(5, warn=1.0)
    expected = told(runs, syncs)
    assert told(runs.sample(frac=1, random_state=1), syncs.sample(frac=1, random_state=2)) == expected


def test_runs_without_weight_syncs_say_so() -> None:
    nothing = pd.DataFrame({"run": [], "learner_step": [], "drift_from_start": []})
    found = regime(evidence(frame([run(2, 1e-3)])), nothing, nothing)
    assert found.to_json()["drift_exponent"] == {"collapsed": None, "stable": None}
    assert found.cosine_auc is None and "No weight syncs are stored" in found.sentences[0]


def test_one_outcome_only_tries_nothing() -> None:
    rows = frame([run(8, 1e-3, seed, horizon=HORIZON) for seed in range(3)])
    found = told(rows, pd.concat([syncs_of(n, 8, drift_from_start=lambda t: t**0.5) for n in (1, 2, 3)]))
    assert found.predictors == () and "No metric could be tried" in found.sentences[-1]
    assert told(frame([run(8, 1e-3, horizon=3)]), syncs_of(1, 8, 3, drift_from_start=1.0)).windows == ()
