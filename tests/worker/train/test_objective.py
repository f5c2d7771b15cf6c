"""The objective against a hand-computed example and against a naive loop; gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from grpo_worker.model.log_probs import token_log_probs
from grpo_worker.rollout.advantages import group_advantages
from grpo_worker.train.objective import (
    Aggregation,
    Clip,
    KlEstimator,
    aggregate,
    clipped_surrogate,
    kl_penalty,
    log_ratio,
)


def test_advantages_by_hand() -> None:
    # Rewards 1, 0, 0, 1: mean 1/2, sample standard deviation sqrt(1/3).
    advantage = group_advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), divide_by_std=True)
    expected = 0.5 / (math.sqrt(1 / 3) + 1e-4)
    torch.testing.assert_close(advantage, torch.tensor([[expected, -expected, -expected, expected]]))


@pytest.mark.parametrize("divide_by_std", [True, False])
@pytest.mark.parametrize("reward", [1.0, 0.1, 1 / 3])
def test_a_group_of_equal_rewards_has_no_advantage(reward: float, divide_by_std: bool) -> None:
    rewards = torch.full((2, 7), reward)
    if reward == 0.1:
        assert (rewards - rewards.mean(dim=1, keepdim=True)).abs().max() > 0, "rounding must be at work"
    assert group_advantages(rewards, divide_by_std=divide_by_std).abs().max() == 0


def test_a_reward_that_is_not_a_number_stays_one() -> None:
    assert group_advantages(torch.tensor([[math.nan, 0.0]]), divide_by_std=False).isnan().all()


def test_advantages_do_not_mix_groups() -> None:
    reward = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(group_advantages(reward, divide_by_std=False), torch.tensor([[0.5, -0.5], [0.0, 0.0]]))


def test_loss_by_hand() -> None:
    # Two sequences, ε = 0.2 below and 0.3 above. Sequence 0, A = 1: ratios 1.5 (clipped to 1.3) and 0.5 (not clipped):
    # mean 0.9. Sequence 1, A = −1, one token: ratio 0.5 is clipped to 0.8, min(−0.5, −0.8) = −0.8.
    ratio = torch.tensor([[1.5, 0.5], [0.5, 9.0]])
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    surrogate = clipped_surrogate(ratio.log(), torch.tensor([1.0, -1.0]), Clip(0.2, 0.3))
    assert aggregate(surrogate.objective_BT, mask, "sequence_mean").item() == pytest.approx((0.9 - 0.8) / 2)
    assert aggregate(surrogate.objective_BT, mask, "token_mean").item() == pytest.approx((1.3 + 0.5 - 0.8) / 3)
    assert surrogate.low_BT.tolist() == [[False, False], [True, False]]
    assert surrogate.high_BT.tolist() == [[True, False], [False, False]]


def naive_loss(
    logits: Tensor, token: Tensor, mask: Tensor, behavior: Tensor, reference: Tensor, advantage: Tensor, *,
    clip: Clip, beta: float, temperature: float, aggregation: Aggregation,
) -> Tensor:  # fmt: skip
    """−J written token by token from eqs. (2) and (3)."""
    sequences = []
    for i in range(len(token)):
        terms = []
        for t in range(token.shape[1]):
            if mask[i, t] == 0:
                continue
            scaled = logits[i, t] / temperature
            logp = scaled[token[i, t]] - torch.logsumexp(scaled, dim=0)
            rho = torch.exp(logp - behavior[i, t])
            clipped = min(max(rho, torch.tensor(1 - clip.low)), torch.tensor(1 + clip.high))
            inverse = torch.exp(reference[i, t] - logp)
            kl = inverse - 1 - torch.log(inverse)
            terms.append(min(rho * advantage[i], clipped * advantage[i]) - beta * kl)
        sequences.append(terms)
    if aggregation == "token_mean":
        return -sum(map(sum, sequences)) / sum(map(len, sequences))  # type: ignore[arg-type,return-value]
    return -sum(sum(terms) / len(terms) for terms in sequences) / len(token)  # type: ignore[return-value]


@pytest.fixture
def example() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(7)
    batch, length, vocabulary = 6, 5, 9
    lengths = torch.tensor([5, 1, 3, 4, 2, 5])
    return {
        "logits": torch.randn(batch, length, vocabulary, generator=random),
        "token": torch.randint(vocabulary, (batch, length), generator=random),
        "mask": (torch.arange(length) < lengths[:, None]).float(),
        "behavior": -2 + 0.7 * torch.randn(batch, length, generator=random),
        "reference": -2 + 0.7 * torch.randn(batch, length, generator=random),
        "advantage": torch.randn(batch, generator=random),
    }


def loss(
    e: dict[str, Tensor], *, clip: Clip, beta: float, temperature: float, aggregation: Aggregation = "sequence_mean"
) -> Tensor:
    logp, _ = token_log_probs(e["logits"], e["token"], temperature)
    surrogate = clipped_surrogate(log_ratio(logp, e["behavior"]), e["advantage"], clip)
    objective = surrogate.objective_BT - beta * kl_penalty(logp, e["reference"], "k3")
    return -aggregate(objective, e["mask"], aggregation)


@pytest.mark.parametrize("clip", [Clip(0.2, 0.2), Clip(1.0, 1.0), Clip(0.1, 0.4)])
@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean"])
def test_loss_and_gradient_against_the_naive_loop(
    example: dict[str, Tensor], clip: Clip, beta: float, temperature: float, aggregation: Aggregation
) -> None:
    settings = {"clip": clip, "beta": beta, "temperature": temperature, "aggregation": aggregation}
    gradients = []
    values = []
    for function in (lambda e: loss(e, **settings), lambda e: naive_loss(**e, **settings)):
        logits = example["logits"].clone().requires_grad_()
        value = function(example | {"logits": logits})
        value.backward()
        values.append(value.detach())
        gradients.append(logits.grad)
    torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean"])
def test_masked_tokens_have_no_gradient(example: dict[str, Tensor], aggregation: Aggregation) -> None:
    logits = example["logits"].clone().requires_grad_()
    loss(
        example | {"logits": logits}, clip=Clip(0.2, 0.2), beta=0.1, temperature=1.0, aggregation=aggregation
    ).backward()
    assert logits.grad is not None
    assert logits.grad[example["mask"] == 0].abs().max() == 0
    assert logits.grad[example["mask"] == 1].abs().max() > 0


def test_the_gradient_of_the_log_probs_is_right() -> None:
    logits = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    token = torch.tensor([[0, 1, 2], [3, 0, 1]])
    # float32 inside: wide tolerances, but far below the size of the gradient (about 1).
    assert torch.autograd.gradcheck(
        lambda x: token_log_probs(x, token, 0.7)[0], (logits,), eps=1e-2, atol=1e-2, rtol=1e-2
    )


def test_entropy_of_a_uniform_and_of_a_certain_position() -> None:
    logits = torch.tensor([[[0.0, 0.0, 0.0, 0.0], [0.0, -math.inf, -math.inf, -math.inf]]])
    _, entropy = token_log_probs(logits, torch.tensor([[0, 0]]), 1.0)
    torch.testing.assert_close(entropy, torch.tensor([[math.log(4), 0.0]]))


def expected_over_tokens(logits: Tensor, reference: Tensor, estimator: KlEstimator) -> tuple[Tensor, Tensor]:
    """The estimator's value and the gradient of its value as written, both averaged over every token of π_θ."""
    value, gradient = torch.zeros(()), torch.zeros_like(logits)
    for token in range(len(logits)):
        theta = logits.clone().requires_grad_()
        logp = torch.log_softmax(theta, 0)[token]
        estimate = kl_penalty(logp, reference[token], estimator)
        (by_token,) = torch.autograd.grad(estimate, theta)
        value = value + logp.detach().exp() * estimate.detach()
        gradient = gradient + logp.detach().exp() * by_token
    return value, gradient


