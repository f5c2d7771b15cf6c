"""The training loop of one run.

    ┌── weight sync m ──────────────────────────────────────────────────────────────┐
    │   learner ── version t = m·k ──► sampler ──► P·G rollouts, each token with    │
    │      ▲                                       its log-prob and its version     │
    │      │ learner steps [m·k, (m+1)·k)               │ verify → reward → advantage│
    │      └── minibatch at lag 0 … k−1 ◄── pipeline ◄──┘                           │
    │   every `eval_every_steps` learner steps, whatever k: validate → EvalRecord   │
    │   end of the cycle: SyncRecord, perhaps a checkpoint                          │
    └── until the horizon, a confirmed collapse (if asked), or a request to stop ───┘

A run is a pure function of its config: all randomness is drawn by purpose, one CPU thread gives the same bits in
every process, and a resumed run continues from its last checkpoint with the same bits.
"""

from __future__ import annotations

import copy
import logging
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers

from grpo_worker import __version__, collapse
from grpo_worker.batches import RolloutBatch
from grpo_worker.checkpoint import History, latest_checkpoint, load_checkpoint, save_checkpoint
from grpo_worker.config import WorkerConfig
from grpo_worker.diagnostics import LagHistogram
from grpo_worker.errors import Diverged
from grpo_worker.learner import Learner, StepMetrics
from grpo_worker.pipelines import ReusePipeline, consumed_lags
from grpo_worker.policy import Policy, load_policy
from grpo_worker.randomness import generator
from grpo_worker.records import EvalRecord, FinishRecord, Record, StartRecord, SyncRecord
from grpo_worker.sampler import Sampler
from grpo_worker.sampler.hf import HfSampler, generate
from grpo_worker.tasks import Task, load_task
from grpo_worker.weight_sync import sync_weights

log = logging.getLogger(__name__)

__all__ = ["latest_checkpoint", "run"]


def run(
    config: WorkerConfig,
    emit: Callable[[Record], None],
    *,
    cache_dir: Path,
    run_dir: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    make_sampler: Callable[[Policy, float], Sampler] = HfSampler,
) -> FinishRecord:
    """Train one run to its end, or until it is asked to stop.

    Args:
        config: What to train.
        emit: Receives every record as it is made, the `FinishRecord` included.
        cache_dir: Where warmed-up builtin policies are kept.
        run_dir: Where checkpoints go; a checkpoint found there is resumed from. None = no checkpoints.
        should_stop: Asked after every rollout cycle; when true the run saves a checkpoint and ends ``interrupted``.
        make_sampler: Builds the rollout engine from the initial policy and the temperature.

    Returns:
        The `FinishRecord`.

    Raises:
        WorkerError: The model, task or checkpoint cannot be used, or a lag exceeds its bound.
    """
    started = time.perf_counter()
    torch.set_num_threads(config.threads)
    device = _device(config)
    task = load_task(config.task)
    reference = load_policy(config, cache_dir, device)
    reference.model.requires_grad_(False)
    policy = load_policy(config, cache_dir, device)
    learner = Learner(policy, config)
    sampler = make_sampler(copy.deepcopy(reference), config.temperature)
    pipeline = ReusePipeline(config, task, reference, sampler)
    evaluate = _evaluator(config, task, policy)

    resumed = latest_checkpoint(run_dir) if run_dir else None
    history = load_checkpoint(resumed[0], learner) if resumed else History([], [], [], [])
    sync = resumed[1] + 1 if resumed else 0
    emit(_start_record(learner, resumed[1] if resumed else None, time.perf_counter() - started))
    saved_at_step = learner.steps

    def validate() -> float:
        reward = evaluate()
        history.eval_steps.append(learner.steps)
        history.val_rewards.append(reward)
        emit(EvalRecord(learner.steps, reward, len(task.val)))
        return reward

    if learner.steps == 0:
        validate()
    while True:
        cycle = CycleMetrics(sync=sync, learner_step=learner.steps, cycle_start_N=learner.parameters.snapshot())
        cycle.sync_s = sync_weights(policy.model, learner.steps, sampler)
        with _timed(cycle, "rollout_s"):
            batch = pipeline.rollouts(sync)
        history.sync_steps.append(learner.steps)
        history.rewards.append(float(batch.reward_B.mean()))
        try:
            for minibatch in pipeline.minibatches(batch):
                with _timed(cycle, "learner_s"):
                    cycle.lags.add(consumed_lags(minibatch, learner.steps, config.k))
                    cycle.steps.append(learner.step(minibatch))
                if learner.steps % config.eval_every_steps == 0 or learner.steps == config.horizon:
                    cycle.val_reward = validate()
                if learner.steps == config.horizon:
                    break
        except Diverged as error:
            return _emitted(emit, FinishRecord("diverged", learner.steps, config.collapse.detector, detail=str(error)))
        emit(cycle.record(batch, learner, config.group_size))

        if learner.steps == config.horizon or _confirmed(config, history):
            return _emitted(emit, _verdict(config, learner.steps, history))
        stop = should_stop()
        every = config.checkpoint_every_steps
        if run_dir and (stop or (every and learner.steps - saved_at_step >= every)):
            save_checkpoint(run_dir, sync, learner, history)
            saved_at_step = learner.steps
        if stop:
            return _emitted(emit, FinishRecord("interrupted", learner.steps, config.collapse.detector))
        sync += 1


