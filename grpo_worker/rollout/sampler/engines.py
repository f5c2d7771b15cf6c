"""Builds the rollout engine that a config names."""

from __future__ import annotations

from pathlib import Path

from grpo_worker.model.policy import load_policy
from grpo_worker.rollout.sampler import Sampler
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.system.devices import sampler_device


def load_sampler(config: WorkerConfig, cache_dir: Path) -> Sampler:
    """Build a run's rollout engine, with the initial policy as version 0.

    Raises:
        ModelError: The policy cannot be loaded.
        SamplerError: The engine cannot be started.
    """
    if config.sampler.engine == "vllm":
        from grpo_worker.rollout.sampler.vllm import VllmSampler

        return VllmSampler(config, cache_dir)
    from grpo_worker.rollout.sampler.hf import HfSampler

    return HfSampler(load_policy(config, cache_dir, sampler_device(config)), config.temperature)
