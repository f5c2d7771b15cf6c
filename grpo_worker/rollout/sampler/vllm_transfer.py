"""How weights reach a vLLM engine: one sync for every backend of vLLM's weight-transfer API, and one backend of ours.

    pause → start / update … / finish (`send_weights` of a trainer engine) → version → reset the cache → resume

``ipc`` (one GPU) and ``nccl`` (two) are vLLM's own. ``file``, for the CPU, which has neither, hands the weights over
in a memory-backed file without a name: no path to clean up, however a process ends, and none to exhaust.

vLLM imports this module in each of its workers, where that registers the backend. Import it only where vLLM may be.
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
    """Weights under the names that a checkpoint gives them; `weights` is replaced before each transfer."""

    def __init__(self) -> None:
        self.weights: Mapping[str, Tensor] = {}

    def metadata(self) -> list[ParamMeta]:
        """Name, dtype and shape of each weight, in the order of iteration."""
        return [ParamMeta(name, weight.dtype, tuple(weight.shape)) for name, weight in self.weights.items()]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.weights.items()


class Client:
    """The engine's side of a transfer, as a trainer engine calls it."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Connect the engine's workers."""
        self._llm.init_weight_transfer_engine({"init_info": init_info})

    def start_weight_update(self) -> None:
        """Make the workers ready to receive."""
        self._llm.start_weight_update()

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Have the workers receive one part."""
        self._llm.update_weights({"update_info": update_info})

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Have the workers use what they received."""
        self._llm.finish_weight_update(weight_version)


def connect(backend: str, llm: LLM, source: NamedWeights, device: torch.device) -> TrainerWeightTransferEngine:
    """Open the trainer's side of a transfer.

    Args:
        backend: ``file``, ``ipc`` (copies to a buffer on the engine's GPU) or ``nccl`` (sends from the weights' GPU).
        llm: The engine.
        source: What to send.
        device: The engine's.
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
    """Nothing is to be agreed upon."""

    backend: ClassVar[str] = "file"


@dataclass
class FileUpdateInfo(WeightTransferUpdateInfo):  # type: ignore[misc]
    """Where the weights of one transfer lie."""

    path: str


class FileTrainerEngine(TrainerWeightTransferEngine):  # type: ignore[misc]
    """Sends weights in a file that only this process's descriptor keeps alive."""

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
    """Receives weights from a file; what surrounds that is as for ipc."""

    init_info_cls = WeightTransferInitInfo
    update_info_cls = FileUpdateInfo

    def init_transfer_engine(self, init_info: WeightTransferInitInfo) -> None:
        """See vLLM's base class."""

    def receive_weights(self, update_info: FileUpdateInfo) -> None:
        """See vLLM's base class."""
        weights = torch.load(update_info.path, map_location="cpu", mmap=True, weights_only=True)
        self.model.load_weights(weights.items())

    def finish_weight_update(self) -> None:
        """See vLLM's base class. On a CPU, vLLM itself goes on using the packed copy that a tied output layer has."""
        super().finish_weight_update()
        for layer in self.model.modules():
            if isinstance(layer, ParallelLMHead):
                layer.quant_method.process_weights_after_loading(layer)


class EndWithParent:
    """Mixed into vLLM's workers: they end when the process that started them does, which vLLM itself leaves out."""


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


threading.Thread(target=_end_with_parent, daemon=True).start()
WeightTransferEngineFactory.register_engine("file", FileEngine)
WeightTransferTrainerFactory.register_engine("file", FileTrainerEngine)
