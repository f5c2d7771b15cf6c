"""Rollout engines: they sample completions with weights of a known version, behind one protocol, `Sampler`.

``engines`` builds the engine that a config names: ``hf`` (transformers) or ``vllm``. ``pool`` runs one or several of
them, in the learner's process or, through ``process``, in separate ones. ``vllm_transfer`` moves weights into vLLM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor

from grpo_worker.model.batches import Completions, PromptBatch
from grpo_worker.schema.config import WorkerConfig


def no_pull() -> None:
    """Do nothing: the weights stay the same while a batch is sampled."""


class Sampler(Protocol):
    """A rollout engine. It starts with the weights of the initial policy as version 0."""

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """Replace the weights and remember their version. Every later token is sampled from them.

        Args:
            weights: The learner's trainable parameters, by their names in the model.
            version: Learner steps applied to them.
        """

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        """Sample G completions of each prompt.

        Args:
            prompts: The prompts.
            group_size: G.
            uniform_BT: Uniform random numbers in [0, 1), one per token. With the weights and the prompts they determine
                what is sampled. T is the largest length of a completion.
            pull: Called before each token. It may call `load`; the next tokens are then sampled from the new weights,
                with all earlier keys and values recomputed, and get the new version.
        """

    def close(self) -> None:
        """Release memory, files and processes of the engine."""


MakeSampler = Callable[[WorkerConfig, Path], Sampler]
"""Builds an engine from a run's config and the folder of cached policies."""
