"""Which batch a learner step consumes, and at which lag.

``reuse`` is the paper's pipeline (arXiv 2607.01083, eq. 11–12): the batch sampled at weight sync m, that is by
version m·k, serves learner steps [m·k, (m+1)·k), so lags run from 0 to k−1. Two readings of "reuse" exist:

- ``replay``: every step consumes the whole batch; each rollout is used k times.
- ``split``: the sync samples k times as many prompts and every step consumes its own part; each rollout is used
  once. The lag is the same, so the difference between the two is the effect of reuse alone.

A learner step consumes ``prompts_per_batch`` prompts either way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch

from grpo_worker.batches import RolloutBatch
from grpo_worker.config import WorkerConfig
from grpo_worker.errors import LagError
from grpo_worker.objective import group_advantages
from grpo_worker.policy import Policy
from grpo_worker.randomness import generator
from grpo_worker.sampler import Sampler
from grpo_worker.tasks import Problem, Task


class ReusePipeline:
    """Samples one batch a rollout cycle and deals it out to the cycle's learner steps.

    Args:
        config: The run's config.
        task: Where prompts and rewards come from.
        reference: The frozen reference policy, for the log-probs of the KL term.
        sampler: The rollout engine.
    """

    def __init__(self, config: WorkerConfig, task: Task, reference: Policy, sampler: Sampler) -> None:
        self._config, self._task, self._reference, self._sampler = config, task, reference, sampler

    def rollouts(self, sync: int) -> RolloutBatch:
        """Sample and score the batch of a weight sync; it depends on the sync's number and the weights alone."""
        config = self._config
        prompts = config.prompts_per_batch * (config.k if config.reuse == "split" else 1)
        problems = self._draw_problems(prompts, sync)
        prompt_batch = self._reference.encode(problems)
        uniform_BT = torch.rand(
            prompts * config.group_size, config.max_completion_tokens,
            generator=generator(config.seed, "completions", sync),
        ).to(prompt_batch.token_PS.device)  # fmt: skip
        completions = self._sampler.sample(prompt_batch, config.group_size, uniform_BT)
        texts = self._reference.decode(completions.token_BT, completions.mask_BT)
        answers = [problem.answer for problem in problems for _ in range(config.group_size)]
        scores = [float(self._task.verify(text, answer)) for text, answer in zip(texts, answers, strict=True)]
        reward_B = torch.tensor(scores, device=uniform_BT.device)
        advantage_PG = group_advantages(reward_B.view(prompts, -1), divide_by_std=config.advantage_std)
        repeated = prompt_batch.repeat(config.group_size)
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

    def _draw_problems(self, count: int, sync: int) -> Sequence[Problem]:
        train = self._task.train
        random = generator(self._config.seed, "prompts", sync)
        if count <= len(train):
            rows = torch.randperm(len(train), generator=random)[:count]
        else:
            rows = torch.randint(len(train), (count,), generator=random)
        return [train[row] for row in rows.tolist()]

    def minibatches(self, batch: RolloutBatch) -> Iterator[RolloutBatch]:
        """What each of the k learner steps of the cycle consumes."""
        if self._config.reuse == "split":
            return batch.parts(self._config.rollouts_per_step)
        return itertools.repeat(batch, self._config.k)


def consumed_lags(batch: RolloutBatch, learner_step: int, bound: int) -> torch.Tensor:
    """Lag of each completion token that a learner step is about to consume, in learner steps.

    Args:
        batch: What the step consumes.
        learner_step: Learner steps applied so far: the learner's version.
        bound: The staleness k; lags must stay below it.

    Returns:
        One lag for each unpadded token, [tokens].

    Raises:
        LagError: A token is too old, or comes from a version that does not exist yet.
    """
    lag_N = learner_step - batch.version_BT[batch.mask_BT > 0]
    low, high = int(lag_N.min()), int(lag_N.max())
    if low < 0 or high >= bound:
        raise LagError(
            f"learner step {learner_step} would consume tokens with lags {low} to {high}; "
            f"staleness k = {bound} allows 0 to {bound - 1}"
        )
    return lag_N
