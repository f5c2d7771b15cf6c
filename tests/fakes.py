"""Engines that tests know the truth about: one writes its version into its tokens, the others go wrong, each its way.

They stand in a module of their own because the processes that samplers run in import them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from grpo_worker.batches import Completions, PromptBatch
from grpo_worker.config import WorkerConfig
from grpo_worker.randomness import generator
from grpo_worker.sampler import no_pull

PLACES = 4
"""A version is spelt in base 10 over so many tokens: the tiny policy's vocabulary has the ten digits first."""


class VersionSampler:
    """Token t of a completion is digit t of the version that sampled it."""

    def __init__(self, config: WorkerConfig, cache_dir: Path) -> None:
        self._version = 0

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        self._version = version

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        digits = torch.tensor([int(digit) for digit in f"{self._version:0{PLACES}d}"])
        token_BT = digits.repeat(len(uniform_BT), 1)
        return Completions(
            token_BT, torch.ones(token_BT.shape), torch.full(token_BT.shape, -0.5),
            torch.full_like(token_BT, self._version),
        )  # fmt: skip

    def close(self) -> None:
        pass


class LateSampler(VersionSampler):
    """Samples from the version before the one it was given."""

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        self._version = max(0, version - 1)


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
        return super().sample(prompts, group_size, uniform_BT)


class FailingSampler(VersionSampler):
    """Cannot be built."""

    def __init__(self, config: WorkerConfig, cache_dir: Path) -> None:
        raise RuntimeError("no such engine here")


class SlowFirstSampler(VersionSampler):
    """Takes its time over the first batch of a run with seed 0, so that others overtake it."""

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        made = super().sample(prompts, group_size, uniform_BT)
        is_first = torch.equal(uniform_BT, torch.rand(uniform_BT.shape, generator=generator(0, "completions", 0)))
        time.sleep(1.0 if is_first else 0.02)
        return made


class WaitingSampler(VersionSampler):
    """Waits up to half a second for new weights after the second token. A token is its version's last digit."""

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        version_BT = torch.full(uniform_BT.shape, self._version)
        deadline = time.monotonic() + 0.5
        while self._version == int(version_BT[0, 0]) and time.monotonic() < deadline:
            pull()
            time.sleep(0.005)
        version_BT[:, 2:] = self._version
        return Completions(
            version_BT % 10, torch.ones(version_BT.shape), torch.full(version_BT.shape, -0.5), version_BT
        )


def written_versions(token_BT: Tensor) -> Tensor:
    """The version that `VersionSampler` wrote into each completion, [B]."""
    return (token_BT * torch.tensor([10**place for place in reversed(range(PLACES))])).sum(1)
