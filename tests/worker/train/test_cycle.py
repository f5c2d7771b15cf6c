"""What a rollout cycle measures of its batches and lags, by hand."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.rollout.pipelines import Fetched
from grpo_worker.train.cycle import Cycle, Stopwatch
from grpo_worker.train.learner import StepMetrics

EOS = 9
STEP = StepMetrics(*[1.0] * 13, abs_log_ratio=0.25)


def fetched() -> Fetched:
    """Two groups of two: cut at the limit and ended there; ended early with equal rewards."""
    token = torch.tensor([[1, 2, 3], [1, 2, EOS], [EOS, 0, 0], [1, EOS, 0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 1, 1], [1, 0, 0], [1, 1, 0]])
    reward = torch.tensor([0.0, 1.0, 0.5, 0.5])
    prompt = torch.ones(4, 2, dtype=torch.long)
    return Fetched(RolloutBatch(prompt, prompt, token, mask, mask, mask, mask, token, reward, reward), 1.5, 4)


def test_a_batch_by_hand() -> None:
    cycle = Cycle(3, 6)
    cycle.take(fetched(), 2, [EOS])
    (measured,) = cycle.batches
    assert (measured.reward, measured.reward_std) == (0.5, pytest.approx((0.5 / 3) ** 0.5))
    assert (measured.completion_tokens, measured.rollout_tokens) == (9 / 4, 9)
    assert measured.truncated_fraction == 1 / 4, "the second completion has the full length, but ends there"
    assert measured.zero_std_fraction == 1 / 2
    assert (measured.rollout_s, measured.dropped_groups) == (1.5, 4)


def test_the_gap_of_engines_is_read_at_a_first_step_of_lag_zero_only() -> None:
    fresh, stale = torch.zeros(5, dtype=torch.long), torch.ones(5, dtype=torch.long)
    for lags, gap in (([fresh, stale], 0.25), ([stale, fresh], None), ([stale], None)):
        cycle = Cycle(0, 0)
        for lag in lags:
            cycle.add(STEP, lag)
        assert cycle.engine_gap == gap
        assert cycle.lags.tokens() == {int(lag[0]): 5 for lag in lags}
    mixed = Cycle(0, 0)
    mixed.add(STEP, torch.tensor([0, 0, 1]))
    assert mixed.engine_gap is None


def test_a_cycle_is_restored_from_its_state() -> None:
    cycle = Cycle(3, 6, val_reward=0.5)
    cycle.take(fetched(), 2, [EOS])
    cycle.add(STEP, torch.tensor([0, 2]))
    with Stopwatch(cycle, "learner_s"):
        pass
    again = Cycle.restored(cycle.state())
    for field in dataclasses.fields(Cycle):
        if field.name != "lags":
            assert getattr(again, field.name) == getattr(cycle, field.name)
    assert again.lags.tokens() == cycle.lags.tokens()
    assert again.learner_s > 0


class Drifts:
    """A learner, as far as a record needs one."""

    path_length = 2.5

    def drifts(self) -> tuple[float, float]:
        return 1.5, 0.5


def test_a_record_separates_the_cosines_within_the_cycle_from_the_one_across() -> None:
    cycle = Cycle(3, 6)
    cycle.take(fetched(), 2, [EOS])
    for number, cosines in enumerate([(0.9, 0.8), (0.1, None), (0.3, 0.2)]):
        update, gradient = cosines
        step = dataclasses.replace(STEP, cosine_update=update, cosine_gradient=gradient, ratio_max=2.0 - number)
        cycle.add(dataclasses.replace(step, gradient_norm=float(number)), torch.tensor([number]))
    record = cycle.record(Drifts())
    assert (record.cosine_update_across, record.cosine_update_within) == (0.9, pytest.approx(0.2))
    assert (record.cosine_gradient_across, record.cosine_gradient_within) == (0.8, 0.2)
    assert (record.ratio_max, record.gradient_norm) == (2.0, 1.0)
    assert (record.lag_min, record.lag_mean, record.lag_p99, record.lag_max) == (0, 1.0, 2, 2)
    assert (record.drift_from_start, record.drift_in_cycle, record.path_length) == (1.5, 0.5, 2.5)
    assert (record.sync, record.learner_step, record.rollout_tokens, record.dropped_groups) == (3, 6, 9, 4)
