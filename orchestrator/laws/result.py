"""The result of a fit of all groups of runs, and its JSON. What is not identified is null."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.laws.estimates import Estimate
from orchestrator.laws.forms import (
    Bracket,
    GroupComparison,
    HorizonLaw,
    JointLaw,
    LocalLaw,
    MeasuredCell,
    TwoConstraint,
)
from orchestrator.laws.regimes import Regime
from orchestrator.laws.settle import Next


@dataclass(frozen=True, slots=True)
class DetectorFit:
    """The numbers under one definition of collapse.

    Attributes:
        detector: Its name.
        n_decided: Finished runs with the metrics to decide; the others keep their stored state.
        n_collapsed: Finished runs that collapsed.
        n_degraded: Finished runs that degraded.
        exponent: a of η_max ∝ k^−a.
        c_local: C_local, under a = 1.
        immune: Expected share of immune runs among the stable ones; None if a model without immune runs fits as well.
        eta_exponent: b of T* ∝ η^−b·k^−q, by the joint law if there are immune runs, else with stable runs censored.
        k_exponent: q.
        c_horizon: C_horizon, under b = 1 and q = 0.
        p_law: Test of b = 1 and q = 0.
        brackets: Brackets of η_max, one for each k.
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
    """One group of runs under every definition of collapse.

    Attributes:
        fits: One for each definition.
        fragile: A sentence for each conclusion that changes with the definition.
        n_between: Finished runs that end in `orchestrator.laws.collapse.BETWEEN`; None without validations.
        notes: What else to know, in sentences.
    """

    fits: tuple[DetectorFit, ...]
    fragile: tuple[str, ...] = ()
    n_between: int | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain Python."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class ModelLaws:
    """The fit of one group of runs: a model, at one setting of the further axes.

    ``warnings`` name what is not known, and ``next_runs`` are all runs that they name. ``regime`` and ``detectors`` are
    None if only runs were read, without weight syncs and rewards.
    """

    cells: tuple[MeasuredCell, ...]
    local: LocalLaw
    horizon: HorizonLaw
    joint: JointLaw
    two_constraint: TwoConstraint
    warnings: tuple[str, ...]
    next_runs: tuple[Next, ...] = ()
    regime: Regime | None = None
    detectors: Comparison | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A run that no fit uses, and why."""

    run: int
    why: str


@dataclass(frozen=True, slots=True)
class Laws:
    """The result of ``fit-laws``.

    Attributes:
        models: One entry for each model, or for each setting of its further axes if there are several.
        runs: Runs that were read, with those left out.
        left_out: Runs that no fit uses.
        comparisons: One for each model with several settings of further axes, and each setting with several models.
        inputs: What was fitted, and with which code; None without a database.
    """

    models: Mapping[str, ModelLaws]
    runs: int
    left_out: tuple[LeftOut, ...]
    comparisons: tuple[GroupComparison, ...] = ()
    inputs: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The contract's ``fit-laws --format json`` as plain Python, without NaN and infinities."""
        content = {
            "models": {name: _model_json(model) for name, model in self.models.items()},
            "runs": self.runs,
            "left_out": [dataclasses.asdict(left_out) for left_out in self.left_out],
        }
        if self.comparisons:
            content["comparisons"] = [dataclasses.asdict(comparison) for comparison in self.comparisons]
        if self.inputs is not None:
            content["inputs"] = self.inputs
        plain: dict[str, Any] = _plain(content)
        return plain


def _model_json(model: ModelLaws) -> dict[str, Any]:
    horizon = dataclasses.asdict(model.horizon)
    no_regime = {"cosine_auc": None, "drift_exponent": {"collapsed": None, "stable": None}}
    content = {
        "cells": [dataclasses.asdict(cell) for cell in model.cells],
        "local": dataclasses.asdict(model.local),
        "horizon": horizon.pop("censored") | horizon,
        "joint": dataclasses.asdict(model.joint),
        "two_constraint": dataclasses.asdict(model.two_constraint),
        "regime": model.regime.to_json() if model.regime else no_regime,
        "warnings": list(model.warnings),
        "next_runs": [dataclasses.asdict(run) for run in model.next_runs],
    }
    return content | ({"detectors": model.detectors.to_json()} if model.detectors else {})


def _plain(value: Any) -> Any:
    """Replace tuples by lists, and numbers that JSON does not have by None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
