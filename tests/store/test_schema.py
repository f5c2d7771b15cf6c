"""The schema: migrations give what the models say, on both databases; versions are checked; errors help."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.schema import CreateTable

from grpo_worker.schema.records import EvalRecord, SyncRecord
from orchestrator.base.errors import SchemaError
from orchestrator.base.settings import shipped
from orchestrator.store import schema
from orchestrator.store.database import Store
from orchestrator.store.models import Base, Evaluation, SyncMetric
from orchestrator.store.session import create_engine_for, transaction
from tests.store.described import described

pytestmark = pytest.mark.services


@pytest.mark.parametrize(
    ("model", "record", "key"), [(SyncMetric, SyncRecord, "sync"), (Evaluation, EvalRecord, "learner_step")]
)
def test_columns_are_the_records_fields(model: type[Base], record: type, key: str) -> None:
    table = inspect(model).local_table
    own = [column for column in table.columns if column.name not in ("run_id", "attempt")]
    fields = dataclasses.fields(record)
    assert [column.name for column in own] == [field.name for field in fields]
    # An imported run has what was measured where it was trained: only what places a row must be there.
    placed = {key, "learner_step", *({"val_reward"} if model is Evaluation else ())}
    assert {column.name for column in own if not column.nullable} == placed
    whole = ["int" in str(field.type) for field in fields]
    assert [type(column.type).__name__ == "BigInteger" for column in own] == whole
    is_float = ["float" in str(field.type) for field in fields]
    assert [type(column.type).__name__ == "NanFloat" for column in own] == is_float
    assert [column.name for column in table.primary_key] == ["run_id", key]


def test_revisions_are_those_shipped() -> None:
    scripts = ScriptDirectory(str(shipped("migrations")))
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == schema.REVISIONS


def test_migrations_give_the_schema_of_the_models(url: str, new_database: Callable[[str], str]) -> None:
    schema.upgrade(url)
    from_models = new_database(url.partition(":")[0])
    found = []
    for each in (url, from_models):
        engine = create_engine_for(each, create=True)
        with transaction(engine, write=True) as connection:
            if each == from_models:
                Base.metadata.create_all(connection)
            options = {"version_table": schema.VERSION_TABLE, "compare_type": True}
            context = MigrationContext.configure(connection, opts=options)
            assert compare_metadata(context, Base.metadata) == []
            found.append(described(connection))
        engine.dispose()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("CHECK (fence >= 0)", "CHECK (fence >= 1)"),
        ("CONSTRAINT ck_run_fence CHECK (fence >= 0), ", ""),
        ("CONSTRAINT ck_run_fence", "CONSTRAINT other"),
        ("threads BIGINT", "threads TEXT"),
        ("fence BIGINT NOT NULL", "fence BIGINT"),
        ("source TEXT DEFAULT 'grid' NOT NULL", "source TEXT NOT NULL"),
        ("DEFAULT 'grid'", "DEFAULT 'import'"),
        ("REFERENCES cell (id)", "REFERENCES sweep (id)"),
        ("FOREIGN KEY(run_id, attempt) REFERENCES attempt (run_id, number)", "CHECK (1 = 1)"),
        ("UNIQUE (cell_id, seed)", "UNIQUE (cell_id, seed, horizon)"),
        ("PRIMARY KEY (run_id, sync)", "PRIMARY KEY (run_id, sync, attempt)"),
        ("directory TEXT", "directory TEXT, other TEXT"),
    ],
)
def test_the_comparison_sees(there: str, here: str, url: str, new_database: Callable[[str], str]) -> None:
    """What the models say, with one thing changed, is another schema."""
    found = []
    for each, edit in ((url, False), (new_database(url.partition(":")[0]), True)):
        engine = create_engine_for(each, create=True)
        with transaction(engine, write=True) as connection:
            statements = [
                " ".join(str(CreateTable(table).compile(engine)).split()) for table in Base.metadata.sorted_tables
            ]
            if engine.dialect.name == "sqlite":
                there, here = there.replace("BIGINT", "INTEGER"), here.replace("BIGINT", "INTEGER")
            edited = [statement.replace(there, here, 1) for statement in statements]
            assert edited != statements
            for statement in edited if edit else statements:
                connection.exec_driver_sql(statement)
            found.append(described(connection))
        engine.dispose()
    assert found[0] != found[1]


def test_downgrade_is_refused(url: str) -> None:
    schema.upgrade(url)
    from alembic import command
    from alembic.config import Config

    engine = create_engine_for(url)
    with transaction(engine, write=True) as connection:
        config = Config(attributes={"connection": connection, "version_table": schema.VERSION_TABLE})
        config.set_main_option("script_location", str(shipped("migrations")))
        with pytest.raises(NotImplementedError, match="only moves forward"):
            command.downgrade(config, "base")
    engine.dispose()
    schema.check(url)


def set_revision(url: str, revision: str) -> None:
    engine = create_engine_for(url)
    with transaction(engine, write=True) as connection:
        connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{revision}'"))
    engine.dispose()


def test_missing_older_and_newer_schemas_are_refused_with_what_to_run(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine_for(url, create=True)
    with transaction(engine, write=True):
        pass
    engine.dispose()
    assert schema.current(url) is None
    with pytest.raises(SchemaError, match="holds no stalesweep tables yet: run `stalesweep db upgrade`"):
        Store(url)

    schema.upgrade(url)
    schema.check(url)
    newest = schema.REVISIONS[-1]
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "next"))
    with pytest.raises(SchemaError, match=rf"has schema {newest}, .* needs next: run `stalesweep db upgrade`"):
        schema.check(url)
    monkeypatch.undo()

    set_revision(url, "9999")
    for refused in (schema.check, schema.upgrade, Store):
        with pytest.raises(SchemaError, match=rf"9999, newer than .*, which knows up to {newest}: upgrade the package"):
            refused(url)


def test_optuna_may_share_the_database(url: str) -> None:
    """It keeps its own version under Alembic's default name."""
    engine = create_engine_for(url, create=True)
    with transaction(engine, write=True) as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('v3.2.0.a')"))
    engine.dispose()
    schema.upgrade(url)
    schema.check(url)


def test_sqlite_pragmas(tmp_path: Path) -> None:
    schema.upgrade(f"sqlite:///{tmp_path}/a.db")
    engine = create_engine_for(f"sqlite:///{tmp_path}/a.db")
    with transaction(engine, write=False) as connection:
        found = [
            connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        ]
    engine.dispose()
    assert found == ["wal", 1, 30_000, 1]


def test_a_relative_path_names_one_file_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schema.upgrade("sqlite:///a.db")
    with Store("sqlite:///a.db") as store:
        assert store.url == f"sqlite:///{tmp_path}/a.db"


def test_the_store_loads_neither_torch_nor_pandas_nor_alembic() -> None:
    code = (
        "import sys, orchestrator.store.database\n"
        "print(sorted({'torch', 'pandas', 'pyarrow', 'alembic', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
