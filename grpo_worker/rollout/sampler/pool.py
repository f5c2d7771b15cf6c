"""Runs rollout engines: one in the learner's process, between its steps, or some in separate processes, beside them.

Both pools answer the same requests with the same completions. In the pipeline ``queue`` the processes are free-running:
they load new weights as soon as these are published, even in the middle of a batch. In other pipelines a process takes
weights and requests in the order in which they were sent, so that what it samples does not depend on timing.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from grpo_worker.model.batches import Completions, PromptBatch
from grpo_worker.rollout.sampler import MakeSampler, Sampler
from grpo_worker.rollout.sampler.process import serve
from grpo_worker.rollout.weight_sync import SharedWeights
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.errors import SamplerError
from grpo_worker.system.processes import further_processes

CLOSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """A batch to sample; see `Sampler.sample` for its tensors. The ticket is the number of the rollout batch."""

    ticket: int
    prompts: PromptBatch
    group_size: int
    uniform_BT: Tensor


@dataclass(frozen=True, slots=True)
class Sampled:
    """A request's completions and the seconds that sampling took."""

    ticket: int
    completions: Completions
    seconds: float


class SamplerPool(Protocol):
    """One rollout engine or several."""

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """Publish weights. They, or later ones if the engines are free-running, sample the requests submitted next."""

    def submit(self, request: Request) -> None:
        """Order a batch."""

    def collect(self, *, wait: bool = True) -> Sampled | None:
        """The next finished batch: in order of submission, unless several processes are free-running.

        Args:
            wait: Wait until there is one. If False, return None when there is none yet.

        Raises:
            SamplerError: An engine failed or its process died.
        """

    def close(self) -> None:
        """End the engines."""


class InlinePool:
    """Samples each request when it is submitted, in the learner's process."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._finished: deque[Sampled] = deque()

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """See `SamplerPool.load`."""
        self._sampler.load(weights, version)

    def submit(self, request: Request) -> None:
        """See `SamplerPool.submit`."""
        started = time.perf_counter()
        completions = self._sampler.sample(request.prompts, request.group_size, request.uniform_BT)
        self._finished.append(Sampled(request.ticket, completions, time.perf_counter() - started))

    def collect(self, *, wait: bool = True) -> Sampled | None:
        """See `SamplerPool.collect`."""
        return self._finished.popleft()

    def close(self) -> None:
        """See `SamplerPool.close`."""
        self._sampler.close()


class ProcessPool:
    """Runs engines in separate processes, which end when the learner's process ends, even if that is killed.

    Args:
        make_sampler: Builds the engine in each process; it is pickled.
        config: The run's config.
        cache_dir: Where warmed-up builtin policies are kept.
        weights: The initial weights, version 0.
        device: The device to which completions are moved.
    """

    def __init__(
        self,
        make_sampler: MakeSampler,
        config: WorkerConfig,
        cache_dir: Path,
        weights: Mapping[str, Tensor],
        device: torch.device,
    ) -> None:
        context = further_processes()
        self._shared = SharedWeights(weights, context)
        self._device = device
        self._free_running = config.pipeline == "queue"
        self._inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._finished: deque[Sampled] = deque()
        self._loads_due = 0
        self._processes: list[ForkServerProcess] = []
        self._connections: list[Connection] = []
        for index in range(config.sampler.count if self._free_running else 1):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=serve,
                args=(theirs, make_sampler, config, cache_dir, self._shared, self._free_running),
                name=f"sampler-{index}",
            )
            process.start()
            theirs.close()  # so that this end is closed when the process ends
            threading.Thread(target=_receive, args=(ours, index, self._inbox), daemon=True).start()
            self._processes.append(process)
            self._connections.append(ours)
        self._due = [0] * len(self._processes)

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """See `SamplerPool.load`. Waits first until the previous version has been loaded."""
        while self._loads_due:
            self._take_message()
        self._shared.publish(weights, version)
        if not self._free_running:
            self._send(0, ("load", None))
            self._loads_due += 1

    def submit(self, request: Request) -> None:
        """See `SamplerPool.submit`. The process with the fewest unfinished batches gets the request."""
        index = min(range(len(self._due)), key=self._due.__getitem__)
        prompts = request.prompts
        arrays = [t.cpu().numpy() for t in (prompts.token_PS, prompts.mask_PS, request.uniform_BT)]
        self._send(index, ("sample", (request.ticket, request.group_size, arrays)))
        self._due[index] += 1

    def collect(self, *, wait: bool = True) -> Sampled | None:
        """See `SamplerPool.collect`."""
        while not self._finished and (wait or not self._inbox.empty()):
            self._take_message()
        return self._finished.popleft() if self._finished else None

    def close(self) -> None:
        """See `SamplerPool.close`. A process that does not end in time is killed."""
        for connection in self._connections:
            with contextlib.suppress(OSError):  # it has ended already
                connection.send(("close", None))
        deadline = time.monotonic() + CLOSE_S
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        self._shared.close()

    def _send(self, index: int, message: tuple[str, Any]) -> None:
        try:
            self._connections[index].send(message)
        except OSError:  # the process has ended; its last message, which says why, raises the error
            while True:
                self._take_message()

    def _take_message(self) -> None:
        kind, content = self._inbox.get()
        if kind == "loaded":
            self._loads_due -= 1
        elif kind == "sampled":
            index, ticket, arrays, seconds = content
            tensors = [torch.from_numpy(array).to(self._device) for array in arrays]
            self._finished.append(Sampled(ticket, Completions(*tensors), seconds))
            self._due[index] -= 1
        elif kind == "failed":
            raise SamplerError(f"the sampler failed: {content}")
        else:
            self._fail(content)

    def _fail(self, index: int) -> None:
        process = self._processes[index]
        process.join(CLOSE_S)
        raise SamplerError(
            f"the sampler's process {process.pid} ended with exit code {process.exitcode} "
            f"while {self._due[index]} batches were due from it"
        )


def _receive(connection: Connection, index: int, inbox: queue.SimpleQueue[tuple[str, Any]]) -> None:
    """Move messages of a process to the inbox, so that it never waits for the learner; "ended" is the last of them."""
    try:
        while True:
            kind, content = connection.recv()
            inbox.put((kind, (index, *content) if kind == "sampled" else content))
    except (EOFError, OSError):
        inbox.put(("ended", index))
