"""A table of weight syncs to import: runs with rewards, drifts and cosines, as if they had been trained."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

COLUMNS = ("model", "k", "eta", "seed", "horizon", "sync", "reward", "val_reward", "drift_from_start",
           "cosine_gradient_within", "cosine_update_within")  # fmt: skip


def write_syncs(
    path: Path, model: str, *, ks: Sequence[int] = (4, 8), etas: Sequence[float] = (2.5e-4, 1e-3), horizon: int = 160
) -> Path:
    """Write 2 seeds of each cell; those above η·k = 3e-3 collapse half-way."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for k in ks:
            for eta in etas:
                for seed in (0, 1):
                    _write_run(writer, (model, k, eta, seed, horizon), collapses=eta * k > 3e-3)
    return path


def _write_run(writer: object, run: tuple[str, int, float, int, int], *, collapses: bool) -> None:
    _, k, eta, seed, horizon = run
    for sync in range(horizon // k):
        step = sync * k
        alive = not collapses or step < horizon / 2
        reward = (0.5 + 0.05 * math.sin(sync + seed)) if alive else 0.0
        drift = eta * (step + k) ** (1.0 if collapses else 0.5)
        cosine = 0.9 if collapses else 0.1 + 0.01 * sync
        writer.writerow([*run, sync, reward, reward, drift, cosine, 0.9])  # type: ignore[attr-defined]