@dataclass(slots=True)
class CycleMetrics:
    """Gathers what one rollout cycle measures, for its `SyncRecord`."""

    sync: int
    learner_step: int
    cycle_start_N: torch.Tensor
    steps: list[StepMetrics] = field(default_factory=list)
    lags: LagHistogram = field(default_factory=LagHistogram)
    val_reward: float | None = None
    sync_s: float = 0.0
    rollout_s: float = 0.0
    learner_s: float = 0.0

    def record(self, batch: RolloutBatch, learner: Learner, group_size: int) -> SyncRecord:
        """The cycle's record; see `SyncRecord` for what each metric means."""
        group_std_P = batch.reward_B.view(-1, group_size).std(dim=1)
        full_length = batch.mask_BT.sum(1) == batch.mask_BT.shape[1]
        last_token_B = batch.token_BT[:, -1]
        truncated = full_length & ~torch.isin(
            last_token_B, torch.tensor(learner.policy.eos_ids, device=last_token_B.device)
        )
        tokens = int(batch.mask_BT.sum())
        first = self.steps[0]
        return SyncRecord(
            sync=self.sync, learner_step=self.learner_step,
            reward=float(batch.reward_B.mean()), reward_std=float(batch.reward_B.std()), val_reward=self.val_reward,
            lag_min=self.lags.min, lag_mean=self.lags.mean, lag_p99=self.lags.quantile(0.99), lag_max=self.lags.max,
            cosine_update_within=_mean([s.cosine_update for s in self.steps[1:]]),
            cosine_update_across=first.cosine_update,
            cosine_gradient_within=_mean([s.cosine_gradient for s in self.steps[1:]]),
            cosine_gradient_across=first.cosine_gradient,
            gradient_norm=self._mean("gradient_norm"), update_norm=self._mean("update_norm"),
            drift_from_start=learner.drift_from_start(),
            drift_in_cycle=float((learner.parameters.theta_N.detach() - self.cycle_start_N).norm()),
            path_length=learner.path_length,
            ratio_mean=self._mean("ratio_mean"), ratio_max=max(s.ratio_max for s in self.steps),
            clip_fraction_low=self._mean("clip_fraction_low"), clip_fraction_high=self._mean("clip_fraction_high"),
            kl_behavior=self._mean("kl_behavior"), kl_reference=self._mean("kl_reference"),
            ess_token=self._mean("ess_token"), ess_sequence=self._mean("ess_sequence"),
            entropy=self._mean("entropy"), completion_tokens=tokens / len(batch),
            truncated_fraction=float(truncated.float().mean()),
            zero_std_fraction=float((group_std_P == 0).float().mean()),
            engine_gap=first.abs_log_ratio, dropped_groups=0,
            rollout_s=self.rollout_s, learner_s=self.learner_s, sync_s=self.sync_s, idle_s=self.rollout_s + self.sync_s,
            rollout_tokens=tokens,
        )  # fmt: skip

    def _mean(self, name: str) -> float:
        return float(sum(getattr(step, name) for step in self.steps) / len(self.steps))


class _timed:
    """Add the seconds a block takes to one of a cycle's timers."""

    def __init__(self, cycle: CycleMetrics, name: str) -> None:
        self._cycle, self._name = cycle, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        elapsed = time.perf_counter() - self._started
        setattr(self._cycle, self._name, getattr(self._cycle, self._name) + elapsed)


def _evaluator(config: WorkerConfig, task: Task, policy: Policy) -> Callable[[], float]:
    """Validation of the learner's policy: one sampled completion a held-out prompt, the same uniforms every time."""
    prompts = policy.encode(task.val)
    uniform_BT = torch.rand(
        len(task.val), config.max_completion_tokens, generator=generator(config.seed, "validation")
    ).to(prompts.token_PS.device)  # fmt: skip

    def evaluate() -> float:
        completions = generate(policy, prompts, 1, uniform_BT, config.temperature, version=0)
        texts = policy.decode(completions.token_BT, completions.mask_BT)
        correct = sum(task.verify(text, problem.answer) for text, problem in zip(texts, task.val, strict=True))
        return correct / len(task.val)

    return evaluate


def _verdict(config: WorkerConfig, learner_steps: int, history: History) -> FinishRecord:
    """What the run's own detector says of all it has measured."""
    verdict = _detect(config, history)
    finish = FinishRecord(verdict.state, learner_steps, config.collapse.detector)
    if verdict.collapse is None:
        return finish
    low, high = verdict.collapse.lo, verdict.collapse.hi
    return FinishRecord(
        verdict.state, learner_steps, config.collapse.detector,
        collapse_step=high, collapse_step_lo=low, collapse_sync=-(-high // config.k),
    )  # fmt: skip


def _detect(config: WorkerConfig, history: History) -> collapse.Verdict:
    if config.collapse.detector == "half":
        return collapse.half(history.eval_steps, history.val_rewards, config.collapse)
    return collapse.zero(history.sync_steps, history.rewards, config.collapse)


def _confirmed(config: WorkerConfig, history: History) -> bool:
    """Whether the run may end early: its collapse has been seen at enough observations in a row."""
    wanted = config.collapse.stop_after_evals
    found = _detect(config, history).collapse if wanted else None
    return found is not None and found.observations >= wanted


def _start_record(learner: Learner, resumed_from_sync: int | None, setup_s: float) -> StartRecord:
    versions = {
        "python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
        "stalesweep": __version__,
    }  # fmt: skip
    device = str(learner.start_N.device)
    return StartRecord(resumed_from_sync, len(learner.parameters), device, versions, setup_s)


def _emitted(emit: Callable[[Record], None], finish: FinishRecord) -> FinishRecord:
    emit(finish)
    return finish


def _device(config: WorkerConfig) -> torch.device:
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def _mean(values: list[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return sum(measured) / len(measured) if measured else None
