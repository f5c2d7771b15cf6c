"""The laws: known exponents, an independent likelihood, real and paper-shaped tables, poor data."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm
from scipy.stats import f as f_distribution

from orchestrator.laws.estimates import Band
from orchestrator.laws.evidence import evidence
from orchestrator.laws.fit import fit_laws
from orchestrator.laws.horizon import joint_fit
from orchestrator.laws.likelihood import PENALTY, Outcomes, log_interval_probability
from orchestrator.laws.profile import p_value, threshold
from orchestrator.laws.result import ModelLaws
from tests.support.laws_data import frame, paper_shape, run, simulated, tiny_sweep


def fit(runs: pd.DataFrame) -> ModelLaws:
    return fit_laws(runs).models["tiny"]


def warned(model: ModelLaws, *fragments: str) -> bool:
    return any(all(fragment in warning for fragment in fragments) for warning in model.warnings)


def known_outcomes(seed: int, *, immune: bool) -> Outcomes:
    """Interval- and right-censored rows, some of which stand for several runs."""
    draw = np.random.default_rng(seed)
    log_eta, log_k = draw.normal(size=(2, 60))
    y = -1.2 * log_eta + 0.4 * log_k + 4.0 + 0.5 * draw.standard_normal(60)
    lower = np.log(np.maximum(np.exp(y) - 8, 0) + 1e-300)
    lower[lower < -600] = -np.inf
    late = (y > 5) | (draw.random(60) < (0.3 if immune else 0.0))
    upper, lower = np.where(late, np.inf, y), np.where(late, 5.0, lower)
    return Outcomes(log_eta, log_k, lower, upper, draw.integers(1, 4, (1, 60)).astype(float), immune)


LATENCY_AT = [1.0, -0.2, 3.7, np.log(0.7)]
AT = {False: np.array(LATENCY_AT), True: np.array([*LATENCY_AT, 0.5, 1.5, 0.8])}


# --- likelihood


@pytest.mark.parametrize("immune", [False, True])
def test_likelihood_agrees_with_a_naive_one(immune: bool) -> None:
    known = known_outcomes(1, immune=immune)
    b, q, c, log_sigma, *odds = AT[immune]
    naive = 0.0
    for eta, k, lo, hi, runs in zip(known.log_eta, known.log_k, known.lower, known.upper, known.runs, strict=True):
        mean = -b * eta - q * k + c
        share = 1 / (1 + np.exp(-(odds[0] + odds[1] * eta + odds[2] * k))) if immune else 1.0
        within = norm.cdf(hi, mean, np.exp(log_sigma)) - norm.cdf(lo, mean, np.exp(log_sigma))
        naive -= runs * np.log(share * within + (1 - share if hi == np.inf else 0.0))
    if immune:
        design = np.column_stack([np.ones(60), known.log_eta, known.log_k])
        p = 1 / (1 + np.exp(-design @ odds))
        naive -= PENALTY * np.log(np.linalg.det(design.T @ np.diag(known.runs * p * (1 - p)) @ design))
    assert -known.penalised(AT[immune])[0] == pytest.approx(naive, rel=1e-10)


@pytest.mark.parametrize("immune", [False, True])
def test_gradient_agrees_with_finite_differences(immune: bool) -> None:
    known = known_outcomes(2, immune=immune)
    _, gradient = known.penalised(AT[immune])
    for place, direction in enumerate(np.eye(len(AT[immune])) * 1e-6):
        ahead, _ = known.penalised(AT[immune] + direction)
        behind, _ = known.penalised(AT[immune] - direction)
        assert gradient[place] == pytest.approx((ahead - behind) / 2e-6, rel=1e-6, abs=1e-5)


def test_p_values_of_uncensored_runs_are_those_of_the_f_test() -> None:
    n, p = 16, 3
    for ratio in (0.5, 2.0, 6.0):
        loss = n * np.log1p(2 * ratio / (n - p))
        assert p_value(loss, n, p, 2) == pytest.approx(f_distribution.sf(ratio, 2, n - p))
    assert threshold(10**6, 3) == pytest.approx(chi2.ppf(0.95, 1), rel=1e-4)


def test_interval_probability_keeps_its_digits_in_both_tails() -> None:
    lower, upper = np.array([30.0, -31.0, -np.inf, -np.inf]), np.array([31.0, -30.0, np.inf, 0.0])
    found = log_interval_probability(lower, upper)
    assert found[0] == pytest.approx(found[1], rel=1e-14)
    assert found[0] == pytest.approx(norm.logsf(30.0), rel=1e-12)
    assert found[2:] == pytest.approx([0.0, np.log(0.5)])


# --- recovery


@pytest.mark.parametrize(("b", "q"), [(1.0, 0.0), (1.6, 0.0), (2.0, 0.3)])
def test_recovers_simulated_exponents(b: float, q: float) -> None:
    for seed in range(2):
        fitted = fit(simulated(b, q, 0.5, seed)).horizon.censored
        assert fitted.n_censored > 0
        for value, truth in ((fitted.eta_exponent, b), (fitted.k_exponent, q)):
            assert value.estimate is not None and value.ci95 is not None
            assert 0.04 < value.ci95[1] - value.ci95[0] < 0.8
            assert abs(value.estimate - truth) < 0.75 * (value.ci95[1] - value.ci95[0])
        median = fitted.prefactor.estimate * 1e-3**-fitted.eta_exponent.estimate * 8**-fitted.k_exponent.estimate
        assert median == pytest.approx(40, rel=0.3)
        assert fitted.sigma.ci95[0] < 0.5 < fitted.sigma.ci95[1] or abs(fitted.sigma.estimate - 0.5) < 0.15


def test_intervals_cover_and_the_true_law_is_seldom_rejected() -> None:
    fits = [fit_laws(simulated(1.0, 0.0, 0.5, seed)).models["tiny"].horizon.censored for seed in range(100, 108)]
    covered = sum(f.eta_exponent.ci95[0] <= 1.0 <= f.eta_exponent.ci95[1] for f in fits if f.eta_exponent.ci95)
    assert covered >= 6
    assert sum(f.p_law < 0.05 for f in fits if f.p_law is not None) <= 2
    other = fit_laws(simulated(2.0, 0.3, 0.5, 1)).models["tiny"].horizon.censored
    assert (other.p_law or 0) < 1e-6


def test_ignoring_stable_runs_selects_short_collapse_times() -> None:
    law = fit(simulated(2.0, 0.0, 0.8, 5)).horizon
    assert law.collapsed_only.eta_exponent.estimate < law.censored.eta_exponent.estimate - 0.1


# --- known tables


def test_tiny_sweep_as_measured() -> None:
    model = fit(tiny_sweep())
    alone = model.horizon.collapsed_only
    assert (alone.n_collapsed, model.horizon.censored.n_censored) == (38, 31)
    # least squares on the upper ends, as it was first measured: T* ~ eta^-1.60 k^-0.03
    rows = tiny_sweep().dropna(subset=["collapse_step"])
    logs = {name: np.log(rows[name].to_numpy(dtype=float)) for name in ("eta", "k", "collapse_step")}
    design = np.column_stack([logs["eta"], logs["k"], np.ones(len(rows))])
    eta_slope, k_slope, _ = np.linalg.lstsq(design, logs["collapse_step"], rcond=None)[0]
    assert (-eta_slope, -k_slope) == (pytest.approx(1.60, abs=0.01), pytest.approx(0.03, abs=0.04))
    # knowing each T* only to 8 steps makes the early collapses earlier
    assert alone.eta_exponent.estimate == pytest.approx(1.72, abs=0.01)
    assert abs(alone.k_exponent.estimate) < 0.1
    assert model.horizon.censored.eta_exponent.estimate == pytest.approx(2.14, abs=0.01)
    # a mixture-cure fit written apart from this one gave b = 2.0 (1.7 to 2.4), q = 0.2 (0.0 to 0.4), a = 0.7 (0.4 up)
    joint = model.joint
    assert joint.horizon.eta_exponent.estimate == pytest.approx(1.81, abs=0.01)
    assert joint.exponent.estimate == pytest.approx(0.69, abs=0.01)
    assert joint.p_laws < 1e-4 and joint.aic < joint.aic_all_susceptible
    assert joint.p_laws < joint.horizon.p_law < joint.p_exponent_is_1
    assert joint.horizon.sigma.estimate == pytest.approx(0.52, abs=0.01)
    assert (joint.immune, joint.width) == (pytest.approx(0.82, abs=0.01), pytest.approx(2.27, abs=0.03))
    assert [one.name for one in joint.horizon.alternatives] == ["eta", "diffusive", "eta and k", "ballistic"]
    assert [one.name for one in alone.alternatives] == ["eta", "eta and k", "diffusive", "ballistic"]
    for one in alone.alternatives:
        assert one.delta_aic == pytest.approx(one.aic - alone.alternatives[0].aic)
    last = [row["eta"] * row["collapse_step"] for row in rows.to_dict("records")]
    assert model.horizon.cv_eta_T is not None and 0.3 < model.horizon.cv_eta_T < np.std(last) / np.mean(last)
    assert [(b.eta_stable, b.eta_collapsed) for b in model.local.brackets] == [
        (5e-4, 1e-3), (2.5e-4, 5e-4), (1.25e-4, 2.5e-4),
    ]  # fmt: skip
    assert model.local.exponent.identified_set == pytest.approx((0.25, 0.75))
    assert model.local.p_exponent_is_1 < 1e-3
    assert warned(model, "exclude a = 1")


def test_paper_shaped_table_gives_the_papers_law_with_the_width_of_its_rounding() -> None:
    model = fit(paper_shape())
    alone = model.horizon.collapsed_only
    assert alone.eta_exponent.estimate == pytest.approx(1.0, abs=0.2)
    assert alone.k_exponent.estimate == pytest.approx(0.0, abs=0.2)
    # by hand, from the intervals ((m-1)k, mk]: k=32 at 1e-5 and 1e-6, k=16 at 5e-6 and 2e-6
    assert alone.eta_exponent.identified_set == pytest.approx(
        (np.log(288 / 32) / np.log(10), np.log(160 / 48) / np.log(2.5)), rel=1e-6
    )
    assert alone.constant.identified_set == pytest.approx((2.88e-4, 3.2e-4))
    assert alone.law_in_set is True and alone.sigma.estimate is None
    lo, hi = alone.eta_exponent.identified_set
    assert alone.eta_exponent.ci95[0] < lo < hi < alone.eta_exponent.ci95[1]
    assert model.horizon.cv_eta_T == pytest.approx(0, abs=1e-9)
    lo, hi = model.local.exponent.identified_set
    assert (lo, hi) == pytest.approx((0.5, np.log(5) / np.log(2)))
    assert model.local.constant.identified_set == pytest.approx((1.6e-5, 3.2e-5))
    assert warned(model, "k=32 has no stable cell", "Run k=32 at eta=5e-07 with seeds 0, 1 and 2.")
    assert model.two_constraint.cells == 12


def test_cells_count_and_place_collapse() -> None:
    runs = frame([run(8, 5e-4, 0, 104, collapse_step_lo=96), run(8, 5e-4, 1, 90), run(8, 5e-4, 2)])
    (cell,) = fit(runs).cells
    assert (cell.n_runs, cell.n_collapsed, cell.p_collapse) == (3, 2, pytest.approx(2 / 3))
    # the second run has no last step seen alive: one rollout cycle of 8 steps earlier
    assert (cell.collapse_step.lo, cell.collapse_step.hi, cell.collapse_step.median) == (89, 97, 97)
    assert cell.collapse_sync == 12.5
    assert (cell.eta_k, cell.eta_T) == (pytest.approx(4e-3), pytest.approx(97 * 5e-4))


def test_late_runs_alone_leave_the_local_law_open_and_say_so() -> None:
    model = fit(simulated(1.6, 0.0, 0.5, 1))
    assert model.joint.aic > model.joint.aic_all_susceptible
    assert model.joint.exponent.estimate is None and model.two_constraint.cells is None
    assert warned(model, "without immune runs fits at least as well", "longer training would", "960 learner steps")


def test_the_rule_is_scored_on_cells_it_has_not_seen() -> None:
    model = fit(tiny_sweep())
    rule, local, horizon = model.two_constraint, model.joint.constant.estimate, model.joint.horizon.constant.estimate
    assert rule.cells == rule.left_out_cells == len(rule.predictions) == 15
    assert rule.cells_right == sum(one.stable == one.observed_stable for one in rule.predictions)
    assert {one.binds for one in rule.predictions} == {"local", "horizon"}
    assert rule.crossing == pytest.approx(horizon / local)
    for one in rule.predictions:
        assert (one.limit, one.horizon) == (pytest.approx(min(local / one.k, horizon / 480)), 480)
        assert one.stable == (one.eta <= min(local / one.k, horizon / 480) * (1 + 1e-9))
        assert one.binds == ("local" if local / one.k <= horizon / 480 else "horizon")
    either = [
        (one.eta <= max(local / one.k, horizon / 480) * (1 + 1e-9)) == one.observed_stable for one in rule.predictions
    ]
    assert rule.either_right == sum(either) > rule.cells_right
    assert rule.left_out_right < rule.either_left_out_right <= rule.cells
    assert rule.left_out_right == sum(one.stable_left_out == one.observed_stable for one in rule.predictions)


# --- which runs count


def test_an_infrastructure_death_is_never_a_collapse() -> None:
    rows = [run(2, 1e-3, step=100), run(2, 5e-4)]
    for state, failure in (
        ("failed", "out of memory"),
        ("lost", None),
        ("cancelled", None),
        ("running", None),
    ):
        rows.append(run(2, 2.5e-4, state=state, failure=failure, learner_steps=50))
    laws = fit_laws(frame(rows))
    assert [(item.run, item.why) for item in laws.left_out] == [
        (3, "failed: out of memory"), (4, "lost"), (5, "cancelled"), (6, "running"),
    ]  # fmt: skip
    assert laws.runs == 6
    cell = laws.models["tiny"].cells[0]
    assert (cell.n_runs, cell.n_left_out, cell.p_collapse) == (0, 4, None)
    assert laws.models["tiny"].local.brackets[0].eta_stable == 5e-4
    assert warned(laws.models["tiny"], "2 runs have not finished")


def test_a_dead_job_has_outlived_its_last_step_and_no_cell_counts_it() -> None:
    died = {"state": "failed", "failure": "node failure", "horizon": 480}
    rows = [run(k, 1e-3, seed, 40 + 8 * seed) for k in (2, 8) for seed in range(3)]
    rows += [run(k, 5e-4, seed, 88 + 8 * seed) for k in (2, 8) for seed in range(3)]
    died_late = [run(8, 5e-4, 9, learner_steps=400, **died), run(8, 5e-4, 8, learner_steps=0, **died)]
    with_dead, without = (fit(frame(both)).horizon.censored for both in (rows + died_late, rows))
    assert (with_dead.n_censored, without.n_censored) == (1, 0)
    assert with_dead.eta_exponent.estimate > without.eta_exponent.estimate
    diverged = run(8, 5e-4, 9, state="failed", failure_class="diverged", learner_steps=400)
    assert fit(frame([*rows, diverged])).horizon.censored.n_censored == 0


def test_diverged_runs_are_left_out_and_named() -> None:
    model = fit(frame([run(2, 1e-3, state="failed", failure_class="diverged")]))
    assert warned(model, "1 runs diverged", "infrastructure did not fail")


def test_degraded_runs_are_censored_and_named() -> None:
    model = fit(frame([run(2, 1e-3, step=64), run(2, 5e-4, state="degraded"), run(2, 2.5e-4)]))
    assert warned(model, "k=2, eta=0.0005: 1 of 1 runs ended degraded")


def test_a_bracket_spans_degraded_cells() -> None:
    rows = [run(2, 1e-3, step=64), run(2, 5e-4, state="degraded"), run(2, 2.5e-4)]
    bracket = fit(frame(rows)).local.brackets[0]
    assert (bracket.eta_stable, bracket.eta_collapsed) == (2.5e-4, 1e-3)
    model = fit(frame(rows[1:2]))
    assert model.local.brackets[0].eta_stable is None
    assert warned(model, "k=2 has neither a stable nor a collapsing cell. Run k=2 at eta=0.00025")


def test_a_collapse_without_a_step_is_left_out() -> None:
    laws = fit_laws(frame([run(2, 1e-3, state="collapsed"), run(2, 1e-3, 1, 64, collapse_step_lo=64)]))
    assert [item.run for item in laws.left_out] == [1, 2]
    assert all("interval" in item.why for item in laws.left_out)


def test_several_settings_of_an_axis_are_fitted_apart() -> None:
    rows = [run(2, 1e-3, step=64), run(2, 1e-3, axes='{"clip_eps": 0.2}'), run(2, 1e-3, model="other")]
    assert list(fit_laws(frame(rows)).models) == ["other", "tiny · clip_eps=0.2", "tiny"]
    assert list(fit_laws(frame(rows[1:2])).models) == ["tiny"]


def test_repeated_seeds_and_mixed_detectors_are_named() -> None:
    rows = [run(2, 1e-3, 0, 64), run(2, 1e-3, 0, 72), run(2, 1e-3, 1, 64, collapse_detector="zero")]
    model = fit(frame(rows))
    assert warned(model, "1 runs have the same k, eta and seed") and warned(model, "half: 2, zero: 1")


# --- data that cannot tell


POOR = {
    "none": [],
    "one stable": [run(2, 1e-3)],
    "one collapsed": [run(2, 1e-3, step=64)],
    "all stable": [run(k, eta) for k in (2, 8) for eta in (1e-3, 5e-4)],
    "all collapsed": [run(k, eta, step=64) for k in (2, 8) for eta in (1e-3, 5e-4)],
    "one k": [run(8, eta, s, int(8 / eta / 100) + 8 * s) for eta in (1e-3, 5e-4, 2.5e-4) for s in (0, 1)],
    "one eta": [run(k, 1e-3, s, 64 + 8 * s) for k in (2, 8, 32) for s in (0, 1)],
    "ties": [run(k, eta, s, 96) for k in (2, 8) for eta in (1e-3, 5e-4) for s in range(3)],
    "first cycle": [run(k, eta, s, k) for k in (8, 32) for eta in (1e-3, 5e-4) for s in range(3)],
    "contradictory replicates": [
        run(k, eta, s, 64 if (s + i) % 2 else None)
        for k in (2, 8)
        for i, eta in enumerate((1e-3, 5e-4))
        for s in range(4)
    ],
    "collinear": [run(k, 4e-3 / k, s, 40 + 30 * s) for k in (2, 8, 32) for s in range(3)],
    "nothing finished": [run(2, 1e-3, state="pending"), run(8, 1e-3, state="running")],
    "no steps taken": [run(2, 1e-3, step=64), run(2, 5e-4, learner_steps=0)],
    "huge and tiny": [
        run(k, eta, s, step) for k in (1, 10**6) for eta, step in ((1e-300, 10**9), (1.0, 10**6)) for s in range(3)
    ],
}


@pytest.mark.parametrize("name", POOR)
def test_poor_data_give_nulls_and_sentences(name: str) -> None:
    laws = fit_laws(frame(POOR[name]))
    json.dumps(laws.to_json(), allow_nan=False)
    for model in laws.models.values():
        assert model.warnings
        assert all(sentence[0].isupper() or sentence[0].isdigit() or sentence[0] == "k" for sentence in model.warnings)
        assert all(sentence.endswith(".") for sentence in model.warnings)


def test_what_is_not_identified_is_null_and_says_what_to_run() -> None:
    one_eta = fit(frame(POOR["one eta"]))
    assert one_eta.horizon.censored.eta_exponent.estimate is None
    assert one_eta.horizon.censored.constant.estimate is not None
    assert warned(one_eta, "have eta=0.001", "at eta=0.002")
    one_k = fit(frame(POOR["one k"]))
    assert one_k.horizon.censored.eta_exponent.estimate == pytest.approx(1.0, abs=0.2)
    assert one_k.horizon.censored.k_exponent.estimate is None
    assert warned(one_k, "have k=8", "Run k=32 at eta=0.00025, 0.0005 and 0.001")
    assert warned(fit(frame(POOR["collinear"])), "change together", "k=2 at eta=0.000125, k=32 at eta=0.002")
    assert warned(fit(frame(POOR["all stable"])), "No run collapsed", "larger eta")
    assert warned(
        fit(frame(POOR["first cycle"])),
        "do not bound the eta exponent of T* and the k exponent of T* and C_horizon from both sides. Validate more",
        "Run k=8 at eta=0.0005, k=32 at eta=0.0005 with seeds 3 and 4.",
    )
    assert warned(fit(frame(POOR["nothing finished"])), "No run has finished")


def test_immune_runs_are_fitted_from_two_runs_that_did_not_collapse() -> None:
    steps = {(k, eta, s): int(0.06 / eta) + 8 * s + k for k in (2, 8) for eta in (1e-3, 5e-4) for s in range(3)}
    for survivors in (1, 2):
        steps |= {(2, 5e-4, seed): None for seed in range(survivors)}
        found, why = joint_fit(evidence(frame([run(*cell, step) for cell, step in steps.items()])), ("eta", "k"))
        assert (found is None, why.startswith("Only 1 runs did not collapse")) == (survivors == 1, survivors == 1)


def test_a_stable_cell_above_a_collapsing_one_is_named() -> None:
    model = fit(frame([run(2, 5e-4), run(2, 1e-3, step=64), run(2, 2e-3)]))
    (bracket,) = model.local.brackets
    assert (bracket.eta_stable, bracket.eta_collapsed) == (5e-4, 1e-3)
    assert warned(model, "collapses at eta=0.001 but not at the larger eta=0.002")


def test_cells_that_all_collapse_give_no_boundary_by_regression() -> None:
    rows = [run(k, eta, s, 64) for k in (2, 8) for eta, seeds in ((1e-3, 5), (5e-4, 2)) for s in range(seeds)]
    local = fit(frame(rows)).local
    assert (local.width, local.exponent.estimate, local.prefactor.estimate) == (None, None, None)
    assert local.constant.identified_set == (None, 1e-3)


def test_brackets_that_no_power_law_fits_are_named() -> None:
    edge = {2: 1e-3, 8: 1e-4, 32: 1e-3}
    rows = [run(k, eta * f, step=None if f == 1 else 64) for k, eta in edge.items() for f in (1, 2)]
    local = fit(frame(rows)).local
    assert local.separable is False and local.exponent.identified_set is None
    assert local.exponent.estimate == pytest.approx(0.0, abs=1e-6)
    assert warned(fit(frame(rows)), "No power law", "with seeds 1 and 2.")


def test_touching_brackets_leave_a_single_exponent() -> None:
    band = Band(np.array([[-1.0, 1.0], [-2.0, 1.0]]), np.array([0.0, -np.inf]), np.array([np.inf, -1.0]))
    assert band.extent(0) == (pytest.approx(1.0), None)
    assert band.centre() is None


def test_the_order_of_runs_does_not_matter() -> None:
    for runs in (tiny_sweep(), paper_shape()):
        shuffled = runs.sample(frac=1, random_state=1)
        assert fit_laws(shuffled).to_json() == fit_laws(runs).to_json()


def test_json_has_the_contracts_keys() -> None:
    content = json.loads(json.dumps(fit_laws(tiny_sweep()).to_json(), allow_nan=False))
    assert set(content) == {"models", "runs", "left_out"}
    model = content["models"]["tiny"]
    assert set(model) == {"cells", "local", "horizon", "joint", "two_constraint", "regime", "warnings", "next_runs"}
    assert {
        "k",
        "eta",
        "axes",
        "n_runs",
        "n_collapsed",
        "collapse_step",
        "collapse_sync",
        "eta_k",
        "eta_T",
        "p_collapse",
    } <= set(model["cells"][0])
    assert {"exponent", "constant", "p_exponent_is_1", "brackets"} <= set(model["local"])
    assert {"eta_exponent", "k_exponent", "constant", "p_law", "cv_eta_T", "collapsed_only"} <= set(model["horizon"])
    regime = {"cosine_auc": None, "drift_exponent": {"collapsed": None, "stable": None}}
    assert regime.items() <= model["regime"].items()


def test_importing_the_laws_does_not_import_torch() -> None:
    modules = "orchestrator.laws.fit, orchestrator.laws.collapse, orchestrator.report.tables"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
