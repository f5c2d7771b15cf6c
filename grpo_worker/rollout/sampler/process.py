"""The main function of a sampler process, which answers requests until it is closed or the learner's process ends."""

from __future__ import annotations

import contextlib
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from grpo_worker.model.batches import PromptBatch
from grpo_worker.rollout.sampler import MakeSampler, no_pull
from grpo_worker.rollout.weight_sync import SharedWeights
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.system.devices import prepare, sampler_device
from grpo_worker.system.processes import end_with_parent


def serve(
    connection: Connection,
    make_sampler: MakeSampler,
    config: WorkerConfig,
    cache_dir: Path,
    shared: SharedWeights,
    free_running: bool,
) -> None:
    """Build an engine and answer messages.

    Messages in: ``("load", None)``, ``("sample", (ticket, group_size, arrays))``, ``("close", None)``.
    Messages out: ``("loaded", None)``, ``("sampled", (ticket, arrays, seconds))``, ``("failed", message)``.

    Args:
        connection: The connection to the learner's process.
        make_sampler: Builds the engine.
        config: The run's config.
        cache_dir: Where warmed-up builtin policies are kept.
        shared: The weights that the learner publishes.
        free_running: Load new weights as soon as there are any, between two tokens too, instead of on a message.
    """
    end_with_parent()
    prepare(config)
    device = sampler_device(config)
    try:
        sampler = make_sampler(config, cache_dir)
        version = 0

        def pull() -> None:
            nonlocal version
            version = shared.pull(sampler.load, version)

        with contextlib.closing(shared), contextlib.closing(sampler):
            while (message := connection.recv())[0] != "close":
                kind, content = message
                if kind == "load":
                    pull()
                    connection.send(("loaded", None))
                    continue
                if free_running:
                    pull()
                ticket, group_size, arrays = content
                token_PS, mask_PS, uniform_BT = (torch.from_numpy(array).to(device) for array in arrays)
                started = time.perf_counter()
                made = sampler.sample(
                    PromptBatch(token_PS, mask_PS), group_size, uniform_BT, pull if free_running else no_pull
                )
                seconds = time.perf_counter() - started
                connection.send(("sampled", (ticket, _arrays(made), seconds)))
    except Exception as error:
        connection.send(("failed", traceback.format_exception_only(error)[-1].strip()))
        raise


def _arrays(completions: Any) -> list[Any]:
    tensors = (completions.token_BT, completions.mask_BT, completions.logp_BT, completions.version_BT)
    return [tensor.cpu().numpy() for tensor in tensors]
