"""Weight sync: versioned publish by the learner, pull by samplers in other processes, through shared memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerContext

from torch import Tensor

from grpo_worker.errors import SamplerError

PULL_S = 120.0


class SharedWeights:
    """The weights published last and their version, in memory that the learner and its samplers share.

    It can be handed to a process that is being started, not sent to one that runs.

    Args:
        weights: The initial weights; on a GPU they stay there and other processes map them.
        context: How the processes are started.
    """

    def __init__(self, weights: Mapping[str, Tensor], context: ForkServerContext) -> None:
        self._weights = {name: weight.detach().clone() for name, weight in weights.items()}
        for weight in self._weights.values():
            weight.share_memory_()  # type: ignore[no-untyped-call]
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
            for name, weight in weights.items():
                self._weights[name].copy_(weight)
            self._version.value = version
        finally:
            lock.release()

    def pull(self, load: Callable[[Mapping[str, Tensor], int], None], version: int) -> int:
        """Load what was published, if that is another version than the one at hand.

        Args:
            load: Takes the weights and their version, see `grpo_worker.sampler.Sampler.load`.
            version: The one at hand.

        Returns:
            The version at hand now.
        """
        with self._version.get_lock():
            if self._version.value != version:
                load(self._weights, self._version.value)
            return int(self._version.value)
