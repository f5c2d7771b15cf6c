"""One learner step: the clipped surrogate on a minibatch, clipped gradient, AdamW; and what the step measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from grpo_worker.batches import RolloutBatch
from grpo_worker.config import WorkerConfig
from grpo_worker.diagnostics import clip_fractions, cosine, effective_sample_size
from grpo_worker.errors import Diverged
from grpo_worker.objective import clipped_surrogate, kl_k3, log_ratio, sequence_mean
from grpo_worker.policy import FlatParameters, Policy


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """What one learner step measured; names as in `grpo_worker.records.SyncRecord`."""

    gradient_norm: float
    update_norm: float
    cosine_gradient: float | None
    cosine_update: float | None
    ratio_mean: float
    ratio_max: float
    clip_fraction_low: float
    clip_fraction_high: float
    kl_behavior: float
    kl_reference: float
    ess_token: float
    ess_sequence: float
    entropy: float
    abs_log_ratio: float


class Learner:
    """Holds the policy that is trained, its optimizer, and the previous step's gradient and update.

    Args:
        policy: The policy; its parameters become views of one vector.
        config: The run's config.
    """

    def __init__(self, policy: Policy, config: WorkerConfig) -> None:
        self.policy, self.config = policy, config
        self.parameters = FlatParameters(policy.model)
        self.start_N = self.parameters.snapshot()
        self.steps = 0
        self.path_length = 0.0
        self.previous_gradient_N: Tensor | None = None
        self.previous_update_N: Tensor | None = None
        o = config.optimizer
        self.optimizer = torch.optim.AdamW(
            [self.parameters.theta_N],
            lr=config.eta,
            betas=(o.beta1, o.beta2),
            eps=o.eps,
            weight_decay=o.weight_decay,
        )

    def step(self, batch: RolloutBatch) -> StepMetrics:
        """Apply one learner step and count it.

        Raises:
            Diverged: The loss, the gradient or the updated weights are not finite.
        """
        grad_N = self.parameters.grad_N
        grad_N.zero_()
        logp_BT, entropy_BT = self._backward(batch)
        gradient_norm = float(grad_N.norm())
        self._require_finite(gradient_norm, "the gradient")
        gradient_cosine = self._compare("previous_gradient_N", grad_N.clone())

        before_N = self.parameters.snapshot()
        self._clip(gradient_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.eta * min(1.0, (self.steps + 1) / max(self.config.optimizer.warmup_steps, 1))
        self.optimizer.step()
        update_N = self.parameters.theta_N.detach() - before_N
        update_norm = float(update_N.norm())
        self._require_finite(update_norm, "the update")
        update_cosine = self._compare("previous_update_N", update_N)
        self.path_length += update_norm
        self.steps += 1
        return StepMetrics(
            gradient_norm=gradient_norm, update_norm=update_norm,
            cosine_gradient=gradient_cosine, cosine_update=update_cosine,
            **_policy_metrics(batch, logp_BT, entropy_BT, self.config.clip_eps),
        )  # fmt: skip

    def _backward(self, batch: RolloutBatch) -> tuple[Tensor, Tensor]:
        """Accumulate the gradient of the loss; returns log-probs and entropies, both without graph."""
        group_size, prompts = self.config.group_size, self.config.prompts_per_forward
        size = prompts * group_size if prompts else len(batch)
        logp_parts, entropy_parts = [], []
        for part in batch.parts(size):
            logp_BT, entropy_BT = self.policy.completion_log_probs(part, self.config.temperature, group_size)
            loss = self.loss(part, logp_BT) * (len(part) / len(batch))
            self._require_finite(loss.item(), "the loss")
            torch.autograd.backward(loss)
            logp_parts.append(logp_BT.detach())
            entropy_parts.append(entropy_BT)
        return torch.cat(logp_parts), torch.cat(entropy_parts)

    def loss(self, batch: RolloutBatch, logp_BT: Tensor) -> Tensor:
        """−J of eq. (3): clipped surrogate minus β times the KL to the reference policy, as a sequence mean."""
        config = self.config
        ratio = log_ratio(logp_BT, batch.behavior_logp_BT)
        objective_BT = clipped_surrogate(ratio, batch.advantage_B, config.clip_eps)
        if config.kl_coef:
            objective_BT = objective_BT - config.kl_coef * kl_k3(log_ratio(logp_BT, batch.reference_logp_BT))
        return -sequence_mean(objective_BT, batch.mask_BT)

    def weights(self) -> dict[str, Tensor]:
        """The trainable parameters by name, for a weight sync: live views of θ."""
        return {name: p.detach() for name, p in self.policy.model.named_parameters() if p.requires_grad}

    def drift_from_start(self) -> float:
        """‖θ − θ_0‖."""
        return self.distance(self.start_N)

    def distance(self, other_N: Tensor) -> float:
        """‖θ − other‖."""
        return float((self.parameters.theta_N.detach() - other_N).norm())

    @torch.no_grad()
    def engine_gap(self, version_N: Tensor, batch: RolloutBatch) -> float:
        """Mean |log-prob of the sampler − of the learner| on the first group, under the weights that sampled it.

        Args:
            version_N: θ of the version that sampled the batch; θ is put back before this returns.
            batch: Any rollout batch of that version.
        """
        group = next(batch.parts(self.config.group_size))
        theta_N, now_N = self.parameters.theta_N.data, self.parameters.snapshot()
        theta_N.copy_(version_N)
        logp_BT, _ = self.policy.completion_log_probs(group, self.config.temperature, self.config.group_size)
        theta_N.copy_(now_N)
        kept_BT = group.mask_BT > 0
        return float(log_ratio(logp_BT, group.behavior_logp_BT)[kept_BT].abs().mean())

    def _clip(self, gradient_norm: float) -> None:
        bound = self.config.optimizer.grad_clip
        if bound and gradient_norm > bound:
            self.parameters.grad_N.mul_(bound / gradient_norm)

    def _compare(self, name: str, vector_N: Tensor) -> float | None:
        """Cosine with the previous step's vector, which this one replaces."""
        previous_N = getattr(self, name)
        setattr(self, name, vector_N)
        return None if previous_N is None else cosine(vector_N, previous_N)

    def _require_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise Diverged(what, self.steps)


@torch.no_grad()
def _policy_metrics(batch: RolloutBatch, logp_BT: Tensor, entropy_BT: Tensor, clip_eps: float) -> dict[str, float]:
    kept_BT = batch.mask_BT > 0
    ratio_BT = log_ratio(logp_BT, batch.behavior_logp_BT)
    to_reference = log_ratio(logp_BT, batch.reference_logp_BT)
    ratio_N = ratio_BT[kept_BT]
    low, high = clip_fractions(ratio_BT, batch.advantage_B, batch.mask_BT, clip_eps)
    return {
        "ratio_mean": float(ratio_N.exp().mean()),
        "ratio_max": float(ratio_N.max().exp()),
        "clip_fraction_low": low,
        "clip_fraction_high": high,
        "kl_behavior": float((torch.expm1(ratio_N) - ratio_N).mean()),
        "kl_reference": float(kl_k3(to_reference)[kept_BT].mean()),
        "ess_token": effective_sample_size(ratio_N),
        "ess_sequence": effective_sample_size(ratio_BT.where(kept_BT, 0.0).sum(1)),
        "entropy": float(entropy_BT[kept_BT].mean()),
        "abs_log_ratio": float(ratio_N.abs().mean()),
    }
