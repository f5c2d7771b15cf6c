"""Which device trains and which samples."""

from __future__ import annotations

import torch

from grpo_worker.config import WorkerConfig


def learner_device(config: WorkerConfig) -> torch.device:
    """The device of the learner, the reference policy and the rollout batches."""
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def sampler_device(config: WorkerConfig) -> torch.device:
    """The device of the rollout engine."""
    if config.sampler.device != "auto":
        return torch.device(config.sampler.device)
    device = learner_device(config)
    if device.type == "cuda" and config.samples_in_own_process and torch.cuda.device_count() > config.learner_ranks:
        return torch.device("cuda", config.learner_ranks)
    return device
