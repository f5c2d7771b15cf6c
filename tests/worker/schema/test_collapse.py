"""Collapse detectors: the worker's function, and its use on stored metrics."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from grpo_worker.schema.collapse import detect
from grpo_worker.schema.config import CollapseConfig
from orchestrator.laws.collapse import redetect
from tests.support.laws_data import frame, run

HALF = CollapseConfig(detector="half", fraction=0.5, min_evals=3)
ZERO = CollapseConfig(detector="zero", min_evals=3)
STEPS = [0, 8, 16, 24, 32, 40]


def test_half_places_collapse_between_the_last_good_and_the_first_bad_evaluation() -> None:
    verdict = detect(STEPS, [0.5, 0.6, 0.4, 0.2, 0.1, 0.0], HALF)
    assert verdict.state == "collapsed"
    assert (verdict.collapse.lo, verdict.collapse.hi, verdict.collapse.observations) == (16, 24, 3)


def test_a_run_that_recovers_has_not_collapsed() -> None:
    assert detect(STEPS, [0.5, 0.1, 0.1, 0.1, 0.1, 0.4], HALF).state == "stable"
    later = detect([*STEPS, 48], [0.5, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1], HALF)
    assert later.collapse is not None and later.collapse.hi == 32


def test_too_few_low_evaluations_at_the_end_are_degraded_only() -> None:
    assert detect(STEPS, [0.5, 0.5, 0.5, 0.5, 0.1, 0.1], HALF).state == "degraded"
    assert detect(STEPS, [0.5, 0.5, 0.5, 0.5, 0.5, 0.3], HALF).state == "degraded"
    assert detect(STEPS, [0.5, 0.5, 0.5, 0.5, 0.5, 0.36], HALF).state == "stable"


def test_exactly_half_is_not_below_and_nan_is() -> None:
    assert detect(STEPS, [0.5, 0.5, 0.25, 0.25, 0.25, 0.25], HALF).state == "degraded"
    assert detect(STEPS, [0.5, 0.5, 0.5, 0.5, 0.5, math.nan], HALF).state == "degraded"
    verdict = detect(STEPS, [0.5, 0.5, 0.5, math.nan, math.nan, math.nan], HALF)
    assert verdict.state == "collapsed" and verdict.collapse.hi == 24


@pytest.mark.parametrize("rewards", [[], [0.0, 0.0, 0.0, 0.0], [math.nan, 0.0, 0.0, 0.0]])
def test_a_run_that_starts_with_nothing_cannot_collapse(rewards: list[float]) -> None:
    assert detect(STEPS[: len(rewards)], rewards, HALF).state == "stable"


def test_zero_needs_the_reward_to_stay_at_zero() -> None:
    assert detect([0, 32, 64, 96], [0.5, 0.0, 0.0, 0.0], ZERO).collapse.hi == 32
    assert detect([0, 32, 64, 96], [0.5, 0.01, 0.01, 0.01], ZERO).state == "degraded"
    assert detect([0, 32, 64, 96], [0.5, 0.0, 0.0, 0.4], ZERO).state == "stable"


def test_the_initial_policy_never_counts_as_collapsed() -> None:
    found = detect([0, 8, 16], [0.5, 0.0, 0.0], CollapseConfig(min_evals=1)).collapse
    assert found is not None and (found.lo, found.hi, found.observations) == (0, 8, 2)


@pytest.mark.parametrize(("config", "alive"), [(HALF, 16), (ZERO, 24)])
def test_last_alive_is_the_last_observation_above_the_threshold(config: CollapseConfig, alive: int) -> None:
    assert detect(STEPS[:5], [0.6, 0.2, 0.3, 0.2, math.nan], config).last_alive == alive
    assert detect(STEPS[:5], [0.6, 0.0, 0.0, 0.0, 0.0], config).last_alive == 0
    assert detect(STEPS[:2], [0.0, 0.2], config).last_alive is None
    assert detect([], [], config).last_alive is None


# --- again, on stored metrics


def metrics(column: str, series: dict[int, dict[int, float]]) -> pd.DataFrame:
    """Rows in no particular order."""
    rows = [(number, step, value) for number, by_step in series.items() for step, value in by_step.items()]
    return pd.DataFrame(rows[::-1], columns=["run", "learner_step", column]).astype({column: "Float64"})


RUNS = frame(
    [
        run(32, 1e-3, step=72, collapse_step_lo=64, collapse_sync=3),
        run(32, 5e-4),
        run(32, 1e-3, state="failed", failure="out of memory"),
        run(8, 1e-3, step=40, collapse_detector="imported"),
    ]
)
EVALS = metrics(
    "val_reward",
    {
        1: {step: 0.5 if step < 40 else 0.1 for step in range(0, 129, 8)},
        2: {step: 0.5 if step < 40 else 0.3 for step in range(0, 129, 8)},
        3: {step: 0.5 if step < 40 else 0.0 for step in range(0, 129, 8)},
    },
)
SYNCS = metrics(
    "reward",
    {
        1: {0: 0.5, 32: 0.4, 64: 0.1, 96: 0.1, 128: 0.1},
        2: {0: 0.5, 32: 0.4, 64: 0.0, 96: 0.0, 128: 0.0},
        3: {0: 0.5, 32: 0.0, 64: 0.0, 96: 0.0},
    },
)


def test_redetect_half_reads_the_evaluations() -> None:
    found = redetect(HALF, RUNS, EVALS, SYNCS).set_index("run")
    assert found["state"].tolist() == ["collapsed", "degraded", "failed", "collapsed"]
    assert found.loc[1, ["collapse_step_lo", "collapse_step", "collapse_sync"]].tolist() == [32, 40, 2]
    assert found.loc[2, "collapse_detector"] == "half" and pd.isna(found.loc[2, "collapse_step"])


def test_redetect_zero_reads_the_training_reward_at_the_syncs() -> None:
    found = redetect(ZERO, RUNS, EVALS, SYNCS).set_index("run")
    assert found["state"].tolist() == ["degraded", "collapsed", "failed", "collapsed"]
    assert found.loc[2, ["collapse_step_lo", "collapse_step", "collapse_sync"]].tolist() == [32, 64, 2]
    assert found.loc[1, ["collapse_step_lo", "collapse_step", "collapse_sync"]].isna().all()


def test_redetect_leaves_runs_without_metrics_and_its_input_as_they_are() -> None:
    before = RUNS.copy()
    found = redetect(HALF, RUNS, EVALS, SYNCS)
    pd.testing.assert_series_equal(found.loc[3].drop(["decided", "last_alive"]), RUNS.loc[3])
    assert found["decided"].tolist() == [True, True, False, False]
    pd.testing.assert_frame_equal(RUNS, before)
    assert found.drop(columns=["decided", "last_alive"]).dtypes.equals(RUNS.dtypes)


def test_redetect_takes_empty_frames() -> None:
    empty = redetect(HALF, RUNS.iloc[:0], EVALS.iloc[:0], SYNCS.iloc[:0])
    assert empty.empty
    found = redetect(HALF, RUNS, EVALS.iloc[:0], SYNCS.iloc[:0])
    pd.testing.assert_frame_equal(found[RUNS.columns], RUNS)
    assert not found["decided"].any()
