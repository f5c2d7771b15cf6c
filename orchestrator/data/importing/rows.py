"""What a row of runs or attempts may say, and the further axes of a run."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from orchestrator.base.states import EARLY_STOPS, RESULTS, AttemptOutcome, FailureClass, RunState
from orchestrator.data.importing.tables import TEXT, Mistakes, refused, shown

MOST_K, MOST_STEP = 2**20, 2**40
"""The largest staleness, and learner step or weight sync; their product fits in 64 bits."""

AXIS, LABEL, RATE = "axes.", "run", "learning_rate"
"""What stands before the name of a further axis; the column of runs' names; the one of a log that eta is read from."""

Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1, lt=2**63)]
Amount = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
SMALLEST_ETA, LARGEST_ETA = 1e-30, 1e30
"""Beyond these no optimizer learns, and the squares and products of the fits would overflow."""

MOST_AXES, AXES_DEPTH = 1_000, 20
"""Further axes of a table of runs, each a part of every run's cell; how deep lists and mappings nest in one."""


def _moment(at: datetime) -> datetime:
    if not 1970 <= at.year < 3000:
        raise PydanticCustomError("no_moment", "Input should lie in the years 1970 to 2999")
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _eta(eta: float) -> float:
    if not SMALLEST_ETA <= eta <= LARGEST_ETA:
        allowed = f"Input should lie between {SMALLEST_ETA:g} and {LARGEST_ETA:g}"
        raise PydanticCustomError("no_eta", "{allowed}", {"allowed": allowed})
    return eta


Moment = Annotated[datetime, AfterValidator(_moment)]


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
    k: Annotated[int, Field(ge=1, le=MOST_K)]
    eta: Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_eta)]
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
    wall_s: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 0.0
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
    except (ValueError, AttributeError, RecursionError):
        mistakes.note(place, f"axes must be a JSON object of finite values (found {shown(written)})")
        return "{}"


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """All texts in a JSON value, keys too; RecursionError beyond `AXES_DEPTH`."""
    if depth > AXES_DEPTH:
        raise RecursionError
    if isinstance(value, str):
        yield value
    for inner in (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner, depth + 1)


def axis_values(raw: Sequence[str | None]) -> list[Any]:
    """Read a further axis as whole numbers, numbers, true and false, or text, whichever fits all its values."""
    for kind in (pa.int64(), pa.float64(), pa.bool_()):
        with contextlib.suppress(pa.ArrowInvalid):
            read = pc.cast(pa.array(raw, TEXT), kind)
            if kind != pa.float64() or pc.all(pc.is_finite(read)).as_py() is not False:
                return list(read.to_pylist())
    return list(raw)
