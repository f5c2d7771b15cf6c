"""The diagnostics of a learner step against plain Python over the tokens."""

from __future__ import annotations

import math
from statistics import fmean

import pytest
import torch

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.train.diagnostics import LagHistogram, cosine, effective_sample_size, policy_metrics


def test_effective_sample_size() -> None:
    assert float(effective_sample_size(torch.zeros(10))) == pytest.approx(1.0)
    assert float(effective_sample_size(torch.tensor([0.0, -100.0, -100.0, -100.0]))) == pytest.approx(0.25)
    weights = torch.tensor([1.0, 2.0, 3.0])
    assert float(effective_sample_size(weights.log() + 500)) == pytest.approx(36 / (3 * 14), rel=1e-5)
    assert effective_sample_size(torch.tensor([0.0, math.nan])).isnan()


def test_cosine_of_a_zero_vector_is_not_defined_and_nan_stays_nan() -> None:
    assert cosine(5.0, 10.0, 50.0) == pytest.approx(1.0)
    assert cosine(0.0, 10.0, 0.0) is None
    assert cosine(5.0, 0.0, 0.0) is None
    assert cosine(1e-30, 1e-30, -1e-60) == pytest.approx(-1.0)
    not_a_number = cosine(math.nan, 1.0, 1.0)
    assert not_a_number is not None
    assert math.isnan(not_a_number)


def test_metrics_of_a_step_against_plain_python() -> None:
    random = torch.Generator().manual_seed(2)
    lengths = [4, 1, 3]
    mask = (torch.arange(4) < torch.tensor(lengths)[:, None]).float()
    logp, behavior, reference, entropy = (-torch.rand(3, 4, generator=random) for _ in range(4))
    low, high = (torch.rand(3, 4, generator=random) < 0.5 for _ in range(2))
    zeros = torch.zeros(3, 4)
    batch = RolloutBatch(zeros, zeros, zeros, mask, behavior, zeros, reference, zeros, zeros[:, 0], zeros[:, 0])
    kept = [(i, t) for i, length in enumerate(lengths) for t in range(length)]
    r = [float(logp[i, t] - behavior[i, t]) for i, t in kept]
    d = [float(reference[i, t] - logp[i, t]) for i, t in kept]
    sequences = [math.exp(sum(float(logp[i, t] - behavior[i, t]) for t in range(n))) for i, n in enumerate(lengths)]
    tokens = [math.exp(x) for x in r]

    def share(weights: list[float]) -> float:
        return sum(weights) ** 2 / (len(weights) * sum(w * w for w in weights))

    expected = {
        "ratio_mean": fmean(tokens), "ratio_max": max(tokens),
        "clip_fraction_low": fmean(float(low[i, t]) for i, t in kept),
        "clip_fraction_high": fmean(float(high[i, t]) for i, t in kept),
        "kl_behavior": fmean(math.exp(x) - 1 - x for x in r), "kl_reference": fmean(math.exp(x) - 1 - x for x in d),
        "ess_token": share(tokens), "ess_sequence": share(sequences),
        "entropy": fmean(float(entropy[i, t]) for i, t in kept), "abs_log_ratio": fmean(map(abs, r)),
    }  # fmt: skip
    metrics = {name: float(value) for name, value in policy_metrics(batch, logp, entropy, low, high).items()}
    assert metrics == pytest.approx(expected, rel=1e-5)
    padded = torch.where(mask > 0, logp, torch.nan)
    assert {n: float(v) for n, v in policy_metrics(batch, padded, entropy, low, high).items()} == metrics
    logp[0, 1] = torch.nan
    poisoned = policy_metrics(batch, logp, entropy, low, high)
    unaffected = {"clip_fraction_low", "clip_fraction_high", "entropy"}
    assert {name for name, value in poisoned.items() if not value.isnan()} == unaffected


def test_statistics_of_lags_are_over_tokens() -> None:
    lags = LagHistogram()
    lags.add(torch.tensor([0, 0, 0, 2]))
    lags.add(torch.tensor([2, 5, 0, 2]))
    assert (lags.min, lags.max, lags.mean) == (0, 5, (3 * 2 + 5) / 8)
    assert [lags.quantile(q) for q in (0.0, 0.5, 0.51, 7 / 8, 0.9, 1.0)] == [0, 0, 2, 2, 5, 5]
    assert LagHistogram(lags.tokens()).tokens() == {0: 4, 2: 3, 5: 1}
