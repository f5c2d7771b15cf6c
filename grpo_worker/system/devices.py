"""Chooses the devices that train and sample, and sets up torch on them."""

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
    """Set up torch in a process of a run: its number of threads, and no attention by cuDNN.

    cuDNN's is torch's first choice on GPUs in 16 bits, but it compiles a kernel for every new shape, and in sampling
    every token of every batch is a new shape.
    """
    torch.set_num_threads(config.threads)
    torch.backends.cuda.enable_cudnn_sdp(False)


def finish(device: torch.device) -> None:
    """Wait until a GPU has done all work that this process gave it. On a CPU there is nothing to wait for.

    A GPU does the work of one process in order, but not that of two processes. Before another process is told to read a
    tensor, the work that writes it must be done.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
