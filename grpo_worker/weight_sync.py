"""Weight sync: hand a version of the learner's weights to the sampler."""

from __future__ import annotations

import time

from torch import nn

from grpo_worker.sampler import Sampler


def sync_weights(model: nn.Module, version: int, sampler: Sampler) -> float:
    """Publish the learner's weights as a version; the sampler has pulled them when this returns.

    Args:
        model: The learner's model.
        version: Learner steps applied to it.
        sampler: The rollout engine that pulls.

    Returns:
        Seconds it took.
    """
    started = time.perf_counter()
    sampler.load(model.state_dict(), version)
    return time.perf_counter() - started
