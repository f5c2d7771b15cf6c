"""The result of a fit: the laws with their formulas and sources, the numbers of each, and the JSON of all.

- local law:    η_max(k) = C·k^−a. The paper has a = 1: k·η ≤ C_local (arXiv 2607.01083, eq. 30).
- horizon law:  T* = C·η^−b·k^−q, with log-normal scatter σ. The paper has b = 1, q = 0:
  T* = C_horizon/η (eq. 34).
- two-constraint rule: stable iff η ≤ min(C_local/k, C_horizon/T) (eq. 36–37).

The fields are the keys of the JSON; docs/fit-laws-reference.md explains each. What the data do not identify is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.laws.estimates import UNKNOWN, Estimate
from orchestrator.laws.gaps import Next
from orchestrator.laws.regimes import Regime


@dataclass(frozen=True, slots=True)
class CollapseStep:
    """Median T* of a cell's collapsed runs, in learner steps. It lies in (lo, hi]; ``median`` = hi is observed."""

    lo: float
    hi: float
    median: float


@dataclass(frozen=True, slots=True)
class MeasuredCell:
    """The runs of one (k, η). Counts are of finished runs; ``n_left_out`` more did not finish or are no evidence.

    ``horizon`` is the longest T, in learner steps; ``collapse_sync`` the median weight sync m* of the collapsed runs.
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
    """Where η_max(k) lies: at or above ``eta_stable``, and below ``eta_collapsed``."""

    k: int
    eta_stable: float | None  # largest η such that no run collapsed there or at any smaller tested η
    eta_collapsed: float | None  # smallest η at which a run collapsed
    eta_half: Estimate = UNKNOWN  # half of the runs collapse within their horizon, by the logistic regression


@dataclass(frozen=True, slots=True)
class LocalLaw:
    """η_max(k) = C·k^−a. Source: arXiv 2607.01083, eq. 30 (a = 1).

    ``estimate`` and ``ci95`` describe the η at which half of the runs collapse within their horizon, by penalised
    logistic regression. ``identified_set`` describes a sharp boundary, by the brackets alone: ``separable`` says
    whether some power law passes through all of them.
    """

    exponent: Estimate = UNKNOWN  # a
    constant: Estimate = UNKNOWN  # C_local = k·η_max under a = 1
    prefactor: Estimate = UNKNOWN  # C = η_max·k^a, with a free: η_max at k = 1
    width: float | None = None
    p_exponent_is_1: float | None = None
    brackets: tuple[Bracket, ...] = ()
    separable: bool | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """T* with some exponents held, by Akaike's criterion; ``delta_aic`` is the difference to the smallest.

    ``name`` is ``ballistic`` (b = 1, q = 0; the paper's), ``diffusive`` (b = 2, q = 0), ``eta`` (b free, q = 0) or
    ``eta and k`` (both free).
    """

    name: str
    aic: float
    delta_aic: float


@dataclass(frozen=True, slots=True)
class HorizonFit:
    """T* = C·η^−b·k^−q·exp(σε), ε standard normal. Source: arXiv 2607.01083, eq. 34 (b = 1, q = 0)."""

    eta_exponent: Estimate = UNKNOWN  # b
    k_exponent: Estimate = UNKNOWN  # q
    constant: Estimate = UNKNOWN  # C_horizon = η·T* under b = 1 and q = 0, in learner steps times η
    prefactor: Estimate = UNKNOWN  # C with free exponents; without ranges
    sigma: Estimate = UNKNOWN
    p_law: float | None = None
    law_in_set: bool | None = None
    alternatives: tuple[Alternative, ...] = ()
    n_collapsed: int = 0
    n_censored: int = 0


@dataclass(frozen=True, slots=True)
class HorizonLaw:
    """The horizon law with runs that did not collapse treated in two ways, because the result depends on it.

    ``censored``: they would collapse later (right-censoring). ``collapsed_only``: they are ignored, as in the paper,
    which prefers short T*.
    """

    censored: HorizonFit = HorizonFit()
    collapsed_only: HorizonFit = HorizonFit()
    cv_eta_T: float | None = None  # coefficient of variation of η·T* over the cells that collapsed


@dataclass(frozen=True, slots=True)
class JointLaw:
    """Both laws from one likelihood: a mixture of susceptible runs, which follow the horizon law, and immune ones.

    A run is susceptible with log-odds s·(log η + a·log k − log C). Immune runs never collapse; ``immune`` is their
    expected share among the runs that did not.
    """

    horizon: HorizonFit = HorizonFit()
    exponent: Estimate = UNKNOWN  # a of the boundary between immune and susceptible
    constant: Estimate = UNKNOWN  # C_local = k·η on that boundary, under a = 1
    width: float | None = None
    p_exponent_is_1: float | None = None
    p_laws: float | None = None
    immune: float | None = None
    aic: float | None = None
    aic_all_susceptible: float | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the rule predicts for one cell."""

    k: int
    eta: float
    horizon: int  # T, in learner steps
    limit: float  # the largest η that the rule allows at this k and T
    stable: bool
    stable_left_out: bool | None  # with constants from all other cells; None if these do not identify them
    binds: str  # the smaller constraint, ``local`` or ``horizon``
    observed_stable: bool  # fewer than half of the runs collapsed

    @property
    def right(self) -> bool:
        """Whether the runs did as predicted."""
        return self.stable == self.observed_stable

    @property
    def uncertain(self) -> bool:
        """Whether the other cells alone do not lead to the same prediction."""
        return self.stable_left_out != self.stable


@dataclass(frozen=True, slots=True)
class TwoConstraint:
    """The rule: stable iff η ≤ min(C_local/k, C_horizon/T). Source: eq. 36–37.

    In the joint law a run collapses only if it is susceptible and its T* is within T, so either constraint is enough
    for stability: η ≤ max(C_local/k, C_horizon/T). That rule is scored too (``either_…``). Cells that are ``left_out``
    are predicted with constants from all other cells.
    """

    cells_right: int | None = None
    cells: int | None = None
    left_out_right: int | None = None
    left_out_cells: int | None = None
    either_right: int | None = None
    either_left_out_right: int | None = None
    crossing: float | None = None  # C_horizon/C_local: the rollout cycles T/k beyond which the horizon binds
    predictions: tuple[Prediction, ...] = ()


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
