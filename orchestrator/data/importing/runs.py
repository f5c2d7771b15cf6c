"""What a file says of a run, checked: its axes, its horizon, and how it ended.

The columns are those of an export's ``runs``; only model, k, eta, seed and horizon must be there. Any other
fact is a further axis.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.base.states import EARLY_STOPS, RESULTS, FailureClass, RunState
from orchestrator.data.importing.values import Mistakes, checked, real, shown, text, whole
from orchestrator.store.imports import ImportedRun

READ: dict[str, Callable[[Any], Any]] = {
    "model": text, "k": whole, "eta": real, "seed": whole, "horizon": whole, "state": text, "learner_steps": whole,
    "collapse_step": whole, "collapse_step_lo": whole, "collapse_sync": whole, "collapse_detector": text,
    "failure": text, "gpu_s": real, "wall_s": real, "code_version": text, "config_digest": text, "axes": text,
    "failure_class": text,
}  # fmt: skip
"""How each column of ``runs`` is read; ``run`` and ``sweep`` are labels."""

NEEDED = ("model", "k", "eta", "seed", "horizon")
AXIS = "axes."
"""Before the name of a further axis."""

WAS_RUNNING = "was running when it was exported"
"""Why such a run is lost."""

IMPORTED = "imported"
"""The detector of a collapse step that the file gives."""


@dataclass(slots=True)
class Runs:
    """The runs read so far; notes mistakes and runs that contradict each other.

    Attributes:
        mistakes: Takes the mistakes.
        found: The runs, in the file's order.
        places: Where each stands in the file.
    """

    mistakes: Mistakes
    found: list[ImportedRun] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    _numbers: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def add(self, facts: Mapping[str, Any], place: str, *, label: str | None = None) -> int | None:
        """Check a run and keep it.

        Args:
            facts: Raw values by column; further axes under ``axes.NAME``.
            place: Where they stand, for messages.
            label: What the file calls the run.

        Returns:
            Its number among `found`; None when there is a mistake in it.
        """
        before = self.mistakes.count
        run = _checked_run(facts, self.mistakes, place, label)
        if run is None or self.mistakes.count > before:
            return None
        number = self._numbers.setdefault((*run.cell, run.seed), len(self.found))
        if number < len(self.found):
            first = self.places[number]
            self.mistakes.note(
                place, f"is a second run with {described(run)} (first: {first}); runs of a cell differ in seed"
            )
            return None
        self.found.append(run)
        self.places.append(place)
        return number


def described(run: ImportedRun) -> str:
    """A run by its axes, for messages."""
    axes = "".join(f", {name} {value}" for name, value in json.loads(run.axes).items())
    return f"model {run.model}, k {run.k}, eta {run.eta:g}{axes}, seed {run.seed}"


def _checked_run(facts: Mapping[str, Any], mistakes: Mistakes, place: str, label: str | None) -> ImportedRun | None:
    before = mistakes.count
    values = {name: checked(read, facts.get(name), mistakes, place, name) for name, read in READ.items()}
    axes = _axes(facts, values.pop("axes"), mistakes, place)
    missing = [name for name in NEEDED if values[name] is None and text(facts.get(name)) is None]
    if missing:
        hint = ", ".join(f"--set {name}=..." for name in missing)
        mistakes.note(place, f"{', '.join(missing)} not given: neither in the file nor with {hint} or --runs")
    if mistakes.count > before:
        return None
    values = _completed(_as_today(values))
    for what in _contradictions(values):
        mistakes.note(place, what)
    if mistakes.count > before:
        return None
    _settle(values)
    wall_s, gpu_s = values.pop("wall_s"), values.pop("gpu_s")
    gpus = round(gpu_s / wall_s) if wall_s else 0
    return ImportedRun(**values, axes=axes, wall_s=wall_s, gpus=gpus, label=label)


def _axes(facts: Mapping[str, Any], written: str | None, mistakes: Mistakes, place: str) -> str:
    axes: dict[str, Any] = {}
    if written is not None:
        try:
            axes = json.loads(written, parse_constant=_refuse_constant)
        except ValueError:
            axes = {}
            mistakes.note(place, f"axes must be a JSON object of finite values (found {shown(written)})")
        if not isinstance(axes, dict):
            axes = {}
            mistakes.note(place, f"axes must be a JSON object (found {shown(written)})")
    for name, value in facts.items():
        if name.startswith(AXIS):
            own = name.removeprefix(AXIS)
            if own in axes and axes[own] != value:
                mistakes.note(place, f"{own} stands in axes as {shown(axes[own])} and beside it as {shown(value)}")
            axes[own] = value
    return json.dumps(axes, sort_keys=True)


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _as_today(values: dict[str, Any]) -> dict[str, Any]:
    """Bring a run of an older export to the states of this version."""
    state, failure_class, failure = (values[name] for name in ("state", "failure_class", "failure"))
    if state == "stopped":
        return values | {
            "state": RunState.CANCELLED, "failure_class": failure_class or FailureClass.PREDICTED_COLLAPSE,
        }  # fmt: skip
    if state == RunState.FAILED and failure_class is None and (failure or "").startswith("diverged"):
        return values | {"failure_class": FailureClass.DIVERGED}
    return values


def _completed(values: dict[str, Any]) -> dict[str, Any]:
    state = values["state"] or (RunState.STABLE if values["collapse_step"] is None else RunState.COLLAPSED)
    known = values["collapse_step"] or (values["horizon"] if state in RESULTS else 0)
    known = min(max(known, 0), max(values["horizon"], 0))
    steps = known if values["learner_steps"] is None else values["learner_steps"]
    detector = values["collapse_detector"] or (IMPORTED if state in RESULTS else None)
    times = {"wall_s": values["wall_s"] or 0.0, "gpu_s": values["gpu_s"] or 0.0}
    return {**values, **times, "state": state, "learner_steps": steps, "collapse_detector": detector}


def _settle(values: dict[str, Any]) -> None:
    """Nothing works on an imported run, whatever went on when it was exported."""
    if values["state"] == RunState.RUNNING:
        values |= {"state": RunState.LOST, "failure": WAS_RUNNING, "failure_class": FailureClass.LOST}
    elif values["state"] == RunState.QUEUED:
        values["state"] = RunState.PENDING


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    k, eta, seed, horizon = (values[name] for name in ("k", "eta", "seed", "horizon"))
    step, lo, sync = (values[name] for name in ("collapse_step", "collapse_step_lo", "collapse_sync"))
    state, wall_s, gpu_s = values["state"], values["wall_s"], values["gpu_s"]
    failure_class, steps = values["failure_class"], values["learner_steps"]
    gpus = gpu_s / wall_s if wall_s else 0.0
    wrong = {
        f"k must be at least 1 (found {k})": k < 1,
        f"eta must be a finite number above 0 (found {eta})": not 0 < eta < math.inf,
        f"seed must be at least 0 (found {seed})": seed < 0,
        f"horizon must be at least 1 (found {horizon})": horizon < 1,
        f"state must be one of {', '.join(RunState)} (found {shown(state)})": state not in list(RunState),
        f"failure_class must be one of {', '.join(FailureClass)} (found {shown(failure_class)})": (
            failure_class not in (None, *FailureClass)
        ),
        f"collapse_step must lie in 1 to the horizon {horizon} (found {step})": (
            step is not None and not 1 <= step <= horizon
        ),
        f"state is {state}, but collapse_step is {'missing' if step is None else step}": (
            (state == RunState.COLLAPSED) != (step is not None)
        ),
        f"collapse_step_lo must lie in 0 to collapse_step - 1 (found {lo}, collapse_step {step})": (
            lo is not None and step is not None and not 0 <= lo < step
        ),
        f"collapse_step_lo is {lo}, but there is no collapse_step": (
            lo is not None and step is None and failure_class not in EARLY_STOPS
        ),
        f"collapse_step_lo must lie in 0 to learner_steps {steps} of a run stopped early (found {lo})": (
            lo is not None and failure_class in EARLY_STOPS and not 0 <= lo <= steps
        ),
        f"failure_class {failure_class} needs state {RunState.CANCELLED} (found {state})": (
            failure_class in EARLY_STOPS and state != RunState.CANCELLED
        ),
        f"collapse_sync must be at least 0 (found {sync})": sync is not None and sync < 0,
        f"collapse_sync is {sync}, but there is no collapse_step": sync is not None and step is None,
        f"learner_steps must lie in 0 to the horizon {horizon} (found {steps})": not 0 <= steps <= horizon,
        f"wall_s must be finite and at least 0 (found {wall_s})": not 0 <= wall_s < math.inf,
        f"gpu_s must be a whole number of GPUs times wall_s (found {gpu_s}, wall_s {wall_s})": (
            0 <= wall_s < math.inf and (not 0 <= gpu_s < math.inf or abs(round(gpus) * wall_s - gpu_s) > 1e-6 * gpu_s)
        ),
    }  # fmt: skip
    return [what for what, is_so in wrong.items() if is_so]


def axis_values(columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Read columns of further axes, each as whole numbers, numbers, true and false, or text, whichever fits all.

    Args:
        columns: Raw values by name; missing ones become None.
    """
    return {name: _axis(raw) for name, raw in columns.items()}


def _axis(raw: list[Any]) -> list[Any]:
    for read in (_whole_text, _finite, _truth):
        try:
            return [None if text(value) is None else read(value) for value in raw]
        except ValueError:
            continue
    return [text(value) for value in raw]


def _whole_text(raw: Any) -> int:
    # Unlike a count, an axis of 1.0 is a number with decimals.
    if isinstance(raw, bool | float) or (isinstance(raw, str) and not raw.strip().lstrip("+-").isdigit()):
        raise ValueError
    return whole(raw) or 0


def _finite(raw: Any) -> float:
    value = real(raw)
    if value is None or not math.isfinite(value):
        raise ValueError
    return value


def _truth(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    if raw in ("true", "false", "True", "False"):
        return str(raw).lower() == "true"
    raise ValueError
