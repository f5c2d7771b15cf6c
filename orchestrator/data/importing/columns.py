"""Which column of a file is which of ours: as the command line says, by our name, or by a trainer's name for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import inspect

from orchestrator.data.importing.rows import AXIS, FACTS
from orchestrator.data.importing.tables import REAL, WHOLE, Mistakes
from orchestrator.grid.yaml_file import suggest
from orchestrator.store.models import SyncMetric
from orchestrator.store.types import NanFloat

METRICS = {
    column.name: REAL if isinstance(column.type, NanFloat) else WHOLE
    for column in inspect(SyncMetric).columns
    if column.name not in ("run_id", "sync", "attempt", "learner_step")
}
"""The metrics of a weight sync, and what their numbers are."""

LABEL = "run"
"""The column with a run's name."""

RATE = "learning_rate"
"""The column of a log from which eta is read."""

ALIASES: dict[str, dict[str, str]] = {
    "any": {"step": "train/global_step global_step", LABEL: "run_name Name run_id"},
    "TRL": {
        "reward": "reward", "reward_std": "reward_std", "val_reward": "eval_reward eval/reward", "kl_reference": "kl",
        "entropy": "entropy", "gradient_norm": "grad_norm", "completion_tokens": "completions/mean_length",
        "truncated_fraction": "completions/clipped_ratio", "clip_fraction_low": "clip_ratio/low_mean",
        "clip_fraction_high": "clip_ratio/high_mean", "zero_std_fraction": "frac_reward_zero_std",
    },
    "verl": {
        "step": "training/global_step", "reward": "critic/score/mean critic/rewards/mean",
        "lag_mean": "training/off_policy/trajectory_staleness/mean",
        "lag_min": "training/off_policy/trajectory_staleness/min",
        "lag_max": "training/off_policy/trajectory_staleness/max", "gradient_norm": "actor/grad_norm",
        "kl_reference": "actor/kl_loss", "kl_behavior": "rollout_corr/kl", "entropy": "actor/entropy",
        "completion_tokens": "response_length/mean", "truncated_fraction": "response_length/clip_ratio",
        RATE: "actor/lr",
    },
    "SkyRL": {
        "step": "trainer/global_step", "reward": "reward/avg_raw_reward", "val_reward": "eval/all/avg_score",
        "lag_mean": "async/staleness_mean", "lag_min": "async/staleness_min", "lag_max": "async/staleness_max",
        "gradient_norm": "policy/raw_grad_norm policy/grad_norm", "kl_reference": "policy/policy_kl",
        "entropy": "policy/policy_entropy", "completion_tokens": "generate/avg_num_tokens", RATE: "policy/policy_lr",
    },
    "AReaL": {
        "reward": "ppo_actor/task_reward/avg rollout/reward", "val_reward": "eval-rollout/reward",
        "lag_mean": "version_stats/sample_staleness_theta_avg", "lag_min": "version_stats/sample_staleness_theta_min",
        "lag_max": "version_stats/sample_staleness_theta_max", "entropy": "entropy/avg", RATE: "lr",
    },
    "prime-rl": {
        "reward": "reward/all/mean", "lag_mean": "off_policy/mean", "lag_max": "off_policy/max",
        "gradient_norm": "optim/grad_norm", "kl_behavior": "mismatch_kl/all/mean", "entropy": "entropy/all/mean",
        "truncated_fraction": "is_truncated/all/mean", RATE: "optim/lr",
    },
    "NeMo-RL": {
        "lag_mean": "avg_trajectory_age", "val_reward": "validation/accuracy", "kl_behavior": "gen_kl_error",
        "entropy": "approx_entropy", "completion_tokens": "mean_gen_tokens_per_sample",
        "truncated_fraction": "truncation_rate", RATE: "lr",
    },
    "miles": {
        "step": "train/step rollout/step", "reward": "rollout/raw_reward", "lag_mean": "staleness/total/mean",
        "lag_max": "staleness/total/max", "gradient_norm": "train/grad_norm_pre_clip", "kl_reference": "train/kl_loss",
        "kl_behavior": "train/policy_rollout_kl", "ess_token": "train/policy_rollout_token_ess",
        "ess_sequence": "train/policy_rollout_sequence_ess", "entropy": "train/entropy_loss",
        "completion_tokens": "rollout/response_len/mean", "truncated_fraction": "rollout/truncated_ratio",
        RATE: "train/lr-pg_0",
    },
    "W&B": {"step": "Step _step"},
}  # fmt: skip
"""What trainers call our columns, several names of a column separated by spaces; the first that a file has is used.

Every lag is counted in weight versions there, which are as many learner steps as the trainer's settings say.
"""

