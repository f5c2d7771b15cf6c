"""Weight sync through shared memory: the learner publishes versions, samplers in other processes pull them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerContext

import torch
from torch import Tensor

from grpo_worker.schema.errors import SamplerError
from grpo_worker.system.devices import finish

PULL_S = 120.0


class SharedWeights:
    """The weights that were published last and their version, in memory that the learner and its samplers share.

    It can be passed to a process as an argument when that is started, but not sent to one that runs.

    Args:
        weights: The initial weights, of one dtype and device. On a GPU they stay there, and other processes map them.
        context: How the processes are started.
    """

    def __init__(self, weights: Mapping[str, Tensor], context: ForkServerContext) -> None:
        self._shapes = {name: weight.shape for name, weight in weights.items()}
        flat = [weight.detach().flatten() for weight in weights.values()]
        # One tensor, because each costs a file descriptor and a new process can be given 256 at most.
        self._flat_N = torch.cat(flat) if flat else torch.empty(0)
        self._flat_N.share_memory_()  # type: ignore[no-untyped-call]
        self._version = context.Value("q", 0)

    def publish(self, weights: Mapping[str, Tensor], version: int) -> None:
        """Replace the weights. Waits while a sampler pulls them.

        Raises:
            SamplerError: A sampler has not finished its pull within `PULL_S`: its process died during it.
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
        """Load the published weights, unless the caller has that version already.

        Args:
            load: Called with the weights and their version, see `grpo_worker.rollout.sampler.Sampler.load`.
            version: The version that the caller has.

        Returns:
            The version that the caller has now.
        """
        with self._version.get_lock():
            if self._version.value != version:
                load(self._views(), self._version.value)
                finish(self._flat_N.device)
            return int(self._version.value)

    def close(self) -> None:
        """Release the memory. On a GPU it is freed once every process has released it, this one last."""
        is_cuda = self._flat_N.is_cuda
        self._flat_N = torch.empty(0)
        if is_cuda:
            torch.cuda.ipc_collect()  # type: ignore[no-untyped-call]

    def _views(self) -> dict[str, Tensor]:
        parts = torch.split(self._flat_N, [shape.numel() for shape in self._shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}
