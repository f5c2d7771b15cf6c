"""A run and an attempt as a file states them: which columns there are, and which values are allowed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

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


Count = Annotated[int, BeforeValidator(whole), Field(ge=0)]
Positive = Annotated[int, BeforeValidator(whole), Field(ge=1)]
Whole = Annotated[int | None, BeforeValidator(whole)]
Seconds = Annotated[float, BeforeValidator(real), Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, BeforeValidator(str)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class Row(BaseModel):
    """Values by column; a missing one takes its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImportedAttempt(Row):
    """An attempt of an export; the fields are the columns of its ``attempts``."""

    attempt: Positive
    executor: Text
    job_id: Text | None = None
    task_id: Text | None = None
    restart_count: Count
    host: Text
    started_at: Moment
    ended_at: Moment | None = None
    outcome: AttemptOutcome | None = Field(None, validate_default=True)
    resumed_from_sync: Whole = None
    failure_class: FailureClass | None = None
    node: Text | None = None

    @field_validator("outcome")
    @classmethod
    def _belongs_to_an_end(cls, outcome: str | None, info: ValidationInfo) -> str | None:
        if "ended_at" in info.data and (outcome is None) != (info.data["ended_at"] is None):
            raise ValueError("and ended_at must both be there, or neither")
        return outcome


class ImportedRun(Row):
    """A run that was trained elsewhere; the fields are the columns of an export's ``runs``.

    Attributes:
        axes: Further axes as JSON with sorted keys.
        label: The run's name in the file.
        attempts: The run's attempts; None = not known.
    """

    model: Text
    k: Positive
    eta: Annotated[float, BeforeValidator(real), Field(gt=0, allow_inf_nan=False)]
    seed: Count
    horizon: Positive
    axes: str = "{}"
    collapse_step: Whole = None
    state: RunState | None = Field(None, validate_default=True)
    learner_steps: Whole = Field(None, validate_default=True)
    failure: Text | None = None
    failure_class: FailureClass | None = None
    collapse_step_lo: Whole = None
    collapse_sync: Whole = None
    collapse_detector: Text | None = Field(None, validate_default=True)
    wall_s: Seconds = 0.0
    gpu_s: Seconds = 0.0
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
        return round(self.gpu_s / self.wall_s) if self.wall_s else 0

    def described(self) -> str:
        """Name the run by its axes."""
        axes = "".join(f", {name} {value}" for name, value in json.loads(self.axes).items())
        return f"model {self.model}, k {self.k}, eta {self.eta:g}{axes}, seed {self.seed}"

    # A field sees those before it; one that has a mistake is not among them, and then nothing is compared with it.

    @model_validator(mode="before")
    @classmethod
    def _has_a_state_of_today(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Bring a run of an older export to the states of this version."""
        if values.get("state") == "stopped":
            return {"failure_class": FailureClass.PREDICTED_COLLAPSE} | values | {"state": RunState.CANCELLED}
        is_diverged = values.get("state") == RunState.FAILED and str(values.get("failure")).startswith("diverged")
        return {"failure_class": FailureClass.DIVERGED} | values if is_diverged else values

    @field_validator("collapse_step")
    @classmethod
    def _collapses_within_the_horizon(cls, step: int | None, info: ValidationInfo) -> int | None:
        horizon = info.data.get("horizon", math.inf)
        if step is not None and not 1 <= step <= horizon:
            raise ValueError(f"must lie in 1 to the horizon {horizon}")
        return step

    @field_validator("state")
    @classmethod
    def _has_a_step_if_collapsed(cls, state: RunState | None, info: ValidationInfo) -> RunState:
        step = info.data.get("collapse_step")
        state = state or (RunState.STABLE if step is None else RunState.COLLAPSED)
        if "collapse_step" in info.data and (state == RunState.COLLAPSED) != (step is not None):
            raise ValueError(f"is {state}, but collapse_step is {'missing' if step is None else step}")
        return state

    @field_validator("learner_steps")
    @classmethod
    def _trains_within_the_horizon(cls, steps: int | None, info: ValidationInfo) -> int | None:
        horizon, state = info.data.get("horizon", 0), info.data.get("state")
        if steps is None:
            return info.data.get("collapse_step") or (horizon if state in RESULTS else 0)
        if "horizon" in info.data and not 0 <= steps <= horizon:
            raise ValueError(f"must lie in 0 to the horizon {horizon}")
        return steps

    @field_validator("failure_class")
    @classmethod
    def _is_cancelled_if_stopped_early(cls, kind: FailureClass | None, info: ValidationInfo) -> FailureClass | None:
        if kind in EARLY_STOPS and info.data.get("state", RunState.CANCELLED) != RunState.CANCELLED:
            raise ValueError(f"is {kind}, which needs state {RunState.CANCELLED}")
        return kind

    @field_validator("collapse_step_lo", "collapse_sync")
    @classmethod
    def _belongs_to_a_collapse(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None or not {"collapse_step", "learner_steps", "failure_class"} <= info.data.keys():
            return value
        step, is_lo = info.data["collapse_step"], info.field_name == "collapse_step_lo"
        if step is None and not (is_lo and info.data["failure_class"] in EARLY_STOPS):
            raise ValueError(f"is {value}, but there is no collapse_step")
        most = info.data["learner_steps"] if step is None else step - 1
        if is_lo and not 0 <= value <= most:
            raise ValueError(f"must lie in 0 to {'learner_steps' if step is None else 'collapse_step - 1 ='} {most}")
        if value < 0:
            raise ValueError("must be at least 0")
        return value

    @field_validator("collapse_detector")
    @classmethod
    def _is_imported_unless_named(cls, detector: str | None, info: ValidationInfo) -> str | None:
        return detector or ("imported" if info.data.get("state") in RESULTS else None)

    @field_validator("gpu_s")
    @classmethod
    def _is_some_gpus(cls, gpu_s: float, info: ValidationInfo) -> float:
        wall_s = info.data.get("wall_s", 0.0)
        gpus = round(gpu_s / wall_s) if wall_s else 0
        if "wall_s" in info.data and abs(gpus * wall_s - gpu_s) > 1e-6 * gpu_s:
            raise ValueError(f"must be a whole number of GPUs times wall_s {wall_s}")
        return gpu_s


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
        hint: Where a missing column may come from; ``{name}`` is the column.
    """
    fields = kind.model_fields
    stripped = {name: raw.strip() if isinstance(raw, str) else raw for name, raw in facts.items() if name in fields}
    try:
        return kind(**{name: facts[name] for name, raw in stripped.items() if raw not in (None, "")})
    except ValidationError as error:
        problems = error.errors(include_url=False)
        if missing := [str(one["loc"][0]) for one in problems if one["type"] == "missing"]:
            hints = hint.format(", ".join(f"--set {name}=..." for name in missing))
            mistakes.note(place, f"{', '.join(missing)} not given{hints}")
        for one in problems:
            if one["type"] != "missing":
                mistakes.note(place, _sentence(one))
        return None


def _sentence(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    match problem["type"]:
        case "greater_than_equal":
            what = f"must be at least {context['ge']:g}"
        case "greater_than" | "finite_number":
            what = "must be finite and above 0"
        case "value_error":
            what = str(context["error"])
        case "enum":
            what = f"must be one of {context['expected'].replace(chr(39), '')}"
        case "int_type":
            what = "must be a whole number"
        case _:
            what = problem["msg"]
    found = "" if what.startswith("is ") else f" (found {shown(problem['input'])})"
    return f"{problem['loc'][0]} {what}{found}"


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
