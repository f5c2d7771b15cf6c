"""The records that a run emits while it trains. ``python -m grpo_worker`` prints them, one JSON object a line.

An attempt emits one `StartRecord`, then `EvalRecord`s and `SyncRecord`s in the order of their learner steps, and one
`FinishRecord` unless it is killed. ``None`` means that there was nothing to measure, NaN that the measurement gave NaN.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any, Literal

CHECKPOINT_NAME = re.compile(r"checkpoint-([0-9]{8,12})\.pt")
"""What a checkpoint is called; its number is the learner steps that it holds. A copy under another name is a user's."""

Outcome = Literal["collapsed", "degraded", "stable", "diverged", "interrupted"]


@dataclass(frozen=True, slots=True)
class StartRecord:
    """The first record of an attempt.

    Attributes:
        resumed_from_sync: The last weight sync whose rollout cycle is complete in the loaded checkpoint; None when
            there is none.
        resumed_from_step: Learner steps applied in the loaded checkpoint; None when the run starts anew.
        parameters: Trainable parameters of the policy.
        device: The device that trains, e.g. ``cpu`` or ``cuda:0``.
        versions: Versions of python, torch, transformers, the worker, and vllm where it samples.
        threads: CPU threads that torch computes with.
        setup_s: Seconds that loading the policy and the task took, a warm-up included.
    """

    resumed_from_sync: int | None
    resumed_from_step: int | None
    parameters: int
    device: str
    versions: dict[str, str]
    threads: int
    setup_s: float


@dataclass(frozen=True, slots=True)
class EvalRecord:
    """One validation. It takes place every ``eval_every_steps`` learner steps, whatever k is.

    Attributes:
        learner_step: Learner steps applied to the policy that was evaluated.
        val_reward: Mean reward on the held-out prompts, one completion each, sampled with the same random numbers at
            every validation.
        val_n: Number of held-out prompts.
    """

    learner_step: int
    val_reward: float
    val_n: int


