"""Frames and export: the contract's columns, the same from both databases, exact to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from grpo_worker.schema.records import FinishRecord, StartRecord
from orchestrator.base.errors import SelectionError, UsageError
from orchestrator.data import frames
from orchestrator.data.frames import export
from orchestrator.grid.sweep import Sweep
from orchestrator.store import attempts, fits, queries, registration, schema
from orchestrator.store.database import Store
from tests.support.stores import begin, eval_record, sync_record, write

pytestmark = pytest.mark.services

Grid = Callable[..., Sweep]

COLUMNS = {
    "sweeps": "sweep digest created_at runs grid_text",
    "runs": "run sweep model k eta seed axes state horizon learner_steps collapse_step collapse_step_lo "
    "collapse_sync collapse_detector failure gpu_s wall_s code_version config_digest failure_class",
    "attempts": "run attempt executor job_id task_id restart_count host started_at ended_at outcome resumed_from_sync "
    "failure_class node",
    "syncs": "run sync attempt learner_step reward reward_std val_reward lag_min lag_mean lag_p99 lag_max "
    "cosine_update_within cosine_update_across cosine_gradient_within cosine_gradient_across gradient_norm "
    "update_norm drift_from_start drift_in_cycle path_length ratio_mean ratio_max clip_fraction_low "
    "clip_fraction_high kl_behavior kl_reference ess_token ess_sequence entropy completion_tokens "
    "truncated_fraction zero_std_fraction engine_gap dropped_groups rollout_s learner_s sync_s idle_s "
    "rollout_tokens",
    "evals": "run attempt learner_step val_reward val_n",
    "fits": "fit created_at sweeps run_ids code_version detector result",
}
TIMES = {"created_at", "started_at", "ended_at", "gpu_s", "wall_s"}

VAL_REWARDS = (None, math.nan, math.inf, -math.inf, 5e-324, 1 / 3)


def fill(store: Store, grid: Grid) -> None:
    """Two sweeps with a run in each kind of state."""
    runs = queries.unfinished_runs(store, registration.register(store, grid(clip_eps=[0.2])))
    claim = begin(store, runs[0])
    write(store, claim, StartRecord(None, None, 1, "cpu", {}, 1, 0.1))
    for sync, val_reward in enumerate(VAL_REWARDS):
        write(store, claim, sync_record(sync, val_reward=val_reward, ratio_max=val_reward or 0.0))
        write(store, claim, eval_record(2 * sync, 0.5 if val_reward is None else val_reward))
    claim = begin(store, runs[0], sync=4, step=10, take_over=True)
    write(store, claim, sync_record(5))
    write(store, claim, FinishRecord("collapsed", 40, "half", 16, 8, 8))
    attempts.abort(store, begin(store, runs[1]), 'OSError: no space, "really"\nleft')
    begin(store, runs[2])
    registration.register(store, grid("other"))
    fits.save(store, sweeps=["demo"], run_ids=runs, detector="half", result={"exponent": None})
    fits.save(store, sweeps=["other"], run_ids=[], detector="zero", result={})


LOADERS = (frames.sweeps, frames.runs, frames.attempts, frames.syncs, frames.evals, frames.fits)


def values(frame: pd.DataFrame) -> list[list[str]]:
    return [[repr(cell) for cell in column] for _, column in frame.items()]


def test_columns_are_the_contracts(store: Store, grid: Grid) -> None:
    for fill_first in (False, True):
        if fill_first:
            fill(store, grid)
        for load in LOADERS:
            frame = load(store)
            assert list(frame.columns) == COLUMNS[load.args[0]].split()
            assert frame.empty != fill_first
            types = {name: str(frame[name].dtype) for name in frame.columns}
            expected = {
                "k": "int64", "eta": "float64", "collapse_step": "Int64", "resumed_from_sync": "Int64",
                "reward": "double[pyarrow]", "val_reward": "double[pyarrow]" if load is frames.syncs else "float64",
                "started_at": "datetime64[us, UTC]", "wall_s": "float64", "gpu_s": "float64", "runs": "int64",
            }  # fmt: skip
            assert {name: types[name] for name in expected if name in types} == {
                name: kind for name, kind in expected.items() if name in types
            }


def test_both_databases_hold_the_same(new_database: Callable[[str], str], grid: Grid) -> None:
    found = []
    for kind in ("sqlite", "postgresql"):
        url = new_database(kind)
        schema.upgrade(url)
        with Store(url) as store:
            fill(store, grid)
            loaded = [load(store) for load in LOADERS]
        found.append([(list(map(str, f.dtypes)), values(f.drop(columns=TIMES & set(f.columns)))) for f in loaded])
    assert found[0] == found[1]


def test_nan_and_missing_stay_apart(store: Store, grid: Grid) -> None:
    fill(store, grid)
    val_reward = frames.syncs(store)["val_reward"].drop(index=5)
    assert [repr(v) for v in val_reward] == ["<NA>", "nan", "inf", "-inf", "5e-324"]
    assert val_reward.isna().tolist() == [True, False, False, False, False]
    as_floats = val_reward.to_numpy(dtype=float, na_value=-1.0)
    assert [repr(float(v)) for v in as_floats] == ["-1.0", "nan", "inf", "-inf", "5e-324"]


def test_runs_say_how_they_ended_and_what_they_cost(store: Store, grid: Grid) -> None:
    fill(store, grid)
    runs = frames.runs(store)
    collapsed, failed, running, waiting = (runs.iloc[i] for i in range(4))
    assert (collapsed.state, collapsed.collapse_step, collapsed.collapse_step_lo) == ("collapsed", 16, 8)
    assert (failed.state, failed.failure) == ("failed", 'OSError: no space, "really"\nleft')
    assert failed.collapse_step is pd.NA
    assert (running.state, waiting.state) == ("running", "pending")
    assert collapsed["axes"] == '{"clip_eps": 0.2}'
    attempts = frames.attempts(store, ["demo"])
    spent = (attempts.ended_at - attempts.started_at)[attempts.run == collapsed.run].dt.total_seconds().sum()
    assert collapsed.wall_s == pytest.approx(spent, abs=0.01)
    assert 0 < collapsed.wall_s < 60
    assert (collapsed.gpu_s, waiting.wall_s) == (0, 0)


def test_gpu_seconds(store: Store, grid: Grid, tmp_path: Path) -> None:
    from orchestrator.grid.sweep import load_sweep

    path = tmp_path / "gpu.yaml"
    path.write_text("name: gpu\ngrid: {model: [tiny], k: [1], eta: [1], seed: [0]}\nresources: {gpus: 2}\n")
    registration.register(store, load_sweep(path))
    attempts.abort(store, begin(store, 1), "error")
    (run,) = frames.runs(store).itertuples()
    assert run.wall_s > 0
    assert run.gpu_s == pytest.approx(2 * run.wall_s)


def test_some_sweeps_only(store: Store, grid: Grid) -> None:
    fill(store, grid)
    assert [len(load(store, ["other"])) for load in LOADERS] == [1, 4, 0, 0, 0, 1]
    assert [len(load(store, [])) for load in LOADERS] == [0] * 6
    assert [len(load(store, ["demo", "other"])) for load in LOADERS] == [len(load(store)) for load in LOADERS]
    for load in LOADERS:
        with pytest.raises(SelectionError, match="did you mean 'other'"):
            load(store, ["othr"])


def test_export_comes_back_exactly(store: Store, grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "BATCH_ROWS", 2)
    fill(store, grid)
    with store.read() as connection:
        stored = {
            name: pa.Table.from_batches(frames.batches(connection, name), schema=frames.schema(name))
            for name in frames.TABLES
        }
    for format in ("parquet", "csv"):
        paths = export(store, None, tmp_path / format, format)
        assert [path.name for path in paths] == [f"{name}.{format}" for name in COLUMNS]
        assert sorted(paths) == sorted((tmp_path / format).iterdir())
        for path in paths:
            columns = stored[path.stem].schema
            read = pq.read_table(path) if format == "parquet" else read_csv(path, columns)
            assert read.schema.names == columns.names
            assert repr(read.to_pydict()) == repr(stored[path.stem].to_pydict())
    assert "NaN" in (tmp_path / "csv" / "syncs.csv").read_text()


def read_csv(path: Path, columns: pa.Schema) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(
        column_types=columns, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    return pyarrow.csv.read_csv(
        path, convert_options=options, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
    )


def test_export_of_nothing_has_headers(store: Store, tmp_path: Path) -> None:
    for path in export(store, None, tmp_path / "out", "csv"):
        assert path.read_text().strip().split(",") == COLUMNS[path.stem].split()


def test_a_failed_export_keeps_the_old_files(
    store: Store, grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export(store, None, out, "csv")
    fill(store, grid)
    before = {path: path.read_text() for path in out.iterdir()}
    stored_batches = frames.batches

    def half_of(*arguments: Any) -> Iterator[pa.RecordBatch]:
        with closing(stored_batches(*arguments)) as whole:
            yield next(whole)
        raise ConnectionError("server gone")

    monkeypatch.setattr(frames, "batches", half_of)
    with pytest.raises(UsageError, match="server gone"):
        export(store, None, out, "csv")
    assert {path: path.read_text() for path in out.iterdir()} == before


def test_an_export_that_cannot_be_written(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"cannot export to {tmp_path}/file: File exists"):
        export(store, None, tmp_path / "file", "csv")
    with pytest.raises(SelectionError, match="no sweep named 'demo'"):
        export(store, ["demo"], tmp_path / "out", "csv")
    assert not (tmp_path / "out").exists()
