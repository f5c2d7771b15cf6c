"""The learner's step on a tiny policy: pieces, proximal log-probs, optimizers, corrections, resume, divergence."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.model.policy import load_policy
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.errors import Diverged
from grpo_worker.train import corrections
from grpo_worker.train.corrections import CORRECTIONS, GAC_COSINE
from grpo_worker.train.learner import Learner, StepMetrics
from tests.conftest import tiny_run

CPU = torch.device("cpu")
PROMPTS, GROUP, LENGTH = 4, 4, 4
BLUNT = {"name": "sgd", "grad_clip": 0.0, "warmup_steps": 0}


def small_run(**fields: Any) -> WorkerConfig:
    """A config of small batches and a policy that is hardly warmed up."""
    sizes = {"prompts_per_batch": PROMPTS, "group_size": GROUP, "max_completion_tokens": LENGTH, "clip_eps": 0.2}
    return tiny_run(**{**sizes, "tiny": {"warmup_steps": 2}, **fields})


def new_learner(cache: Path, **fields: Any) -> Learner:
    config = small_run(**fields)
    return Learner(load_policy(config, cache, CPU), config)


def rollouts(learner: Learner, *, seed: int = 0, stale: float = 0.4, prompts: int = PROMPTS) -> RolloutBatch:
    """Random completions of unequal lengths, as if sampled by a policy that is about ``stale`` nats away."""
    random = torch.Generator().manual_seed(seed)
    count = prompts * GROUP
    shape = (count, LENGTH)
    lengths = torch.randint(1, LENGTH + 1, (count,), generator=random)
    mask = (torch.arange(LENGTH) < lengths[:, None]).float()
    nothing = torch.zeros(shape)
    batch = RolloutBatch(
        prompt_BS=torch.randint(2, 12, (prompts, 6), generator=random).repeat_interleave(GROUP, 0),
        prompt_mask_BS=torch.ones(count, 6, dtype=torch.long),
        token_BT=torch.randint(2, 12, shape, generator=random), mask_BT=mask,
        behavior_logp_BT=nothing, proximal_logp_BT=nothing + math.nan, reference_logp_BT=nothing.clone(),
        version_BT=torch.zeros(shape, dtype=torch.long), reward_B=torch.zeros(count),
        advantage_B=torch.randn(count, generator=random),
    )  # fmt: skip
    logp = log_probs(learner, batch)
    batch.behavior_logp_BT.copy_(logp + stale * torch.randn(shape, generator=random))
    batch.reference_logp_BT.copy_(logp + 0.3 * torch.randn(shape, generator=random))
    return batch


@torch.no_grad()
def log_probs(learner: Learner, batch: RolloutBatch) -> Tensor:
    return learner.policy.completion_log_probs(batch, learner.config.temperature, GROUP)[0]


def gradient(learner: Learner, batch: RolloutBatch) -> Tensor:
    learner.parameters.grad_N.zero_()
    learner._backward(batch)
    return learner.parameters.grad_N.clone()


@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean"])
@pytest.mark.parametrize("correction", sorted(CORRECTIONS))
def test_a_minibatch_in_pieces_gives_the_same_gradient(policy_cache: Path, correction: str, aggregation: str) -> None:
    fields = {"correction": correction, "loss_aggregation": aggregation, "kl_coef": 0.1}
    whole, pieces = (new_learner(policy_cache, **fields, prompts_per_forward=n) for n in (None, 3))
    batch, same = (rollouts(learner) for learner in (whole, pieces))
    for behind in (None, 0.5):  # at the first consumption, and with π_old elsewhere
        if behind:
            for b in (batch, same):
                b.proximal_logp_BT.add_(
                    behind * torch.randn(batch.mask_BT.shape, generator=torch.Generator().manual_seed(9))
                )
        one, other = gradient(whole, batch), gradient(pieces, same)
        assert one.norm() > 1e-3
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)
    metrics, again = whole.step(batch), pieces.step(same)
    for name in StepMetrics.__slots__:
        if not name.startswith("cosine"):  # not defined at the first step
            assert getattr(again, name) == pytest.approx(getattr(metrics, name), rel=1e-4, abs=1e-6), name


def test_the_aggregations_differ(policy_cache: Path) -> None:
    learners = [new_learner(policy_cache, loss_aggregation=how) for how in ("sequence_mean", "token_mean")]
    one, other = (gradient(learner, rollouts(learner)) for learner in learners)
    assert (one - other).norm() > 0.01 * one.norm()


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_the_kl_term_pulls_with_the_gradient_of_its_estimator(policy_cache: Path, estimator: str) -> None:
    learner = new_learner(policy_cache, kl_coef=0.7, kl_estimator=estimator)
    batch = rollouts(learner)
    batch.advantage_B.zero_()
    logp, _ = learner.policy.completion_log_probs(batch, 1.0, GROUP)
    difference = logp - batch.reference_logp_BT
    penalty = {"k1": difference, "k2": difference**2 / 2, "k3": torch.exp(-difference) - 1 + difference}[estimator]
    learner.parameters.grad_N.zero_()
    torch.autograd.backward(0.7 * ((penalty * batch.mask_BT).sum(1) / batch.mask_BT.sum(1)).mean())
    expected = learner.parameters.grad_N.clone()
    assert expected.norm() > 0.01
    torch.testing.assert_close(gradient(learner, batch), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("prompts_per_forward", [None, 1])
def test_proximal_log_probs_are_those_of_the_first_consumption(
    policy_cache: Path, prompts_per_forward: int | None
) -> None:
    learner = new_learner(policy_cache, eta=0.05, prompts_per_forward=prompts_per_forward)
    batch = rollouts(learner, prompts=2 * PROMPTS)
    first, second = batch.parts(PROMPTS * GROUP)
    expected = log_probs(learner, first)
    learner.step(first)
    assert batch.proximal_logp_BT[len(first) :].isnan().all(), "the part that no step has consumed yet"
    torch.testing.assert_close(batch.proximal_logp_BT[: len(first)], expected)
    filled = batch.proximal_logp_BT[: len(first)].clone()
    later = log_probs(learner, second)
    learner.step(second)
    learner.step(first)
    torch.testing.assert_close(batch.proximal_logp_BT[len(first) :], later)
    assert torch.equal(batch.proximal_logp_BT[: len(first)], filled)
    assert (log_probs(learner, first) - filled).abs().max() > 0.01, "the learner must have moved meanwhile"


def moved(learner: Learner, batch: RolloutBatch) -> tuple[Tensor, StepMetrics]:
    before = learner.parameters.snapshot()
    metrics = learner.step(batch)
    return learner.parameters.theta_N.detach() - before, metrics


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("grad_clip", [0.0, 0.05])
def test_sgd_applies_the_clipped_gradient_and_decays_the_weights(
    policy_cache: Path, grad_clip: float, weight_decay: float
) -> None:
    learner = new_learner(
        policy_cache, eta=0.1,
        optimizer={**BLUNT, "grad_clip": grad_clip, "weight_decay": weight_decay, "warmup_steps": 4},
    )  # fmt: skip
    for step in range(5):
        batch = rollouts(learner, seed=step)
        raw, theta = gradient(learner, batch), learner.parameters.snapshot()
        assert raw.norm() > 0.1
        update, metrics = moved(learner, batch)
        factor = min(1.0, grad_clip / float(raw.norm())) if grad_clip else 1.0
        eta = 0.1 * min(1.0, (step + 1) / 4)
        torch.testing.assert_close(update, -eta * (factor * raw + weight_decay * theta), rtol=1e-3, atol=1e-7)
        assert metrics.gradient_norm == pytest.approx(float(raw.norm()), rel=1e-5), "the norm before clipping"


def test_adamw_by_hand(policy_cache: Path) -> None:
    """Its moments, their correction for starting at zero, ε outside the root, and decay apart from the gradient."""
    beta1, beta2, eps, decay, eta = 0.6, 0.9, 0.01, 0.3, 0.02
    settings = {"name": "adamw", "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": decay}
    learner = new_learner(policy_cache, eta=eta, optimizer={**BLUNT, **settings})
    first, second = torch.zeros(()), torch.zeros(())
    for step in range(1, 4):
        batch = rollouts(learner, seed=step)
        raw, theta = gradient(learner, batch), learner.parameters.snapshot()
        first, second = beta1 * first + (1 - beta1) * raw, beta2 * second + (1 - beta2) * raw**2
        direction = (first / (1 - beta1**step)) / ((second / (1 - beta2**step)).sqrt() + eps)
        update, _ = moved(learner, batch)
        torch.testing.assert_close(update, -eta * (direction + decay * theta), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_normalized_sgd_steps_by_the_learning_rate(policy_cache: Path, weight_decay: float) -> None:
    optimizer = {"name": "normalized_sgd", "warmup_steps": 3, "weight_decay": weight_decay, "grad_clip": 1e-3}
    learner = new_learner(policy_cache, eta=0.05, optimizer=optimizer)
    for step in range(5):
        batch = rollouts(learner, seed=step)
        direction = gradient(learner, batch)
        direction *= 1e-3 / direction.norm()  # clipping comes first, as for every optimizer
        direction += weight_decay * learner.parameters.snapshot()
        update, metrics = moved(learner, batch)
        eta = 0.05 * min(1.0, (step + 1) / 3)
        assert metrics.update_norm == pytest.approx(eta, rel=1e-4)
        torch.testing.assert_close(update, -eta * direction / direction.norm(), rtol=1e-2, atol=1e-7)
    assert learner.path_length == pytest.approx(0.05 * (1 / 3 + 2 / 3 + 3), rel=1e-4)


@pytest.mark.parametrize("name", ["adamw", "sgd", "normalized_sgd"])
@pytest.mark.parametrize("correction", ["none", "gac", "vcpo", "m2po", "cispo"])
def test_a_batch_without_advantages_leaves_everything_defined(policy_cache: Path, name: str, correction: str) -> None:
    learner = new_learner(policy_cache, optimizer={"name": name}, correction=correction)
    batch, empty = rollouts(learner), rollouts(learner, seed=1)
    empty.advantage_B.zero_()
    for number, consumed in enumerate([empty, empty, batch, empty, batch]):
        metrics = learner.step(consumed)
        numbers = [v for v in map(metrics.__getattribute__, StepMetrics.__slots__) if v is not None]
        assert all(map(math.isfinite, numbers))
        assert (metrics.gradient_norm == 0) == (consumed is empty)
        assert metrics.cosine_gradient is None, "this gradient or the one before is zero"
        if consumed is empty and (name != "adamw" or number < 2):
            assert metrics.update_norm == 0
    assert learner.steps == 5


def test_eta_over_k_divides_the_update_by_k(policy_cache: Path) -> None:
    plain, scaled = (
        new_learner(policy_cache, k=8, eta=0.1, optimizer=BLUNT, correction=c) for c in ("none", "eta_over_k")
    )
    one, _ = moved(plain, rollouts(plain))
    other, _ = moved(scaled, rollouts(scaled))
    torch.testing.assert_close(8 * other, one, rtol=1e-2, atol=1e-6)


def test_vcpo_scales_the_update_by_the_root_of_the_effective_sample_size(policy_cache: Path) -> None:
    plain, scaled = (new_learner(policy_cache, eta=0.1, optimizer=BLUNT, correction=c) for c in ("none", "vcpo"))
    one, _ = moved(plain, rollouts(plain))
    other, metrics = moved(scaled, rollouts(scaled))
    assert 0.2 < metrics.ess_sequence < 0.9
    torch.testing.assert_close(other, one * metrics.ess_sequence**0.5, rtol=1e-3, atol=1e-6)


def test_gac_shrinks_what_lies_along_the_previous_gradient(policy_cache: Path) -> None:
    learner = new_learner(policy_cache, eta=0.01, optimizer=BLUNT, correction="gac")
    batch = rollouts(learner)
    first = gradient(learner, batch)
    update, _ = moved(learner, batch)
    torch.testing.assert_close(update, -0.01 * first, rtol=1e-2, atol=1e-7)
    second = gradient(learner, batch)
    along = float(second @ first / (first.norm() * second.norm()))
    assert along > 0.6, "the same batch again: nearly the same gradient"
    update, metrics = moved(learner, batch)
    assert metrics.cosine_gradient == pytest.approx(along, rel=1e-4), "of the raw gradients"
    unit = first / first.norm()
    across = second - along * second.norm() * unit
    torch.testing.assert_close(
        update / -0.01, across + GAC_COSINE * second.norm() * unit, rtol=1e-2, atol=1e-4 * float(second.norm())
    )
    # The next step compares with the raw second gradient, not with what was applied.
    third = gradient(learner, batch)
    raw = float(third @ second / (third.norm() * second.norm()))
    assert learner.step(batch).cosine_gradient == pytest.approx(raw, rel=1e-4)


def test_gac_changes_nothing_below_its_cosine(policy_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "GAC_COSINE", 0.5)
    plain, controlled = (new_learner(policy_cache, eta=1e-3, correction=c) for c in ("none", "gac"))
    for seed in range(4):
        metrics = plain.step(rollouts(plain, seed=seed))
        controlled.step(rollouts(controlled, seed=seed))
        assert metrics.cosine_gradient is None or metrics.cosine_gradient < 0.5
    assert torch.equal(plain.parameters.theta_N, controlled.parameters.theta_N)


def test_gac_clips_the_gradient_that_it_leaves(policy_cache: Path) -> None:
    learner = new_learner(policy_cache, eta=0.01, optimizer={**BLUNT, "grad_clip": 0.1}, correction="gac")
    batch = rollouts(learner)
    for _ in range(3):
        _, metrics = moved(learner, batch)
        assert metrics.gradient_norm > 0.2
        assert metrics.update_norm == pytest.approx(0.01 * 0.1, rel=1e-2)


@pytest.mark.parametrize("name", ["adamw", "sgd", "normalized_sgd"])
@pytest.mark.parametrize("correction", ["none", "gac", "vcpo", "tis"])
def test_a_restored_learner_goes_on_with_the_same_bits(policy_cache: Path, name: str, correction: str) -> None:
    fields = {"optimizer": {"name": name, "warmup_steps": 5}, "correction": correction, "eta": 0.01}
    whole = new_learner(policy_cache, **fields)
    batches = [rollouts(whole, seed=seed) for seed in (0, 1)]
    for _ in range(3):
        whole.step(batches[0])
    file = io.BytesIO()
    torch.save(whole.state(), file)
    file.seek(0)
    resumed = new_learner(policy_cache, **fields)
    resumed.restore(torch.load(file, weights_only=True))
    assert (resumed.steps, resumed.path_length) == (3, whole.path_length)
    assert torch.equal(resumed.parameters.theta_N, whole.parameters.theta_N)
    for batch in (batches[0], batches[1], batches[1]):
        copy = RolloutBatch(*(getattr(batch, field).clone() for field in RolloutBatch.__slots__))
        assert resumed.step(copy) == whole.step(batch)
        assert torch.equal(resumed.parameters.theta_N, whole.parameters.theta_N)
    assert resumed.drifts() == whole.drifts()
    assert min(whole.drifts()) > 0
    assert next(iter(resumed.weights().values())).untyped_storage().data_ptr() == (
        resumed.parameters.theta_N.untyped_storage().data_ptr()
    ), "the model must still read the restored vector"


@pytest.mark.parametrize("where", ["loss", "gradient", "update"])
@pytest.mark.parametrize("name", ["adamw", "sgd", "normalized_sgd"])
def test_what_is_not_finite_ends_the_run_and_names_the_step(
    policy_cache: Path, monkeypatch: pytest.MonkeyPatch, where: str, name: str
) -> None:
    learner = new_learner(policy_cache, optimizer={"name": name})
    batch = rollouts(learner)
    learner.step(batch)
    if where == "loss":
        batch.advantage_B[3] = math.nan
    elif where == "gradient":
        weights = next(p for n, p in learner.policy.model.named_parameters() if "up_proj" in n)
        weights.register_hook(lambda gradient: gradient * math.inf)
    else:  # a weight that this batch does not use: it has no gradient, and no loss sees it
        embedding = learner.weights()["model.embed_tokens.weight"]
        unused = set(range(14)) - set(batch.token_BT.flatten().tolist()) - set(batch.prompt_BS.flatten().tolist())
        embedding[max(unused), 0] = math.nan
    with pytest.raises(Diverged, match=f"the {where} is not finite at learner step 1") as caught:
        learner.step(batch)
    assert (caught.value.learner_step, learner.steps) == (1, 1)


@pytest.mark.parametrize("correction", ["tis", "decoupled", "none"])
def test_a_nan_among_the_stored_log_probs_is_seen(policy_cache: Path, correction: str) -> None:
    learner = new_learner(policy_cache, correction=correction)
    batch = rollouts(learner)
    batch.behavior_logp_BT[2, 0] = math.nan
    with pytest.raises(Diverged, match="the loss is not finite at learner step 0"):
        learner.step(batch)


def test_clip_fractions_follow_the_correction_and_both_eps(policy_cache: Path) -> None:
    seen = {}
    for correction in ("none", "cispo", "gspo", "tis"):
        learner = new_learner(policy_cache, correction=correction, clip_eps=0.1, clip_eps_high=0.5)
        batch = rollouts(learner)
        seen[correction] = learner.step(batch)
        ratio = (batch.proximal_logp_BT - batch.behavior_logp_BT).exp()
        advantage, kept = batch.advantage_B[:, None], batch.mask_BT > 0
        if correction == "none":
            low, high = (ratio < 0.9) & (advantage < 0) & kept, (ratio > 1.5) & (advantage > 0) & kept
            assert seen[correction].clip_fraction_low == pytest.approx(float(low.sum() / kept.sum())) != 0
            assert seen[correction].clip_fraction_high == pytest.approx(float(high.sum() / kept.sum())) != 0
    for correction in ("cispo", "tis"):  # cispo clips no gradient; at first consumption π_θ/π_old is 1
        assert (seen[correction].clip_fraction_low, seen[correction].clip_fraction_high) == (0, 0)
    assert seen["gspo"].clip_fraction_low + seen["gspo"].clip_fraction_high > 0.3
