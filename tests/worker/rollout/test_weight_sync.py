"""Weights as samplers in other processes receive them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from grpo_worker.model.batches import Completions, PromptBatch
from grpo_worker.rollout.sampler import no_pull
from grpo_worker.rollout.sampler.pool import ProcessPool, Request
from tests.conftest import tiny_run
from tests.support.fakes import VersionSampler

TENSORS = 300  # more than the 256 file descriptors that a process can be handed as it starts


class SumSampler(VersionSampler):
    """Gives the sum of each weight as the log-prob of one token."""

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        super().load(weights, version)
        self._sums_T = torch.stack([weights[f"w{i}"].sum() for i in range(TENSORS)])

    def sample(
        self, prompts: PromptBatch, group_size: int, uniform_BT: Tensor, pull: Callable[[], None] = no_pull
    ) -> Completions:
        made = super().sample(prompts, group_size, uniform_BT, pull)
        return Completions(made.token_BT, made.mask_BT, self._sums_T.unsqueeze(0), made.version_BT)


def test_a_sampler_receives_every_weight_of_a_large_model(tmp_path: Path) -> None:
    weights = {f"w{i}": torch.full((1 + i % 3, 2), float(i)) for i in range(TENSORS)}
    config = tiny_run(pipeline="overlap")
    pool = ProcessPool(SumSampler, config, tmp_path, weights, torch.device("cpu"))
    try:
        pool.load({name: weight + 1 for name, weight in weights.items()}, 4)
        prompts = PromptBatch(torch.ones(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.long))
        pool.submit(Request(0, prompts, 1, torch.full((1, TENSORS), 0.5)))
        sampled = pool.collect()
    finally:
        pool.close()
    assert sampled is not None
    assert sampled.completions.logp_BT[0].tolist() == [(1 + i % 3) * 2 * (i + 1.0) for i in range(TENSORS)]
    assert set(sampled.completions.version_BT.flatten().tolist()) == {4}
