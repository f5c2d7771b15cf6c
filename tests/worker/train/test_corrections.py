"""Each correction against a plain Python loop over the tokens, its gradient against that loop's finite differences."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from torch import Tensor

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.train import corrections
from grpo_worker.train.corrections import CORRECTIONS, clip_interval, gac_removed_share, learning_rate_factor, m2po_clip
from grpo_worker.train.objective import Aggregation, Clip, Surrogate, aggregate, log_ratio
from tests.conftest import tiny_run

NAMES = sorted(CORRECTIONS)
ON_OBJECTIVE = ["none", "tis", "decoupled", "cispo", "gspo", "m2po"]
LENGTHS = [5, 1, 3, 4, 2, 5, 3, 5]


def example(*, spread: float = 0.5, seed: int = 5) -> tuple[Tensor, RolloutBatch]:
    """log π_θ and a batch in float64, with π_θ, π_old and μ about ``spread`` apart; values on padding are absurd."""
    random = torch.Generator().manual_seed(seed)
    shape = (len(LENGTHS), max(LENGTHS))
    mask = (torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None]).double()
    behavior = -1 - torch.rand(shape, dtype=torch.float64, generator=random)
    proximal = behavior + spread * torch.randn(shape, dtype=torch.float64, generator=random)
    logp = proximal + spread * torch.randn(shape, dtype=torch.float64, generator=random)
    advantage = torch.randn(shape[0], dtype=torch.float64, generator=random)
    integers, nothing = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.float64)
    batch = RolloutBatch(
        prompt_BS=integers, prompt_mask_BS=integers, token_BT=integers, mask_BT=mask,
        behavior_logp_BT=behavior.where(mask > 0, 7.0), proximal_logp_BT=proximal.where(mask > 0, -30.0),
        reference_logp_BT=nothing, version_BT=integers, reward_B=advantage, advantage_B=advantage,
    )  # fmt: skip
    return logp, batch


def naive_tau(logp: list[list[float]], batch: RolloutBatch) -> float:
    """τ of M2PO by bisection; infinite where the budget holds without it."""
    behavior, advantage = batch.behavior_logp_BT.tolist(), batch.advantage_B.tolist()
    squares = []
    for i, length in enumerate(LENGTHS):
        for t in range(length):
            delta = logp[i][t] - behavior[i][t]
            if (advantage[i] > 0 and delta > 0) or (advantage[i] < 0 and delta < 0):
                squares.append(delta**2)
    if sum(squares) / len(squares) <= 0.04:
        return math.inf
    low, high = 0.0, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        if sum(min(square, middle**2) for square in squares) / len(squares) > 0.04:
            high = middle
        else:
            low = middle
    return low


def naive_objective(
    name: str, logp: list[list[float]], frozen: list[list[float]], batch: RolloutBatch, clip: Clip, how: Aggregation
) -> float:
    """A correction's objective, token by token. ``frozen`` is log π_θ inside stop-gradients: equal in value."""
    behavior, proximal = batch.behavior_logp_BT.tolist(), batch.proximal_logp_BT.tolist()
    tau = naive_tau(frozen, batch) if name == "m2po" else math.nan

    def ppo(ratio: float, a: float, low: float = 1 - clip.low, high: float = 1 + clip.high) -> float:
        return min(ratio * a, min(max(ratio, low), high) * a)

    sequences = []
    for i, (length, a) in enumerate(zip(LENGTHS, batch.advantage_B.tolist(), strict=True)):
        terms = []
        for t in range(length):
            rho = math.exp(logp[i][t] - behavior[i][t])
            r, w = math.exp(logp[i][t] - proximal[i][t]), math.exp(proximal[i][t] - behavior[i][t])
            if name == "tis":
                terms.append(min(w, 2.0) * ppo(r, a))
            elif name == "decoupled":
                terms.append(w * ppo(r, a))
            elif name == "cispo":
                weight = math.exp(frozen[i][t] - behavior[i][t])
                terms.append(min(max(weight, 1 - clip.low), 1 + clip.high) * a * logp[i][t])
            elif name == "gspo":
                total = sum(logp[i][u] - behavior[i][u] for u in range(length))
                terms.append(ppo(math.exp(total / length), a))
            elif name == "m2po":
                terms.append(ppo(rho, a, math.exp(-tau), math.exp(tau)))
            else:
                terms.append(ppo(rho, a))
        sequences.append(terms)
    if how == "token_mean":
        return sum(map(sum, sequences)) / sum(map(len, sequences))
    return sum(sum(terms) / len(terms) for terms in sequences) / len(sequences)


