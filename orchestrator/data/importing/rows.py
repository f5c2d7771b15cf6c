"""A run and an attempt as a file states them: which columns there are, and which values are allowed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from orchestrator.base.states import EARLY_STOPS, RESULTS, AttemptOutcome, FailureClass, RunState
from orchestrator.data.importing.tables import TEXT, Mistakes, refused, shown

AXIS = "axes."
"""Before the name of a further axis."""

Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1, lt=2**63)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Moment = Annotated[datetime, AfterValidator(lambda at: at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))]


class ImportedAttempt(BaseModel, frozen=True):
    """An attempt of an export; the fields are the columns of its ``attempts``."""

    run: int = 0
    attempt: Positive
    executor: str
    job_id: str | None = None
    task_id: str | None = None
    restart_count: Count
    host: str
    started_at: Moment
    ended_at: Moment | None = None
    outcome: AttemptOutcome | None = None
    resumed_from_sync: Count | None = None
    failure_class: FailureClass | None = None
    node: str | None = None

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> Self:
        if (self.outcome is None) != (self.ended_at is None):
            raise ValueError("outcome and ended_at must both be there, or neither")
        return self


class ImportedRun(BaseModel, frozen=True):
    """A run that was trained elsewhere; the fields are the columns of an export's ``runs``.

    Attributes:
        axes: Further axes as JSON with sorted keys.
        label: The run's name in the file.
        attempts: The run's attempts; None = not known.
    """

    model: str
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
    collapse_detector: str | None = None
    wall_s: Amount = 0.0
    gpu_s: Amount = 0.0
    code_version: str | None = None
    config_digest: str | None = None
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
        state = given.get("state") or (RunState.COLLAPSED if given.get("collapse_step") else RunState.STABLE)
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

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        state, why, step, lo = self.state, self.failure_class, self.collapse_step, self.collapse_step_lo
        horizon, steps, sync = self.horizon, self.learner_steps, self.collapse_sync
        is_stopped, last = why in EARLY_STOPS, steps if step is None else step - 1
        wrong = {
            f"collapse_step must lie in 1 to the horizon {horizon} (found {step})": (step or 0) > horizon,
            f"state is {state}, but collapse_step is {step or 'missing'}": (state == RunState.COLLAPSED) != bool(step),
            f"collapse_step_lo is {lo}, but there is no collapse_step": lo is not None and not (step or is_stopped),
            f"collapse_step_lo must lie in 0 to {last} (found {lo})": (step or is_stopped) and (lo or 0) > last,
            f"collapse_sync is {sync}, but there is no collapse_step": sync is not None and not step,
            f"failure_class {why} needs state cancelled (found {state})": is_stopped and state != RunState.CANCELLED,
            f"learner_steps must lie in 0 to the horizon {horizon} (found {steps})": steps > horizon,
            f"gpu_s must be a whole number of GPUs times wall_s {self.wall_s} (found {self.gpu_s})": (
                abs(self.gpus * self.wall_s - self.gpu_s) > 1e-6 * self.gpu_s
            ),
        }
        if sentences := [sentence for sentence, is_so in wrong.items() if is_so]:
            raise ValueError("\n".join(sentences))
        return self


FACTS = [name for name in ImportedRun.model_fields if name not in ("label", "attempts")]
"""Columns that describe a run; ``run`` and ``sweep`` are names."""

R = TypeVar("R", bound=BaseModel)


def read_row(kind: type[R], raw: Mapping[str, Any], mistakes: Mistakes, place: str, hint: str = "") -> R | None:
    """Check one row that stands at a place.

    ``raw`` has values by column, None or empty where missing; ``hint`` says where a missing column may come from, with
    ``{}`` for the option that gives it.
    """
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
        return json.dumps(axes, sort_keys=True, allow_nan=False)
    except (ValueError, AttributeError):
        mistakes.note(place, f"axes must be a JSON object of finite values (found {shown(written)})")
        return "{}"


def axis_values(raw: Sequence[str | None]) -> list[Any]:
    """Read a further axis as whole numbers, numbers, true and false, or text, whichever fits all its values."""
    for kind in (pa.int64(), pa.float64(), pa.bool_()):
        try:
            read = pc.cast(pa.array(raw, TEXT), kind)
        except pa.ArrowInvalid:
            continue
        if kind != pa.float64() or pc.all(pc.is_finite(read)).as_py() is not False:
            return list(read.to_pylist())
    return list(raw)