def exact_kl(logits: Tensor, reference: Tensor, *, reverse: bool) -> tuple[Tensor, Tensor]:
    """KL(π_θ ‖ π_ref), or KL(π_ref ‖ π_θ), and its gradient."""
    theta = logits.clone().requires_grad_()
    logp = torch.log_softmax(theta, 0)
    kl = (reference.exp() * (reference - logp)).sum() if reverse else (logp.exp() * (logp - reference)).sum()
    return kl.detach(), torch.autograd.grad(kl, theta)[0]


def test_kl_estimators_have_the_values_and_gradients_that_are_said_of_them() -> None:
    random = torch.Generator().manual_seed(3)
    logits, other = (torch.randn(7, dtype=torch.float64, generator=random) for _ in range(2))
    reference = torch.log_softmax(other, 0)
    kl, gradient = exact_kl(logits, reference, reverse=False)
    _, gradient_of_reverse = exact_kl(logits, reference, reverse=True)
    assert (gradient - gradient_of_reverse).abs().max() > 0.05, "the two directions must differ for this to say much"
    k1, gradient_1 = expected_over_tokens(logits, reference, "k1")
    k2, gradient_2 = expected_over_tokens(logits, reference, "k2")
    k3, gradient_3 = expected_over_tokens(logits, reference, "k3")
    torch.testing.assert_close(k1, kl)
    torch.testing.assert_close(k3, kl)
    assert abs(k2 - kl) > 0.01
    torch.testing.assert_close(gradient_1, torch.zeros_like(gradient))
    torch.testing.assert_close(gradient_2, gradient)
    torch.testing.assert_close(gradient_3, gradient_of_reverse)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_kl_estimators_against_finite_differences(estimator: KlEstimator) -> None:
    random = torch.Generator().manual_seed(4)
    logp, reference = (torch.randn(5, dtype=torch.float64, generator=random) for _ in range(2))
    assert torch.autograd.gradcheck(lambda x: kl_penalty(x, reference, estimator), (logp.requires_grad_(),))


@pytest.mark.parametrize("estimator", ["k2", "k3"])
def test_kl_is_zero_for_equal_policies_and_positive_otherwise(estimator: KlEstimator) -> None:
    difference = torch.linspace(-3, 3, 13)
    penalty = kl_penalty(difference, torch.zeros(13), estimator)
    assert penalty[6] == 0
    assert (penalty[difference != 0] > 0).all()


def test_a_huge_drift_gives_finite_ratios_and_penalties() -> None:
    logp, other = torch.tensor([[-500.0, 0.0]]), torch.tensor([[0.0, -500.0]])
    surrogate = clipped_surrogate(log_ratio(logp, other), torch.tensor([1.0]), Clip(0.2, 0.2))
    assert torch.isfinite(surrogate.objective_BT).all()
    for estimator in ("k1", "k2", "k3"):
        assert torch.isfinite(kl_penalty(logp, other, estimator)).all()
