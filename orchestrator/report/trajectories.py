"""Which runs are drawn over their steps. Only their metrics are read: a database may have millions of weight syncs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from orchestrator.data import measured
from orchestrator.report.numbers import scientific
from orchestrator.store.database import Store

MOST_KS, MOST_ETAS, MOST_RUNS = 4, 5, 8
"""Most rows and columns of a grid of cells, and runs in each, that one can still distinguish."""

MOST_POINTS = 500
"""Most points of a line."""

COSINES = {"cosine_gradient_within": "raw-gradient cosine", "cosine_update_within": "update cosine"}
METRICS = ("reward", "drift_from_start", *COSINES)


@dataclass(frozen=True, eq=False, slots=True)
class Trajectories:
    """The metrics of the drawn runs of one model.

    Attributes:
        runs: Their evidence, see `orchestrator.laws.evidence.evidence`.
        syncs: ``run``, ``learner_step`` of the sync and ``end_step`` of its rollout cycle, and `METRICS`.
        evals: ``run``, ``learner_step``, ``val_reward``.
        chosen: Sentences that say what is left out; empty if nothing is.
    """

    runs: pd.DataFrame
    syncs: pd.DataFrame
    evals: pd.DataFrame
    chosen: str


def load(store: Store, runs: pd.DataFrame) -> Trajectories:
    """Choose runs to draw, and read their metrics.

    Args:
        store: The store.
        runs: Evidence of the finished runs of one model.
    """
    drawn, chosen = _choose(runs)
    numbers = [int(run) for run in drawn["run"]]
    syncs = _as_floats(measured.thinned_syncs(store, numbers, METRICS, MOST_POINTS))
    evals = _as_floats(measured.evals_of(store, numbers))
    last = syncs["run"].map(dict(zip(numbers, drawn["learner_steps"].astype(float), strict=True)))
    syncs["end_step"] = syncs["end_step"].fillna(last)
    return Trajectories(runs=drawn, syncs=syncs, evals=_thinned(evals), chosen=chosen)


def _choose(runs: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    ks, etas = sorted(runs["k"].unique()), sorted(runs["eta"].unique())
    shown_ks, shown_etas = evenly(ks, MOST_KS), evenly(etas, MOST_ETAS)
    of_cells = runs[runs["k"].isin(shown_ks) & runs["eta"].isin(shown_etas)].sort_values(["k", "eta", "seed", "run"])
    drawn = of_cells.groupby(["k", "eta"]).head(MOST_RUNS)
    sentences = [which_shown("k", ks, MOST_KS), which_shown("η", etas, MOST_ETAS)]
    if len(drawn) < len(of_cells):
        sentences.append(f"Only the first {MOST_RUNS} runs of each cell are shown.")
    if (drawn["learner_steps"] > MOST_POINTS).any():
        sentences.append(f"Of runs with more than {MOST_POINTS} points, only every n-th point is drawn.")
    return drawn, " ".join(filter(None, sentences))


def _as_floats(frame: pd.DataFrame) -> pd.DataFrame:
    """Metrics as floats. Missing values and NaN are both gaps in a line."""
    return frame.astype(dict.fromkeys(frame.columns[2:], float))


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    by_run = frame.groupby("run")["learner_step"]
    return frame[by_run.cumcount() % (by_run.transform("size") // (MOST_POINTS + 1) + 1) == 0]


def evenly(values: Sequence[float], most: int) -> list[float]:
    """At most this many of the values, evenly spaced, with the first and the last."""
    places = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
    return [values[place] for place in places]


def which_shown(name: str, values: Sequence[float], most: int) -> str:
    """A sentence that says which values are drawn; empty if all are.

    Args:
        name: ``k`` or ``η``.
        values: All values of the grid, rising.
        most: As for `evenly`.
    """
    if len(values) <= most:
        return ""
    shown = evenly(values, most)
    texts = (str(value) if name == "k" else scientific(float(f"{value:.3g}")) for value in shown)
    return f"{len(shown)} of {len(values)} {name} are shown ({', '.join(texts)})."
