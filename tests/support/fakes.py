"""Rollout engines for tests: one writes its version into its tokens, the others fail or are slow in a known way.

They are in a module that does not hold tests, because sampler processes import it.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from grpo_worker.model.batches import Completions, PromptBatch
from grpo_worker.model.tiny import tiny_tokenizer
from grpo_worker.rollout.sampler import no_pull
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.system.randomness import generator

END_PROBABILITY = 0.1


class VersionSampler:
    """Every token is the last digit of the current version; where the uniform is below 0.1, the completion ends."""

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


class LateSampler(VersionSampler):
    """Samples from the version before the one it was given."""

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        super().load(weights, max(0, version - 1))


class DyingSampler(VersionSampler):
    """Is killed while it samples its third batch."""

    def __init__(self, config: WorkerConfig, cache_dir: Path) -> None:
        super().__init__(config, cache_dir)
        self._batches = 0

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        self._batches += 1
        if self._batches == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(prompts, group_size, uniform_BT, pull)


class FailingSampler(VersionSampler):
    """Cannot be built."""

    def __init__(self, config: WorkerConfig, cache_dir: Path) -> None:
        raise RuntimeError("no such engine here")


class SlowFirstSampler(VersionSampler):
    """Takes a second for the first batch of a run with seed 0, so that another sampler overtakes it."""

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        made = super().sample(prompts, group_size, uniform_BT)
        is_first = torch.equal(uniform_BT, torch.rand(uniform_BT.shape, generator=generator(0, "completions", 0)))
        time.sleep(1.0 if is_first else 0.02)
        return made


class WaitingSampler(VersionSampler):
    """Waits up to half a second for new weights between the second and the third token of every batch."""

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        calls, started = 0, self._version

        def pull_before_the_third() -> None:
            nonlocal calls
            calls += 1
            deadline = time.monotonic() + 0.5
            while calls == 3 and self._version == started and time.monotonic() < deadline:
                pull()
                time.sleep(0.005)

        return super().sample(prompts, group_size, uniform_BT, pull_before_the_third)
