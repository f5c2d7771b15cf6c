"""Fits of stored runs: what they read, definitions of collapse, and that each fit is stored once and listed."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from grpo_worker.schema.records import FinishRecord
from orchestrator.base.errors import UsageError
from orchestrator.cli.app import app
from orchestrator.data import frames, measured
from orchestrator.grid.sweep import Sweep
from orchestrator.laws.evidence import evidence
from orchestrator.report import fitting
from orchestrator.search.driver import end_early
from orchestrator.store import fits, queries, registration, schema
from orchestrator.store.database import Store
from orchestrator.store.session import create_engine_for, transaction
from tests.support.stores import begin, eval_record, sync_record, write

pytestmark = pytest.mark.services

Grid = Callable[..., Sweep]
RUNS = Path(__file__).parents[1] / "data" / "tiny-runs.csv"
HORIZON = 40


def train(store: Store, grid: Grid, name: str = "demo", **axes: Any) -> list[int]:
    """Store finished runs: at the larger η the validation reward halves at step 16, and at 24 only 0.15 is left.

    The training reward stays above 0, so that no run collapses under ``zero``.
    """
    runs = queries.unfinished_runs(
        store, registration.register(store, grid(name, eta=[1e-3, 4e-3], horizon=HORIZON, **axes))
    )
    etas = frames.runs(store, [name]).set_index("run")["eta"]
    for run_id in runs:
        falls = etas[run_id] > 2e-3
        claim = begin(store, run_id)
        k = claim.steps_per_sync
        evals = [
            eval_record(step, 0.5 if step < 16 or not falls else 0.2 if step < 24 else 0.15)
            for step in range(0, HORIZON + 1, 8)
        ]
        syncs = [
            sync_record(sync, k, reward=0.4, drift_from_start=0.1 * (sync + 1), entropy=math.nan)
            for sync in range(HORIZON // k)
        ]
        ended = FinishRecord("collapsed", HORIZON, "half", 16, 8, math.ceil(16 / k))
        write(store, claim, *evals, *syncs, ended if falls else FinishRecord("stable", HORIZON, "half"))
    return runs


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"STALESWEEP_DB": url, "COLUMNS": "200"})


def stored_fits(url: str) -> list[int]:
    with Store(url) as store:
        return frames.fits(store)["fit"].tolist()


# --- what is read


def test_measured_metrics_are_columns_of_the_frames(store: Store, grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "BATCH_ROWS", 3)
    unusual = queries.unfinished_runs(store, registration.register(store, grid("unusual", k=[2], seed=[0], horizon=8)))[
        0
    ]
    claim = begin(store, unusual)
    for sync, value in enumerate((math.nan, None, math.inf, 0.1)):
        write(store, claim, sync_record(sync, val_reward=value, ratio_max=5e-324))
    write(store, claim, FinishRecord("stable", 8, "half"))
    train(store, grid)
    running = queries.unfinished_runs(store, registration.register(store, grid("other")))[0]
    write(store, begin(store, running), sync_record(0))

    metrics = ("val_reward", "ratio_max", "entropy")
    everything = frames.syncs(store)
    for sweeps in (["unusual"], ["demo", "unusual", "other"]):
        ours = measured.syncs(store, sweeps, metrics)
        of_sweeps = frames.runs(store, sweeps)
        finished = of_sweeps.loc[of_sweeps["state"].isin(["collapsed", "stable"]), "run"]
        theirs = everything.loc[everything["run"].isin(finished), ["run", "learner_step", *metrics]]
        assert len(ours) == len(theirs)
        for name in ours:
            # missing and NaN stay apart only where it matters
            ours_and_theirs = [column.to_numpy(dtype=float, na_value=-1 if name == "val_reward" else math.nan)
                               for column in (ours[name], theirs[name])]  # fmt: skip
            np.testing.assert_array_equal(*ours_and_theirs)
    assert measured.syncs(store, ["demo"], metrics, until=6)["learner_step"].max() == 6
    assert measured.syncs(store, ["demo"], metrics, model="none").empty
    evals = measured.evals(store, ["demo"])
    pd.testing.assert_frame_equal(evals, frames.evals(store, ["demo"])[list(evals.columns)], check_dtype=False)


def test_the_detector_is_set_as_the_runs_were_trained(store: Store, grid: Grid, tmp_path: Path) -> None:
    registration.register(store, grid("usual"))
    registration.register(store, grid("strict", **{"collapse.fraction": [0.2], "collapse.min_evals": [5]}))
    assert fits.detector_settings(store, ["usual"]) == [{"fraction": 0.5, "min_evals": 3}]
    assert fits.detector_settings(store, ["strict"]) == [{"fraction": 0.2, "min_evals": 5}]
    assert len(fits.detector_settings(store, ["usual", "strict"])) == 2
    assert fits.detector_settings(store, []) == []


# --- under another definition of collapse


def test_another_definition_is_applied_when_fitting_and_never_stored(store: Store, grid: Grid) -> None:
    train(store, grid)
    before = frames.runs(store).to_dict("list")

    def collapsed(**definition: Any) -> tuple[int, list[tuple[str, int]]]:
        fitted = fitting.fit(store, ["demo"], definition=fitting.Definition(**definition))
        (model,) = fitted.laws.models.values()
        assert model.detectors is not None
        fits = [(one.detector, one.n_collapsed) for one in model.detectors.fits]
        return sum(cell.n_collapsed for cell in model.cells), fits

    assert collapsed() == (4, [("stored", 4), ("half", 4), ("zero", 0)])
    assert collapsed(detector="zero") == (0, [("stored", 4), ("half", 4), ("zero", 0)])
    assert collapsed(detector="half", fraction=0.2) == (0, [("stored", 4), ("half", 0), ("zero", 0)])
    assert collapsed(detector="half", min_evals=5)[0] == 0
    assert repr(frames.runs(store).to_dict("list")) == repr(before)


def test_what_hangs_on_the_definition_is_said(store: Store, grid: Grid) -> None:
    train(store, grid)
    (model,) = fitting.fit(store, ["demo"]).laws.models.values()
    assert any("4 of 8 finished runs end between 20 % and 70 %" in warning for warning in model.warnings)
    assert model.regime is not None and model.regime.collapsed.runs == 2  # at k = 8 only two cycles end before T*
    assert model.regime.stable.estimate == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"detector": "third"}, "--detector: expected one of stored, half, zero, found 'third'"),
        ({"detector": "zero", "fraction": 0.5}, "--fraction needs --detector half"),
        ({"min_evals": 3}, "--min-evals needs --detector half or --detector zero"),
        ({"detector": "half", "fraction": 1.5}, r"--fraction: .*\(found 1.5\)"),
        ({"detector": "zero", "min_evals": 0}, r"--min-evals: .*\(found 0\)"),
    ],
)
def test_a_definition_that_cannot_be(store: Store, definition: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fitting.fit(store, [], definition=fitting.Definition(**definition))


# --- kept once


def test_a_fit_is_kept_once_for_what_was_fitted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(digest: str | None = "d", **changed: Any) -> int:
        result = {"models": {}} | ({"inputs": {"digest": digest, "code": {}}} if digest else {})
        return fits.save(store, **{"sweeps": ["a"], "run_ids": [1, 2], "detector": "half", "result": result, **changed})

    first = save()
    assert save() == first
    others = [save("other"), save(sweeps=["b"]), save(run_ids=[1]), save(detector="zero")]
    others += [save(result={"inputs": {"digest": "d", "code": {"commit": "x"}}}), save(None), save(None)]
    monkeypatch.setattr("orchestrator.store.fits.code_version", lambda: "9.9")
    others.append(save())
    assert len({first, *others}) == 1 + len(others)
    assert save() == others[-1]


def test_of_two_who_save_the_same_fit_at_once_one_is_kept(url: str) -> None:
    schema.upgrade(url)
    fit: Any = {"sweeps": ["a"], "run_ids": [1], "detector": "half", "result": {"inputs": {"digest": "d"}}}
    with Store(url) as store, Store(url) as other, ThreadPoolExecutor(1) as pool:
        with store.write() as connection:
            first = fits.save(connection, **fit)
            second = pool.submit(fits.save, other, **fit)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.5)
        assert second.result() == first
    assert stored_fits(url) == [first]


def test_fitting_again_stores_nothing_before_there_are_more_runs(url: str, store: Store, grid: Grid) -> None:
    registration.register(store, grid())
    assert run(url, "fit-laws").exit_code == 0
    assert stored_fits(url) == []  # nothing has finished
    train(store, grid, "trained")
    for _ in range(2):
        first = run(url, "fit-laws", "--format", "json")
        assert first.exit_code == 0, first.output
        assert stored_fits(url) == [1]
    assert json.loads(first.stdout)["inputs"]["detector"] == "stored"
    assert run(url, "fit-laws", "--detector", "zero").exit_code == 0
    assert len(stored_fits(url)) == 2
    train(store, grid, "more", seed=[2])
    assert run(url, "fit-laws").exit_code == 0
    assert run(url, "fit-laws").exit_code == 0
    assert len(stored_fits(url)) == 3

    with Store(url) as store:
        listed = frames.fits(store)
    results = [json.loads(result) for result in listed["result"]]
    cells = [result["models"]["tiny"]["cells"] for result in results]
    ends = [(sum(cell["n_collapsed"] for cell in of), sum(cell["n_runs"] for cell in of)) for of in cells]
    assert list(zip(listed["detector"], ends, strict=True)) == [("half", (4, 8)), ("zero", (0, 8)), ("half", (6, 12))]
    assert [json.loads(sweeps) for sweeps in listed["sweeps"]] == 2 * [["demo", "trained"]] + [
        ["demo", "trained", "more"]
    ]
    inputs = [result["inputs"] for result in results]
    assert all(one["code"]["version"] and len(one["digest"]) == 64 for one in inputs)
    refused = run(url, "fit-laws", "--history")
    assert (refused.exit_code, "`stalesweep export` writes the stored fits" in refused.stderr) == (2, True)


def test_imported_ends_are_fitted_under_one_definition(url: str) -> None:
    schema.upgrade(url)
    assert run(url, "import", str(RUNS), "--sweep", "ours").exit_code == 0
    fitted = run(url, "fit-laws", "--detector", "zero", "--format", "json")
    model = json.loads(fitted.stdout)["models"]["tiny"]
    assert {fit["n_collapsed"] for fit in model["detectors"]["fits"]} == {38}
    assert model["detectors"]["fragile"] == []
    assert model["regime"]["drift_exponent"] == {"collapsed": None, "stable": None}
    assert any("No rewards are stored" in warning for warning in model["warnings"])
    with Store(url) as store:
        assert frames.fits(store)["detector"].tolist() == ["imported"]


@contextmanager
def unwritable(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another process keeps the file's write lock; a server takes no writes."""
    engine = create_engine_for(url)
    if engine.dialect.name == "sqlite":
        monkeypatch.setattr("orchestrator.store.sqlite_files.BUSY_TIMEOUT_S", 0.2)
        with closing(sqlite3.connect(str(engine.url.database), isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
        return
    name = engine.url.database
    with transaction(engine, write=True) as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    engine.dispose()
    yield
    with transaction(engine, write=True) as connection:
        connection.execute(text("SET transaction_read_only = off"))
        connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
    engine.dispose()


def test_a_fit_that_cannot_be_stored_is_printed(url: str, grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    schema.upgrade(url)
    with Store(url) as store:
        train(store, grid)
    with unwritable(url, monkeypatch):
        fitted = run(url, "fit-laws", "--format", "json")
    assert fitted.exit_code == 0, fitted.output
    assert json.loads(fitted.stdout)["runs"] == 8
    assert "note: this fit was not stored, so export will not write it: " in fitted.stderr
    assert stored_fits(url) == []
    assert run(url, "fit-laws").exit_code == 0
    assert len(stored_fits(url)) == 1


def test_a_stopped_run_is_censored_where_each_definition_saw_it_alive(store: Store, grid: Grid) -> None:
    train(store, grid)
    sweep_id = registration.register(store, grid("more", eta=[4e-3], seed=[9]))
    [stopped, *_] = queries.unfinished_runs(store, sweep_id)
    before = fitting.fit(store, ["demo", "more"]).laws.inputs
    claim = begin(store, stopped)
    write(store, claim, *(eval_record(step, 0.5 if step < 16 else 0.2) for step in range(0, 25, 8)))
    assert end_early(store, sweep_id, [stopped]) == [stopped]
    alive = {}
    for definition in (fitting.Definition(), fitting.Definition("half", fraction=0.3)):
        fitted = fitting.fit(store, ["demo", "more"], definition=definition)
        rows = evidence(fitted.runs).set_index("run")
        assert (rows.loc[stopped, "state"], rows.loc[stopped, "collapsed"]) == ("cancelled", False)
        alive[definition.fraction] = rows.loc[stopped, "lo"]
        assert stopped in [one.run for one in fitted.laws.left_out]
        assert before is not None
        assert fitted.laws.inputs is not None
        assert fitted.laws.inputs["digest"] != before["digest"], "the fit includes it"
    assert alive == {None: 8, 0.3: 24}
