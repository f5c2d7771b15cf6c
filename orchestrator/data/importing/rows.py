"""A run and an attempt as a file states them: which columns there are, and which values are allowed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ValidationInfo

from orchestrator.base.states import EARLY_STOPS, RESULTS, AttemptOutcome, FailureClass, RunState
from orchestrator.data.importing.values import Mistakes, real, shown, text, whole

AXIS = "axes."
"""Before the name of a further axis."""


def _moment(raw: Any) -> datetime:
    try:
        value = raw if isinstance(raw, datetime) else datetime.fromisoformat(str(raw).strip())
    except ValueError:
        raise ValueError("must be a time such as 2026-03-01 12:30:00+00:00") from None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


Count = Annotated[int, BeforeValidator(whole)]
Whole = Annotated[int | None, BeforeValidator(whole)]
Real = Annotated[float, BeforeValidator(real)]
Text = Annotated[str, BeforeValidator(str)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class Row(BaseModel):
    """Values by column; a missing one takes its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImportedAttempt(Row):
    """An attempt of an export; the fields are the columns of its ``attempts``."""

    attempt: Annotated[Count, Field(ge=1)]
    executor: Text
    job_id: Text | None = None
    task_id: Text | None = None
    restart_count: Annotated[Count, Field(ge=0)]
    host: Text
    started_at: Moment
    ended_at: Moment | None = None
    outcome: AttemptOutcome | None = None
    resumed_from_sync: Whole = None
    failure_class: FailureClass | None = None
    node: Text | None = None

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> Self:
        if (self.outcome is None) != (self.ended_at is None):
            raise ValueError("outcome and ended_at must both be there, or neither")
        return self


class ImportedRun(Row):
    """A run that was trained elsewhere; the fields are the columns of an export's ``runs``.

    Attributes:
        axes: Further axes as JSON with sorted keys.
        label: The run's name in the file.
        attempts: The run's attempts; None = not known.
    """

    model: Text
    k: Count
    eta: Real
    seed: Count
    horizon: Count
    axes: str = "{}"
    collapse_step: Whole = None
    state: RunState
    learner_steps: Whole = Field(None, validate_default=True)
    failure: Text | None = None
    failure_class: FailureClass | None = None
    collapse_step_lo: Whole = None
    collapse_sync: Whole = None
    collapse_detector: str | None = None
    wall_s: Real = 0.0
    gpu_s: Real = 0.0
    code_version: Text | None = None
    config_digest: Text | None = None
    label: str | None = None
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
        state = given.get("state") or (RunState.STABLE if given.get("collapse_step") is None else RunState.COLLAPSED)
        failure_class = given.get("failure_class")
        why: dict[str, Any] = {}
        match state:
            case RunState.RUNNING:
                state, failure_class = RunState.LOST, FailureClass.LOST
                why = {"failure": "was running when it was exported"}
            case RunState.QUEUED:
                state = RunState.PENDING
            case "stopped":  # by a search of an older version
                state, failure_class = RunState.CANCELLED, failure_class or FailureClass.PREDICTED_COLLAPSE
            case RunState.FAILED if str(given.get("failure")).startswith("diverged"):
                failure_class = failure_class or FailureClass.DIVERGED
        detector = "imported" if state in RESULTS else None
        return {"collapse_detector": detector} | given | {"state": state, "failure_class": failure_class} | why

    @field_validator("learner_steps")
    @classmethod
    def _reached(cls, steps: int | None, info: ValidationInfo) -> int | None:
        horizon, is_result = info.data.get("horizon", 0), info.data.get("state") in RESULTS
        known = info.data.get("collapse_step") or (horizon if is_result else 0)
        return min(max(known, 0), max(horizon, 0)) if steps is None else steps

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        horizon, state, step, steps = self.horizon, self.state, self.collapse_step, self.learner_steps or 0
        lo, sync, is_stopped = self.collapse_step_lo, self.collapse_sync, self.failure_class in EARLY_STOPS
        limit, most = ("learner_steps", steps) if step is None else ("collapse_step - 1 =", step - 1)
        lowest = (("k", self.k, 1), ("seed", self.seed, 0), ("horizon", horizon, 1), ("collapse_sync", sync or 0, 0))
        wrong = [f"{name} must be at least {low} (found {value})" for name, value, low in lowest if value < low]
        if not 0 <= self.wall_s < math.inf:
            wrong.append(f"wall_s must be finite and at least 0 (found {self.wall_s})")
        if not 0 < self.eta < math.inf:
            wrong.append(f"eta must be a finite number above 0 (found {self.eta})")
        if step is not None and not 1 <= step <= horizon:
            wrong.append(f"collapse_step must lie in 1 to the horizon {horizon} (found {step})")
        if (state == RunState.COLLAPSED) != (step is not None):
            wrong.append(f"state is {state}, but collapse_step is {'missing' if step is None else step}")
        if lo is not None and step is None and not is_stopped:
            wrong.append(f"collapse_step_lo is {lo}, but there is no collapse_step")
        elif lo is not None and not 0 <= lo <= most:
            wrong.append(f"collapse_step_lo must lie in 0 to {limit} {most} (found {lo})")
        if sync is not None and step is None:
            wrong.append(f"collapse_sync is {sync}, but there is no collapse_step")
        if is_stopped and state != RunState.CANCELLED:
            wrong.append(f"failure_class {self.failure_class} needs state {RunState.CANCELLED} (found {state})")
        if not 0 <= steps <= horizon:
            wrong.append(f"learner_steps must lie in 0 to the horizon {horizon} (found {steps})")
        if not abs(self.gpus * self.wall_s - self.gpu_s) <= 1e-6 * self.gpu_s < math.inf:
            wrong.append(f"gpu_s must be a whole number of GPUs times wall_s {self.wall_s} (found {self.gpu_s})")
        if wrong:
            raise ValueError("\n".join(wrong))
        return self


