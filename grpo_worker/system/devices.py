"""Which device trains and which samples, how torch uses it, and when it has done its work."""

from __future__ import annotations

import torch

from grpo_worker.schema.config import WorkerConfig


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


def prepare(config: WorkerConfig) -> None:
    """Set up torch in a process of a run.

    On GPUs torch's first choice for attention in 16 bits is cuDNN's, which compiles a kernel for every new shape: in
    sampling that is every token of every batch.
    """
    torch.set_num_threads(config.threads)
    torch.backends.cuda.enable_cudnn_sdp(False)


def finish(device: torch.device) -> None:
    """Wait until a GPU has done all that this process gave it to do; a CPU always has.

    A GPU keeps the work of one process in order, not that of two: what another process is to read must be there before
    that process is told.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
