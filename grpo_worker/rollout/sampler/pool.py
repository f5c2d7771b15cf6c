"""Where a rollout engine runs: between the learner's steps, or beside them in processes of its own.

Both pools take the same requests and give the same completions. With ``free_running`` a process takes new weights
as soon as they are published, in the midst of a batch too; otherwise it works through weights and requests in the
order in which they were given, so that what it samples does not depend on timing.
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
    """A batch to sample; see `Sampler.sample` for its tensors. The ticket numbers the run's rollout batches."""

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
        """Publish weights: they sample the requests submitted from now on (free-running: they, or later ones)."""

    def submit(self, request: Request) -> None:
        """Have a batch sampled."""

    def collect(self, *, wait: bool = True) -> Sampled | None:
        """The next finished batch; in order of submission, but for several free-running processes.

        Args:
            wait: Until there is one; otherwise None is returned where there is none yet.

        Raises:
            SamplerError: An engine failed or its process died.
        """

    def close(self) -> None:
        """End the engines."""


class InlinePool:
    """Samples a request as it is submitted, in the learner's process."""

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
    """Runs engines in processes of their own, which end with the learner's however that ends.

    Args:
        make_sampler: Builds the engine in each process; it is pickled.
        config: The run's config.
        cache_dir: Where warmed-up builtin policies are kept.
        weights: The initial weights, version 0.
        device: Where completions are wanted.
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
            theirs.close()  # so that the process's end is seen here
            threading.Thread(target=_receive, args=(ours, index, self._inbox), daemon=True).start()
            self._processes.append(process)
            self._connections.append(ours)
        self._due = [0] * len(self._processes)

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """See `SamplerPool.load`. Waits until the version before has been taken over: at most one is on its way."""
        while self._loads_due:
            self._take_message()
        self._shared.publish(weights, version)
        if not self._free_running:
            self._send(0, ("load", None))
            self._loads_due += 1

    def submit(self, request: Request) -> None:
        """See `SamplerPool.submit`. Goes to the process with the least to do."""
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
        except OSError:  # the process is gone: what it said last tells why
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
    """Take in what a process says, so that it never waits for the learner; the last word is that it ended."""
    try:
        while True:
            kind, content = connection.recv()
            inbox.put((kind, (index, *content) if kind == "sampled" else content))
    except (EOFError, OSError):
        inbox.put(("ended", index))
