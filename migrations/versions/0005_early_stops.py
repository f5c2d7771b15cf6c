"""Runs that were ended early on purpose: one more state, and two classes that say why. Searches are told from grids."""

import re

import sqlalchemy as sa
from alembic import op

from orchestrator.base.errors import SchemaError

revision = "0005"
down_revision = "0004"

STATES = "'pending', 'queued', 'running', 'collapsed', 'degraded', 'stable', 'failed', 'lost', 'cancelled'"
CLASSES = (
    "'exception', 'diverged', 'gpu_out_of_memory', 'out_of_memory', 'time_limit', 'preempted', 'node_failure', "
    "'killed', 'cancelled', 'never_began', 'forgotten', 'stopped', 'lost'"
)
WIDER = (
    ("sweep", "source", "'grid', 'import'", "'grid', 'search', 'import'"),
    ("run", "state", STATES, f"{STATES}, 'stopped'"),
    ("run", "failure_class", CLASSES, f"{CLASSES}, 'predicted_collapse', 'decided'"),
    ("attempt", "failure_class", CLASSES, f"{CLASSES}, 'predicted_collapse', 'decided'"),
)
"""Table, column, the values that its CHECK allows, and those that it is to allow."""


def upgrade() -> None:
    for table in dict.fromkeys(table for table, *_ in WIDER):
        checks = [(column, narrower, wider) for of, column, narrower, wider in WIDER if of == table]
        if op.get_bind().dialect.name == "sqlite":
            _write_anew(table, [(_check(column, old), _check(column, new)) for column, old, new in checks])
            continue
        for column, _, wider in checks:
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{column}")
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{column} {_check(column, wider)}")
    # A grid file cannot have this section.
    op.execute(
        "UPDATE sweep SET source = 'search' "
        "WHERE source = 'grid' AND (grid_text LIKE 'search:%' OR grid_text LIKE '%\nsearch:%')"
    )


def _check(column: str, values: str) -> str:
    return f"CHECK ({column} IN ({values}))"


def _write_anew(table: str, changes: list[tuple[str, str]]) -> None:
    # SQLite cannot change a constraint: https://www.sqlite.org/lang_altertable.html, "Making Other Kinds Of Table
    # Schema Changes". Editing the table's text would be quicker, but SQLite as macOS builds it lets nobody do that.
    # Foreign keys are off, see `orchestrator.store.schema`: who refers to the table waits for what takes its name.
    connection = op.get_bind()
    found = "SELECT sql FROM sqlite_master WHERE tbl_name = :table AND sql IS NOT NULL AND type"
    text = connection.execute(sa.text(f"{found} = 'table'"), {"table": table}).scalar_one()
    others = connection.scalars(sa.text(f"{found} != 'table'"), {"table": table}).all()
    for before, after in changes:
        if before not in text:
            raise SchemaError(f"table {table} was changed by hand: put back {before} there, then upgrade again")
        text = text.replace(before, after)
    legacy = connection.execute(sa.text("PRAGMA legacy_alter_table")).scalar_one()
    connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")  # else views of the table are in the way
    connection.exec_driver_sql(re.sub(rf'\ACREATE TABLE "?{table}"?', f"CREATE TABLE new_{table}", text))
    connection.exec_driver_sql(f"INSERT INTO new_{table} SELECT * FROM {table}")
    connection.exec_driver_sql(f"DROP TABLE {table}")
    connection.exec_driver_sql(f"ALTER TABLE new_{table} RENAME TO {table}")
    for other in others:
        connection.exec_driver_sql(other)
    connection.exec_driver_sql(f"PRAGMA legacy_alter_table = {legacy}")


def downgrade() -> None:
    raise NotImplementedError("stalesweep's schema only moves forward: restore a backup instead")
