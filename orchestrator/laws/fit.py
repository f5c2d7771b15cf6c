"""From stored runs to the laws: one fit per model, and what the runs themselves give reason to warn about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from orchestrator.base.states import GOING, FailureClass, RunState
from orchestrator.laws.axes import compare_groups
from orchestrator.laws.boundary import bracket_ends, local_law
from orchestrator.laws.cells import cells, evidence, groups, left_out
from orchestrator.laws.collapse import of_class
from orchestrator.laws.forms import GroupComparison, HorizonLaw, JointLaw, LocalLaw, MeasuredCell, TwoConstraint
from orchestrator.laws.horizon import about_terms, horizon_law, identified_terms
from orchestrator.laws.joint import joint_law
from orchestrator.laws.result import Laws, ModelLaws
from orchestrator.laws.rule import two_constraint
from orchestrator.laws.settle import Gap, Tried, merged
from orchestrator.laws.stopped import about_stopped


def fit_laws(runs: pd.DataFrame, *, brief: bool = False) -> Laws:
    """Fit every law to every model.

    A model whose runs have several settings of further axes is fitted once per setting, under
    ``model · axis=value``.

    Args:
        runs: The export's ``runs``. Collapsed runs place T* in (collapse_step_lo, collapse_step]; stable and
            degraded runs are censored at their last learner step. So are, for the laws of T* alone, runs that
            ended with their job, go on, or were stopped early; cells leave these out, and diverged runs are left out
            of everything.
        brief: Only what the comparison of several definitions of collapse needs: the local law, the horizon law
            over all runs, and the numbers of the joint law without intervals.
    """
    return fit_evidence(evidence(runs), brief=brief)


def fit_evidence(rows: pd.DataFrame, *, brief: bool = False) -> Laws:
    """The same for what `orchestrator.laws.cells.evidence` has made of runs."""
    of_groups = dict(groups(rows))
    return Laws(
        models={name: _fit_group(members, brief) for name, members in of_groups.items()},
        runs=len(rows),
        left_out=left_out(rows),
        comparisons=() if brief else tuple(_comparisons(of_groups)),
    )


def _comparisons(of_groups: Mapping[str, pd.DataFrame]) -> Iterator[GroupComparison]:
    """Settings of further axes within each model, then models within each setting."""
    for within in ("model", "group"):
        families: dict[str, dict[str, pd.DataFrame]] = {}
        for name, members in of_groups.items():
            families.setdefault(str(members[within].iloc[0]), {})[name] = members[members["bounds"]]
        for family in families.values():
            comparison = compare_groups(family)
            if comparison is not None:
                yield comparison


def _fit_group(members: pd.DataFrame, brief: bool) -> ModelLaws:
    finished, bounded = members[members["why"] == ""], members[members["bounds"]]
    of_group, tried = cells(members), Tried.of(members)
    if finished.empty:
        none = Gap("No run has finished: nothing can be fitted yet; launch the sweep again or wait for it.")
        gaps = [*_about_runs(members, of_group, tried), *about_stopped(members, tried), none]
        return ModelLaws(of_group, LocalLaw(), HorizonLaw(), JointLaw(), TwoConstraint(), tuple(map(str, gaps)))
    collapsed = bounded[bounded["collapsed"]]
    terms = identified_terms(collapsed)
    local, gaps = local_law(of_group, finished, tried)
    horizon, about_horizon = horizon_law(bounded, of_group, terms, tried, brief=brief)
    gaps += [*about_terms(collapsed, tried), *about_horizon]
    joint, joint_fit, about_joint = joint_law(bounded, terms, tried, local.brackets, brief=brief)
    gaps += [
        *about_joint,
        *_about_seeds(finished, local, horizon, joint, tried),
        *_about_runs(members, of_group, tried),
        *([] if brief else about_stopped(members, tried)),
    ]
    return ModelLaws(
        cells=of_group,
        local=local,
        horizon=horizon,
        joint=joint,
        two_constraint=two_constraint(of_group, joint_fit) if joint_fit and not brief else TwoConstraint(),
        warnings=tuple(map(str, gaps)),
        next_runs=merged(gaps),
    )


def _about_seeds(
    finished: pd.DataFrame, local: LocalLaw, horizon: HorizonLaw, joint: JointLaw, tried: Tried
) -> list[Gap]:
    """Whether seeds are too few, or too different, for what is said of all seeds."""
    boundary = tried.again(bracket_ends(local.brackets))
    seeds = finished["seed"].unique()
    if len(seeds) == 1:
        text = f"Every cell was run with seed {seeds[0]} only, so how often it collapses is not known, and no interval "
        return [Gap(f"{text}speaks of seeds other than {seeds[0]}.", boundary)]
    immune = joint.constant.estimate is not None
    constants = {
        "C_local": joint.constant if immune else local.constant,
        "C_horizon": joint.horizon.constant if immune else horizon.censored.constant,
    }
    differ = {name: value.seed_factor for name, value in constants.items() if (value.seed_factor or 1.0) > 1.0}
    if not differ:
        return []
    factors = " and ".join(f"of {name} {factor:.2g} times" for name, factor in differ.items())
    text = (
        f"The {len(seeds)} seeds differ by more than their runs do, so the interval {factors} as wide, in logarithms, "
        "as if all runs were independent; more seeds narrow it."
    )
    return [Gap(text, boundary)]


def _about_runs(members: pd.DataFrame, of_group: Sequence[MeasuredCell], tried: Tried) -> list[Gap]:
    """What to know about the runs before believing any fit of them."""
    finished = members[members["why"] == ""]
    gaps = []
    repeated = int(finished.duplicated(["k", "eta", "seed"]).sum())
    if repeated:
        gaps.append(
            f"{repeated} runs repeat the (k, eta, seed) of another and are counted as if independent; "
            "name one sweep on the command line to fit it alone."
        )
    detectors = finished.loc[finished["collapsed"], "collapse_detector"].dropna().value_counts()
    if len(detectors) > 1:
        counts = ", ".join(f"{name}: {count}" for name, count in sorted(detectors.items()))
        gaps.append(f"Collapse was called by different definitions ({counts} runs); choose one detector for all runs.")
    diverged = int(of_class(members, [FailureClass.DIVERGED]).sum())
    if diverged:
        gaps.append(
            f"{diverged} runs diverged (a loss or weight was not finite) and are left out, though that is no "
            "infrastructure failure; lower eta there or look at their logs before reading the boundary."
        )
    waiting = int(members["state"].isin([*GOING, RunState.LOST]).sum())
    if waiting and not finished.empty:
        gaps.append(f"{waiting} runs have not finished; launch the sweep again, then fit again.")
    degraded = [
        Gap(
            f"k={cell.k}, eta={cell.eta:g}: {cell.n_degraded} of {cell.n_runs} runs ended degraded, between stable and "
            "collapsed, and are fitted as not collapsed; longer training would tell.",
            tried.longer([(cell.k, cell.eta)]),
        )
        for cell in of_group
        if cell.n_degraded
    ]
    return [*degraded, *map(Gap, gaps)]
