"""The result of a fit of all groups of runs, and its JSON. What is not identified is null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.laws.estimates import Estimate
from orchestrator.laws.forms import Bracket, HorizonLaw, JointLaw, LocalLaw, MeasuredCell, TwoConstraint
from orchestrator.laws.gaps import Next
from orchestrator.laws.regimes import Regime


@dataclass(frozen=True, slots=True)
class DetectorFit:
    """The numbers under one definition of collapse.

    Those of T* are the joint law's if there are immune runs, else those with stable runs censored.
    ``n_decided`` finished runs have the metrics to decide; the others keep their stored state.
    """

    detector: str
    n_decided: int
    n_collapsed: int
    n_degraded: int
    exponent: Estimate
    c_local: Estimate
    immune: float | None
    eta_exponent: Estimate
    k_exponent: Estimate
    c_horizon: Estimate
    p_law: float | None
    brackets: tuple[Bracket, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One group of runs under every definition of collapse."""

    fits: tuple[DetectorFit, ...]
    fragile: tuple[str, ...] = ()  # a sentence for each conclusion that changes with the definition
    n_between: int | None = None  # finished runs that end in `collapse.BETWEEN`; None without validations
    notes: tuple[str, ...] = ()  # what else to know, in sentences


@dataclass(frozen=True, slots=True)
class ModelLaws:
    """The fit of one group of runs: a model, at one setting of the further axes.

    ``warnings`` name what is not known, and ``next_runs`` are all runs that they name. ``regime`` is empty and
    ``detectors`` None if only runs were read, without weight syncs and rewards.
    """

    cells: tuple[MeasuredCell, ...]
    local: LocalLaw = field(default_factory=LocalLaw)
    horizon: HorizonLaw = field(default_factory=HorizonLaw)
    joint: JointLaw = field(default_factory=JointLaw)
    two_constraint: TwoConstraint = field(default_factory=TwoConstraint)
    regime: Regime = field(default_factory=Regime)
    warnings: tuple[str, ...] = ()
    next_runs: tuple[Next, ...] = ()
    detectors: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything by name; the fit with all runs stands directly in ``horizon``."""
        content = asdict(self) | {"regime": self.regime.to_json()}
        content["horizon"] |= content["horizon"].pop("censored")
        return content if self.detectors else {name: value for name, value in content.items() if name != "detectors"}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A run that no fit uses, and why."""

    run: int
    why: str


@dataclass(frozen=True, slots=True)
class Laws:
    """The result of ``fit-laws``."""

    models: Mapping[str, ModelLaws]  # by model, or by setting of its further axes if there are several
    runs: int  # that were read, with those left out
    left_out: tuple[LeftOut, ...]
    inputs: Mapping[str, Any] | None = None  # what was fitted, and with which code; None without a database

    def to_json(self) -> dict[str, Any]:
        """The contract's ``fit-laws --format json`` as plain Python, without NaN and infinities."""
        models = {name: model.to_json() for name, model in self.models.items()}
        content = {"models": models, "runs": self.runs, "left_out": [asdict(one) for one in self.left_out]}
        plain: dict[str, Any] = _plain(content | ({"inputs": self.inputs} if self.inputs else {}))
        return plain


def _plain(value: Any) -> Any:
    """Replace tuples by lists, and numbers that JSON does not have by None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
