"""Collapse under another definition: the worker's detectors, applied again to stored metrics."""

from __future__ import annotations

from typing import Any

import pandas as pd

from grpo_worker.collapse import Verdict, half, zero
from grpo_worker.config import CollapseConfig

FINISHED = ("collapsed", "degraded", "stable")
"""States that say how training went; every other state says how the job went."""


def redetect(detector: CollapseConfig, runs: pd.DataFrame, evals: pd.DataFrame, syncs: pd.DataFrame) -> pd.DataFrame:
    """Decide state and collapse columns of the finished runs anew.

    Args:
        detector: ``half`` reads the validation rewards of ``evals``; ``zero`` reads the training rewards of
            ``syncs``, so that it resolves T* to one rollout cycle.
        runs: The export's ``runs``.
        evals: The export's ``evals``.
        syncs: The export's ``syncs``.

    Returns:
        A copy of ``runs``. A run without such metrics (imported with its collapse step) stays as it is.
    """
    metrics, column = (evals, "val_reward") if detector.detector == "half" else (syncs, "reward")
    series = {run: rows.sort_values("learner_step") for run, rows in _measured(metrics, column).groupby("run")}
    synced_at = {run: rows["learner_step"] for run, rows in syncs.groupby("run")}
    detect = half if detector.detector == "half" else zero
    found = runs.copy()
    finished = runs[runs["state"].isin(FINISHED) & runs["run"].isin(list(series))]
    for index, run in finished["run"].items():
        steps = [int(step) for step in series[run]["learner_step"]]
        rewards = series[run][column].to_numpy(dtype=float, na_value=float("nan")).tolist()
        decided = _columns(detect(steps, rewards, detector), synced_at.get(run), detector.detector)
        found.loc[index, list(decided)] = list(decided.values())
    return found


def _measured(metrics: pd.DataFrame, column: str) -> pd.DataFrame:
    # Imported runs may lack a reward here and there. NaN, in contrast, was measured, and counts as below.
    is_nullable = isinstance(metrics[column].dtype, pd.ArrowDtype)
    return metrics[metrics[column].notna()] if is_nullable else metrics


def _columns(verdict: Verdict, synced_at: pd.Series | None, detector: str) -> dict[str, Any]:
    collapse = verdict.collapse
    # The first weight sync at or after T*, counted from 0: as many lie before it.
    sync = int((synced_at < collapse.hi).sum()) if collapse and synced_at is not None else pd.NA
    return {
        "state": verdict.state,
        "collapse_step": collapse.hi if collapse else pd.NA,
        "collapse_step_lo": collapse.lo if collapse else pd.NA,
        "collapse_sync": sync,
        "collapse_detector": detector,
    }
