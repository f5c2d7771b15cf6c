"""Optimizers of one flat parameter vector, and the warm-up of the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from grpo_worker.schema.config import OptimizerConfig, WorkerConfig


class NormalizedSGD(torch.optim.Optimizer):
    """Updates whose norm is exactly the learning rate: θ ← θ − η d/‖d‖ with d = g + weight decay · θ.

    The updates then meet Assumption 1 of arXiv 2607.01083 with the bound G_upd = 1. If d is zero, θ does not change.

    Args:
        theta_N: The parameters θ.
        lr: η.
        weight_decay: Factor of θ in d.
        norm: Returns the Euclidean norm of a vector over all parameters.
    """

    def __init__(self, theta_N: nn.Parameter, lr: float, weight_decay: float, norm: Callable[[Tensor], Tensor]) -> None:
        super().__init__([theta_N], {"lr": lr, "weight_decay": weight_decay})
        self._norm = norm

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply one update."""
        for group in self.param_groups:
            for theta_N in group["params"]:
                direction_N = theta_N.grad
                if group["weight_decay"]:
                    direction_N = direction_N.add(theta_N, alpha=group["weight_decay"])
                norm = float(self._norm(direction_N))
                if norm != 0:  # a NaN gets through: it must reach θ, where the learner detects it
                    theta_N.add_(direction_N, alpha=-group["lr"] / norm)


def make_optimizer(
    theta_N: nn.Parameter, config: WorkerConfig, norm: Callable[[Tensor], Tensor]
) -> torch.optim.Optimizer:
    """Make the optimizer that a config names.

    Args:
        theta_N: The parameters.
        config: The run's config.
        norm: Returns the Euclidean norm of a vector over all parameters.
    """
    o: OptimizerConfig = config.optimizer
    if o.name == "sgd":
        # Without momentum, torch's L2 term equals decoupled weight decay.
        return torch.optim.SGD([theta_N], lr=config.eta, weight_decay=o.weight_decay)
    if o.name == "normalized_sgd":
        return NormalizedSGD(theta_N, config.eta, o.weight_decay, norm)
    # Fused: one kernel without temporaries. Not on a CPU, where it is no faster and changes the bits.
    fused = True if theta_N.is_cuda else None
    return torch.optim.AdamW(
        [theta_N], lr=config.eta, betas=(o.beta1, o.beta2), eps=o.eps, weight_decay=o.weight_decay, fused=fused
    )


def warmed_up(config: WorkerConfig, steps: int) -> float:
    """Learning rate of a learner step: it rises linearly from η/``warmup_steps`` to η and then stays constant.

    Args:
        config: The run's config.
        steps: Learner steps applied so far.
    """
    return config.eta * min(1.0, (steps + 1) / max(config.optimizer.warmup_steps, 1))