def corrected(name: str, logp: Tensor, batch: RolloutBatch, clip: Clip) -> Surrogate:
    """A correction as the learner applies it, but for the interval, which is the caller's where it is a constant."""
    if name == "m2po":
        clip = m2po_clip(log_ratio(logp.detach(), batch.behavior_logp_BT), batch.advantage_B, batch.mask_BT)
    return CORRECTIONS[name](logp, batch, clip)


def value_and_gradient(
    name: str, logp: Tensor, batch: RolloutBatch, clip: Clip, how: Aggregation = "sequence_mean"
) -> tuple[Tensor, Tensor]:
    logp = logp.clone().requires_grad_()
    value = aggregate(corrected(name, logp, batch, clip).objective_BT, batch.mask_BT, how)
    return value.detach(), torch.autograd.grad(value, logp)[0]


@pytest.mark.parametrize("how", ["sequence_mean", "token_mean"])
@pytest.mark.parametrize("clip", [Clip(0.2, 0.2), Clip(0.15, 0.4), Clip(1.0, 1.0)])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_against_the_naive_loop(name: str, clip: Clip, how: Aggregation) -> None:
    logp, batch = example()
    value, gradient = value_and_gradient(name, logp, batch, clip, how)
    frozen = logp.tolist()
    assert float(value) == pytest.approx(naive_objective(name, frozen, frozen, batch, clip, how), rel=1e-9)
    step = 1e-6
    for i in range(len(LENGTHS)):
        for t in range(max(LENGTHS)):
            ends = []
            for sign in (1, -1):
                moved = copy.deepcopy(frozen)
                moved[i][t] += sign * step
                ends.append(naive_objective(name, moved, frozen, batch, clip, how))
            assert float(gradient[i, t]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-8, rel=1e-6)


@pytest.mark.parametrize("name", ["none", "tis", "decoupled", "gspo"])
def test_gradients_by_autograd_check(name: str) -> None:
    """Where the value is what is differentiated (no stop-gradient of π_θ)."""
    logp, batch = example()
    clip = Clip(0.15, 0.4)
    assert torch.autograd.gradcheck(lambda x: CORRECTIONS[name](x, batch, clip).objective_BT, (logp.requires_grad_(),))


@pytest.mark.parametrize("clip", [Clip(0.2, 0.2), Clip(0.05, 0.4), Clip(0.4, 0.05)])
@pytest.mark.parametrize("name", NAMES)
def test_clipped_tokens_are_those_without_gradient(name: str, clip: Clip) -> None:
    logp, batch = example()
    _, gradient = value_and_gradient(name, logp, batch, clip)
    surrogate = corrected(name, logp, batch, clip)
    advantage = batch.advantage_B[:, None].expand_as(logp)
    kept = batch.mask_BT > 0
    silent = (gradient == 0) & kept
    assert torch.equal(surrogate.low_BT & kept, silent & (advantage < 0))
    assert torch.equal(surrogate.high_BT & kept, silent & (advantage > 0))
    assert bool(silent.any()) == (name != "cispo"), "the example must have something to clip"


@pytest.mark.parametrize("name", ON_OBJECTIVE)
def test_on_policy_every_correction_is_the_plain_policy_gradient(name: str) -> None:
    logp, batch = example()
    same = dataclasses.replace(batch, behavior_logp_BT=logp, proximal_logp_BT=logp)
    for how in ("sequence_mean", "token_mean"):
        _, gradient = value_and_gradient(name, logp, same, Clip(0.2, 0.3), how)
        free = logp.clone().requires_grad_()
        plain = aggregate(batch.advantage_B[:, None] * free, batch.mask_BT, how)
        (expected,) = torch.autograd.grad(plain, free)
        if name == "gspo":  # one gradient for the tokens of a sequence: their sum is what must agree with the others'
            gradient, expected = gradient.sum(1), expected.sum(1)
        torch.testing.assert_close(gradient, expected)


def test_decoupled_is_none_where_the_proximal_policy_sampled() -> None:
    logp, batch = example()
    fresh = dataclasses.replace(batch, proximal_logp_BT=batch.behavior_logp_BT)
    for name in ("decoupled", "tis"):
        for one, other in zip(
            *(value_and_gradient(n, logp, fresh, Clip(0.2, 0.3)) for n in (name, "none")), strict=True
        ):
            torch.testing.assert_close(one, other)


