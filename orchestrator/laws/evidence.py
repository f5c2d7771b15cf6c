"""Runs → evidence: which runs count, what is known of T* from each, and the cells."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.base.states import GOING, RESULTS, WITHOUT_RESULT, FailureClass, RunState
from orchestrator.grid.sweep import group_name
from orchestrator.laws.collapse import of_class
from orchestrator.laws.estimates import Array
from orchestrator.laws.result import CollapseStep, LeftOut, MeasuredCell

_Record = dict[Any, Any]
"""One row of the evidence."""


def evidence(runs: pd.DataFrame) -> pd.DataFrame:
    """State for every run what is known about T*, in an order that does not depend on that of the rows.

    If ``runs`` is what `orchestrator.laws.collapse.redetect` returns, not the export's, runs are censored at their
    ``last_alive``. These columns are added:

    - ``collapsed``: bool.
    - ``lo``, ``hi``: T* lies in (lo, hi], in learner steps; hi is infinite if the run did not collapse. For a run
      that a search stopped early, lo is the step at which it was last seen alive: it may have been collapsing.
    - ``why``: why no cell counts the run, else empty.
    - ``bounds``: bool, whether the run bounds T*. So do runs whose job failed and runs that still run.
    - ``group``: the further axes, as canonical JSON.
    """
    rows = runs.copy()
    k, horizon = _numbers(rows, "k"), _numbers(rows, "horizon")
    step, step_lo, steps = (_numbers(rows, name) for name in ("collapse_step", "collapse_step_lo", "learner_steps"))
    rows["k"], rows["eta"] = k.astype(int), _numbers(rows, "eta")
    rows["collapsed"] = (rows["state"] == RunState.COLLAPSED).to_numpy(dtype=bool)
    survived = np.where(np.isnan(steps), horizon, steps)
    survived = np.where(np.isnan(step) & ~np.isnan(step_lo), step_lo, survived)  # it was stopped early
    if "last_alive" in rows:
        seen_alive = _numbers(rows, "last_alive")
        survived = np.where(np.isnan(seen_alive), survived, seen_alive)
    # if no last step seen alive is stored, the run is taken to have been alive one rollout cycle before
    alive = np.maximum(np.where(np.isnan(step_lo), step - k, step_lo), 0.0)
    rows["lo"] = np.where(rows["collapsed"], alive, survived)
    rows["hi"] = np.where(rows["collapsed"], step, np.inf)
    rows["why"] = [_why_left_out(row) for row in rows.to_dict("records")]
    rows["bounds"] = (rows["why"] == "") | _outlived(rows, survived)
    rows["group"] = [json.dumps(json.loads(axes or "{}"), sort_keys=True) for axes in rows["axes"].fillna("")]
    return rows.sort_values(["model", "group", "k", "eta", "hi", "lo", "run"], ignore_index=True)


def groups(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Split evidence by model, and by the further axes if a model has several settings of them."""
    for model, of_model in rows.groupby("model", sort=True):
        several = of_model["group"].nunique() > 1
        for group, members in of_model.groupby("group", sort=True):
            yield group_name(str(model), str(group)) if several else str(model), members


def left_out(rows: pd.DataFrame) -> tuple[LeftOut, ...]:
    """The runs that no fit uses, by number."""
    excluded = rows[rows["why"] != ""].sort_values("run")
    return tuple(LeftOut(int(run), str(why)) for run, why in zip(excluded["run"], excluded["why"], strict=True))


def cells(rows: pd.DataFrame) -> tuple[MeasuredCell, ...]:
    """The cells of one group, by rising k, then η."""
    # records, because a data frame per cell would take milliseconds each
    records = rows.sort_values(["k", "eta"], kind="stable").to_dict("records")
    return tuple(_cell(list(members)) for _, members in groupby(records, key=itemgetter("k", "eta")))


def _cell(members: Sequence[_Record]) -> MeasuredCell:
    k, eta = int(members[0]["k"]), float(members[0]["eta"])
    finished = [run for run in members if not run["why"]]
    collapsed = [run for run in finished if run["collapsed"]]
    lo, hi = (_median([run[end] for run in collapsed]) for end in ("lo", "hi"))
    syncs = [math.ceil(run["hi"] / k) if pd.isna(run["collapse_sync"]) else run["collapse_sync"] for run in collapsed]
    return MeasuredCell(
        k=k,
        eta=eta,
        axes=json.loads(members[0]["group"]),
        n_runs=len(finished),
        n_collapsed=len(collapsed),
        n_degraded=sum(run["state"] == RunState.DEGRADED for run in finished),
        n_left_out=len(members) - len(finished),
        horizon=max((int(run["horizon"]) for run in finished), default=None),
        collapse_step=None if lo is None or hi is None else CollapseStep(lo, hi, hi),
        collapse_sync=_median(syncs),
        eta_k=eta * k,
        eta_T=None if hi is None else eta * hi,
        p_collapse=len(collapsed) / len(finished) if finished else None,
    )


_STOPPED: dict[Any, str] = {
    FailureClass.DECIDED: "stopped early by a search: nothing was left to decide",
    FailureClass.PREDICTED_COLLAPSE: "stopped early by a search: a collapse was predicted",
}


def _why_left_out(row: _Record) -> str:
    state = str(row["state"])
    if state == RunState.COLLAPSED and not row["hi"] > row["lo"]:
        return f"collapsed, but its collapse interval ({row['lo']:g}, {row['hi']:g}] is empty or missing"
    if state in RESULTS:
        return ""
    if reason := _STOPPED.get(row["failure_class"]):
        return reason
    failure = row["failure"]
    return f"{state}: {failure}" if isinstance(failure, str) and failure else state


def _outlived(rows: pd.DataFrame, survived: Array) -> pd.Series:
    """Which runs have no result, but trained for some learner steps that T* is known to be past."""
    unrelated = rows["state"].isin([*WITHOUT_RESULT, *GOING]) & ~of_class(rows, [FailureClass.DIVERGED])
    return unrelated & rows["learner_steps"].notna() & (survived > 0)


def _numbers(rows: pd.DataFrame, column: str) -> Array:
    return pd.to_numeric(rows[column]).to_numpy(dtype=float, na_value=np.nan)


def _median(numbers: Sequence[float]) -> float | None:
    """An int if it is whole; None of nothing."""
    middle = float(median(numbers)) if numbers else None
    return int(middle) if middle is not None and middle.is_integer() else middle
