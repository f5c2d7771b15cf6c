"""What the runs of a grid will leave open, however they end; ``launch --dry-run`` prints it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from orchestrator.base.errors import StoreError
from orchestrator.grid.sweep import Run, group_name
from orchestrator.laws.gaps import Coordinates
from orchestrator.search.beliefs import Beliefs
from orchestrator.search.knowledge import seen_by
from orchestrator.search.search import Group, group_of
from orchestrator.store import outcomes
from orchestrator.store.database import Store
from orchestrator.store.outcomes import Outcome

LEAST_SPREAD = 2.0
"""A grid whose η·k differ by less cannot place a boundary at constant η·k."""

FEWEST_KNOWN = 4
"""Fewer stored runs than this predict nothing."""

SURE = 0.05
"""The runs of a cell are expected to end alike if at most this share is expected to end otherwise."""


def stored_outcomes(url: str, models: Iterable[str]) -> list[Outcome]:
    """Read how finished runs of models ended; empty if the database does not exist or cannot be read."""
    try:
        with Store(url) as store:
            return outcomes.outcomes(store, models)
    except StoreError:
        return []


def gaps(runs: Iterable[Run], known: Sequence[Outcome]) -> list[str]:
    """Say what the laws of a grid will lack, a sentence each, after the groups that it is true of.

    ``known`` are finished runs of the same models.
    """
    groups: dict[Group, list[Run]] = defaultdict(list)
    for run in runs:
        groups[group_of(run)].append(run)
    names: dict[str, list[str]] = defaultdict(list)
    for group, members in groups.items():
        alike = [one for one in known if (one.model, one.axes) == group]
        for sentence in (*_of_grid(members), *_by_known(members, alike)):
            names[sentence].append(group_name(*group))
    return [f"{' and '.join(of_sentence)}: {sentence}" for sentence, of_sentence in names.items()]


def _of_grid(runs: Sequence[Run]) -> Iterator[str]:
    """Gaps that follow from the cells and seeds alone."""
    seeds = {run.seed for run in runs}
    etas: Mapping[int, set[float]] = defaultdict(set)
    for run in runs:
        etas[run.cell.k].add(run.cell.eta)
    if len(seeds) == 1:
        yield f"seed {min(seeds)} only, so how often a cell collapses will not be known; give 3 seeds or more."
    if len(etas) == 1:
        yield f"k={min(etas)} only, so how eta_max depends on k will not be known; give a second k."
    if lonely := [str(k) for k, of_k in sorted(etas.items()) if len(of_k) == 1]:
        where = f"k={', '.join(lonely)}"
        yield f"one eta only at {where}, which cannot enclose eta_max there; give every k a smaller and a larger eta."
    cells = {(run.cell.k, run.cell.eta) for run in runs}
    products = [k * eta for k, eta in cells]
    if len(cells) > 1 and max(products) < LEAST_SPREAD * min(products):
        yield (
            f"eta*k differs by a factor of {max(products) / min(products):.3g} only, so a boundary at constant eta*k "
            "is placed nowhere; spread eta further at each k."
        )
    elif len(etas) > 1 and len(set.union(*etas.values())) > 1 and _together(cells):
        yield "k and eta change together, so their exponents cannot be told apart; run the same eta at several k."


def _together(cells: Iterable[Coordinates]) -> bool:
    logs = np.log(np.array(sorted(cells)))
    return int(np.linalg.matrix_rank(logs - logs.mean(axis=0), tol=1e-6)) < 2


def _by_known(runs: Sequence[Run], known: Sequence[Outcome]) -> Iterator[str]:
    """Gaps that stored runs lead to expect."""
    seen = seen_by(known, max(run.config.horizon for run in runs))
    if (runs_seen := int(sum(one.collapsed + one.stable for one in seen))) < FEWEST_KNOWN:
        return
    cells = sorted({(run.cell.k, run.cell.eta) for run in runs})
    etas = [eta for _, eta in cells] + [one.eta for one in seen]
    beliefs = Beliefs.before(sorted({k for k, _ in cells}), (min(etas), max(etas))).after(seen)
    chances = beliefs.chances(cells)
    by = f"by {runs_seen:,} finished runs no cell is expected to"
    if max(chances) < SURE:
        yield f"{by} collapse (at most {100 * max(chances):.2g} % of a cell's runs); add larger eta, or train longer."
    if min(chances) > 1 - SURE:
        yield f"{by} stay stable (at most {100 * (1 - min(chances)):.2g} % of a cell's runs); add smaller eta."
