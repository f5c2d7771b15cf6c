"""Collapse under another definition: the worker's detector, applied again to the stored metrics of many runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grpo_worker.schema.collapse import Verdict, detect
from grpo_worker.schema.config import CollapseConfig
from orchestrator.base.states import EARLY_STOPS, RESULTS

BETWEEN = (0.2, 0.7)
"""If a run ends between these fractions of its initial validation reward, it is not clear whether it collapsed."""

DETECTORS: tuple[str, ...] = get_args(CollapseConfig.model_fields["detector"].annotation)
"""Every detector of the worker."""

Observations = dict[int, tuple[list[int], list[float]]]
"""Learner steps, rising, and values, by run."""


def redetect(detector: CollapseConfig, runs: pd.DataFrame, evals: pd.DataFrame, syncs: pd.DataFrame) -> pd.DataFrame:
    """Apply `grpo_worker.schema.collapse.detect` to all finished runs and replace their state and collapse columns.

    T* lies between two observations: under ``half`` two validations, whose grid of learner steps does not depend on k;
    under ``zero`` two weight syncs, so that T* is known to one rollout cycle. ``half`` reads the ``val_reward`` of
    ``evals``, ``zero`` the ``reward`` of ``syncs``, by ``run`` and ``learner_step``.

    Returns:
        A copy of the export's ``runs`` with two more columns. ``decided`` is False if a run stays as it is, because it
        did not finish or has no such metrics (it was imported with its collapse step). ``last_alive`` is the learner
        step at which a run that was stopped or did not collapse was last seen above the threshold, and is censored.
    """
    seen = _observations(*((evals, "val_reward") if detector.detector == "half" else (syncs, "reward")))
    known = runs["run"].isin(list(seen)).to_numpy(dtype=bool)
    finished = runs["state"].isin(RESULTS).to_numpy(dtype=bool) & known
    stopped = of_class(runs, EARLY_STOPS) & known
    verdicts = {int(run): detect(*seen[int(run)], detector) for run in runs.loc[finished | stopped, "run"]}
    alive = {run: seen[run][0][-1] if one.last_alive is None else one.last_alive for run, one in verdicts.items()}
    found = runs.copy()
    found["last_alive"] = pd.array([pd.NA] * len(runs), dtype="Int64")
    found["decided"] = finished
    decided = {run: verdicts[run] for run in map(int, runs.loc[finished, "run"])}
    for name, values in _columns(decided, alive, syncs).items():
        found.loc[finished, name] = values
    found.loc[finished, "collapse_detector"] = detector.detector
    found.loc[stopped, "last_alive"] = [alive[int(run)] for run in runs.loc[stopped, "run"]]
    return found


def of_class(runs: pd.DataFrame, classes: Iterable[str]) -> NDArray[np.bool_]:
    """Whether each row of the export's ``runs`` has one of these failure classes, shape (runs,)."""
    return runs["failure_class"].isin(list(classes)).to_numpy(dtype=bool)


def ends_between(evals: pd.DataFrame) -> list[int]:
    """The runs whose last validation reward lies `BETWEEN` fractions of the first."""
    low, high = BETWEEN
    ends = _ends(evals)
    return [run for run, first, last in ends if first > 0 and low * first <= last < high * first]


def never_alive(evals: pd.DataFrame) -> list[int]:
    """The runs whose first validation reward is not above 0, so that ``half`` cannot decide whether they collapse."""
    return [run for run, first, _ in _ends(evals) if not first > 0]


def _ends(evals: pd.DataFrame) -> Iterator[tuple[int, float, float]]:
    """Each run with its first and last validation reward."""
    for run, (_, rewards) in _observations(evals, "val_reward").items():
        yield run, rewards[0], rewards[-1]


def _observations(metrics: pd.DataFrame, column: str) -> Observations:
    # Imported runs may lack a reward here and there. NaN, in contrast, was measured, and counts as below.
    if isinstance(metrics[column].dtype, pd.ArrowDtype):
        metrics = metrics[metrics[column].notna()]
    run, step = (metrics[name].to_numpy(dtype=np.int64) for name in ("run", "learner_step"))
    values = metrics[column].to_numpy(dtype=float, na_value=np.nan)
    rows = pd.DataFrame({"run": run, "step": step, "value": values}).sort_values(["run", "step"])
    return {run: (steps, values) for run, steps, values in rows.groupby("run").agg(list).itertuples()}


def _columns(verdicts: dict[int, Verdict], alive: dict[int, int], syncs: pd.DataFrame) -> dict[str, Any]:
    """The columns of decided runs, in their order."""
    collapses = {run: one.collapse for run, one in verdicts.items() if one.collapse}
    first_after = _syncs_before({run: one.hi for run, one in collapses.items()}, syncs)

    def integers(values: dict[int, int]) -> pd.arrays.IntegerArray:
        return pd.array([values.get(run) for run in verdicts], dtype="Int64")

    return {
        "state": [one.state for one in verdicts.values()],
        "collapse_step": integers({run: one.hi for run, one in collapses.items()}),
        "collapse_step_lo": integers({run: one.lo for run, one in collapses.items()}),
        "collapse_sync": integers({run: count for run, count in first_after.items() if count}),
        "last_alive": integers({run: step for run, step in alive.items() if run not in collapses}),
    }


def _syncs_before(steps: dict[int, int], syncs: pd.DataFrame) -> dict[int, int]:
    """Number of the first weight sync at or after a learner step of each run, by counting those before it."""
    before = syncs["learner_step"].to_numpy() < syncs["run"].map(steps).to_numpy(dtype=float, na_value=-1.0)
    runs, counts = np.unique(syncs["run"].to_numpy(dtype=np.int64)[before], return_counts=True)
    return dict(zip(runs.tolist(), counts.tolist(), strict=True))
