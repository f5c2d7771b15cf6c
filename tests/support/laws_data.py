"""Frames with the export's columns for tests of the laws: written-out tables and simulated sweeps."""

from __future__ import annotations

import numpy as np
import pandas as pd

COLUMNS = (
    "run", "sweep", "model", "k", "eta", "seed", "axes", "state", "horizon", "learner_steps", "collapse_step",
    "collapse_step_lo", "collapse_sync", "collapse_detector", "failure", "failure_class", "gpu_s", "wall_s",
    "code_version", "config_digest",
)  # fmt: skip
INTEGERS = (
    "run",
    "k",
    "seed",
    "horizon",
    "learner_steps",
    "collapse_step",
    "collapse_step_lo",
    "collapse_sync",
)
TEXTS = (
    "sweep", "model", "axes", "state", "collapse_detector", "failure", "failure_class", "code_version",
    "config_digest",
)  # fmt: skip

TINY_T50 = {
    2: {2e-3: [16, 16, 16, 40, 24], 1e-3: [96, 128, None, None, 176], 5e-4: [None] * 5, 2.5e-4: [None] * 5,
        1.25e-4: [None] * 3},
    8: {2e-3: [24, 24, 40, 32, 16], 1e-3: [40, 56, 32, 112, 56], 5e-4: [240, 232, 376, None, 128],
        2.5e-4: [None] * 5, 1.25e-4: [None] * 3},
    32: {2e-3: [24, 16, 32, 32, 24], 1e-3: [56, 40, 120, 136, 56], 5e-4: [112, 136, 464, 336, 400],
         2.5e-4: [352, None, None, None, None], 1.25e-4: [None] * 3},
}  # fmt: skip
"""A real sweep of the tiny policy, k → η → T* per seed: the ``half`` detector, evaluated every 8 steps."""


def run(k: int, eta: float, seed: int = 0, step: int | None = None, **fields: object) -> dict[str, object]:
    """One row of ``runs``: collapsed at ``step``, or stable without one. ``fields`` override its columns."""
    row: dict[str, object] = dict.fromkeys(COLUMNS)
    row |= {
        "sweep": "test", "model": "tiny", "k": k, "eta": eta, "seed": seed, "axes": "{}", "horizon": 480,
        "state": "collapsed" if step else "stable", "collapse_step": step, "collapse_detector": "half",
    }  # fmt: skip
    row |= fields
    row["learner_steps"] = fields.get("learner_steps", row["horizon"])
    return row


def frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows with the dtypes of the export; runs are numbered in order."""
    numbered = [{**row, "run": number} for number, row in enumerate(rows, start=1)]
    runs = pd.DataFrame(numbered, columns=list(COLUMNS))
    return runs.astype(dict.fromkeys(INTEGERS, "Int64") | dict.fromkeys(TEXTS, "string") | {"eta": "float64"})


def tiny_sweep() -> pd.DataFrame:
    """`TINY_T50` as runs."""
    rows = [
        run(k, eta, seed, step, collapse_step_lo=step and step - 8)
        for k, by_eta in TINY_T50.items()
        for eta, steps in by_eta.items()
        for seed, step in enumerate(steps)
    ]
    return frame(rows)


def paper_shape() -> pd.DataFrame:
    """The shape of the paper's table (rebuilt, not its numbers): c c s s / c c c s / c c c c."""
    step = {1e-5: 32, 5e-6: 64, 2e-6: 160, 1e-6: 320}
    collapsing = {8: 2, 16: 3, 32: 4}
    rows = [
        run(k, eta, step=step[eta] if place < collapsing[k] else None, horizon=640, collapse_detector="zero")
        for k in collapsing
        for place, eta in enumerate(step)
    ]
    return frame(rows)


def simulated(b: float, q: float, sigma: float, seed: int, *, horizon: int = 480) -> pd.DataFrame:
    """T* = C·η^−b·k^−q·exp(σε), seen every 8 steps up to the horizon; 4 × 6 cells, 6 replicates."""
    generator = np.random.default_rng(seed)
    rows = []
    for k in (2, 4, 8, 32):
        for eta in np.geomspace(1e-4, 3.2e-3, 6):
            for replicate in range(6):
                true = 40 * (eta / 1e-3) ** -b * (k / 8) ** -q * np.exp(sigma * generator.standard_normal())
                seen = 8 * int(np.ceil(true / 8))
                collapsed = seen <= horizon
                lo = seen - 8 if collapsed else None
                step = seen if collapsed else None
                rows.append(run(k, float(eta), replicate, step, collapse_step_lo=lo, horizon=horizon))
    return frame(rows)
