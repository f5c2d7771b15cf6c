"""From evidence to the laws: a fit per group of runs, its two-constraint rule, and what to know before using it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import pandas as pd

from orchestrator.base.states import GOING, FailureClass, RunState
from orchestrator.base.words import counted
from orchestrator.laws.boundary import bracket_ends, local_law
from orchestrator.laws.collapse import of_class
from orchestrator.laws.evidence import cells, evidence, groups, left_out
from orchestrator.laws.gaps import Gap, Tried, merged
from orchestrator.laws.horizon import about_terms, horizon_law, identified_terms, joint_law
from orchestrator.laws.result import Laws, MeasuredCell, ModelLaws, Prediction, TwoConstraint
from orchestrator.laws.survival import TimeFit

EARLY_STOPS = {
    FailureClass.PREDICTED_COLLAPSE: "because a collapse was predicted. They are excluded from the cell counts, so "
    "eta_max and the constants of T* look larger.",
    FailureClass.DECIDED: "because nothing was left to decide. They are excluded from the cell counts, so eta_max "
    "looks smaller if they were stable.",
}
"""Why searches stopped runs, and how that changes the fit."""

Constants = tuple[float, float]
"""C_local and C_horizon."""

Limit = Callable[[Iterable[float]], float]
"""Which of the two constraints counts: ``min`` or ``max``."""

TOLERANCE = 1e-9
"""Cells on the line are stable; this absorbs rounding."""


def fit_laws(runs: pd.DataFrame) -> Laws:
    """Fit every law to every model.

    If a model's runs have several settings of further axes, each setting is fitted, as ``model · axis=value``.
    Collapsed runs place T* in (collapse_step_lo, collapse_step]. Stable and degraded runs are censored at their last
    learner step. So are, in the laws of T* only, runs that failed with their job, still run or were stopped early;
    cells exclude these. Diverged runs are excluded from everything.
    """
    return fit_evidence(evidence(runs))


def fit_evidence(rows: pd.DataFrame) -> Laws:
    """Do as `fit_laws`, given what `orchestrator.laws.evidence.evidence` returns."""
    return Laws({name: _fit_group(members) for name, members in groups(rows)}, len(rows), left_out(rows))


def _fit_group(members: pd.DataFrame) -> ModelLaws:
    finished, bounded = members[members["why"] == ""], members[members["bounds"]]
    of_group, tried = cells(members), Tried.of(members)
    if finished.empty:
        none = Gap("No run has finished, so nothing can be fitted yet. Launch the sweep again or wait for it.")
        gaps = [*_about_runs(members, of_group, tried), none]
        return ModelLaws(of_group, warnings=tuple(map(str, gaps)))
    collapsed = bounded[bounded["collapsed"]]
    terms = identified_terms(collapsed)
    local, gaps = local_law(of_group, finished, tried)
    horizon, about_horizon = horizon_law(bounded, of_group, terms, tried)
    joint, joint_fit, about_joint = joint_law(bounded, terms, tried, local.brackets)
    rule = _two_constraint(of_group, joint_fit) if joint_fit else TwoConstraint()
    found = ModelLaws(of_group, local=local, horizon=horizon, joint=joint, two_constraint=rule)
    gaps += [*about_terms(collapsed, tried), *about_horizon, *about_joint]
    gaps += [*_about_seeds(finished, found, tried), *_about_runs(members, of_group, tried)]
    return replace(found, warnings=tuple(map(str, gaps)), next_runs=merged(gaps))


def _about_seeds(finished: pd.DataFrame, found: ModelLaws, tried: Tried) -> list[Gap]:
    """Whether seeds are too few, or differ too much."""
    local, horizon, joint = found.local, found.horizon, found.joint
    boundary = tried.again(bracket_ends(local.brackets))
    seeds = finished["seed"].unique()
    if len(seeds) == 1:
        return [Gap(f"Every cell was run with seed {seeds[0]} only. How often a cell collapses is therefore not known, "
                    f"and the intervals do not hold for seeds other than {seeds[0]}.", boundary)]  # fmt: skip
    immune = joint.constant.estimate is not None
    constants = {
        "C_local": joint.constant if immune else local.constant,
        "C_horizon": joint.horizon.constant if immune else horizon.censored.constant,
    }
    differ = {name: value.seed_factor for name, value in constants.items() if (value.seed_factor or 1.0) > 1.0}
    if not differ:
        return []
    factors = " and ".join(f"{factor:.2g} times ({name})" for name, factor in differ.items())
    text = (
        f"The {len(seeds)} seeds differ more than the runs within a seed do. In logarithms, intervals are {factors} as "
        "wide as they would be for independent runs; more seeds make them narrower."
    )
    return [Gap(text, boundary)]


def _about_runs(members: pd.DataFrame, of_group: Sequence[MeasuredCell], tried: Tried) -> Iterator[Gap]:
    """What to know about the runs before using any fit of them."""
    for cell in of_group:
        if cell.n_degraded:
            yield Gap(
                f"k={cell.k}, eta={cell.eta:g}: {cell.n_degraded} of {cell.n_runs} runs ended degraded, between stable "
                "and collapsed. They are fitted as not collapsed; longer training would show whether they collapse.",
                tried.longer([(cell.k, cell.eta)]),
            )
    finished = members[members["why"] == ""]
    if repeated := int(finished.duplicated(["k", "eta", "seed"]).sum()):
        yield Gap(
            f"{repeated} runs have the same k, eta and seed as another run and are counted as independent; name one "
            "sweep on the command line to fit it alone."
        )
    detectors = finished.loc[finished["collapsed"], "collapse_detector"].dropna().value_counts()
    if len(detectors) > 1:
        counts = ", ".join(f"{name}: {count}" for name, count in sorted(detectors.items()))
        yield Gap(f"Different definitions of collapse were used ({counts} runs); choose one with --detector.")
    if diverged := int(of_class(members, [FailureClass.DIVERGED]).sum()):
        yield Gap(
            f"{diverged} runs diverged (a loss or weight was not finite) and are left out, although their "
            "infrastructure did not fail; lower eta there or read their logs before you use the boundary."
        )
    waiting = int(members["state"].isin([*GOING, RunState.LOST]).sum())
    if waiting and len(finished):
        yield Gap(f"{waiting} runs have not finished; launch the sweep again, then fit again.")
    has_begun = (members["learner_steps"].fillna(members["horizon"]) > 0).to_numpy(dtype=bool)
    for failure_class, why in EARLY_STOPS.items():
        ks = members.loc[of_class(members, [failure_class]) & has_begun, "k"]
        if len(ks):
            by_k = ", ".join(f"k={k}: {count}" for k, count in ks.value_counts().sort_index().items())
            yield Gap(f"{counted(len(ks), 'run')} ({by_k}) stopped early {why}")


def _two_constraint(cells: Sequence[MeasuredCell], free: TimeFit) -> TwoConstraint:
    """Score η ≤ min(C_local/k, C_horizon/T) on all cells of a group, and on each with constants from the others.

    C_local comes from the group's joint fit ``free`` under a = 1, C_horizon from the one under b = 1 and q = 0.
    """
    local, horizon = free.inverse, free.ballistic
    fitted = _constants(local, horizon)
    if local is None or horizon is None or fitted is None:
        return TwoConstraint()
    finished = [cell for cell in cells if cell.n_runs]
    from_all = [fitted] * len(finished)
    from_others = [_constants(*(law.without(cell.k, cell.eta) for law in (local, horizon))) for cell in finished]

    def right(constants: Sequence[Constants | None], limit: Limit) -> int:
        pairs = zip(finished, constants, strict=True)
        return sum(_stable(cell, one, limit) == _observed_stable(cell) for cell, one in pairs if one)

    return TwoConstraint(
        cells_right=right(from_all, min),
        cells=len(finished),
        left_out_right=right(from_others, min),
        left_out_cells=sum(one is not None for one in from_others),
        either_right=right(from_all, max),
        either_left_out_right=right(from_others, max),
        crossing=fitted[1] / fitted[0],
        predictions=tuple(_predict(cell, fitted, one) for cell, one in zip(finished, from_others, strict=True)),
    )


def _predict(cell: MeasuredCell, fitted: Constants, from_others: Constants | None) -> Prediction:
    assert cell.horizon is not None
    by_local, by_horizon = _limits(fitted, cell)
    return Prediction(
        k=cell.k,
        eta=cell.eta,
        horizon=cell.horizon,
        limit=min(by_local, by_horizon),
        stable=_stable(cell, fitted, min),
        stable_left_out=None if from_others is None else _stable(cell, from_others, min),
        binds="local" if by_local <= by_horizon else "horizon",
        observed_stable=_observed_stable(cell),
    )


def _limits(constants: Constants, cell: MeasuredCell) -> tuple[float, float]:
    """The largest η that each constraint allows: C_local/k and C_horizon/T."""
    return constants[0] / cell.k, constants[1] / (cell.horizon or math.inf)


def _observed_stable(cell: MeasuredCell) -> bool:
    return 2 * cell.n_collapsed < cell.n_runs


def _stable(cell: MeasuredCell, constants: Constants, limit: Limit) -> bool:
    return cell.eta <= limit(_limits(constants, cell)) * (1 + TOLERANCE)


def _constants(local: TimeFit | None, horizon: TimeFit | None) -> Constants | None:
    if local is None or horizon is None or not local.grows:
        return None
    return local.c_local_point, horizon.c_horizon_point
