"""Import: what comes in goes out again to the last bit, on both databases; a name stands for one import."""

from __future__ import annotations

import csv
import json
import math
import random
import struct
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select, update

from grpo_worker.schema.config import CollapseConfig
from grpo_worker.schema.records import FinishRecord, StartRecord
from orchestrator.base.errors import GridError, NothingToDo, StoreError, SweepConflict
from orchestrator.data import frames
from orchestrator.data.frames import export
from orchestrator.data.importing.columns import METRICS, Options
from orchestrator.data.importing.read import read_import
from orchestrator.data.importing.stored import store_import
from orchestrator.grid.sweep import Sweep as Grid
from orchestrator.jobs.status import sweep_status
from orchestrator.laws.collapse import redetect
from orchestrator.laws.fit import fit_laws
from orchestrator.store import attempts, queries, registration, schema, submissions
from orchestrator.store.database import Store
from orchestrator.store.models import Attempt, Base, CellRow, Evaluation, RunRow, SweepRow, SyncMetric
from tests.support.stores import begin, eval_record, sync_record, write

pytestmark = pytest.mark.services

MakeGrid = Callable[..., Grid]
VALUES = (None, math.nan, math.inf, -math.inf, 5e-324, 1 / 3, 1.7976931348623157e308)
TRL = Path(__file__).parents[1] / "data" / "trl"


def bring(store: Store, source: Path, name: str, options: Options | None = None, *, append: bool = False) -> int:
    return store_import(store, read_import(source, options or Options()), name, append=append)


def fill(store: Store, grid: MakeGrid) -> None:
    """A sweep with runs in four states, one of them with two attempts and every kind of float."""
    registration.register(store, grid(clip_eps=[0.2]))
    # Cells and runs that come later lie between the first: run numbers do not follow the grid's order.
    runs = queries.unfinished_runs(
        store, registration.register(store, grid(clip_eps=[0.2], k=[2, 4, 8], seed=[0, 1, 2]), extend=True)
    )
    claim = begin(store, runs[0])
    write(store, claim, StartRecord(None, None, 1, "cpu", {}, 1, 0.1))
    for sync, value in enumerate(VALUES):
        write(store, claim, sync_record(sync, val_reward=value, ratio_max=value or 0.0, lag_max=10**15 + sync))
        write(store, claim, eval_record(2 * sync, 0.5 if value is None else value))
    claim = begin(store, runs[0], sync=5, step=12, take_over=True)
    write(store, claim, sync_record(6, reward=0.1 + 0.2))
    write(store, claim, FinishRecord("collapsed", 40, "half", 16, 8, 8))
    attempts.abort(store, begin(store, runs[1]), 'OSError: no space, "really"\nleft')
    claim = begin(store, runs[3])
    write(store, claim, StartRecord(None, None, 1, "cpu", {}, 1, 0.1))
    write(store, claim, FinishRecord("stable", 40, "half"))
    spend_time(store)


def spend_time(store: Store) -> None:
    """Let every attempt have begun some time ago, so that sums of times are no round numbers."""
    with store.write() as connection:
        for run_id, number, started_at in connection.execute(
            select(Attempt.run_id, Attempt.number, Attempt.started_at)
        ):
            earlier = started_at - timedelta(seconds=0.1 * number + 1.003 * run_id)
            this_one = (Attempt.run_id == run_id, Attempt.number == number)
            connection.execute(update(Attempt).where(*this_one).values(started_at=earlier, node=f"node{number}"))


def table(folder: Path, name: str) -> pa.Table:
    (path,) = folder.glob(f"{name}.*")
    if path.suffix == ".parquet":
        return pq.read_table(path)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(header)})


