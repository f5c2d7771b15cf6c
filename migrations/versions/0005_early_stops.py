"""Runs that were ended early on purpose: one more state, and two classes that say why. Searches are told from grids."""

import sqlalchemy as sa
from alembic import op

from orchestrator.errors import SchemaError

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
    if op.get_bind().dialect.name == "sqlite":
        _widen_in_sqlite()
    else:
        _widen()
    # A grid file cannot have this section.
    op.execute(
        "UPDATE sweep SET source = 'search' "
        "WHERE source = 'grid' AND (grid_text LIKE 'search:%' OR grid_text LIKE '%\nsearch:%')"
    )


def _widen() -> None:
    for table, column, _, wider in WIDER:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{column}")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{column} CHECK ({column} IN ({wider}))")


def _widen_in_sqlite() -> None:
    # SQLite cannot change a constraint, nor write a table anew that others refer to. What it allows is to edit the text
    # of one where no row has to change for it: https://www.sqlite.org/lang_altertable.html, "Making Other Kinds Of
    # Table Schema Changes". A wider CHECK holds for every row that the narrower one held for.
    connection = op.get_bind()
    version = connection.scalar(sa.text("PRAGMA schema_version"))
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    for table, column, narrower, wider in WIDER:
        found = f"CHECK ({column} IN ({narrower}))"
        edited = connection.execute(
            sa.text(
                "UPDATE sqlite_master SET sql = replace(sql, :found, :wanted) "
                "WHERE type = 'table' AND name = :name AND instr(sql, :found)"
            ),
            {"found": found, "wanted": f"CHECK ({column} IN ({wider}))", "name": table},
        )
        if edited.rowcount != 1:
            raise SchemaError(f"table {table} was changed by hand: put back {found} there, then upgrade again")
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")  # other connections read the text anew
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")  # and so does this one


def downgrade() -> None:
    raise NotImplementedError("stalesweep's schema only moves forward: restore a backup instead")
