"""The objective against a hand-computed example and against a naive loop; gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from grpo_worker.objective import (
    clipped_surrogate,
    group_advantages,
    kl_k3,
    log_ratio,
    sequence_mean,
    token_log_probs,
)


def test_advantages_by_hand() -> None:
    # Rewards 1, 0, 0, 1: mean 1/2, sample standard deviation sqrt(1/3).
    advantage = group_advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), divide_by_std=True)
    expected = 0.5 / (math.sqrt(1 / 3) + 1e-4)
    torch.testing.assert_close(advantage, torch.tensor([[expected, -expected, -expected, expected]]))


def test_a_group_of_equal_rewards_has_no_advantage() -> None:
    assert group_advantages(torch.ones(2, 4), divide_by_std=True).abs().max() == 0
    assert group_advantages(torch.ones(2, 4), divide_by_std=False).abs().max() == 0


def test_advantages_do_not_mix_groups() -> None:
    reward = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(group_advantages(reward, divide_by_std=False), torch.tensor([[0.5, -0.5], [0.0, 0.0]]))


def test_loss_by_hand() -> None:
    # Two sequences, ε = 0.2. Sequence 0, A = 1: ratios 1.5 (clipped to 1.2) and 0.5 (not clipped): mean 0.85.
    # Sequence 1, A = −1, one token: ratio 0.5 is clipped to 0.8, min(−0.5, −0.8) = −0.8.
    ratio = torch.tensor([[1.5, 0.5], [0.5, 9.0]])
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    objective = clipped_surrogate(ratio.log(), torch.tensor([1.0, -1.0]), 0.2)
    assert sequence_mean(objective, mask).item() == pytest.approx((0.85 - 0.8) / 2)


def naive_loss(
    logits: Tensor, token: Tensor, mask: Tensor, behavior: Tensor, reference: Tensor, advantage: Tensor, *,
    eps: float, beta: float, temperature: float,
) -> Tensor:  # fmt: skip
    """−J written token by token from eqs. (2) and (3)."""
    total = torch.zeros(())
    for i in range(len(token)):
        terms = []
        for t in range(token.shape[1]):
            if mask[i, t] == 0:
                continue
            scaled = logits[i, t] / temperature
            logp = scaled[token[i, t]] - torch.logsumexp(scaled, dim=0)
            rho = torch.exp(logp - behavior[i, t])
            clipped = min(max(rho, torch.tensor(1 - eps)), torch.tensor(1 + eps))
            inverse = torch.exp(reference[i, t] - logp)
            kl = inverse - 1 - torch.log(inverse)
            terms.append(min(rho * advantage[i], clipped * advantage[i]) - beta * kl)
        total = total + sum(terms) / len(terms)
    return -total / len(token)


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


def loss(e: dict[str, Tensor], *, eps: float, beta: float, temperature: float) -> Tensor:
    logp, _ = token_log_probs(e["logits"], e["token"], temperature)
    objective = clipped_surrogate(log_ratio(logp, e["behavior"]), e["advantage"], eps)
    return -sequence_mean(objective - beta * kl_k3(log_ratio(logp, e["reference"])), e["mask"])


@pytest.mark.parametrize("eps", [0.2, 1.0])
@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_loss_and_gradient_against_the_naive_loop(
    example: dict[str, Tensor], eps: float, beta: float, temperature: float
) -> None:
    gradients = []
    values = []
    for function in (
        lambda e: loss(e, eps=eps, beta=beta, temperature=temperature),
        lambda e: naive_loss(**e, eps=eps, beta=beta, temperature=temperature),
    ):
        logits = example["logits"].clone().requires_grad_()
        value = function(example | {"logits": logits})
        value.backward()
        values.append(value.detach())
        gradients.append(logits.grad)
    torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_masked_tokens_have_no_gradient(example: dict[str, Tensor]) -> None:
    logits = example["logits"].clone().requires_grad_()
    loss(example | {"logits": logits}, eps=0.2, beta=0.1, temperature=1.0).backward()
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


def test_a_huge_drift_gives_finite_ratios_and_penalties() -> None:
    far = log_ratio(torch.tensor([[-500.0, 0.0]]), torch.tensor([[0.0, -500.0]]))
    assert torch.isfinite(clipped_surrogate(far, torch.tensor([1.0]), 0.2)).all()
    assert torch.isfinite(kl_k3(far)).all()


def test_kl_is_zero_for_equal_policies_and_positive_otherwise() -> None:
    difference = torch.linspace(-3, 3, 13)
    penalty = kl_k3(difference)
    assert penalty[6] == 0
    assert (penalty[difference != 0] > 0).all()
