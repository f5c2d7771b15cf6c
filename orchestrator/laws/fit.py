"""From stored runs to the laws: one fit per model, and what the runs themselves give reason to warn about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from orchestrator.laws.axes import compare_groups
from orchestrator.laws.boundary import local_law
from orchestrator.laws.cells import cells, evidence, groups, left_out
from orchestrator.laws.forms import Cell, GroupComparison, HorizonLaw, JointLaw, LocalLaw, TwoConstraint
from orchestrator.laws.horizon import horizon_law, identified_terms
from orchestrator.laws.joint import joint_law
from orchestrator.laws.result import Laws, ModelLaws
from orchestrator.laws.rule import two_constraint


def fit_laws(runs: pd.DataFrame, *, brief: bool = False) -> Laws:
    """Fit every law to every model.

    A model whose runs have several settings of further axes is fitted once per setting, under
    ``model · axis=value``.

    Args:
        runs: The export's ``runs``. Collapsed runs place T* in (collapse_step_lo, collapse_step]; stable and
            degraded runs are censored at their last learner step. So are, for the laws of T* alone, runs that
            ended with their job or go on; cells leave these out, and diverged runs are left out of everything.
        brief: Only what the comparison of several definitions of collapse needs: the local law, and the horizon law
            over all runs.
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
    finished = members[members["why"] == ""]
    of_group = cells(members)
    about_runs = _about_runs(members, of_group)
    if finished.empty:
        warning = "No run has finished: nothing can be fitted yet; launch the sweep again or wait for it."
        return ModelLaws(of_group, LocalLaw(), HorizonLaw(), JointLaw(), TwoConstraint(), (*about_runs, warning))
    bounded = members[members["bounds"]]
    terms, about_terms = identified_terms(bounded[bounded["collapsed"]])
    local, about_local = local_law(of_group)
    horizon, about_horizon = horizon_law(bounded, of_group, terms, brief=brief)
    joint, joint_fit, about_joint = (JointLaw(), None, []) if brief else joint_law(bounded, terms)
    return ModelLaws(
        cells=of_group,
        local=local,
        horizon=horizon,
        joint=joint,
        two_constraint=two_constraint(of_group, joint_fit) if joint_fit else TwoConstraint(),
        warnings=(*about_local, *about_terms, *about_horizon, *about_joint, *about_runs),
    )


def _about_runs(members: pd.DataFrame, of_group: Sequence[Cell]) -> list[str]:
    """What to know about the runs before believing any fit of them."""
    finished = members[members["why"] == ""]
    warnings = []
    if finished["seed"].nunique() == 1:
        warnings.append(
            "Every cell was run with one seed only, so how often it collapses is not known; add seeds to the grid."
        )
    repeated = int(finished.duplicated(["k", "eta", "seed"]).sum())
    if repeated:
        warnings.append(
            f"{repeated} runs repeat the (k, eta, seed) of another and are counted as if independent; "
            "name one sweep on the command line to fit it alone."
        )
    detectors = finished.loc[finished["collapsed"], "collapse_detector"].dropna().value_counts()
    if len(detectors) > 1:
        counts = ", ".join(f"{name}: {count}" for name, count in sorted(detectors.items()))
        warnings.append(
            f"Collapse was called by different definitions ({counts} runs); choose one detector for all runs."
        )
    warnings += [
        f"k={cell.k}, eta={cell.eta:g}: {cell.n_degraded} of {cell.n_runs} runs ended degraded, between "
        "stable and collapsed, and are fitted as not collapsed; train this cell longer."
        for cell in of_group
        if cell.n_degraded
    ]
    diverged = int(members["why"].str.startswith("failed: diverged").sum())
    if diverged:
        warnings.append(
            f"{diverged} runs diverged (a loss or weight was not finite) and are left out, though that is no "
            "infrastructure failure; lower eta there or look at their logs before reading the boundary."
        )
    waiting = int(members["state"].isin(["pending", "queued", "running", "lost"]).sum())
    if waiting and not finished.empty:
        warnings.append(f"{waiting} runs have not finished; launch the sweep again, then fit again.")
    return warnings
