"""A fake rollout engine that tells the truth about staleness: it writes the version of its weights into its tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from grpo_worker.batches import Completions, PromptBatch
from grpo_worker.config import WorkerConfig
from grpo_worker.sampler import no_pull
from grpo_worker.tiny import tiny_tokenizer

END_PROBABILITY = 0.1


class VersionSampler:
    """Every token is the last digit of the version in force, unless its uniform, below 0.1, ends the completion."""

    def __init__(self, config: WorkerConfig, cache_dir: Path) -> None:
        self._version = 0

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """See `Sampler.load`; the version is all that it remembers."""
        self._version = version

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        """See `Sampler.sample`."""
        tokenizer = tiny_tokenizer()
        version_BT = torch.zeros_like(uniform_BT, dtype=torch.long)
        for t in range(uniform_BT.shape[1]):
            pull()
            version_BT[:, t] = self._version
        end_BT = uniform_BT < END_PROBABILITY
        ended_before_BT = end_BT.cumsum(1) - end_BT.long() > 0
        mask_BT = (~ended_before_BT).float()
        token_BT = torch.where(end_BT, tokenizer.eos_token_id, version_BT % 10)
        logp_BT = torch.where(end_BT, math.log(END_PROBABILITY), math.log(1 - END_PROBABILITY))
        return Completions(
            torch.where(ended_before_BT, tokenizer.pad_token_id, token_BT), mask_BT, logp_BT * mask_BT, version_BT
        )

    def close(self) -> None:
        """See `Sampler.close`."""
