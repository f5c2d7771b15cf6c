"""What a run emits while it trains: typed records, one JSON object a line when the worker runs alone. Torch-free.

A run emits one `StartRecord`, then `EvalRecord`s and `SyncRecord`s in the order of their learner steps, and
ends with one `FinishRecord`. ``None`` means "there was nothing to measure"; NaN means "measured, not a number".
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["collapsed", "degraded", "stable", "diverged", "interrupted"]


@dataclass(frozen=True, slots=True)
class StartRecord:
    """The first record of an attempt.

    Attributes:
        resumed_from_sync: The last weight sync whose whole cycle the loaded checkpoint holds; None for none.
        resumed_from_step: Learner steps applied in the loaded checkpoint; None when starting anew.
        parameters: Trainable parameters of the policy.
        device: The device that trains, e.g. ``cpu`` or ``cuda:0``.
        versions: Versions of python, torch, transformers, the worker, and vllm where it samples.
        threads: CPU threads that torch computes with.
        setup_s: Seconds spent loading (or warming up) the policy and the task.
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
    """One validation, on a grid of learner steps that does not depend on k.

    Attributes:
        learner_step: Learner steps applied to the policy that was evaluated.
        val_reward: Mean reward on the held-out prompts, one sampled completion each, fixed uniforms.
        val_n: Number of held-out prompts.
    """

    learner_step: int
    val_reward: float
    val_n: int


@dataclass(frozen=True, slots=True)
class SyncRecord:
    """One weight sync m and the rollout cycle it starts: the learner steps up to the next weight sync.

    A cycle has k learner steps in the pipelines ``reuse`` and ``overlap``, one in ``delay``, ``sync_every_steps`` in
    ``queue``. Emitted when the cycle is over. Where the name holds neither min, max nor p99, a metric is the mean over
    the cycle's learner steps (rewards and lengths: over its rollouts). Lags are in learner steps, weighted by token.

    Attributes:
        sync: m, counted from 0. Sync 0 publishes the initial policy.
        learner_step: Learner steps applied at the weight sync: the version that it publishes.
        reward: Mean reward of the rollouts that the cycle consumes. In ``reuse`` the published version sampled them;
            elsewhere an older one, see the lags.
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
        drift_in_cycle: ‖θ − μ‖ at the end of the cycle: how far the learner left the behaviour policy.
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
        engine_gap: Mean |log-prob of the sampler − log-prob of the learner| under the same weights: at lag 0, in
            ``overlap`` on one group with the weights that sampled it. None where neither is at hand (``delay``, and
            ``queue`` at lags above 0).
        dropped_groups: Groups sampled but too old to be consumed (``queue``).
        rollout_s: Seconds of sampling.
        learner_s: Seconds of learner steps.
        sync_s: Seconds of weight sync.
        idle_s: Seconds the learner waited for the weight sync and for rollouts.
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
        outcome: What the run's own detector says; ``interrupted`` when it was asked to stop before its end.
        learner_steps: Learner steps applied.
        detector: The detector that decided, see `grpo_worker.schema.config.CollapseConfig`.
        collapse_step: T*, upper end of the interval in which the policy collapsed.
        collapse_step_lo: The last learner step at which it was seen alive.
        collapse_sync: m*, the first weight sync at or after T*.
        detail: One line for people, e.g. what is not finite.
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
    """Write a record as one line of JSON; NaN and infinities appear as ``NaN`` and ``Infinity``."""
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
