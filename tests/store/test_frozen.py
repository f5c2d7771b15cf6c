"""Databases of every past schema, filled by the code of their time, are upgraded and used."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, MetaData, select
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.store import schema
from orchestrator.store.models import Base, SyncMetric
from orchestrator.store.session import create_engine_for, transaction
from tests.end_to_end.sweeps import workspace
from tests.store import frozen
from tests.store.described import described

pytestmark = pytest.mark.services

Rows = dict[str, list[dict[str, str]]]


@pytest.mark.parametrize("revision", schema.REVISIONS)
def test_every_revision_has_its_frozen_databases(revision: str) -> None:
    for name in (f"{revision}.db", f"{revision}.sql"):
        assert (frozen.FOLDER / name).is_file(), f"no frozen {name}: see tests/store/frozen/README.md"


@pytest.fixture(params=schema.REVISIONS)
def old(request: pytest.FixtureRequest, url: str) -> str:
    """The URL of a database that holds a past schema."""
    frozen.restore(request.param, url)
    assert schema.current(url) == request.param
    return url


def rows_of(connection: Connection) -> Rows:
    """Every row of every table, raw: as the database holds it, whatever the models make of it."""
    tables = MetaData()
    tables.reflect(connection)
    return {
        table.name: [
            {column: repr(value) for column, value in row.items()}
            for row in connection.exec_driver_sql(
                f"SELECT * FROM {table.name} ORDER BY {', '.join(column.name for column in table.primary_key)}"
            ).mappings()
        ]
        for table in tables.sorted_tables
        if table.name != schema.VERSION_TABLE
    }


def rows_at(url: str) -> Rows:
    engine = create_engine_for(url)
    with transaction(engine, write=False) as connection:
        found = rows_of(connection)
    engine.dispose()
    return found


def test_an_upgrade_keeps_every_row_and_gives_the_schema_of_the_models(
    old: str, new_database: Callable[[str], str], tmp_path: Path
) -> None:
    before, revision = rows_at(old), schema.current(old)
    assert len(before["run"]) == 5
    assert len(before["sync_metric"]) > 50
    assert len(before["fit"]) == 1

    done = schema.upgrade(old)

    after = rows_at(old)
    assert {
        table: [{column: row[column] for column in was} for was, row in zip(rows, after[table], strict=True)]
        for table, rows in before.items()
    } == before
    fresh = new_database(old.partition(":")[0])
    schemas = []
    for url in (old, fresh):
        engine = create_engine_for(url, create=True)
        with transaction(engine, write=True) as connection:
            if url == fresh:
                Base.metadata.create_all(connection)
            schemas.append(described(connection))
            unusual = connection.execute(
                select(
                    SyncMetric.ratio_max, SyncMetric.kl_behavior, SyncMetric.entropy, SyncMetric.cosine_update_across
                ).where(SyncMetric.run_id == 1, SyncMetric.sync == 1)
            ).all()
            if url == old:
                [(nan, *others)] = unusual
                assert repr(nan) == "nan"
                assert others == [math.inf, -math.inf, None]
        engine.dispose()
    assert schemas[0] == schemas[1]

    if revision == schema.REVISIONS[-1]:
        assert done is None
    else:
        assert done is not None
        assert done.before == revision
        kept = [path for path in tmp_path.iterdir() if path.name.endswith(".backup")]
        assert kept == ([done.backup] if old.startswith("sqlite") else [])
        if done.backup:
            assert f"kept as {done.backup.name} beside it" in str(done)
            assert rows_at(f"sqlite:///{done.backup}") == before
            assert schema.current(f"sqlite:///{done.backup}") == revision


@pytest.mark.slow
def test_an_upgraded_database_is_used(old: str, tmp_path: Path) -> None:
    """Fitted, exported and trained on as if this version had made it."""
    ws = workspace(tmp_path, tmp_path, old)
    ws.train_nothing()
    revision = schema.current(old)

    def stalesweep(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env=ws.environment)

    if revision != schema.REVISIONS[-1]:
        refused = stalesweep("status")
        assert refused.exit_code == 2
        assert f"has schema {revision}, this stalesweep needs {schema.REVISIONS[-1]}" in refused.stderr

    launched = ws.run("launch", str(frozen.FOLDER / "finished.yaml"), "--executor", "local")
    assert launched.returncode == 3, launched.stderr
    assert "every run of this sweep is done" in launched.stderr
    assert (f"schema {revision} upgraded to {schema.REVISIONS[-1]}" in launched.stderr) == (
        revision != schema.REVISIONS[-1]
    )

    status = json.loads(stalesweep("status", "--format", "json").stdout)
    assert [one["sweep"] for one in status] == ["finished", "unfinished"]
    laws = stalesweep("fit-laws", "finished", "--format", "json")
    assert laws.exit_code == 0, laws.output
    assert json.loads(laws.stdout)["runs"] == 4

    resumed = ws.run("launch", str(frozen.FOLDER / "unfinished.yaml"), "--executor", "debug")
    assert resumed.returncode == 0, resumed.stderr
    exported = stalesweep("export", "--out", str(tmp_path / "out"), "--format", "csv")
    assert exported.exit_code == 0, exported.output
    with (tmp_path / "out" / "syncs.csv").open() as file:
        syncs = list(csv.DictReader(file))
    [unusual] = [row for row in syncs if (row["run"], row["sync"]) == ("1", "1")]
    assert [unusual[name] for name in ("ratio_max", "kl_behavior", "entropy", "cosine_update_across")] == [
        "NaN", "inf", "-inf", "",
    ]  # fmt: skip
    # The interrupted run has begun anew, and each of its weight syncs is there once, written by the new attempt.
    again = [row for row in syncs if row["run"] == "5"]
    assert [int(row["sync"]) for row in again] == list(range(40))
    assert {row["attempt"] for row in again} == {"2"}
