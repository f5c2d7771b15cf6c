"""The columns of a file: which are ours, by our name or a trainer's, and what a row of runs or attempts may say."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from orchestrator.base.states import EARLY_STOPS, RESULTS, AttemptOutcome, FailureClass, RunState
from orchestrator.data import frames
from orchestrator.data.importing.tables import TEXT, Mistakes, refused, shown
from orchestrator.grid.mistakes import unknown

AXIS, LABEL, RATE = "axes.", "run", "learning_rate"
"""What stands before the name of a further axis; the column of runs' names; the one of a log that eta is read from."""

Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1, lt=2**63)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Moment = Annotated[datetime, AfterValidator(lambda at: at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))]


def _name(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("not_printable", "Input should have printable characters only")
    return text


Name = Annotated[str, AfterValidator(_name)]


class ImportedAttempt(BaseModel, frozen=True):
    """An attempt of an export; the fields are the columns of its ``attempts``."""

    run: int = 0
    attempt: Positive
    executor: Name
    job_id: Name | None = None
    task_id: Name | None = None
    restart_count: Count
    host: Name
    started_at: Moment
    ended_at: Moment | None = None
    outcome: AttemptOutcome | None = None
    resumed_from_sync: Count | None = None
    failure_class: FailureClass | None = None
    node: Name | None = None

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> Self:
        if (self.outcome is None) != (self.ended_at is None):
            raise ValueError("outcome and ended_at must both be there, or neither")
        return self


class ImportedRun(BaseModel, frozen=True):
    """A run that was trained elsewhere; the fields are the columns of an export's ``runs``.

    ``axes`` is JSON with sorted keys, ``label`` the run's name in the file; of ``attempts``, None = not known.
    """

    model: Name
    k: Positive
    eta: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seed: Count
    horizon: Positive
    axes: str = "{}"
    collapse_step: Positive | None = None
    state: RunState
    learner_steps: Count = Field(
        default_factory=lambda of: min(of["collapse_step"] or of["horizon"] * (of["state"] in RESULTS), of["horizon"])
    )
    failure: str | None = None
    failure_class: FailureClass | None = None
    collapse_step_lo: Count | None = None
    collapse_sync: Count | None = None
    collapse_detector: Name | None = None
    wall_s: Amount = 0.0
    gpu_s: Amount = 0.0
    code_version: Name | None = None
    config_digest: Name | None = None
    label: Name | None = None
    attempts: tuple[ImportedAttempt, ...] | None = None

    @property
    def cell(self) -> tuple[str, int, float, str]:
        """What identifies the run's cell."""
        return self.model, self.k, self.eta, self.axes

    @property
    def gpus(self) -> int:
        """How many GPUs the run used."""
        gpus = self.gpu_s / self.wall_s if self.wall_s else 0.0
        return round(gpus) if math.isfinite(gpus) else 0

    def described(self) -> str:
        """Name the run by its axes."""
        axes = "".join(f", {name} {value}" for name, value in json.loads(self.axes).items())
        return f"model {self.model}, k {self.k}, eta {self.eta:g}{axes}, seed {self.seed}"

    @model_validator(mode="before")
    @classmethod
    def _with_a_state_of_today(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Name the state if the row does not, as this version does. Nothing trains an imported run."""
        state = given.get("state") or (RunState.COLLAPSED if given.get("collapse_step") else RunState.STABLE)
        if state == RunState.FAILED and str(given.get("failure")).startswith("diverged"):
            given = {"failure_class": FailureClass.DIVERGED} | given
        lost = {"failure_class": FailureClass.LOST, "failure": "was running when it was exported"}
        stopped = given.get("failure_class") or FailureClass.PREDICTED_COLLAPSE  # by a search of an older version
        today: dict[str, Any] = {
            "running": {"state": RunState.LOST, **lost},
            "queued": {"state": RunState.PENDING},
            "stopped": {"state": RunState.CANCELLED, "failure_class": stopped},
        }
        detector = "imported" if state in RESULTS else None
        return {"collapse_detector": detector, "state": state, **given, **today.get(str(state), {})}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        state, why, horizon, steps = self.state, self.failure_class, self.horizon, self.learner_steps
        step, lo, sync = self.collapse_step, self.collapse_step_lo, self.collapse_sync
        is_part = abs(self.gpus * self.wall_s - self.gpu_s) > 1e-6 * self.gpu_s
        is_stopped, last = why in EARLY_STOPS, steps if step is None else step - 1
        wrong = {
            f"collapse_step must lie in 1 to the horizon {horizon} (found {step})": (step or 0) > horizon,
            f"state is {state}, but collapse_step is {step or 'missing'}": (state == RunState.COLLAPSED) != bool(step),
            f"collapse_step_lo is {lo}, but there is no collapse_step": lo is not None and not (step or is_stopped),
            f"collapse_step_lo must lie in 0 to {last} (found {lo})": (step or is_stopped) and (lo or 0) > last,
            f"collapse_sync is {sync}, but there is no collapse_step": sync is not None and not step,
            f"failure_class {why} needs state cancelled (found {state})": is_stopped and state != RunState.CANCELLED,
            f"learner_steps must lie in 0 to the horizon {horizon} (found {steps})": steps > horizon,
            f"gpu_s must be a whole number of GPUs times wall_s {self.wall_s} (found {self.gpu_s})": is_part,
        }
        if sentences := [sentence for sentence, is_so in wrong.items() if is_so]:
            raise ValueError("\n".join(sentences))
        return self


FACTS = [name for name in ImportedRun.model_fields if name not in ("label", "attempts")]
"""Columns that describe a run; ``run`` and ``sweep`` are names."""

R = TypeVar("R", bound=BaseModel)


def read_row(kind: type[R], raw: Mapping[str, Any], mistakes: Mistakes, place: str, hint: str = "") -> R | None:
    """Check a row; ``hint`` says where a missing column may come from, with ``{}`` for the option that gives it."""
    try:
        return kind(**{name: value for name, value in raw.items() if value not in (None, "")})
    except ValidationError as error:
        problems = error.errors(include_url=False)
    if missing := [str(one["loc"][0]) for one in problems if one["type"] == "missing"]:
        options = ", ".join(f"--set {name}=..." for name in missing)
        mistakes.note(place, f"{', '.join(missing)} not given{hint.format(options)}")
    for one in problems:
        if not one["loc"]:
            for what in str(one["ctx"]["error"]).splitlines():
                mistakes.note(place, what)
        elif one["type"] not in ("missing", "default_factory_not_called"):
            mistakes.note(place, refused(one["loc"][0], one))
    return None


def axes_of(facts: Mapping[str, Any], mistakes: Mistakes, place: str) -> str:
    """Gather a run's further axes from ``axes``, which is JSON, and from ``axes.NAME``; returns JSON."""
    written = facts.get("axes") or "{}"
    try:
        axes = dict(json.loads(written).items())
        for name, value in facts.items():
            own = name.removeprefix(AXIS)
            if own != name and axes.setdefault(own, value) != value:
                mistakes.note(place, f"{own} stands in axes as {shown(axes[own])} and beside it as {shown(value)}")
        if not all(map(str.isprintable, _texts(axes))):
            mistakes.note(place, f"axes should have printable characters only (found {shown(axes)})")
        return json.dumps(axes, sort_keys=True, allow_nan=False)
    except (ValueError, AttributeError):
        mistakes.note(place, f"axes must be a JSON object of finite values (found {shown(written)})")
        return "{}"


def _texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    for inner in (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


def axis_values(raw: Sequence[str | None]) -> list[Any]:
    """Read a further axis as whole numbers, numbers, true and false, or text, whichever fits all its values."""
    for kind in (pa.int64(), pa.float64(), pa.bool_()):
        with contextlib.suppress(pa.ArrowInvalid):
            read = pc.cast(pa.array(raw, TEXT), kind)
            if kind != pa.float64() or pc.all(pc.is_finite(read)).as_py() is not False:
                return list(read.to_pylist())
    return list(raw)


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
    for option, name in (wanted | {f"--skip {name}": name for name in options.skip}).items():
        if name not in columns:
            mistakes.note("", unknown(f"{option}: the file has no column {name!r}", name, columns))
    asked = options.columns.items()
    used = {ours: theirs for ours, theirs in asked if theirs in columns and (ours in known or ours.startswith(AXIS))}
    free = [name for name in columns if name not in used.values() and name not in options.skip]
    for ours in known:
        found = next((name for name in (names_of(ours) if form in ("trl", "wandb") else [ours]) if name in free), None)
        if ours not in used and found is not None:
            used[ours] = found
            free.remove(found)
    for name in [name for name in free if name.startswith(AXIS) or (form == "runs" and name.strip())]:
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