def rows(folder: Path, name: str) -> list[str]:
    """Every value of a file as written, run numbers replaced by their places and without names of sweeps."""
    places = {number: place for place, number in enumerate(sorted(table(folder, "runs")["run"].to_pylist(), key=int))}
    found = table(folder, name)
    columns = {column: found[column].to_pylist() for column in found.schema.names if column != "sweep"}
    columns["run"] = [places[number] for number in columns["run"]]
    return [repr(row) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_an_export_comes_back_equal(
    store: Store, grid: MakeGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Any
) -> None:
    monkeypatch.setattr("orchestrator.data.importing.stored.INSERTED_ROWS", 2)
    monkeypatch.setattr(frames, "BATCH_ROWS", 3)
    fill(store, grid)
    export(store, None, tmp_path / "first", format)
    bring(store, tmp_path / "first", "again")
    export(store, ["again"], tmp_path / "second", format)
    for name in ("runs", "attempts", "syncs", "evals"):
        assert rows(tmp_path / "first", name) == rows(tmp_path / "second", name)
    assert len(rows(tmp_path / "first", "runs")) == 9
    assert len(rows(tmp_path / "first", "syncs")) == 7
    again = frames.runs(store, ["again"]), frames.attempts(store, ["again"])
    assert [set(one["failure_class"].dropna()) for one in again] == [{"exception"}, {"lost", "exception"}]
    assert set(again[1]["node"]) == {"node1", "node2"}
    bring(store, tmp_path / "second", "thrice")
    assert redone(store, "thrice") == redone(store, "demo")


def redone(store: Store, sweep: str) -> str:
    laws = fit_laws(frames.runs(store, [sweep])).to_json()
    for left in laws["left_out"]:
        del left["run"]
    return repr(laws)


def test_what_ran_when_it_was_exported_does_not_run_here(store: Store, grid: MakeGrid, tmp_path: Path) -> None:
    runs = queries.unfinished_runs(store, registration.register(store, grid()))
    begin(store, runs[0])
    submissions.set_queued(store, runs[1:2])
    spend_time(store)
    export(store, None, tmp_path / "first", "csv")
    bring(store, tmp_path / "first", "again")
    first, again = frames.runs(store, ["demo"]), frames.runs(store, ["again"])
    assert again["state"].tolist() == ["lost", "pending", "pending", "pending"]
    assert again["failure"].tolist()[0] == "was running when it was exported"
    (attempt,) = frames.attempts(store, ["again"]).itertuples()
    assert (attempt.outcome, attempt.failure_class) == ("lost", "lost")
    assert again["failure_class"].tolist()[0] == "lost"
    assert again["wall_s"].tolist() == first["wall_s"].tolist()
    assert again["wall_s"][0] > 1
    assert queries.running_attempts(store, queries.sweep_id(store, "again")) == []
    assert not sweep_status("again", queries.progress(store, queries.sweep_id(store, "again"))).silent


def test_an_export_moves_between_databases(new_database: Callable[[str], str], grid: MakeGrid, tmp_path: Path) -> None:
    stores = []
    for kind in ("sqlite", "postgresql"):
        url = new_database(kind)
        schema.upgrade(url)
        stores.append(Store(url))
    with stores[0] as one, stores[1] as other:
        fill(one, grid)
        export(one, None, tmp_path / "one", "parquet")
        bring(other, tmp_path / "one", "there")
        export(other, None, tmp_path / "other", "parquet")
        bring(one, tmp_path / "other", "back")
        export(one, ["back"], tmp_path / "back", "parquet")
    for name in ("runs", "attempts", "syncs", "evals"):
        assert rows(tmp_path / "one", name) == rows(tmp_path / "other", name) == rows(tmp_path / "back", name)


def test_the_runs_file_of_an_export_alone(store: Store, grid: MakeGrid, tmp_path: Path) -> None:
    fill(store, grid)
    export(store, None, tmp_path / "first", "csv")
    bring(store, tmp_path / "first" / "runs.csv", "again")
    export(store, ["again"], tmp_path / "second", "csv")
    first, second = (table(tmp_path / name, "runs").to_pandas() for name in ("first", "second"))
    # Times of several attempts have become that of one, to the millisecond.
    times = ["gpu_s", "wall_s"]
    pd.testing.assert_frame_equal(first[times].astype(float), second[times].astype(float), atol=1e-9)
    inherent = ["run", "sweep", *times]
    pd.testing.assert_frame_equal(first.drop(columns=inherent), second.drop(columns=inherent))
    attempts = frames.attempts(store, ["again"])
    assert set(attempts["executor"]) == {"import"}
    assert len(attempts) == 9


RUNS = """\
model,k,eta,seed,horizon,collapse_step
big/model-1B,2,1e-3,0,480,96
big/model-1B,2,1e-3,1,480,
big/model-1B,8,1e-3,0,480,40
big/model-1B,8,0.0005,0,480,
"""


def counts(store: Store) -> list[int]:
    tables: tuple[type[Base], ...] = (SweepRow, CellRow, RunRow, Attempt, SyncMetric, Evaluation)
    with store.read() as connection:
        return [connection.execute(select(func.count()).select_from(one)).scalar_one() for one in tables]


@pytest.fixture
def runs_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(RUNS)
    return path


def test_a_table_of_runs_is_fitted_and_shown(store: Store, runs_file: Path) -> None:
    bring(store, runs_file, "mine")
    runs = frames.runs(store, ["mine"])
    assert runs["state"].tolist() == ["collapsed", "stable", "collapsed", "stable"]
    assert set(runs["collapse_detector"]) == {"imported"}
    (model,) = fit_laws(runs).models.values()
    first = model.cells[0]
    assert (first.k, first.n_runs, first.n_collapsed, first.collapse_sync) == (2, 2, 1, 48)
    assert first.collapse_step is not None
    assert (first.collapse_step.lo, first.collapse_step.hi) == (94, 96)
    status = sweep_status("mine", queries.progress(store, queries.sweep_id(store, "mine")))
    assert status.states == {"collapsed": 2, "stable": 2}
    assert not status.failures
    assert not status.silent
    assert queries.unfinished_runs(store, queries.sweep_id(store, "mine")) == []


def test_what_a_run_cost_is_kept(store: Store, runs_file: Path) -> None:
    header, *lines = RUNS.splitlines()
    lines = [f"{line},{seconds},{4 * seconds}" for line, seconds in zip(lines, (12.5, 0.001, 0, 86400), strict=True)]
    runs_file.write_text("\n".join([f"{header},wall_s,gpu_s", *lines]))
    bring(store, runs_file, "mine")
    runs = frames.runs(store)
    assert runs["wall_s"].tolist() == [12.5, 0.001, 0, 86400]
    assert runs["gpu_s"].tolist() == [50, 0.004, 0, 345600]


def test_a_name_stands_for_one_import(store: Store, runs_file: Path, grid: MakeGrid) -> None:
    bring(store, runs_file, "mine")
    before = counts(store)
    with pytest.raises(NothingToDo, match="holds this import already"):
        bring(store, runs_file, "mine")
    other = runs_file.with_name("renamed.csv")
    other.write_text(RUNS)
    with pytest.raises(NothingToDo):
        bring(store, other, "mine")
    other.write_text(RUNS.replace(",96", ",98"))
    with pytest.raises(SweepConflict, match=r"(?s)another name with --sweep.*sha256"):
        bring(store, other, "mine")
    with pytest.raises(SweepConflict, match="holds another import"):
        bring(store, runs_file, "mine", Options(values={"axes.lr_decay": "true"}))
    registration.register(store, grid())
    with pytest.raises(SweepConflict, match="is a grid's"):
        bring(store, runs_file, "demo")
    assert [after - stored for after, stored in zip(counts(store), before, strict=True)] == [1, 2, 4, 0, 0, 0]


def test_another_file_joins_an_import(store: Store, runs_file: Path, grid: MakeGrid) -> None:
    first = bring(store, runs_file, "mine", append=True)
    history = runs_file.with_name("history.jsonl")
    history.write_text("".join(f'{{"_step": {step}, "reward": {0.5 if step < 5 else 0}}}\n' for step in range(1, 25)))
    options = Options(values={"model": "big/model-1B", "k": "2", "eta": "1e-3", "seed": "2"})
    with pytest.raises(SweepConflict, match="with --append"):
        bring(store, history, "mine", options)
    assert bring(store, history, "mine", options, append=True) == first
    other = Options(values={**options.values, "k": "16"})
    bring(store, history, "mine", other, append=True)
    for again in (options, other):
        with pytest.raises(NothingToDo, match="holds this import already"):
            bring(store, history, "mine", again, append=True)
    with pytest.raises(NothingToDo):
        bring(store, runs_file, "mine")
    runs = frames.runs(store, ["mine"])
    assert runs[["k", "seed"]].to_numpy().tolist() == [[2, 0], [2, 1], [2, 2], [8, 0], [8, 0], [16, 2]]
    assert runs["state"].tolist() == ["collapsed", "stable", "collapsed", "collapsed", "stable", "degraded"]
    assert len(frames.syncs(store, ["mine"])) == 12 + 2
    before = counts(store)
    more = runs_file.with_name("more.csv")
    more.write_text(RUNS.replace(",480,", ",481,") + "big/model-1B,2,1e-3,3,480,96\n")
    with pytest.raises(GridError) as refused:
        bring(store, more, "mine", append=True)
    assert len(refused.value.mistakes) == 4
    assert "sweep 'mine' has a run with model big/model-1B, k 2, eta 0.001, seed 0 already" in refused.value.mistakes[0]
    assert counts(store) == before
    registration.register(store, grid())
    with pytest.raises(SweepConflict, match="is a grid's"):
        bring(store, runs_file, "demo", append=True)


def test_imported_runs_are_not_trained(store: Store, runs_file: Path, grid: MakeGrid) -> None:
    bring(store, runs_file, "mine")
    for extend in (False, True):
        with pytest.raises(SweepConflict, match="'mine' holds imported runs, which cannot be trained"):
            registration.register(store, grid("mine"), extend=extend)


def test_nothing_of_a_refused_import_is_stored(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text("model,k,eta,seed,sync,reward\n" + "m,2,1,0,0,1\n" * 2)
    with pytest.raises(GridError):
        bring(store, path, "mine")
    path.write_text("model,k,eta,seed,sync,reward\nm,2,1,0,0,1\nm,2,1,0,1,1\n")
    found = read_import(path, Options())
    good = found.syncs
    found.syncs = good.set_column(good.schema.names.index("sync"), "sync", pa.array([0, -1]))
    with pytest.raises(StoreError, match=r"CHECK constraint failed|violates check constraint"):
        store_import(store, found, "mine")
    assert counts(store) == [0] * 6
    found.syncs = good
    store_import(store, found, "mine")
    assert counts(store) == [1, 1, 1, 1, 2, 0]


def test_weight_syncs_give_runs_and_metrics(store: Store, tmp_path: Path) -> None:
    lines = ["model,k,eta,seed,horizon,sync,reward,val_reward,ratio_max,lag_max,note"]
    series: list[list[Any]] = [[0.5, 0.4, "", "NaN", 0, 0], [0.5, 0.6, 0.5, 0.6, 0.5, 0.6]]
    for seed, rewards in enumerate(series):
        lines += [f"m,4,1e-3,{seed},24,{sync},{reward},,inf,7.0,x" for sync, reward in enumerate(rewards)]
    path = tmp_path / "syncs.csv"
    path.write_text("\n".join(lines))
    bring(store, path, "mine")
    runs, syncs = frames.runs(store), frames.syncs(store)
    assert runs["state"].tolist() == ["collapsed", "stable"]
    assert runs.iloc[0][["collapse_step_lo", "collapse_step", "collapse_sync"]].tolist() == [4, 12, 3]
    assert runs["learner_steps"].tolist() == [24, 24]
    assert syncs["learner_step"].tolist() == [0, 4, 8, 12, 16, 20] * 2
    assert [repr(value) for value in syncs["reward"][:4]] == ["0.5", "0.4", "<NA>", "nan"]
    assert set(syncs["lag_max"]) == {7}
    assert set(map(repr, syncs["ratio_max"])) == {"inf"}
    assert syncs["entropy"].isna().all()
    # The reward that is missing is not taken for one that broke down.
    again = redetect(CollapseConfig(detector="zero"), runs, frames.evals(store), syncs)
    assert again["collapse_step"].tolist() == runs["collapse_step"].tolist()
    assert again["collapse_sync"].tolist() == runs["collapse_sync"].tolist()


def test_random_rows_make_the_round_trip(store: Store, tmp_path: Path) -> None:
    """Any bits of a float and any whole number, with gaps, come out of the second export as they went in."""
    generator = random.Random(7)

    def number() -> str:
        value = struct.unpack("d", generator.randbytes(8))[0] if generator.random() < 0.8 else None
        # SQLite has no negative zero, and no NaN but one.
        return "" if value is None or value == 0 else "NaN" if math.isnan(value) else repr(value)

    floats = [name for name, kind in METRICS.items() if kind == pa.float64() and name != "val_reward"]
    wholes = [name for name, kind in METRICS.items() if kind != pa.float64()]
    lines = [",".join(["model", "k", "eta", "seed", "horizon", "axes.a b", "sync", *floats, *wholes])]
    for run in range(12):
        for sync in sorted(generator.sample(range(10**6), 20)):
            whole = [str(generator.randint(-(2**63), 2**63 - 1)) for _ in wholes]
            name = f"{run},3,{(run + 1) / 7!r},0,{10**9},{run % 3}"
            lines.append(",".join([name, str(sync), *(number() for _ in floats), *whole]))
    (tmp_path / "random.csv").write_text("\n".join(lines))
    bring(store, tmp_path / "random.csv", "first")
    for name, format in (("first", "csv"), ("second", "parquet")):
        export(store, [name], tmp_path / name, format)  # type: ignore[arg-type]
        bring(store, tmp_path / name, "second" if name == "first" else "third")
    export(store, ["second"], tmp_path / "second-csv", "csv")
    export(store, ["third"], tmp_path / "third", "csv")
    for name in ("runs", "attempts", "syncs", "evals"):
        assert rows(tmp_path / "first", name) == rows(tmp_path / "second-csv", name) == rows(tmp_path / "third", name)
    written = [line.split(",")[6:] for line in lines[1:]]
    back = table(tmp_path / "third", "syncs").select(["sync", *floats, *wholes]).to_pylist()
    assert [list(row.values()) for row in back] == written
    assert {json.loads(axes)["a b"] for axes in frames.runs(store)["axes"]} == {0, 1, 2}


def test_logs_of_real_trl_runs(store: Store, tmp_path: Path) -> None:
    known = tmp_path / "known.csv"
    known.write_text("run,eta,k\nk4-lr3e-3,3e-3,\nk4-lr1e-4,1e-4,4\nk2-lr3e-3-every4,3e-3,2\n")
    bring(store, TRL, "trl", Options(values={"model": "tiny", "seed": "0"}, runs_file=known))
    runs = frames.runs(store).sort_values(["k", "eta"])
    assert runs["k"].tolist() == [2, 4, 4]
    assert runs["state"].tolist() == ["collapsed", "stable", "collapsed"]
    assert [str(step) for step in runs["collapse_step"]] == ["16", "<NA>", "16"]
    assert set(runs["horizon"]) == {48}
    of_run = frames.syncs(store).groupby("run")
    collapsed = of_run.get_group(runs.iloc[2]["run"])
    assert collapsed["sync"].tolist() == list(range(12))
    assert collapsed["learner_step"].tolist() == list(range(0, 48, 4))
    assert collapsed["reward"].tolist()[:3] == [0.515625, 0.484375, 0.25]
    evals = frames.evals(store)
    assert evals["learner_step"].tolist() == [0, 8, 16, 24, 32, 40, 48] * 3
    assert evals["val_n"].isna().all()
