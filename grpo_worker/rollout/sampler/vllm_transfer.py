"""Sends weights to a vLLM engine through vLLM's weight-transfer API, and adds a backend for CPUs to it.

    pause → start / update … / finish (`send_weights` of a trainer engine) → version → reset the cache → resume

vLLM has the backends ``ipc`` (one GPU) and ``nccl`` (two GPUs). Ours, ``file``, passes the weights in a memory-backed
file without a name, so that nothing is left behind however a process ends.

vLLM imports this module in each of its workers, which registers the backend there. Importing it imports vLLM.
Source: docs.vllm.ai/en/v0.32.0/training/weight_transfer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from typing import Any, ClassVar

import torch
from torch import Tensor
from vllm import LLM
from vllm.distributed.weight_transfer import (
    ParamMeta,
    TrainerWeightTransferEngine,
    WeightSource,
    WeightTransferEngineFactory,
    WeightTransferTrainerFactory,
)
from vllm.distributed.weight_transfer.base import TrainerInitInfo, WeightTransferInitInfo, WeightTransferUpdateInfo
from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo, IPCWeightTransferEngine
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.utils.network_utils import get_open_port

IPC_BUFFER_BYTES = 256 * 2**20


class NamedWeights(WeightSource):  # type: ignore[misc]
    """The weights to send, by their names in a checkpoint; `weights` is replaced before each transfer."""

    def __init__(self) -> None:
        self.weights: Mapping[str, Tensor] = {}

    def metadata(self) -> list[ParamMeta]:
        """Name, dtype and shape of each weight, in the order of iteration."""
        return [ParamMeta(name, weight.dtype, tuple(weight.shape)) for name, weight in self.weights.items()]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.weights.items()


class Client:
    """Passes the calls of a trainer engine (the sending side of a transfer) on to the vLLM engine, which receives."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Connect the workers of the engine."""
        self._llm.init_weight_transfer_engine({"init_info": init_info})

    def start_weight_update(self) -> None:
        """Tell the workers to prepare for new weights."""
        self._llm.start_weight_update()

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Tell the workers to receive one part of the weights."""
        self._llm.update_weights({"update_info": update_info})

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Tell the workers to use what they have received."""
        self._llm.finish_weight_update(weight_version)


def connect(backend: str, llm: LLM, source: NamedWeights, device: torch.device) -> TrainerWeightTransferEngine:
    """Open the sending side of a transfer.

    Args:
        backend: ``file``, ``ipc`` (copies to a buffer on the engine's GPU) or ``nccl`` (sends from the weights' GPU).
        llm: The engine.
        source: The weights to send.
        device: The device of the engine.
    """
    info: TrainerInitInfo
    if backend != "file":
        weight = next(iter(source.weights.values()))
        torch.cuda.set_device(device if backend == "ipc" else weight.device)
    if backend == "file":
        info = FileTrainerInitInfo(rank=0)
    elif backend == "ipc":
        largest = max(weight.numel() * weight.element_size() for weight in source.weights.values())
        info = IPCTrainerInitInfo(rank=0, packed=True, packed_buffer_size_bytes=max(largest, IPC_BUFFER_BYTES))
    else:
        info = NCCLTrainerInitInfo("127.0.0.1", get_open_port(), world_size=2, rank=0)
    return WeightTransferTrainerFactory.trainer_init(info, client=Client(llm), source=source)


@dataclass
class FileTrainerInitInfo(TrainerInitInfo):  # type: ignore[misc]
    """Settings that both sides agree on at first; ``file`` needs none."""

    backend: ClassVar[str] = "file"


@dataclass
class FileUpdateInfo(WeightTransferUpdateInfo):  # type: ignore[misc]
    """The path of the file with the weights of one transfer."""

    path: str


class FileTrainerEngine(TrainerWeightTransferEngine):  # type: ignore[misc]
    """Sends weights in a file without a name, which is freed when this process closes it or ends."""

    init_info_cls = FileTrainerInitInfo

    @classmethod
    def trainer_init(
        cls, init_info: FileTrainerInitInfo, *, client: Client, source: NamedWeights | None = None
    ) -> FileTrainerEngine:
        """See vLLM's base class."""
        client.init_weight_transfer_engine({})
        return cls(client=client, source=source, is_sender=init_info.is_sender)

    def send_weights(self) -> None:
        """See vLLM's base class."""
        self.client.start_weight_update()
        with open(os.memfd_create("stalesweep-weights"), "wb") as file:  # noqa: PTH123  (it has no path)
            torch.save(dict(self.source), file)
            file.flush()
            self.client.update_weights({"path": f"/proc/{os.getpid()}/fd/{file.fileno()}"})
        self.client.finish_weight_update()


class FileEngine(IPCWeightTransferEngine):  # type: ignore[misc]
    """Receives weights from a file; the rest is as for ``ipc``."""

    init_info_cls = WeightTransferInitInfo
    update_info_cls = FileUpdateInfo

    def init_transfer_engine(self, init_info: WeightTransferInitInfo) -> None:
        """See vLLM's base class."""

    def receive_weights(self, update_info: FileUpdateInfo) -> None:
        """See vLLM's base class."""
        weights = torch.load(update_info.path, map_location="cpu", mmap=True, weights_only=True)
        self.model.load_weights(weights.items())

    def finish_weight_update(self) -> None:
        """See vLLM's base class, which on a CPU does not renew the packed weights of an output layer that is tied."""
        super().finish_weight_update()
        for layer in self.model.modules():
            if isinstance(layer, ParallelLMHead):
                layer.quant_method.process_weights_after_loading(layer)


class EndWithParent:
    """Mixed into vLLM's workers so that they import this module and end when the process that started them ends."""


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


threading.Thread(target=_end_with_parent, daemon=True).start()
WeightTransferEngineFactory.register_engine("file", FileEngine)
WeightTransferTrainerFactory.register_engine("file", FileTrainerEngine)
