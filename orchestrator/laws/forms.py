"""The laws and what a fit says about each: formula, parameters, source; and their JSON.

- local law:    η_max(k) = C·k^−a. The paper has a = 1: k·η ≤ C_local (arXiv 2607.01083, eq. 30).
- horizon law:  T* = C·η^−b·k^−q, log-normal around it with σ. The paper has b = 1, q = 0:
  T* = C_horizon/η (eq. 34).
- two-constraint rule: stable iff η ≤ min(C_local/k, C_horizon/T) (eq. 36–37).

Whatever the data cannot identify is None here and null in the JSON.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Estimate:
    """A parameter.

    Attributes:
        estimate: The point estimate.
        se: Standard error, on the scale of the estimate; for a positive constant, of its logarithm.
        ci95: 95 % confidence interval.
        identified_set: All values that the data allow without a sampling model: the resolution of the grid,
            not a confidence interval. A side is None when the data do not bound it.
    """

    estimate: float | None = None
    se: float | None = None
    ci95: tuple[float, float] | None = None
    identified_set: tuple[float | None, float | None] | None = None


@dataclass(frozen=True, slots=True)
class CollapseStep:
    """Median T* of a cell's collapsed runs, in learner steps: in (lo, hi], observed as ``median`` = hi."""

    lo: float
    hi: float
    median: float


@dataclass(frozen=True, slots=True)
class Cell:
    """The runs of one (k, η).

    Attributes:
        k: Staleness, learner steps per rollout cycle.
        eta: Learning rate η.
        axes: Any further axes of the grid.
        n_runs: Finished runs; all counts below are of these.
        n_collapsed: Of them, collapsed.
        n_degraded: Of them, degraded; fitted like stable runs.
        n_left_out: Runs that did not finish or whose outcome is no evidence; see `Laws.left_out`.
        horizon: Longest training horizon T of the finished runs, in learner steps.
        collapse_step: T* over the collapsed runs.
        collapse_sync: Median weight sync m* of the collapsed runs.
        eta_k: η·k.
        eta_T: η·T*, with the median T*.
        p_collapse: Share of the finished runs that collapsed.
    """

    k: int
    eta: float
    axes: Mapping[str, Any]
    n_runs: int
    n_collapsed: int
    n_degraded: int
    n_left_out: int
    horizon: int | None
    collapse_step: CollapseStep | None
    collapse_sync: float | None
    eta_k: float
    eta_T: float | None
    p_collapse: float | None


@dataclass(frozen=True, slots=True)
class Bracket:
    """Where η_max(k) lies: at or above ``eta_stable``, below ``eta_collapsed``.

    Attributes:
        k: Staleness.
        eta_stable: Largest η at which, as at every smaller η tested, no run collapsed.
        eta_collapsed: Smallest η at which a run collapsed.
    """

    k: int
    eta_stable: float | None
    eta_collapsed: float | None


@dataclass(frozen=True, slots=True)
class LocalLaw:
    """η_max(k) = C·k^−a. Source: arXiv 2607.01083, eq. 30 (a = 1).

    Attributes:
        exponent: a.
        constant: C_local = k·η_max under a = 1.
        p_exponent_is_1: Test of a = 1; None, since brackets alone carry no sampling model.
        brackets: Per k, rising.
        separable: Whether some power law passes through all brackets; None with fewer than two k.
    """

    exponent: Estimate = Estimate()
    constant: Estimate = Estimate()
    p_exponent_is_1: float | None = None
    brackets: tuple[Bracket, ...] = ()
    separable: bool | None = None


@dataclass(frozen=True, slots=True)
class HorizonFit:
    """T* = C·η^−b·k^−q·exp(σε), ε standard normal. Source: arXiv 2607.01083, eq. 34 (b = 1, q = 0).

    Attributes:
        eta_exponent: b.
        k_exponent: q.
        constant: C_horizon = η·T* under b = 1 and q = 0, in learner steps times η.
        prefactor: C of the fit with free exponents.
        sigma: σ, scatter of log T*.
        p_law: p of the joint Wald test of (b, q) = (1, 0).
        law_in_set: Whether (1, 0) lies in the identified set; None when there is no such set.
        n_collapsed: Collapsed runs, known to (lo, hi].
        n_censored: Runs known only to have outlived their last step.
    """

    eta_exponent: Estimate = Estimate()
    k_exponent: Estimate = Estimate()
    constant: Estimate = Estimate()
    prefactor: Estimate = Estimate()
    sigma: Estimate = Estimate()
    p_law: float | None = None
    law_in_set: bool | None = None
    n_collapsed: int = 0
    n_censored: int = 0


@dataclass(frozen=True, slots=True)
class HorizonLaw:
    """The horizon law under two estimators, since the estimator decides.

    Attributes:
        censored: Stable and degraded runs are right-censored: taken as runs that would collapse later.
        collapsed_only: Runs that did not collapse are ignored, as in the paper; this selects short T*.
        cv_eta_T: Coefficient of variation of η·T* over the cells that collapsed.
    """

    censored: HorizonFit = HorizonFit()
    collapsed_only: HorizonFit = HorizonFit()
    cv_eta_T: float | None = None


@dataclass(frozen=True, slots=True)
class TwoConstraint:
    """Cells whose majority outcome the two-constraint rule predicts, in sample. Source: eq. 36–37."""

    cells_right: int | None = None
    cells: int | None = None


@dataclass(frozen=True, slots=True)
class ModelLaws:
    """All that one group of runs (a model, at one setting of the further axes) says."""

    cells: tuple[Cell, ...]
    local: LocalLaw
    horizon: HorizonLaw
    two_constraint: TwoConstraint
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A run that no fit uses, and why."""

    run: int
    why: str


@dataclass(frozen=True, slots=True)
class Laws:
    """The result of ``fit-laws``.

    Attributes:
        models: One entry per model; per setting of the further axes where there are several.
        runs: Runs that were read, those left out included.
        left_out: Runs that no fit uses.
    """

    models: Mapping[str, ModelLaws]
    runs: int
    left_out: tuple[LeftOut, ...]

    def to_json(self) -> dict[str, Any]:
        """The contract's ``fit-laws --format json`` as plain Python, without NaN and infinities."""
        content = {
            "models": {name: _model_json(model) for name, model in self.models.items()},
            "runs": self.runs,
            "left_out": [dataclasses.asdict(left_out) for left_out in self.left_out],
        }
        plain: dict[str, Any] = _plain(content)
        return plain


def _model_json(model: ModelLaws) -> dict[str, Any]:
    horizon = dataclasses.asdict(model.horizon)
    return {
        "cells": [dataclasses.asdict(cell) for cell in model.cells],
        "local": dataclasses.asdict(model.local),
        "horizon": horizon.pop("censored") | horizon,
        "two_constraint": dataclasses.asdict(model.two_constraint),
        "regime": {"cosine_auc": None, "drift_exponent": {"collapsed": None, "stable": None}},
        "warnings": list(model.warnings),
    }


def _plain(value: Any) -> Any:
    """Replace tuples by lists and numbers that JSON cannot say by None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
