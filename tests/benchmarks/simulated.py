"""Sweeps with known laws, as the export's ``runs``: late and immune runs, quantisation, replicates, lost jobs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

HORIZON = 480
EVAL_EVERY = 8


@dataclass(frozen=True)
class Grid:
    """Cells and replicates."""

    k: tuple[int, ...]
    eta: tuple[float, ...]
    seeds: int


GRIDS = {
    "3x4x3": Grid((4, 8, 16), tuple(np.geomspace(2.5e-4, 2e-3, 4)), 3),
    "4x7x3": Grid((2, 4, 8, 16), tuple(np.geomspace(1.25e-4, 8e-3, 7)), 3),
}


@dataclass(frozen=True)
class World:
    """A law that sweeps are drawn from.

    Attributes:
        a: Exponent of the boundary between immune and susceptible runs; None: all runs are susceptible.
        b: Exponent of T* in η.
        q: Exponent of T* in k.
        steepness: Of the boundary: log-odds per unit of log η.
        eta_at_8: The boundary at k = 8; each sweep moves it by up to half of a factor of 2, off the grid's own places.
        step_at_8: Median T* at η = 1e-3 and k = 8, in learner steps.
        sigma: Scatter of log T*.
        lost: Share of runs whose job dies at a random step.
        between_seeds: Scatter of log T*, and of the boundary's log η, that all runs of a seed share.
    """

    a: float | None
    b: float
    q: float
    steepness: float = 6.0
    eta_at_8: float = 7e-4
    step_at_8: float = 60.0
    sigma: float = 0.4
    lost: float = 0.05
    between_seeds: float = 0.0

    def sweep(self, grid: Grid, seed: int) -> tuple[pd.DataFrame, float]:
        """Draw one sweep.

        Returns:
            Its runs, and the boundary's η at k = 8.
        """
        draw = np.random.default_rng(seed)
        edge = self.eta_at_8 * 2 ** draw.uniform(-0.5, 0.5)
        k, eta, number = (axis.ravel() for axis in np.meshgrid(grid.k, grid.eta, range(grid.seeds), indexing="ij"))
        step = self.step_at_8 * (eta / 1e-3) ** -self.b * (k / 8) ** -self.q
        step = step * np.exp(self.sigma * draw.standard_normal(len(k)))
        later, further = np.zeros((2, grid.seeds))
        if self.between_seeds:
            later, further = self.between_seeds * draw.standard_normal((2, grid.seeds))
        step = step * np.exp(later[number])
        if self.a is not None:
            log_odds = self.steepness * (np.log(eta / edge) - further[number] + self.a * np.log(k / 8))
            step[draw.random(len(k)) > 1 / (1 + np.exp(-log_odds))] = np.inf
        seen = EVAL_EVERY * np.ceil(step / EVAL_EVERY)
        lost = draw.random(len(k)) < self.lost
        end = np.where(lost, EVAL_EVERY * draw.integers(1, HORIZON // EVAL_EVERY, len(k)), HORIZON)
        collapsed = seen <= end
        state = np.where(collapsed, "collapsed", np.where(lost, "failed", "stable"))
        return frame(k, eta, number, state, np.where(collapsed, seen, np.nan), end), edge


def frame(
    k: np.ndarray, eta: np.ndarray, seed: np.ndarray, state: np.ndarray, step: np.ndarray, learner_steps: np.ndarray
) -> pd.DataFrame:
    """Runs with the export's columns."""
    runs = pd.DataFrame(
        {
            "run": np.arange(1, len(k) + 1),
            "model": "simulated",
            "k": k,
            "eta": eta,
            "seed": seed,
            "axes": "{}",
            "state": state,
            "horizon": HORIZON,
            "learner_steps": learner_steps,
            "collapse_step": step,
            "collapse_step_lo": step - EVAL_EVERY,
            "collapse_sync": np.nan,
            "collapse_detector": np.where(state == "collapsed", "half", None),
            "failure": np.where(state == "failed", "node failure", None),
            "failure_class": None,
        }
    )
    integers = ("learner_steps", "collapse_step", "collapse_step_lo", "collapse_sync")
    return runs.astype(dict.fromkeys(integers, "Int64"))
