"""How well a number separates two kinds of runs: area under the ROC curve (AUC), its interval, and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from orchestrator.laws.estimates import Array

Mask = NDArray[np.bool_]
Labels = NDArray[Any]

Z95 = float(ndtri(0.975))


@dataclass(frozen=True, slots=True)
class Separation:
    """How well a number separates events from the others."""

    auc: float  # probability that an event has the larger number, over pairs of the same stratum; ties count half
    p: float | None  # two-sided test of chance (Mann–Whitney with ties; over strata their sum), normal approximation
    pairs: int  # how many pairs of an event and another were compared


def separation(values: Array, is_event: Mask, strata: Labels | None = None) -> Separation | None:
    """Compare events with the others of their stratum (all runs, without strata); None if no stratum has both.

    Arrays have the shape (runs,); values are finite.
    """
    if not len(values):
        return None
    label = np.zeros(len(values), dtype=np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    rank, tied = _ranks(values, label)
    n, m = (np.bincount(label, counted).astype(float) for counted in (None, is_event))
    compared = (m > 0) & (m < n)
    if not compared.any():
        return None
    rank_sum, ties = (np.bincount(label, each)[compared] for each in (rank * is_event, tied**2 - 1))
    n, m = n[compared], m[compared]
    wins, pairs = float((rank_sum - m * (m + 1) / 2).sum()), float((m * (n - m)).sum())
    spread = float((m * (n - m) / 12 * (n + 1 - ties / (n * (n - 1)))).sum())
    p = 2 * float(ndtr(-abs(wins - pairs / 2) / math.sqrt(spread))) if spread > 0 else None
    return Separation(wins / pairs, p, round(pairs))


def interval(values: Array, is_event: Mask, clusters: Labels) -> tuple[float, float]:
    """95 % interval of the AUC over all pairs, if runs of a cluster (a seed) may resemble each other.

    This is Newcombe's score interval (2006, Stat. Med. 25, 559–573, method 5), which stays within 0 and 1 and has a
    width even if the two kinds do not overlap. Its numbers of runs are divided by the design effect, at least 1: the
    factor by which summing by cluster (Obuchowski 1997, Biometrics 53, 567–578) increases DeLong's variance (1988).
    """
    found = separation(values, is_event)
    if found is None:
        raise ValueError("there is no pair to compare")
    effect = design_effect(values, is_event, clusters)
    m, n = (max(count / effect, 1.0) for count in (int(is_event.sum()), int((~is_event).sum())))
    auc, others = found.auc, (m + n) / 2 - 1

    def excess(theta: float) -> float:
        spread = 1 + others * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (theta - auc) ** 2 - Z95**2 * theta * (1 - theta) * spread / (m * n)

    lo = float(brentq(excess, 0.0, min(auc, 1 - 1e-12))) if auc > 0 else 0.0
    hi = float(brentq(excess, max(auc, 1e-12), 1.0)) if auc < 1 else 1.0
    return lo, hi


def design_effect(values: Array, is_event: Mask, clusters: Labels) -> float:
    """Variance of the AUC by clusters divided by that by runs, at least 1; 1 if it is not known."""
    by_run, by_cluster = (variance(values, is_event, labels) for labels in (np.arange(len(values)), clusters))
    if by_run is None or by_cluster is None or not by_run > 0:
        return 1.0
    return max(1.0, by_cluster / by_run)


def variance(values: Array, is_event: Mask, clusters: Labels) -> float | None:
    """Variance of the AUC by sums over clusters, DeLong's if each run is one; None with fewer than 2 clusters."""
    m, n = int(is_event.sum()), int((~is_event).sum())
    rank, _ = _ranks(values)
    # the share of the other kind that each run beats, minus its mean over the runs of its kind
    beats = np.empty(len(values))
    beats[is_event] = (rank[is_event] - _ranks(values[is_event])[0]) / n
    beats[~is_event] = 1 - (rank[~is_event] - _ranks(values[~is_event])[0]) / m
    beats -= beats[is_event].mean()
    _, label = np.unique(clusters, return_inverse=True)
    events, others = (np.bincount(label, np.where(kind, beats, 0.0)) for kind in (is_event, ~is_event))
    with_events, with_others = (len(np.unique(label[kind])) for kind in (is_event, ~is_event))
    if min(with_events, with_others) < 2:
        return None
    spread = with_events / (with_events - 1) * (events**2).sum() / m**2
    spread += with_others / (with_others - 1) * (others**2).sum() / n**2
    spread += 2 * len(events) / (len(events) - 1) * (events * others).sum() / (m * n)
    return float(spread)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values (1979, Scand. J. Stat. 6, 65–70); None stays None and does not count as a test."""
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = largest
    return adjusted


def _ranks(values: Array, label: Labels | int = 0) -> tuple[Array, Array]:
    """Ranks from 1 among runs of the same label, where ties share their mean, and the number of runs in each tie.

    `scipy.stats` has this too, but takes half a second to import.
    """
    labels = np.broadcast_to(label, values.shape)
    order = np.lexsort((values, labels))
    starts = np.append(True, (np.diff(labels[order]) != 0) | (np.diff(values[order]) != 0))[: len(values)]
    _, place, alike = np.unique(np.cumsum(starts), return_inverse=True, return_counts=True)
    first = np.searchsorted(labels[order], labels[order])
    found = np.empty((2, len(values)))
    found[:, order] = (np.cumsum(alike) - (alike - 1) / 2)[place] - first, alike[place]
    return found[0], found[1]
