"""Gathers what is measured in a rollout cycle, step by step, until its `SyncRecord` can be made."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from grpo_worker.model.batches import RolloutBatch
from grpo_worker.rollout.pipelines import Fetched
from grpo_worker.schema.records import SyncRecord
from grpo_worker.train.diagnostics import LagHistogram
from grpo_worker.train.learner import Learner, StepMetrics


@dataclass(frozen=True, slots=True)
class BatchMetrics:
    """The measurements of one rollout batch; names as in `SyncRecord`."""

    reward: float
    reward_std: float
    completion_tokens: float
    truncated_fraction: float
    zero_std_fraction: float
    rollout_tokens: int
    rollout_s: float
    dropped_groups: int


@dataclass(slots=True)
class Cycle:
    """The measurements of one rollout cycle so far; other names as in `SyncRecord`.

    Attributes:
        batches: One entry for each rollout batch that the cycle has fetched.
        steps: One entry for each learner step that it has taken.
        lags: Of all tokens that these steps consumed.
    """

    sync: int
    learner_step: int
    batches: list[BatchMetrics] = field(default_factory=list)
    steps: list[StepMetrics] = field(default_factory=list)
    lags: LagHistogram = field(default_factory=LagHistogram)
    val_reward: float | None = None
    engine_gap: float | None = None
    sync_s: float = 0.0
    learner_s: float = 0.0
    idle_s: float = 0.0

    def take(self, fetched: Fetched, group_size: int, eos_ids: Sequence[int]) -> None:
        """Add a rollout batch that the cycle consumes."""
        batch = fetched.batch
        tokens = int(batch.mask_BT.sum())
        group_std_P = batch.reward_B.view(-1, group_size).std(dim=1)
        self.batches.append(
            BatchMetrics(
                reward=float(batch.reward_B.mean()), reward_std=float(batch.reward_B.std()),
                completion_tokens=tokens / len(batch),
                truncated_fraction=float(_truncated(batch, eos_ids).float().mean()),
                zero_std_fraction=float((group_std_P == 0).float().mean()), rollout_tokens=tokens,
                rollout_s=fetched.rollout_s, dropped_groups=fetched.dropped_groups,
            )
        )  # fmt: skip

    def add(self, step: StepMetrics, lag_N: Tensor) -> None:
        """Add what a learner step measured, and the lags [tokens] of the tokens that it consumed."""
        if not self.steps and not lag_N.any():
            self.engine_gap = step.abs_log_ratio
        self.steps.append(step)
        self.lags.add(lag_N)

    def record(self, learner: Learner) -> SyncRecord:
        """Make the record of the cycle, which is over."""
        first = self.steps[0]
        drift_from_start, drift_in_cycle = learner.drifts()
        means: dict[str, Any] = {name: _average(self.steps, name) for name in _STEP_MEANS}
        means |= {name: _average(self.batches, name) for name in _BATCH_MEANS}
        sums: dict[str, Any] = {name: sum(getattr(batch, name) for batch in self.batches) for name in _BATCH_SUMS}
        return SyncRecord(
            sync=self.sync, learner_step=self.learner_step, val_reward=self.val_reward,
            lag_min=self.lags.min, lag_mean=self.lags.mean, lag_p99=self.lags.quantile(0.99), lag_max=self.lags.max,
            cosine_update_within=_mean([s.cosine_update for s in self.steps[1:]]),
            cosine_update_across=first.cosine_update,
            cosine_gradient_within=_mean([s.cosine_gradient for s in self.steps[1:]]),
            cosine_gradient_across=first.cosine_gradient,
            drift_from_start=drift_from_start, drift_in_cycle=drift_in_cycle, path_length=learner.path_length,
            ratio_max=max(s.ratio_max for s in self.steps), engine_gap=self.engine_gap,
            sync_s=self.sync_s, learner_s=self.learner_s, idle_s=self.idle_s,
            **means, **sums,
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Return all of it as plain types, for a checkpoint."""
        return {
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)},
            "batches": [dataclasses.asdict(batch) for batch in self.batches],
            "steps": [dataclasses.asdict(step) for step in self.steps],
            "lags": self.lags.tokens(),
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Cycle:
        """Make the cycle anew from what `state` returned."""
        return cls(
            **state | {
                "batches": [BatchMetrics(**batch) for batch in state["batches"]],
                "steps": [StepMetrics(**step) for step in state["steps"]],
                "lags": LagHistogram(state["lags"]),
            }
        )  # fmt: skip


class Stopwatch:
    """Adds the seconds that a block takes to one of a cycle's timers."""

    def __init__(self, cycle: Cycle, timer: str) -> None:
        self._cycle, self._timer = cycle, timer

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed = time.perf_counter() - self._started
        setattr(self._cycle, self._timer, getattr(self._cycle, self._timer) + elapsed)


_STEP_MEANS = (
    "gradient_norm", "update_norm", "ratio_mean", "clip_fraction_low", "clip_fraction_high", "kl_behavior",
    "kl_reference", "ess_token", "ess_sequence", "entropy",
)  # fmt: skip
_BATCH_MEANS = ("reward", "reward_std", "completion_tokens", "truncated_fraction", "zero_std_fraction")
_BATCH_SUMS = ("rollout_tokens", "rollout_s", "dropped_groups")


def _truncated(batch: RolloutBatch, eos_ids: Sequence[int]) -> Tensor:
    """Whether each completion was cut at the length limit, [B]."""
    full_length = batch.mask_BT.sum(1) == batch.mask_BT.shape[1]
    last_token_B = batch.token_BT[:, -1]
    return full_length & ~torch.isin(last_token_B, torch.tensor(eos_ids, device=last_token_B.device))


def _average(rows: Sequence[object], name: str) -> float:
    return float(sum(getattr(row, name) for row in rows) / len(rows))


def _mean(values: list[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return sum(measured) / len(measured) if measured else None
