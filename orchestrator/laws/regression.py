"""The local law by regression: log-odds of collapse within the horizon = s·(log η + a·log k − log C)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from orchestrator.laws.estimates import Estimate
from orchestrator.laws.fitted import ProfiledFit
from orchestrator.laws.forms import LocalLaw, MeasuredCell
from orchestrator.laws.logistic import Trials
from orchestrator.laws.maximum import Held, Restriction, maximise

START = np.array([0.0, 1.0, 0.0])
"""Where the search begins: half of the runs collapse in the middle of the grid, whatever k."""


def with_regression(law: LocalLaw, cells: Sequence[MeasuredCell], finished: pd.DataFrame) -> LocalLaw:
    """Add the regression's estimates and intervals, if the cells identify them.

    Args:
        law: The local law with its brackets and identified sets.
        cells: The cells of one group.
        finished: Evidence that the cells count.
    """
    seen = [cell for cell in cells if cell.n_runs]
    collapsed, runs = sum(cell.n_collapsed for cell in seen), sum(cell.n_runs for cell in seen)
    if not 0 < collapsed < runs or len({cell.eta for cell in seen}) < 2:
        return law
    trials, centre = _trials(seen, finished)
    several_k = len({cell.k for cell in seen}) > 1 and np.linalg.matrix_rank(trials.design) == 3
    held = Held() if several_k else Held(a=0.0)
    found = maximise(trials, Restriction.hold(trials.names, held), [START])
    if found is None:
        return law
    free = ProfiledFit(trials, centre, held, found)
    if not free.grows:
        return law
    brackets = tuple(replace(b, eta_half=free.boundary_at(b.k)) for b in law.brackets)
    law = replace(law, brackets=brackets, width=free.width)
    if not several_k:
        return law
    inverse = free.inverse if free.inverse and free.inverse.grows else None
    constant = inverse.c_local if inverse else Estimate()
    return replace(
        law,
        exponent=replace(free.exponent(), identified_set=law.exponent.identified_set),
        constant=replace(constant, identified_set=law.constant.identified_set),
        prefactor=free.boundary_at(1),
        p_exponent_is_1=free.p_of(inverse),
    )


def _trials(cells: Sequence[MeasuredCell], finished: pd.DataFrame) -> tuple[Trials, tuple[float, float]]:
    """Runs by seed and cell, and what was subtracted from log η and log k."""
    log_eta, log_k = (np.log([getattr(cell, name) for cell in cells]) for name in ("eta", "k"))
    at_eta, at_k = float(log_eta.mean()), float(log_k.mean())
    design = np.column_stack([np.ones(len(cells)), log_eta - at_eta, log_k - at_k])
    by_seed = finished.groupby(["seed", "k", "eta"], sort=True)["collapsed"]
    columns = pd.MultiIndex.from_tuples([(cell.k, cell.eta) for cell in cells])
    collapsed, runs = (
        counts.unstack(["k", "eta"]).reindex(columns=columns).fillna(0).to_numpy(dtype=float)
        for counts in (by_seed.sum(), by_seed.size())
    )
    return Trials(design, collapsed, runs), (at_eta, at_k)
