"""Pipelines decide which batch a learner step consumes, and so the lag of its tokens, in learner steps.

All follow one rule: **the weights of version v may sample the rollout batches up to number v/s + lead**, where s is the
number of learner steps that consume a batch. Batches are numbered from 0 and consumed in order.

    pipeline   s   lead   a batch is sampled                       lag at learner step t
    reuse      k   0      between the learner's steps              t mod k: 0 … k−1, the paper's (2607.01083 eq. 11–12)
    overlap    k   1      while the one before is consumed         k + t mod k: k … 2k−1
    delay      1   k      k versions before it is consumed         k
    queue      1   k      at any time, by the newest weights       at most k

No lag exceeds t, because the oldest weights are those of version 0. This shortens the first lags of ``overlap`` and
``delay``.

``queue`` admits batches as AReaL does (arXiv 2505.24298, its eq. 3): a sampler begins a batch only if the learner will
consume it within k steps of the weights that begin it. If several samplers finish out of order, a batch can still be
too old in the end. It is then dropped and counted, and another is admitted in its place.

``reuse`` and ``overlap`` use a batch in one of two ways. With ``replay`` every step consumes the whole batch, so that
each rollout is used k times. With ``split`` a batch has k times as many prompts and every step consumes another part,
so that each rollout is used once. The lags are the same; comparing the two shows the effect of using rollouts again. In
both a learner step consumes ``prompts_per_batch`` prompts.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grpo_worker.model.batches import Completions, PromptBatch, RolloutBatch
from grpo_worker.model.policy import Policy
from grpo_worker.rollout.advantages import group_advantages
from grpo_worker.rollout.sampler.pool import Request, Sampled, SamplerPool
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.errors import LagError
from grpo_worker.system.devices import finish
from grpo_worker.system.randomness import generator
from grpo_worker.tasks import Problem, Task


@dataclass(frozen=True, slots=True)
class Fetched:
    """A rollout batch that the learner can consume.

    Attributes:
        batch: The batch.
        rollout_s: Seconds that sampling and scoring it took.
        dropped_groups: Number of groups that were dropped before it because they had become too old.
    """

    batch: RolloutBatch
    rollout_s: float
    dropped_groups: int


class Pipeline:
    """Orders rollout batches from the samplers as weights are published, and gives them to the learner's steps.

    The ticket of a batch is its number. A batch is outstanding from when it is ordered until it is scored or dropped.

    Args:
        config: The run's config.
        task: The source of prompts and rewards.
        reference: The frozen reference policy, for the log-probs of the KL term.
        samplers: The rollout engines.
    """

    def __init__(self, config: WorkerConfig, task: Task, reference: Policy, samplers: SamplerPool) -> None:
        self._config, self._task, self._reference, self._samplers = config, task, reference, samplers
        self._version = 0
        self._ordered = 0
        self._dropped = 0
        self._outstanding: dict[int, tuple[Sequence[Problem], PromptBatch]] = {}
        self._arrived: deque[Sampled] = deque()
        self._batch: RolloutBatch | None = None

    def sync(self, weights: Mapping[str, Tensor], version: int) -> float:
        """Publish a version of the weights, then order the batches that it may sample.

        Returns:
            The seconds that publishing took.
        """
        started = time.perf_counter()
        self._samplers.load(weights, version)
        seconds = time.perf_counter() - started
        self._version = version
        self._order()
        return seconds

    def fetch(self, learner_step: int) -> Fetched | None:
        """Wait for the batch of a learner step; None if the step consumes the same batch as the step before."""
        if self._batch is not None and learner_step % self._config.steps_per_batch:
            return None
        dropped = 0
        while True:
            sampled = self._arrived.popleft() if self._arrived else self._collect()
            oldest = int(sampled.completions.version_BT[sampled.completions.mask_BT > 0].min())
            if self._config.pipeline != "queue" or learner_step - oldest <= self._config.k:
                break
            del self._outstanding[sampled.ticket]
            self._dropped += 1
            dropped += self._config.prompts_per_batch
            self._order()
        started = time.perf_counter()
        self._batch = self._score(sampled)
        return Fetched(self._batch, sampled.seconds + time.perf_counter() - started, dropped)

    def minibatch(self, learner_step: int) -> tuple[RolloutBatch, Tensor]:
        """The part of the last fetched batch that a learner step consumes, and the lag of each of its tokens, [tokens].

        Raises:
            LagError: The pipeline does not allow the lag of a token.
        """
        assert self._batch is not None, "fetch comes first"
        batch, config = self._batch, self._config
        if config.reuse == "split":
            parts = batch.parts(config.rollouts_per_step)
            batch = next(itertools.islice(parts, learner_step % config.steps_per_batch, None))
        return batch, consumed_lags(batch, learner_step, config)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs.

        Batches that are being sampled are waited for. ``queue`` does not wait: a resumed run samples them again.
        """
        due = len(self._outstanding) - len(self._arrived)
        for _ in range(due):
            sampled = self._samplers.collect(wait=self._config.pipeline != "queue")
            if sampled is None:
                break
            self._arrived.append(sampled)
        return {
            "version": self._version,
            "ordered": self._ordered,
            "dropped": self._dropped,
            "outstanding": list(self._outstanding),
            "arrived": [(s.ticket, _tensors(s.completions), s.seconds) for s in self._arrived],
            "batch": _tensors(self._batch) if self._batch else None,
        }

    def restore(self, state: dict[str, Any], weights: Mapping[str, Tensor], version: int) -> None:
        """Restore what `state` returned, and order again, from these weights, the batches that were being sampled."""
        self._version, self._ordered, self._dropped = state["version"], state["ordered"], state["dropped"]
        device = next(self._reference.model.parameters()).device
        if state["batch"]:
            self._batch = RolloutBatch(*state["batch"]).to(device)
        for ticket, tensors, seconds in state["arrived"]:
            self._arrived.append(Sampled(ticket, Completions(*(tensor.to(device) for tensor in tensors)), seconds))
        for ticket in state["outstanding"]:
            self._outstanding[ticket] = self._prompts(ticket)
        lost = self._outstanding.keys() - {sampled.ticket for sampled in self._arrived}
        if lost:
            self._samplers.load(weights, version)
            for ticket in sorted(lost):
                self._submit(ticket)

    def _order(self) -> None:
        """Submit every batch that the newest version may sample and that has not been ordered yet."""
        config = self._config
        admitted = self._version // config.steps_per_batch + lead(config) + 1
        wanted = -(-config.horizon // config.steps_per_batch)
        while self._ordered < min(admitted, wanted) + self._dropped:
            self._outstanding[self._ordered] = self._prompts(self._ordered)
            self._submit(self._ordered)
            self._ordered += 1

    def _submit(self, ticket: int) -> None:
        config, prompts = self._config, self._outstanding[ticket][1]
        shape = (len(prompts.token_PS) * config.group_size, config.max_completion_tokens)
        uniform_BT = torch.rand(shape, generator=generator(config.seed, "completions", ticket))
        self._samplers.submit(Request(ticket, prompts, config.group_size, uniform_BT.to(prompts.token_PS.device)))

    def _prompts(self, ticket: int) -> tuple[Sequence[Problem], PromptBatch]:
        """The problems of a rollout batch and their tokens. They depend only on its number and the run's seed."""
        config, train = self._config, self._task.train
        count = config.prompts_per_batch * (config.steps_per_batch if config.reuse == "split" else 1)
        random = generator(config.seed, "prompts", ticket)
        if count <= len(train):
            rows = torch.randperm(len(train), generator=random)[:count]
        else:
            rows = torch.randint(len(train), (count,), generator=random)
        problems = [train[row] for row in rows.tolist()]
        return problems, self._reference.encode(problems)

    def _collect(self) -> Sampled:
        sampled = self._samplers.collect()
        assert sampled is not None, "it waits"
        return sampled

    def _score(self, sampled: Sampled) -> RolloutBatch:
        config, completions = self._config, sampled.completions
        problems, prompts = self._outstanding.pop(sampled.ticket)
        texts = self._reference.decode(completions.token_BT, completions.mask_BT)
        answers = [problem.answer for problem in problems for _ in range(config.group_size)]
        scores = [float(self._task.verify(text, answer)) for text, answer in zip(texts, answers, strict=True)]
        reward_B = torch.tensor(scores, device=completions.token_BT.device)
        advantage_PG = group_advantages(reward_B.view(len(problems), -1), divide_by_std=config.advantage_std)
        repeated = prompts.repeat(config.group_size)
        batch = RolloutBatch(
            prompt_BS=repeated.token_PS, prompt_mask_BS=repeated.mask_PS,
            token_BT=completions.token_BT, mask_BT=completions.mask_BT,
            behavior_logp_BT=completions.logp_BT,
            proximal_logp_BT=torch.full_like(completions.logp_BT, math.nan),
            reference_logp_BT=torch.zeros_like(completions.logp_BT),
            version_BT=completions.version_BT, reward_B=reward_B, advantage_B=advantage_PG.flatten(),
        )  # fmt: skip
        self._fill_reference(batch)
        return batch

    @torch.inference_mode()
    def _fill_reference(self, batch: RolloutBatch) -> None:
        config = self._config
        size = (config.prompts_per_forward or config.prompts_per_batch) * config.group_size
        for part in batch.parts(size):
            logp_BT, _ = self._reference.completion_log_probs(part, config.temperature, config.group_size)
            part.reference_logp_BT.copy_(logp_BT)
        finish(batch.reference_logp_BT.device)  # so that its time counts as the rollout's, not the learner's


def lead(config: WorkerConfig) -> int:
    """How many rollout batches ahead of the one that is consumed next the samplers may work."""
    return {"reuse": 0, "overlap": 1, "delay": config.k, "queue": config.k}[config.pipeline]


def allowed_lags(config: WorkerConfig, learner_step: int) -> tuple[int, int]:
    """The smallest and the largest lag of the tokens that a learner step may consume."""
    if config.pipeline == "queue":
        return 0, config.k
    sampled_by = max(0, learner_step // config.steps_per_batch - lead(config)) * config.steps_per_batch
    return learner_step - sampled_by, learner_step - sampled_by


def consumed_lags(batch: RolloutBatch, learner_step: int, config: WorkerConfig) -> Tensor:
    """Compute, and check, the lag of each completion token that a learner step is about to consume.

    Args:
        batch: The minibatch of the step.
        learner_step: Learner steps applied so far, which is the version of the learner's weights.
        config: The run's config, which bounds the lags.

    Returns:
        The lag of each unpadded token in learner steps, [tokens].

    Raises:
        LagError: The pipeline does not allow the lag of a token at this step.
    """
    lag_N = learner_step - batch.version_BT[batch.mask_BT > 0]
    low, high = int(lag_N.min()), int(lag_N.max())
    allowed_low, allowed_high = allowed_lags(config, learner_step)
    if low < allowed_low or high > allowed_high:
        raise LagError(
            f"learner step {learner_step} would consume tokens with lags {low} to {high}; "
            f"pipeline {config.pipeline!r} with k = {config.k} allows {allowed_low} to {allowed_high} there"
        )
    return lag_N


def _tensors(batch: RolloutBatch | Completions) -> list[Tensor]:
    return [getattr(batch, field.name) for field in dataclasses.fields(batch)]
