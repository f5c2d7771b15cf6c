"""Rollout engines behind one protocol: what samples completions under a known version of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor

from grpo_worker.model.batches import Completions, PromptBatch
from grpo_worker.schema.config import WorkerConfig


def no_pull() -> None:
    """Leave the weights as they are while a batch is sampled."""


class Sampler(Protocol):
    """A rollout engine. It starts with the weights of the initial policy as version 0."""

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """Replace the weights and remember their version; later tokens come from them alone.

        Args:
            weights: The learner's trainable parameters, under the names that the model gives them.
            version: Learner steps applied to them.
        """

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        """Sample G completions of each prompt.

        Args:
            prompts: The prompts.
            group_size: G.
            uniform_BT: Uniform random numbers in [0, 1), one a token: they alone decide what is sampled. T is the
                longest completion allowed.
            pull: Called before each token. It may call `load`: the tokens from there on are sampled from the new
                weights, over states recomputed with them, and carry the new version.
        """

    def close(self) -> None:
        """Free what the engine holds: memory, files, processes."""


MakeSampler = Callable[[WorkerConfig, Path], Sampler]
"""Builds an engine from a run's config and the folder of cached policies."""