@dataclass(frozen=True, slots=True)
class SyncRecord:
    """One weight sync m and the rollout cycle it starts: the learner steps up to the next weight sync.

    A cycle has k learner steps in the pipelines ``reuse`` and ``overlap``, one in ``delay``, ``sync_every_steps`` in
    ``queue``. The record is emitted when the cycle is over. A metric whose name holds neither min, max nor p99 is the
    mean over the cycle's learner steps, or, for rewards and lengths, over its rollouts. Lags are counted in learner
    steps; their statistics are over tokens.

    Attributes:
        sync: m, counted from 0. Sync 0 publishes the initial policy.
        learner_step: Learner steps applied at the weight sync: the version that it publishes.
        reward: Mean reward of the rollouts that the cycle consumes. In ``reuse`` the published version sampled them, in
            the other pipelines an older one (see the lags).
        reward_std: Standard deviation of the reward over a batch.
        val_reward: The last validation within the cycle.
        lag_min: Smallest lag of a consumed token.
        lag_mean: Mean lag of the consumed tokens.
        lag_p99: 99th percentile of the lag.
        lag_max: Largest lag.
        cosine_update_within: Cosine of consecutive applied updates inside the cycle.
        cosine_update_across: Cosine of the cycle's first applied update and the previous cycle's last.
        cosine_gradient_within: As above, for raw gradients (before clipping and the optimizer).
        cosine_gradient_across: As above, for raw gradients.
        gradient_norm: ‖g‖ before clipping.
        update_norm: ‖θ_{t+1} − θ_t‖.
        drift_from_start: ‖θ − θ_0‖ at the end of the cycle.
        drift_in_cycle: ‖θ − θ at the weight sync‖ at the end of the cycle.
        path_length: Σ‖θ_{t+1} − θ_t‖ from the start to the end of the cycle.
        ratio_mean: Importance ratio π_θ/π_μ, mean over tokens.
        ratio_max: Largest importance ratio.
        clip_fraction_low: Share of tokens with A < 0 and a ratio below 1 − ε: clipped, no gradient.
        clip_fraction_high: Share of tokens with A > 0 and a ratio above 1 + ε: clipped, no gradient.
        kl_behavior: KL(μ ‖ π_θ) per token, estimator r − 1 − log r with r = π_θ/π_μ.
        kl_reference: KL(π_θ ‖ π_ref) per token, estimator k3.
        ess_token: Effective sample size of the token ratios, as a share of the tokens.
        ess_sequence: Effective sample size of the sequence ratios, as a share of the sequences.
        entropy: Entropy of the policy per token, in nats.
        completion_tokens: Mean length of a completion.
        truncated_fraction: Share of completions cut at the length limit.
        zero_std_fraction: Share of groups whose rewards are all equal: no gradient.
        engine_gap: Mean |log-prob of the sampler − log-prob of the learner| per token, both under the same weights:
            at the cycle's first learner step where its lag is 0, and in ``overlap`` on one group, with the weights that
            sampled it. None where it cannot be measured (``delay``, and ``queue`` at lags above 0).
        dropped_groups: Groups that were sampled but became too old to be consumed (``queue``).
        rollout_s: Seconds of sampling.
        learner_s: Seconds of learner steps.
        sync_s: Seconds of weight sync.
        idle_s: Seconds that the learner waited for the weight sync and for rollouts.
        rollout_tokens: Tokens sampled for the cycle.
    """

    sync: int
    learner_step: int
    reward: float
    reward_std: float
    val_reward: float | None
    lag_min: int
    lag_mean: float
    lag_p99: int
    lag_max: int
    cosine_update_within: float | None
    cosine_update_across: float | None
    cosine_gradient_within: float | None
    cosine_gradient_across: float | None
    gradient_norm: float
    update_norm: float
    drift_from_start: float
    drift_in_cycle: float
    path_length: float
    ratio_mean: float
    ratio_max: float
    clip_fraction_low: float
    clip_fraction_high: float
    kl_behavior: float
    kl_reference: float
    ess_token: float
    ess_sequence: float
    entropy: float
    completion_tokens: float
    truncated_fraction: float
    zero_std_fraction: float
    engine_gap: float | None
    dropped_groups: int
    rollout_s: float
    learner_s: float
    sync_s: float
    idle_s: float
    rollout_tokens: int


@dataclass(frozen=True, slots=True)
class FinishRecord:
    """The last record of an attempt that was not killed.

    Attributes:
        outcome: The verdict of the run's own detector; ``diverged`` when something was not finite, ``interrupted`` when
            the run was asked to stop.
        learner_steps: Learner steps applied.
        detector: The run's detector, see `grpo_worker.schema.config.CollapseConfig`.
        collapse_step: T*, the first observation below the detector's threshold, in learner steps.
        collapse_step_lo: The last observation above the threshold, in learner steps.
        collapse_sync: m*, the first weight sync at or after T*.
        detail: One line for people, e.g. which quantity was not finite.
    """

    outcome: Outcome
    learner_steps: int
    detector: str
    collapse_step: int | None = None
    collapse_step_lo: int | None = None
    collapse_sync: int | None = None
    detail: str | None = None


Record = StartRecord | EvalRecord | SyncRecord | FinishRecord

_KINDS: dict[str, type[Record]] = {
    "start": StartRecord, "eval": EvalRecord, "sync": SyncRecord, "finish": FinishRecord,
}  # fmt: skip
_NAMES = {record_type: kind for kind, record_type in _KINDS.items()}


def to_json(record: Record) -> str:
    """Write a record as one line of JSON; NaN and infinities are written as ``NaN`` and ``Infinity``."""
    return json.dumps({"record": _NAMES[type(record)], **dataclasses.asdict(record)})


def from_json(line: str) -> Record:
    """Read back what `to_json` wrote.

    Raises:
        ValueError: The line is not a record.
    """
    try:
        content: dict[str, Any] = json.loads(line)
        return _KINDS[content.pop("record")](**content)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a record: {line[:80]!r}") from error
