"""One learner step: the objective on a minibatch, its gradient, one update, and the metrics of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.model.policy import FlatParameters, Policy
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.errors import Diverged
from grpo_worker.train.corrections import CORRECTIONS, clip_interval, gac_removed_share, learning_rate_factor
from grpo_worker.train.diagnostics import cosine, policy_metrics
from grpo_worker.train.objective import Clip, Surrogate, aggregate, kl_penalty, log_ratio
from grpo_worker.train.optimizers import make_optimizer, warmed_up

_PIECE = 2**20  # a CPU adds float32 numbers one after the other: the norm of 1e8 at once would be 2 % too small
_GPU_PIECE = 2**30  # a GPU adds them up in a tree, which is exact enough; its dot product takes at most 2³¹ numbers

_VECTORS = ("cycle_start_N", "previous_cycle_start_N", "previous_gradient_N", "previous_update_N")


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """The metrics of one learner step, named as in `grpo_worker.schema.records.SyncRecord`.

    Attributes:
        cosine_gradient: Cosine of this step's raw gradient and the previous step's; None where it is not defined.
        cosine_update: Likewise for the applied updates.
        abs_log_ratio: Mean |log π_θ − log μ| per token before the update.
    """

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


class Forward(NamedTuple):
    """Results of the forward pass of a minibatch, detached from the graph; names as in `Surrogate`."""

    loss: Tensor
    logp_BT: Tensor
    entropy_BT: Tensor
    low_BT: Tensor
    high_BT: Tensor


class Learner:
    """Holds the policy that is trained, its optimizer, and the previous step's gradient and update.

    `grpo_worker.train.sharded.ShardedLearner`, which runs in several processes, overrides ``parameters_type``, `norm`,
    `dot`, `share`, `_pieces` and `_gathered`.

    Args:
        policy: The policy. Its parameters become views of one vector.
        config: The run's config.
    """

    parameters_type = FlatParameters

    def __init__(self, policy: Policy, config: WorkerConfig) -> None:
        self.policy, self.config = policy, config
        self.parameters = self.parameters_type(policy.model)
        self.start_N = self.parameters.snapshot()
        self.cycle_start_N = self.start_N
        self.previous_cycle_start_N: Tensor | None = None
        self.steps = 0
        self.path_length = 0.0
        self.previous_gradient_N: Tensor | None = None
        self.previous_update_N: Tensor | None = None
        self.optimizer = make_optimizer(self.parameters.theta_N, config, self.norm)

    def step(self, batch: RolloutBatch) -> StepMetrics:
        """Apply one learner step and count it.

        Args:
            batch: The minibatch. The learner fills in its ``proximal_logp_BT`` where that is still NaN.

        Raises:
            Diverged: The loss, the gradient or the update is not finite. The step does not count.
        """
        grad_N = self.parameters.grad_N
        grad_N.zero_()
        forward = self._backward(batch)
        loss, *against_previous = _floats([forward.loss, *self._compared(grad_N, self.previous_gradient_N)])
        self._require_finite(loss, "the loss")
        gradient_norm, gradient_cosine = against_previous[0], cosine(*against_previous)
        self._require_finite(gradient_norm, "the gradient")
        metrics = policy_metrics(batch, *forward[1:])

        before_N = self.parameters.snapshot()
        self._regulate_gradient(gradient_norm, gradient_cosine)
        factor = learning_rate_factor(self.config, lambda: float(metrics["ess_sequence"]))
        for group in self.optimizer.param_groups:
            group["lr"] = warmed_up(self.config, self.steps) * factor
        self.optimizer.step()
        self.parameters.to_model()
        update_N = torch.sub(self.parameters.theta_N.detach(), before_N, out=before_N)
        measured = _floats([*self._compared(update_N, self.previous_update_N), *metrics.values()])
        update_norm = measured[0]
        self._require_finite(update_norm, "the update")
        self.previous_update_N = update_N
        self.path_length += update_norm
        self.steps += 1
        return StepMetrics(
            gradient_norm=gradient_norm, update_norm=update_norm,
            cosine_gradient=gradient_cosine, cosine_update=cosine(*measured[:3]),
            **dict(zip(metrics, measured[3:], strict=True)),
        )  # fmt: skip

    def _backward(self, batch: RolloutBatch) -> Forward:
        """Accumulate the gradient of the loss, ``prompts_per_forward`` prompts at a time."""
        pieces = self._pieces(batch)
        clip: Clip | None = None
        done: list[Forward] = []
        for piece in pieces:
            logp_BT, entropy_BT = self._log_probs(piece)
            now_BT, proximal_BT = logp_BT.detach(), piece.proximal_logp_BT
            proximal_BT.copy_(now_BT.where(proximal_BT.isnan(), proximal_BT))
            if clip is None:
                whole = partial(self._whole_log_probs, pieces, now_BT)
                clip = clip_interval(self.config, batch, whole)
            surrogate = CORRECTIONS[self.config.correction](logp_BT, piece, clip)
            loss = self.loss(piece, logp_BT, surrogate) * self.share(piece, batch)
            torch.autograd.backward(loss)
            done.append(Forward(loss.detach(), now_BT, entropy_BT, surrogate.low_BT, surrogate.high_BT))
        losses, *others = zip(*done, strict=True)
        loss = self._gathered(torch.stack(losses).sum().unsqueeze(0)).mean()
        return Forward(loss, *(self._gathered(torch.cat(parts)) for parts in others))

    def _pieces(self, batch: RolloutBatch) -> list[RolloutBatch]:
        """The parts of a minibatch that this process passes through the model one after the other."""
        prompts = self.config.prompts_per_forward
        return list(batch.parts(prompts * self.config.group_size if prompts else len(batch)))

    def _gathered(self, value: Tensor) -> Tensor:
        """Join the values of all processes along the first axis."""
        return value

    def loss(self, batch: RolloutBatch, logp_BT: Tensor, surrogate: Surrogate) -> Tensor:
        """−J of eq. (3): the surrogate minus β times the KL to the reference policy, aggregated over the tokens."""
        config, objective_BT = self.config, surrogate.objective_BT
        if config.kl_coef:
            penalty_BT = kl_penalty(logp_BT, batch.reference_logp_BT, config.kl_estimator)
            objective_BT = objective_BT - config.kl_coef * penalty_BT
        return -aggregate(objective_BT, batch.mask_BT, config.loss_aggregation)

    def share(self, piece: RolloutBatch, batch: RolloutBatch) -> Tensor | float:
        """Weight of a piece's loss in the loss of the whole minibatch."""
        if self.config.loss_aggregation == "token_mean":
            return piece.mask_BT.sum() / batch.mask_BT.sum()
        return len(piece) / len(batch)

    def norm(self, vector_N: Tensor) -> Tensor:
        """Euclidean norm of a vector over all parameters, in float32."""
        pieces = [torch.linalg.vector_norm(piece, dtype=torch.float32) for piece in _split(vector_N)]
        norm: Tensor = torch.linalg.vector_norm(torch.stack(pieces))
        return norm

    def dot(self, a_N: Tensor, b_N: Tensor) -> Tensor:
        """Dot product of two vectors over all parameters, in float32."""
        pieces = zip(_split(a_N.float()), _split(b_N.float()), strict=True)
        return torch.stack([torch.dot(a, b) for a, b in pieces]).sum()

    def weights(self) -> dict[str, Tensor]:
        """The trainable parameters by name, for a weight sync: not copies, in the model's dtype."""
        return {name: p.detach() for name, p in self.policy.model.named_parameters() if p.requires_grad}

    def sampling_policy(self) -> Policy:
        """The policy as it is now, to sample from. The caller must not change it."""
        return self.policy

    def begin_cycle(self) -> None:
        """Remember θ at a weight sync; for ``overlap`` also θ at the one before, which sampled the cycle's batch."""
        self.previous_cycle_start_N = self.cycle_start_N if self.config.pipeline == "overlap" else None
        self.cycle_start_N = self.parameters.snapshot()

    def drifts(self) -> tuple[float, float]:
        """‖θ − θ_0‖ and ‖θ − θ at the last weight sync‖."""
        theta_N = self.parameters.theta_N.detach()
        from_start, in_cycle = _floats([self.norm(theta_N - self.start_N), self.norm(theta_N - self.cycle_start_N)])
        return from_start, in_cycle

    def state(self) -> dict[str, Any]:
        """All that an exact resume needs, for ``torch.save`` before the next step: the tensors are not copies."""
        return {
            "theta": self.parameters.theta_N.detach(), "optimizer": self.optimizer.state_dict(),
            "steps": self.steps, "path_length": self.path_length,
            **{name: getattr(self, name) for name in _VECTORS},
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned, on this learner's device."""
        device = self.start_N.device
        self.parameters.assign(state["theta"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps, self.path_length = state["steps"], state["path_length"]
        for name in _VECTORS:
            setattr(self, name, None if state[name] is None else state[name].to(device))

    @torch.no_grad()
    def engine_gap(self, batch: RolloutBatch) -> float:
        """Mean |log-prob of the sampler − log-prob of the learner| per token, under the weights of the previous cycle.

        Args:
            batch: A rollout batch that those weights sampled; its first group is compared.
        """
        assert self.previous_cycle_start_N is not None, "only `overlap` consumes such batches"
        group = next(batch.parts(self.config.group_size))
        now_N = self.parameters.snapshot()
        self.parameters.assign(self.previous_cycle_start_N)
        logp_BT, _ = self._log_probs(group)
        self.parameters.assign(now_N)
        kept_BT = group.mask_BT > 0
        return float(log_ratio(logp_BT, group.behavior_logp_BT)[kept_BT].abs().mean())

    def _log_probs(self, batch: RolloutBatch) -> tuple[Tensor, Tensor]:
        return self.policy.completion_log_probs(batch, self.config.temperature, self.config.group_size)

    @torch.no_grad()
    def _whole_log_probs(self, pieces: Sequence[RolloutBatch], first_BT: Tensor) -> Tensor:
        """Log-probs of a whole minibatch before the update, given those of its first piece."""
        return self._gathered(torch.cat([first_BT, *(self._log_probs(piece)[0] for piece in pieces[1:])]))

    def _regulate_gradient(self, norm: float, gradient_cosine: float | None) -> None:
        """Remember the raw gradient, then apply ``gac`` and the clipping of its norm."""
        grad_N, previous_N = self.parameters.grad_N, self.previous_gradient_N
        self.previous_gradient_N = grad_N.clone()
        removed = gac_removed_share(gradient_cosine) if self.config.correction == "gac" else 0.0
        if removed and gradient_cosine and previous_N is not None:
            grad_N.sub_(previous_N, alpha=removed * gradient_cosine * norm / float(self.norm(previous_N)))
            norm = float(self.norm(grad_N))
        bound = self.config.optimizer.grad_clip
        if bound and norm > bound:
            grad_N.mul_(bound / norm)

    def _compared(self, vector_N: Tensor, previous_N: Tensor | None) -> list[Tensor]:
        """Norm of a vector, norm of the previous step's, and their dot product; 0 where there is no previous step."""
        norm = self.norm(vector_N)
        if previous_N is None:
            return [norm, torch.zeros_like(norm), torch.zeros_like(norm)]
        return [norm, self.norm(previous_N), self.dot(vector_N, previous_N)]

    def _require_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise Diverged(what, self.steps)


def _split(vector_N: Tensor) -> Sequence[Tensor]:
    """Split a vector into pieces, each short enough to be summed precisely in float32."""
    parts: Sequence[Tensor] = torch.split(vector_N, _GPU_PIECE if vector_N.is_cuda else _PIECE)
    return parts


def _floats(values: Sequence[Tensor]) -> list[float]:
    """The values of one-element tensors, moved to the CPU all at once."""
    numbers: list[float] = torch.stack(list(values)).tolist()
    return numbers
