"""Rollout engines behind one protocol: what samples completions under a known version of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from grpo_worker.batches import Completions, PromptBatch


class Sampler(Protocol):
    """A rollout engine."""

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """Replace the weights and remember their version; later samples come from them alone."""

    def sample(self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor) -> Completions:
        """Sample G completions of each prompt.

        Args:
            prompts: The prompts.
            group_size: G.
            uniform_BT: Uniform random numbers in [0, 1), one a token: they alone decide what is sampled. T is the
                longest completion allowed.
        """
