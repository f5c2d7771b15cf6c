"""Whatever stands in a file to import, it is read and stored, or refused with its mistakes."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.errors import GridError
from orchestrator.data.frames import export
from orchestrator.data.importing.columns import Options
from orchestrator.data.importing.read import read_import
from orchestrator.data.importing.stored import store_import
from orchestrator.store import schema
from orchestrator.store.database import Store
from tests.support.damage import VALUES, any_bytes, damaged, edited

RUNS: list[dict[str, Any]] = [
    {"model": "m", "k": 2, "eta": 1e-3, "seed": seed, "horizon": 480, "collapse_step": step, "axes": '{"clip": 0.2}'}
    for seed, step in enumerate([96, None])
]
SYNCS: list[dict[str, Any]] = [
    {"model": "m", "k": 2, "eta": 1e-3, "seed": 0, "sync": sync, "reward": 0.5, "val_reward": 0.5, "lag_max": 2}
    for sync in range(8)
]
LOG: list[dict[str, Any]] = [
    {"train/global_step": step, "reward": 0.5, "eval_reward": 0.5, "actor/lr": 1e-6, "off_policy/max": 1.0}
    for step in range(1, 9)
]
STATE = {
    "log_history": [
        {"step": step, "learning_rate": 1e-6, **({"reward": 0.5} if step % 4 == 0 else {})} for step in range(1, 13)
    ],
    "global_step": 12,
    "max_steps": 12,
}
OPTIONS = [
    Options(values={"model": "m", "k": "4", "seed": "0"}, lag_unit="versions"),
    Options(values={"model": "m", "k": "4", "seed": "0", "eta": "1e-3"}, lag_unit="0.5", detector="zero"),
    Options(lag_unit="fraction"),
    Options(),
]


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file)
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer.writerows([names, *([row.get(name) for name in names] for row in rows)])
    return file.getvalue().encode(errors="surrogatepass")


def as_lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


TABLES = [RUNS, SYNCS, LOG]
FILES: dict[str, list[bytes]] = {
    "x.csv": [as_csv(table) for table in TABLES],
    "x.jsonl": [as_lines(table) for table in TABLES],
    "x.json": [json.dumps(table).encode() for table in TABLES],
    "trainer_state.json": [json.dumps(STATE).encode()],
    "x.parquet": [as_parquet(table) for table in TABLES],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    url = f"sqlite:///{tmp_path_factory.mktemp('any')}/any.db"
    schema.upgrade(url)
    with Store(url) as store:
        yield store


@pytest.fixture(scope="module")
def exported(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an export, by name."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "syncs.csv").write_bytes(as_csv(SYNCS))
    store_import(store, read_import(folder / "syncs.csv", Options()), "exported")
    return {path.name: path.read_bytes() for path in export(store, ["exported"], folder / "out", "csv")}


class _Undone(Exception):  # not an error: the transaction is to leave nothing behind
    pass


def bring_in(store: Store, options: Options, **files: bytes) -> None:
    """Read the file, or the folder of several, and store it as far as the end of the transaction."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in files]
        for path, content in zip(paths, files.values(), strict=True):
            path.write_bytes(content)
        try:
            found = read_import(Path(folder) if len(paths) > 1 else paths[0], options)
            with store.write() as connection:
                store_import(connection, found, "any")
                raise _Undone
        except GridError as refused:
            assert refused.mistakes
        except _Undone:
            pass


@pytest.mark.parametrize("name", FILES)
def test_good_files(store: Store, name: str, tmp_path: Path) -> None:
    for content in FILES[name]:
        bring_in(store, OPTIONS[0], **{name: content})
        (tmp_path / name).write_bytes(content)
        assert read_import(tmp_path / name, OPTIONS[0 if b"global_step" in content else 2]).runs


@pytest.mark.parametrize("name", FILES)
@given(data=st.data(), options=st.sampled_from(OPTIONS))
def test_any_bytes(store: Store, name: str, data: st.DataObject, options: Options) -> None:
    bring_in(store, options, **{name: data.draw(any_bytes(FILES[name]))})


WRITERS: dict[str, Callable[[Any], bytes]] = {
    "x.csv": as_csv,
    "x.jsonl": as_lines,
    "x.json": lambda rows: json.dumps(rows).encode(),
    "trainer_state.json": lambda rows: json.dumps({"log_history": rows}).encode(),
    "x.parquet": as_parquet,
}


@given(edited(TABLES), st.sampled_from(list(WRITERS)), st.sampled_from(OPTIONS))
def test_any_values(store: Store, tables: Any, name: str, options: Options) -> None:
    for rows in tables if isinstance(tables, list) else ():
        if rows in TABLES or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            continue
        try:
            content = WRITERS[name](rows)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError):
            continue  # no such file can be written
        bring_in(store, options, **{name: content})


@given(data=st.data())
def test_any_export(store: Store, exported: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["runs.csv", "attempts.csv", "syncs.csv", "evals.csv"]))
    bring_in(store, Options(), **(exported | {name: data.draw(damaged([exported[name]]))}))


@given(data=st.data())
def test_any_cell_of_an_export(store: Store, exported: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["runs.csv", "attempts.csv", "syncs.csv", "evals.csv"]))
    header, *rows = csv.reader(io.StringIO(exported[name].decode()))
    at = data.draw(st.integers(0, len(header) - 1)), data.draw(st.integers(0, len(rows) - 1))
    rows[at[1]][at[0]] = str(data.draw(VALUES))
    changed = as_csv([dict(zip(header, row, strict=True)) for row in rows])
    bring_in(store, Options(), **(exported | {name: changed}))


def test_texts_that_look_like_formulas_come_back_from_an_export(store: Store, tmp_path: Path) -> None:
    models = ["=1+1", "'=1+1", "-x", "@a", "+", "'a"]
    (tmp_path / "runs.csv").write_bytes(as_csv([RUNS[0] | {"model": model} for model in models]))
    store_import(store, read_import(tmp_path / "runs.csv", Options()), "formulas")
    export(store, ["formulas"], tmp_path / "out", "csv")
    written = (tmp_path / "out" / "runs.csv").read_text()
    assert [model for model in models if f",'{model}," in written] == models[:-1]
    assert [run.model for run in read_import(tmp_path / "out", Options()).runs] == models


def test_evaluations_without_their_number_of_prompts_are_refused(exported: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in exported.items():
        (tmp_path / name).write_bytes(content.replace(b"val_n", b"val_m") if name == "evals.csv" else content)
    with pytest.raises(GridError, match="row 1: has no column val_n, so it is not of an export"):
        read_import(tmp_path, Options())


def test_a_row_of_the_wrong_length_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(as_csv(RUNS) + b"\xe4\n")
    with pytest.raises(GridError, match="can't decode byte 0xe4"):
        read_import(tmp_path / "x.csv", Options())
