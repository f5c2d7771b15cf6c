"""A learner in several processes that share its weights, gradients, moments and batches, one GPU each, through FSDP2.

Every process runs a `ShardedLearner`. The first is the run's own process: it broadcasts the name and the arguments of
each call, and the others make the same call. Vectors [N] hold the shard of one process; norms, dot products and the
log-probs of a minibatch are combined from all.

Source: PyTorch FSDP, arXiv 2304.11277; ``torch.distributed.fsdp.fully_shard``.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.model.policy import FlatParameters, Policy, load_policy, model_folder
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.errors import Diverged
from grpo_worker.system.devices import learner_device, prepare
from grpo_worker.system.processes import end_with_parent, further_processes
from grpo_worker.train.learner import Forward, Learner

Method = TypeVar("Method", bound=Callable[..., Any])


class ShardedParameters(FlatParameters):
    """This process's shards of the trainable parameters as one float32 vector, of which FSDP's own tensors are copies.

    Args:
        model: A model that FSDP has sharded.
    """

    def __init__(self, model: nn.Module) -> None:
        self._sharded = [p for p in model.parameters() if p.requires_grad]
        locals_ = [p.to_local() for p in self._sharded]  # type: ignore[attr-defined]
        self._sizes = [local.numel() for local in locals_]
        self.theta_N = nn.Parameter(torch.cat([local.detach().reshape(-1).float() for local in locals_]))
        self.grad_N = torch.zeros_like(self.theta_N.data)
        self.theta_N.grad = self.grad_N
        for p, gradient in zip(self._sharded, torch.split(self.grad_N, self._sizes), strict=True):
            p.register_post_accumulate_grad_hook(functools.partial(_move_shard, gradient))  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return sum(p.numel() for p in self._sharded)

    def to_model(self) -> None:
        """See `FlatParameters.to_model`."""
        for p, shard in zip(self._sharded, torch.split(self.theta_N.data, self._sizes), strict=True):
            local = p.to_local().detach()  # type: ignore[attr-defined]
            local.copy_(shard.view_as(local))


def _move_shard(into: Tensor, parameter: Any) -> None:
    into += parameter.grad.to_local().reshape(-1)
    parameter.grad = None


def together(method: Method) -> Method:
    """Make every process call a method, with the same arguments, whenever the first process calls it."""

    @functools.wraps(method)
    def announced(self: Learner, *arguments: Any) -> Any:
        if distributed.get_rank() == 0:
            distributed.broadcast_object_list([(method.__name__, arguments)], src=0)
        return method(self, *arguments)

    return cast(Method, announced)


class ShardedLearner(Learner):
    """One process's part of a learner.

    Args:
        policy: The whole policy; FSDP shards it.
        config: The run's config. Each process gets an equal share of the prompts.
        cache_dir: Where warmed-up builtin policies are kept.
    """

    parameters_type = ShardedParameters

    def __init__(self, policy: Policy, config: WorkerConfig, cache_dir: Path) -> None:
        self._rank, self._ranks = distributed.get_rank(), distributed.get_world_size()
        self._cache_dir = cache_dir
        self._whole: Policy | None = None
        mesh = init_device_mesh(next(policy.model.parameters()).device.type, (self._ranks,))
        layers = max((m for m in policy.model.modules() if isinstance(m, nn.ModuleList)), key=len)
        for layer in layers:
            fully_shard(layer, mesh=mesh)
        # By default the outermost parameters stay whole after a forward pass, and a later change of θ would be missed.
        fully_shard(policy.model, mesh=mesh, reshard_after_forward=True)
        super().__init__(policy, config)

    @together
    def step(self, batch: RolloutBatch) -> Any:
        """See `Learner.step`."""
        return super().step(batch)

    @together
    def begin_cycle(self) -> None:
        """See `Learner.begin_cycle`."""
        super().begin_cycle()

    @together
    def drifts(self) -> tuple[float, float]:
        """See `Learner.drifts`."""
        return super().drifts()

    @together
    def engine_gap(self, batch: RolloutBatch) -> float:
        """See `Learner.engine_gap`. Every process passes the same group through the model."""
        return super().engine_gap(batch)

    @together
    def weights(self) -> dict[str, Tensor]:
        """See `Learner.weights`. The first process returns whole tensors, the others nothing."""
        named = [(name, p) for name, p in self.policy.model.named_parameters() if p.requires_grad]
        whole = ((name, p.full_tensor().detach()) for name, p in named)  # type: ignore[attr-defined]
        return {name: weight for name, weight in whole if self._rank == 0}

    def sampling_policy(self) -> Policy:
        """See `Learner.sampling_policy`. It is a whole copy on the first process's device."""
        if self._whole is None:
            self._whole = load_policy(self.config, self._cache_dir, self.start_N.device)
            self._whole.model.requires_grad_(False)
        mine = dict(self._whole.model.named_parameters())
        for name, weight in self.weights().items():
            mine[name].copy_(weight)
        return self._whole

    @together
    def state(self) -> dict[str, Any]:
        """See `Learner.state`. The first process returns the states of all."""
        states: list[Any] | None = [None] * self._ranks if self._rank == 0 else None
        distributed.gather_object(super().state(), states)
        return {"shards": states}

    @together
    def restore(self, state: dict[str, Any]) -> None:
        """See `Learner.restore`."""
        super().restore(state["shards"][self._rank])

    @together
    def close(self) -> None:
        """End the other processes."""

    def norm(self, vector_N: Tensor) -> Tensor:
        """See `Learner.norm`."""
        return self._summed(super().norm(vector_N).square()).sqrt()

    def dot(self, a_N: Tensor, b_N: Tensor) -> Tensor:
        """See `Learner.dot`."""
        return self._summed(super().dot(a_N, b_N))

    def share(self, piece: RolloutBatch, batch: RolloutBatch) -> Tensor | float:
        """See `Learner.share`. It is multiplied by the number of processes, because FSDP averages their gradients."""
        return super().share(piece, batch) * self._ranks

    def _backward(self, batch: RolloutBatch) -> Forward:
        forward = super()._backward(batch)
        known_BT = batch.proximal_logp_BT  # filled in for the parts of other processes too, for a checkpoint
        known_BT.copy_(forward.logp_BT.where(known_BT.isnan(), known_BT))
        return forward

    def _pieces(self, batch: RolloutBatch) -> list[RolloutBatch]:
        mine = list(batch.parts(len(batch) // self._ranks))[self._rank]
        return super()._pieces(mine)

    def _gathered(self, value: Tensor) -> Tensor:
        parts = [torch.empty_like(value) for _ in range(self._ranks)]
        distributed.all_gather(parts, value.contiguous())
        return torch.cat(parts)

    def _summed(self, value: Tensor) -> Tensor:
        distributed.all_reduce(value)
        return value


@contextmanager
def sharded_learner(config: WorkerConfig, cache_dir: Path) -> Iterator[ShardedLearner]:
    """Start the other processes of a learner, and yield that of this process, the first; they end with the block."""
    model_folder(config, cache_dir)  # makes the builtin policy now: from a rank, transformers would save part of it
    context = further_processes()
    with tempfile.TemporaryDirectory(prefix="stalesweep-ranks-") as folder:
        others = [
            context.Process(target=_follow, args=(config, cache_dir, rank, folder), name=f"learner-{rank}")
            for rank in range(1, config.learner_ranks)
        ]
        for process in others:
            process.start()
        try:
            with _joined(config, 0, folder):
                learner = ShardedLearner(_policy(config, cache_dir, 0), config, cache_dir)
                yield learner
                learner.close()
        except BaseException:
            for process in others:
                process.kill()
            raise
        finally:
            for process in others:
                process.join()


def _follow(config: WorkerConfig, cache_dir: Path, rank: int, folder: str) -> None:
    """The main function of every process but the first: make the calls that the first one broadcasts."""
    end_with_parent()
    prepare(config)
    with _joined(config, rank, folder):
        learner = ShardedLearner(_policy(config, cache_dir, rank), config, cache_dir)
        while True:
            announced: list[Any] = [None]
            distributed.broadcast_object_list(announced, src=0)
            name, arguments = announced[0]
            if name == "close":
                return
            device = learner.start_N.device  # a batch arrives on the first process's device
            mine = [argument.to(device) if isinstance(argument, RolloutBatch) else argument for argument in arguments]
            with suppress(Diverged):  # the first process raises it too, and ends the run
                getattr(learner, name)(*mine)


@contextmanager
def _joined(config: WorkerConfig, rank: int, folder: str) -> Iterator[None]:
    if learner_device(config).type == "cuda":
        torch.cuda.set_device(rank)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(
        backend, init_method=f"file://{folder}/store", rank=rank, world_size=config.learner_ranks
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _policy(config: WorkerConfig, cache_dir: Path, rank: int) -> Policy:
    device = learner_device(config)
    whole = load_policy(config, cache_dir, torch.device("cuda", rank) if device.type == "cuda" else device)
    return Policy(whole.model, whole.tokenizer, packs=whole.packs)
