"""Intervals of levels where runs of one seed resemble each other: they share their warm-up, and their luck with it."""

from __future__ import annotations

import math

import numpy as np

from orchestrator.laws.identified import Array
from orchestrator.laws.profile import quantile


def widening(gradient: Array, information: Array, scores: Array, independent: float) -> float:
    """The factor, at least 1, by which the 95 % interval of a level is wider than that for independent runs.

    Scores summed by seed give the level's variance between seeds (Liang & Zeger 1986, Biometrika 73, 13–22), with as
    many degrees of freedom as there are seeds less one. Where it is no larger than the likelihood's own, seeds do not
    differ by more than their runs do, and the factor is 1.

    Args:
        gradient: Of the level, shape (parameters,).
        information: Of the log-likelihood, shape (parameters, parameters).
        scores: Its gradient at the maximum, shape (seeds, parameters).
        independent: Standard errors that the interval for independent runs reaches.
    """
    seeds = len(scores)
    if seeds < 2:
        return 1.0
    try:
        np.linalg.cholesky(information)
    except np.linalg.LinAlgError:  # a flat likelihood has no scale to compare with
        return 1.0
    towards = np.linalg.solve(information, gradient)
    moved = (scores - scores.mean(axis=0)) @ towards
    ratio = float(moved @ moved) * seeds / (seeds - 1) / float(gradient @ towards)
    return max(math.sqrt(ratio) * quantile(seeds - 1) / independent, 1.0) if ratio > 1 else 1.0