def test_tis_differs_from_decoupled_by_the_cap_alone() -> None:
    logp, batch = example(spread=0.2)
    weight = (batch.proximal_logp_BT - batch.behavior_logp_BT).exp()
    assert weight[batch.mask_BT > 0].max() < 2
    for one, other in zip(
        *(value_and_gradient(n, logp, batch, Clip(0.2, 0.3)) for n in ("tis", "decoupled")), strict=True
    ):
        assert torch.equal(one, other)
    far = dataclasses.replace(batch, behavior_logp_BT=batch.proximal_logp_BT - 3)
    at_cap = dataclasses.replace(batch, behavior_logp_BT=batch.proximal_logp_BT - math.log(2))
    for one, other in zip(*(value_and_gradient("tis", logp, b, Clip(0.2, 0.3)) for b in (far, at_cap)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_huge_drift_stays_finite(name: str) -> None:
    logp, batch = example(spread=80.0)
    value, gradient = value_and_gradient(name, logp, batch, Clip(0.2, 0.3))
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    _, single = value_and_gradient(name, logp.float(), dataclasses.replace(
        batch, behavior_logp_BT=batch.behavior_logp_BT.float(), proximal_logp_BT=batch.proximal_logp_BT.float(),
        advantage_B=batch.advantage_B.float(), mask_BT=batch.mask_BT.float()), Clip(0.2, 0.3))  # fmt: skip
    assert torch.isfinite(single).all()


@pytest.mark.parametrize("spread", [0.02, 0.3, 0.5, 3.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_interval_of_m2po_meets_its_budget_exactly(spread: float, seed: int) -> None:
    logp, batch = example(spread=spread, seed=seed)
    ratio = log_ratio(logp, batch.behavior_logp_BT)
    clip = m2po_clip(ratio, batch.advantage_B, batch.mask_BT)
    tau = naive_tau(logp.tolist(), batch)
    assert (1 - clip.low, 1 + clip.high) == (pytest.approx(math.exp(-tau)), pytest.approx(math.exp(tau)))
    assert (spread == 0.02) == math.isinf(tau), "one example within the budget, the others beyond it"


def test_m2po_looks_at_harmful_tokens_alone() -> None:
    advantage, mask = torch.tensor([1.0, -1.0, 0.0]), torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    ratio = torch.tensor([[-5.0, -9.0], [4.0, -9.0], [9.0, -9.0]])
    assert m2po_clip(ratio, advantage, mask) == (1.0, math.inf)
    ratio[0, 0] = 0.3
    clip = m2po_clip(ratio, advantage, mask)
    assert clip == (pytest.approx(1 - math.exp(-0.2)), pytest.approx(math.exp(0.2) - 1))


def test_intervals_come_from_the_config_unless_the_correction_has_its_own() -> None:
    logp, batch = example()

    def never() -> Tensor:
        raise AssertionError("only m2po depends on the log-probs")

    assert clip_interval(tiny_run(clip_eps=0.2), batch, never) == (0.2, 0.2)
    assert clip_interval(tiny_run(clip_eps=0.2, clip_eps_high=0.3, correction="tis"), batch, never) == (0.2, 0.3)
    assert clip_interval(tiny_run(clip_eps=0.2, correction="gspo"), batch, never) == (3e-4, 4e-4)
    ratio = log_ratio(logp, batch.behavior_logp_BT)
    own = m2po_clip(ratio, batch.advantage_B, batch.mask_BT)
    assert clip_interval(tiny_run(correction="m2po"), batch, lambda: logp) == own


def test_every_correction_of_the_config_exists() -> None:
    field = type(tiny_run()).model_fields["correction"]
    assert set(CORRECTIONS) == set(field.annotation.__args__)


def test_gac_removes_nothing_from_gradients_that_are_nearly_orthogonal() -> None:
    for cosine in (None, -1.0, 0.0, 0.2, corrections.GAC_COSINE):
        assert gac_removed_share(cosine) == 0
    # What is left along the previous gradient is the threshold's share of the norm.
    for cosine in (0.31, 0.5, 1.0):
        assert cosine * (1 - gac_removed_share(cosine)) == pytest.approx(corrections.GAC_COSINE)


def test_learning_rate_factors() -> None:
    def never() -> float:
        raise AssertionError("only vcpo needs the effective sample size")

    assert learning_rate_factor(tiny_run(k=8), never) == 1
    assert learning_rate_factor(tiny_run(k=8, correction="eta_over_k"), never) == 1 / 8
    assert learning_rate_factor(tiny_run(k=8, correction="vcpo"), lambda: 0.25) == 0.5
    assert learning_rate_factor(tiny_run(k=8, correction="vcpo"), lambda: 1.0 + 1e-7) == 1
