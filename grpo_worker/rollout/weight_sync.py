"""Weight sync: versioned publish by the learner, pull by samplers in other processes, through shared memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerContext

import torch
from torch import Tensor

from grpo_worker.schema.errors import SamplerError
from grpo_worker.system.devices import finish

PULL_S = 120.0


class SharedWeights:
    """The weights published last and their version, in memory that the learner and its samplers share.

    It can be handed to a process that is being started, not sent to one that runs.

    Args:
        weights: The initial weights, of one dtype and device; on a GPU they stay there and other processes map them.
        context: How the processes are started.
    """

    def __init__(self, weights: Mapping[str, Tensor], context: ForkServerContext) -> None:
        self._shapes = {name: weight.shape for name, weight in weights.items()}
        flat = [weight.detach().flatten() for weight in weights.values()]
        # One tensor: each costs a file descriptor, and a process can be handed no more than 256.
        self._flat_N = torch.cat(flat) if flat else torch.empty(0)
        self._flat_N.share_memory_()  # type: ignore[no-untyped-call]
        self._version = context.Value("q", 0)

    def publish(self, weights: Mapping[str, Tensor], version: int) -> None:
        """Replace the weights; waits for a sampler that is pulling.

        Raises:
            SamplerError: A sampler does not end its pull: its process has died in the midst of it.
        """
        lock = self._version.get_lock()
        if not lock.acquire(timeout=PULL_S):
            raise SamplerError(f"a sampler has held the shared weights for {PULL_S:g} s: it died while it pulled them")
        try:
            for name, shared in self._views().items():
                shared.copy_(weights[name])
            finish(self._flat_N.device)
            self._version.value = version
        finally:
            lock.release()

    def pull(self, load: Callable[[Mapping[str, Tensor], int], None], version: int) -> int:
        """Load what was published, if that is another version than the one at hand.

        Args:
            load: Takes the weights and their version, see `grpo_worker.rollout.sampler.Sampler.load`.
            version: The one at hand.

        Returns:
            The version at hand now.
        """
        with self._version.get_lock():
            if self._version.value != version:
                load(self._views(), self._version.value)
                finish(self._flat_N.device)
            return int(self._version.value)

    def close(self) -> None:
        """Let go of the memory: a GPU's is freed once every process that mapped it has, and this one last."""
        is_cuda = self._flat_N.is_cuda
        self._flat_N = torch.empty(0)
        if is_cuda:
            torch.cuda.ipc_collect()  # type: ignore[no-untyped-call]

    def _views(self) -> dict[str, Tensor]:
        parts = torch.split(self._flat_N, [shape.numel() for shape in self._shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}
