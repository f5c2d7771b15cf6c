"""The columns of a file: which are ours, by our name or a trainer's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from orchestrator.data import frames
from orchestrator.data.importing.rows import AXIS, FACTS, LABEL, MOST_AXES, RATE
from orchestrator.data.importing.tables import Mistakes
from orchestrator.grid.mistakes import unknown

_PLACE = ("run", "sync", "attempt", "learner_step")
METRICS = {column.name: column.type for column in frames.schema("syncs") if column.name not in _PLACE}
"""The metrics of a weight sync, and what their numbers are."""

LagUnit = Literal["steps", "versions", "fraction"] | Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""What a lag of 1 is; a number is one of learner steps."""

ALIASES = {
    "step": "train/global_step global_step training/global_step trainer/global_step train/step rollout/step Step _step",
    LABEL: "run_name Name run_id",
    "val_reward": "eval_reward eval/reward eval/all/avg_score eval-rollout/reward validation/accuracy",
    "kl_reference": "kl actor/kl_loss policy/policy_kl train/kl_loss",
    "gradient_norm": "grad_norm actor/grad_norm policy/raw_grad_norm policy/grad_norm optim/grad_norm "
        "train/grad_norm_pre_clip",
    "completion_tokens": "completions/mean_length response_length/mean generate/avg_num_tokens "
        "mean_gen_tokens_per_sample rollout/response_len/mean",
    "truncated_fraction": "completions/clipped_ratio response_length/clip_ratio is_truncated/all/mean truncation_rate "
        "rollout/truncated_ratio",
    "clip_fraction_low": "clip_ratio/low_mean",
    "clip_fraction_high": "clip_ratio/high_mean",
    "zero_std_fraction": "frac_reward_zero_std",
    "reward": "critic/score/mean critic/rewards/mean reward/avg_raw_reward ppo_actor/task_reward/avg rollout/reward "
        "reward/all/mean rollout/raw_reward",
    "lag_mean": "training/off_policy/trajectory_staleness/mean async/staleness_mean "
        "version_stats/sample_staleness_theta_avg off_policy/mean avg_trajectory_age staleness/total/mean",
    "lag_min": "training/off_policy/trajectory_staleness/min async/staleness_min "
        "version_stats/sample_staleness_theta_min",
    "lag_max": "training/off_policy/trajectory_staleness/max async/staleness_max "
        "version_stats/sample_staleness_theta_max off_policy/max staleness/total/max",
    "kl_behavior": "rollout_corr/kl mismatch_kl/all/mean gen_kl_error train/policy_rollout_kl",
    "entropy": "actor/entropy policy/policy_entropy entropy/avg entropy/all/mean approx_entropy train/entropy_loss",
    RATE: "actor/lr policy/policy_lr lr optim/lr train/lr-pg_0",
    "ess_token": "train/policy_rollout_token_ess",
    "ess_sequence": "train/policy_rollout_sequence_ess",
}  # fmt: skip
"""What TRL, verl, SkyRL, AReaL, prime-rl, NeMo-RL and miles call our columns; the first name that a file has is used.

Every lag is counted in weight versions there, which are as many learner steps as the trainer's settings say.
"""

PREFIXES = ("", "train/", "ppo_actor/update/")
"""What may stand before each of the names: nothing, or as W&B with TRL, NeMo-RL, and AReaL write it."""


def names_of(ours: str) -> list[str]:
    """List the names of one of our columns, the one that is looked for first at the start."""
    names = [ours, *ALIASES.get(ours, "").split()]
    return list(dict.fromkeys(f"{prefix}{name}" for name in names for prefix in PREFIXES))


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says about a file."""

    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)  # theirs by ours
    values: Mapping[str, str] = field(default_factory=dict)  # constants by our column
    skip: Sequence[str] = ()  # theirs
    detector: str | None = None  # None = ``half`` if the data allow it
    runs_file: Path | None = None
    lag_unit: str | None = None  # None = not said


def map_columns(
    columns: Sequence[str], known: Sequence[str], options: Options, mistakes: Mistakes, form: str = "runs"
) -> tuple[dict[str, str], list[str]]:
    """Decide what each column of a file is; returns their column by ours, and sentences that say so.

    ``known`` are our columns that this form has; what the options say comes first. In a log, trainers' names for our
    columns count too. In a table of runs, a column that is none of ours is a further axis.
    """
    for option, given, allowed in (("--map", options.columns, known), ("--set", options.values, FACTS)):
        for ours in given:
            if ours not in allowed and not ours.startswith(AXIS):
                mistakes.note("", unknown(f"{option} {ours}: no such column of ours", ours, [*allowed, f"{AXIS}NAME"]))
    wanted = {f"--map {ours}={theirs}": theirs for ours, theirs in options.columns.items()}
    present = set(columns)
    for option, name in (wanted | {f"--skip {name}": name for name in options.skip}).items():
        if name not in present:
            mistakes.note("", unknown(f"{option}: the file has no column {name!r}", name, columns))
    asked = options.columns.items()
    used = {ours: theirs for ours, theirs in asked if theirs in present and (ours in known or ours.startswith(AXIS))}
    free = dict.fromkeys(name for name in columns if name not in {*used.values(), *options.skip})
    for ours in known:
        found = next((name for name in (names_of(ours) if form in ("trl", "wandb") else [ours]) if name in free), None)
        if ours not in used and found is not None:
            used[ours] = found
            del free[found]
    axes = [name for name in free if name.startswith(AXIS) or (form == "runs" and name.strip())]
    if len(axes) > MOST_AXES:
        what = f"names {len(axes):,} columns that are none of ours; at most {MOST_AXES:,} can be further axes"
        mistakes.note(1, f"{what}: leave columns out with --skip")
        mistakes.raise_all()
    for name in axes:
        used[f"{AXIS}{name.removeprefix(AXIS)}"] = name
        del free[name]
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