FACTS = [name for name in ImportedRun.model_fields if name not in ("label", "attempts")]
"""Columns that describe a run; ``run`` and ``sweep`` are names."""

R = TypeVar("R", bound=Row)


def read_row(kind: type[R], facts: Mapping[str, Any], mistakes: Mistakes, place: str, *, hint: str = "") -> R | None:
    """Check one row.

    Args:
        kind: What the row is.
        facts: Raw values by column; missing ones are None or empty.
        mistakes: Takes what is wrong.
        place: Where the row stands.
        hint: Where a missing column may come from; ``{}`` is the option that gives it.
    """
    given = {name: raw for name, raw in facts.items() if name in kind.model_fields and str(raw or 0).strip()}
    try:
        return kind(**{name: raw for name, raw in given.items() if raw not in (None, "")})
    except ValidationError as error:
        problems = error.errors(include_url=False)
    if missing := [str(one["loc"][0]) for one in problems if one["type"] == "missing"]:
        options = ", ".join(f"--set {name}=..." for name in missing)
        mistakes.note(place, f"{', '.join(missing)} not given{hint.format(options)}")
    for one in problems:
        for what in _sentences(one) if one["type"] != "missing" else ():
            mistakes.note(place, what)
    return None


def _sentences(problem: ErrorDetails) -> list[str]:
    context = problem.get("ctx", {})
    match problem["type"]:
        case "greater_than_equal":
            what = f"must be at least {context['ge']:g}"
        case "enum":
            what = f"must be one of {context['expected'].replace(chr(39), '')}"
        case "value_error" if not problem["loc"]:
            return str(context["error"]).splitlines()
        case "value_error":
            what = str(context["error"])
        case _:
            what = "must be a whole number"
    return [f"{problem['loc'][0]} {what} (found {shown(problem['input'])})"]


def axes_of(facts: Mapping[str, Any], mistakes: Mistakes, place: str) -> str:
    """Gather a run's further axes from ``axes``, which is JSON, and from ``axes.NAME``; returns JSON."""
    written = text(facts.get("axes"))
    try:
        axes = dict(json.loads(written or "{}").items())
        for name, value in facts.items():
            own = name.removeprefix(AXIS)
            if own != name and axes.setdefault(own, value) != value:
                mistakes.note(place, f"{own} stands in axes as {shown(axes[own])} and beside it as {shown(value)}")
        return json.dumps(axes, sort_keys=True, allow_nan=False)
    except (ValueError, AttributeError):
        mistakes.note(place, f"axes must be a JSON object of finite values (found {shown(written)})")
        return "{}"


def axis_values(raw: list[Any]) -> list[Any]:
    """Read a further axis as whole numbers, numbers, true and false, or text, whichever fits all its values."""
    if not all(isinstance(value, str | None) for value in raw):
        return raw  # typed in Parquet
    words = pa.array([text(value) for value in raw], pa.string())
    for kind in (pa.int64(), pa.float64(), pa.bool_()):
        try:
            read = pc.cast(pc.utf8_trim_whitespace(words), kind)
        except pa.ArrowInvalid:
            continue
        if kind != pa.float64() or pc.all(pc.is_finite(read)).as_py() is not False:
            return list(read.to_pylist())
    return list(words.to_pylist())