PREFIXES = ("", "train/", "ppo_actor/update/")
"""What may stand before each of the names: nothing, or as W&B with TRL, NeMo-RL, and AReaL write it."""


def names_of(ours: str) -> list[str]:
    """List the names of one of our columns, the one that is looked for first at the start."""
    names = [ours, *(name for trainer in ALIASES.values() for name in trainer.get(ours, "").split())]
    return list(dict.fromkeys(f"{prefix}{name}" for name in names for prefix in PREFIXES))


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says about a file.

    Attributes:
        format: auto, runs, syncs, trl or wandb.
        columns: Their column by ours.
        values: Constants by our column, as text.
        skip: Their columns to leave out.
        detector: half or zero; None = ``half`` if the data allow it.
        runs_file: A table that says what each named run is.
        lag_unit: What a lag of 1 is: steps, versions, fraction, or a number of learner steps; None = not said.
    """

    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    skip: Sequence[str] = ()
    detector: str | None = None
    runs_file: Path | None = None
    lag_unit: str | None = None


def map_columns(
    columns: Sequence[str],
    known: Iterable[str],
    options: Options,
    mistakes: Mistakes,
    *,
    is_log: bool = False,
    rest_are_axes: bool = False,
) -> tuple[dict[str, str], list[str]]:
    """Decide what each column of a file is.

    Args:
        columns: The file's columns.
        known: Our columns that this form has.
        options: What the command line says; it comes first.
        mistakes: Takes what cannot be.
        is_log: Whether trainers' names for our columns count.
        rest_are_axes: Whether a column that is none of ours is a further axis.

    Returns:
        Their column by ours, and sentences that say so.
    """
    known = list(known)
    _refuse_unknown(columns, known, options, mistakes)
    asked = options.columns.items()
    used = {ours: theirs for ours, theirs in asked if theirs in columns and (ours in known or ours.startswith(AXIS))}
    free = [name for name in columns if name not in used.values() and name not in options.skip]
    for ours in known:
        found = next((name for name in (names_of(ours) if is_log else [ours]) if name in free), None)
        if ours not in used and found is not None:
            used[ours] = found
            free.remove(found)
    for name in [name for name in free if name.startswith(AXIS) or (rest_are_axes and name.strip())]:
        used[f"{AXIS}{name.removeprefix(AXIS)}"] = name
        free.remove(name)
    for ours in used.keys() & options.values.keys():
        theirs = used[ours]
        mistakes.note("", f"{ours} is given by --set and by the column {theirs!r}; leave one out (--skip {theirs!r})")
    groups = {
        "columns": [o if o == theirs else f"{o} = {theirs}" for o, theirs in used.items() if not o.startswith(AXIS)],
        "further axes": [theirs for ours, theirs in used.items() if ours.startswith(AXIS)],
        "given": [f"{name} = {value}" for name, value in options.values.items()],
        "left out": [name or "(a column without a name)" for name in (*free, *options.skip)],
    }
    return used, [f"{title}: {', '.join(names)}" for title, names in groups.items() if names]


def _refuse_unknown(columns: Sequence[str], known: list[str], options: Options, mistakes: Mistakes) -> None:
    mapped = {f"--map {ours}={theirs}": (ours, theirs) for ours, theirs in options.columns.items()}
    asked = [(option, ours, known) for option, (ours, _) in mapped.items()]
    for option, ours, allowed in (*asked, *((f"--set {name}", name, FACTS) for name in options.values)):
        if ours not in allowed and not ours.startswith(AXIS):
            hint = f"{suggest(ours, allowed)}allowed: {', '.join(allowed)}, axes.NAME"
            mistakes.note("", f"{option}: no such column of ours ({hint})")
    theirs = [(option, name) for option, (_, name) in mapped.items()]
    for option, name in (*theirs, *((f"--skip {name}", name) for name in options.skip)):
        if name not in columns:
            hint = f"{suggest(name, columns)}found: {', '.join(columns[:30])}"
            mistakes.note("", f"{option}: the file has no column {name!r} ({hint})")
