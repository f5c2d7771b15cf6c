"""Definitions of collapse: applied to stored metrics as by the worker, and conclusions that depend on them."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pandas as pd
import pytest

from grpo_worker.schema.collapse import Verdict, detect
from grpo_worker.schema.config import CollapseConfig
from orchestrator.laws.collapse import ends_between, never_alive, redetect
from orchestrator.laws.detectors import compare
from orchestrator.laws.estimates import Estimate
from orchestrator.laws.evidence import evidence
from orchestrator.laws.fit import fit_laws
from orchestrator.laws.result import Bracket, Comparison, JointLaw, ModelLaws
from tests.support.laws_data import frame, run, tiny_sweep

EVERY = 8


def rewards(seed: int) -> list[float]:
    """Rewards of a run that starts above or at 0, falls, recovers, is NaN, or ends at once."""
    generator = np.random.default_rng(seed)
    values = generator.choice([0.0, 0.05, 0.15, 0.2, 0.25, 0.35, 0.4, math.nan], size=generator.integers(1, 12))
    values[int(generator.integers(len(values))) :] *= generator.choice([0.0, 0.3, 1.0])
    values[0] = generator.choice([0.4, 0.4, 0.4, 0.0, math.nan])
    return [float(value) for value in values]


@pytest.mark.parametrize("detector", ["half", "zero"])
def test_runs_are_decided_as_the_worker_would_each(detector: str) -> None:
    series = [rewards(seed) for seed in range(400)]
    runs = frame([run(8, 1e-3, seed, horizon=100) for seed in range(400)])
    column = {"half": "val_reward", "zero": "reward"}[detector]
    rows = [(n, EVERY * i, value) for n, values in enumerate(series, 1) for i, value in enumerate(values)]
    metrics = pd.DataFrame(rows, columns=["run", "learner_step", column]).sample(frac=1, random_state=0)
    nothing = pd.DataFrame({"run": [], "learner_step": [], "val_reward": [], "reward": []})
    seen = {"evals": nothing, "syncs": nothing} | {"evals" if detector == "half" else "syncs": metrics}
    for config in (CollapseConfig(detector=detector), CollapseConfig(detector=detector, fraction=0.3, min_evals=1)):
        found = redetect(config, runs, **seen)
        verdicts = [detect([EVERY * i for i in range(len(values))], values, config) for values in series]
        assert found["state"].tolist() == [verdict.state for verdict in verdicts]
        assert {verdict.state for verdict in verdicts} == {"collapsed", "degraded", "stable"}
        ends = found[["collapse_step_lo", "collapse_step"]].astype(object).to_numpy()
        for (lo, hi), verdict in zip(ends, verdicts, strict=True):
            assert (
                (lo, hi) == (verdict.collapse.lo, verdict.collapse.hi) if verdict.collapse else pd.isna([lo, hi]).all()
            )
        assert [alive if pd.notna(alive) else None for alive in found["last_alive"].astype(object)] == [
            last_alive(values, verdict, config) for values, verdict in zip(series, verdicts, strict=True)
        ]


def last_alive(values: list[float], verdict: Verdict, config: CollapseConfig) -> int | None:
    """By definition: the last observation above the threshold, or the last one if the run starts at 0."""
    if verdict.collapse:
        return None
    if not values[0] > 0:
        return EVERY * (len(values) - 1)
    above = [v >= config.fraction * values[0] if config.detector == "half" else v > 0 for v in values]
    return EVERY * max((i for i, is_above in enumerate(above) if is_above), default=0)


def test_a_run_that_may_have_collapsed_at_its_end_is_censored_where_it_was_last_alive() -> None:
    evals = pd.DataFrame({"run": 1, "learner_step": [0, 8, 16, 24], "val_reward": [0.5, 0.5, 0.1, 0.1]})
    syncs = pd.DataFrame({"run": 1, "learner_step": [0, 12], "reward": [0.5, 0.4]})
    runs = frame([run(12, 1e-3, horizon=24)])
    by_evals = evidence(redetect(CollapseConfig(), runs, evals, syncs))
    assert by_evals[["state", "lo", "hi"]].to_numpy().tolist() == [["degraded", 8, math.inf]]
    # the training reward is not seen after the last weight sync
    by_syncs = evidence(redetect(CollapseConfig(detector="zero"), runs, evals, syncs))
    assert by_syncs[["state", "lo", "hi"]].to_numpy().tolist() == [["stable", 12, math.inf]]
    assert evidence(runs)["lo"].tolist() == [24]


def test_runs_that_end_between_alive_and_dead() -> None:
    ends = [0.09, 0.1, 0.2, 0.34, 0.35, 0.5, math.nan]
    rows = [(n, step, value) for n, end in enumerate(ends, 1) for step, value in ((0, 0.5), (8, end))]
    rows += [(8, 0, 0.0), (8, 8, 0.0)]
    assert ends_between(pd.DataFrame(rows, columns=["run", "learner_step", "val_reward"])) == [2, 3, 4]


def test_runs_that_never_had_a_reward() -> None:
    starts = [0.0, 0.1, math.nan]
    rows = [(n, step, value) for n, start in enumerate(starts, 1) for step, value in ((0, start), (8, 0.5))]
    found = never_alive(pd.DataFrame(rows, columns=["run", "learner_step", "val_reward"]))
    assert found == [1, 3]
    (note,) = compare({"stored": sweep()}, {"stored": 69}, None, 2).notes
    assert note.startswith("2 of 69 finished runs started with a validation reward of 0")


# --- side by side


def both(stored: ModelLaws, other: ModelLaws) -> Comparison:
    return compare({"stored": stored, "zero": other}, {"stored": 0, "zero": 69}, None)


@functools.cache
def sweep() -> ModelLaws:
    return fit_laws(tiny_sweep()).models["tiny"]


def test_what_does_not_change_is_not_fragile() -> None:
    found = both(sweep(), sweep())
    assert found.fragile == () and found.notes == ()
    assert [fit.n_collapsed for fit in found.fits] == [38, 38]
    assert found.fits[0].brackets == sweep().local.brackets


def test_a_test_that_flips_is_fragile() -> None:
    stored, other = sweep(), sweep()
    assert other.joint.immune is not None, "otherwise another fit would be quoted"
    kept = dataclasses.replace(other.joint.horizon, p_law=0.3)
    rejected = dataclasses.replace(stored.joint.horizon, p_law=0.01)
    found = both(
        dataclasses.replace(stored, joint=dataclasses.replace(stored.joint, horizon=rejected)),
        dataclasses.replace(other, joint=dataclasses.replace(other.joint, horizon=kept)),
    )
    assert found.fragile == (
        "Whether T* = C/η (b = 1, q = 0) is rejected depends on the definition of collapse: p = 0.01 under stored, "
        "p = 0.3 under zero.",
    )


def test_immune_runs_under_one_definition_only_are_fragile() -> None:
    found = both(sweep(), dataclasses.replace(sweep(), joint=JointLaw()))
    assert found.fits[0].eta_exponent == sweep().joint.horizon.eta_exponent
    assert found.fits[1].eta_exponent == sweep().horizon.censored.eta_exponent
    assert any("a model with immune runs fits better" in sentence for sentence in found.fragile)


@pytest.mark.parametrize("kind", ["ci95", "identified_set"])
def test_an_interval_that_leaves_out_one_is_fragile(kind: str) -> None:
    def with_ends(ends: tuple[float | None, float | None]) -> ModelLaws:
        model = sweep()
        return dataclasses.replace(
            model, local=dataclasses.replace(model.local, exponent=Estimate(0.8, **{kind: ends}))
        )

    (sentence,) = both(with_ends((0.6, None)), with_ends((0.2, 0.9))).fragile
    assert "a = 1" in sentence and sentence.endswith("it does under stored, it does not under zero.")
    assert both(with_ends((None, None)), with_ends((0.5, 1.1))).fragile == ()


def test_a_bracket_that_moves_by_more_than_a_step_is_fragile() -> None:
    def with_bracket(stable: float | None, collapsed: float | None) -> ModelLaws:
        model = sweep()
        brackets = (Bracket(2, stable, collapsed), *model.local.brackets[1:])
        return dataclasses.replace(model, local=dataclasses.replace(model.local, brackets=brackets))

    assert both(with_bracket(5e-4, 1e-3), with_bracket(2.5e-4, 5e-4)).fragile == ()
    assert both(with_bracket(1e-3, 2e-3), with_bracket(2e-3, None)).fragile == ()
    assert both(with_bracket(None, 1.25e-4), with_bracket(1.25e-4, 2.5e-4)).fragile == ()
    (below,) = both(with_bracket(None, 1.25e-4), with_bracket(2.5e-4, 2.5e-4)).fragile
    assert below.endswith("below 0.000125 under stored, between 0.00025 and 0.00025 under zero.")
    (sentence,) = both(with_bracket(5e-4, 1e-3), with_bracket(1.25e-4, 5e-4)).fragile
    assert sentence.startswith("eta_max at k=2 moves by more than a step of the grid")
    assert sentence.endswith("between 0.0005 and 0.001 under stored, between 0.000125 and 0.0005 under zero.")
    assert len(both(with_bracket(5e-4, 1e-3), with_bracket(1e-3, None)).fragile) == 1


def test_imported_ends_have_one_definition() -> None:
    model = sweep()
    (note,) = compare({"stored": model, "zero": model}, {"stored": 0, "zero": 0}, None).notes
    assert "No rewards are stored" in note and "another definition" in note
    (note, between) = compare({"stored": model, "zero": model}, {"stored": 0, "zero": 60}, 9).notes
    assert note.startswith("9 of 69 finished runs have no rewards")
    assert between == (
        "9 of 69 finished runs end between 20 % and 70 % of their initial validation reward. Whether they collapsed "
        "depends on the definition; train them longer."
    )
