"""A few metrics of some runs, read from both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from orchestrator.data import measured
from orchestrator.grid.sweep import Sweep
from orchestrator.store import queries, registration
from orchestrator.store.database import Store
from tests.support.stores import begin, eval_record, sync_record, write

pytestmark = pytest.mark.services

Grid = Callable[..., Sweep]


def rows(frame: pd.DataFrame) -> list[list[Any]]:
    return [[repr(value) for value in row] for row in frame.itertuples(index=False)]


def test_metrics_of_some_runs(store: Store, grid: Grid) -> None:
    first, second, third, *_ = queries.unfinished_runs(store, registration.register(store, grid()))
    for run, syncs in ((first, 7), (second, 3), (third, 2)):
        claim = begin(store, run)
        records = [sync_record(sync, k=4, reward=float(sync), ratio_max=float("nan")) for sync in range(syncs)]
        write(store, claim, *records, eval_record(0, 0.5), eval_record(8, float("nan")))
    evals = measured.evals_of(store, [second])
    assert rows(evals) == [[str(second), "0", "0.5"], [str(second), "8", "nan"]]
    assert list(measured.evals_of(store, []).columns) == ["run", "learner_step", "val_reward"]


def test_every_nth_sync_of_long_runs(store: Store, grid: Grid) -> None:
    first, second, third, *_ = queries.unfinished_runs(store, registration.register(store, grid()))
    for run, syncs in ((first, 7), (second, 3), (third, 2)):
        write(store, begin(store, run), *(sync_record(sync, k=4, reward=float(sync)) for sync in range(syncs)))
    read = measured.thinned_syncs(store, [second, first], ["reward"], 3)
    # Of seven syncs every third, of three all; each has the step at which the next one began.
    assert rows(read) == [
        [str(first), "0", "0.0", "4.0"], [str(first), "12", "3.0", "16.0"], [str(first), "24", "6.0", "nan"],
        [str(second), "0", "0.0", "4.0"], [str(second), "4", "1.0", "8.0"], [str(second), "8", "2.0", "nan"],
    ]  # fmt: skip
    assert measured.thinned_syncs(store, [], ["reward"], 3).empty
