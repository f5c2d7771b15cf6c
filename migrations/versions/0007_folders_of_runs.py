"""A folder of a run has an id; SQLite names the folders below its own relative to that, so that a copy has its own."""

import sqlalchemy as sa
from alembic import op

from orchestrator.store import places

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("run", sa.Column("folder_id", sa.Text()))
    connection = op.get_bind()
    if places.base(connection) is None:
        return
    stored = sa.text(
        "SELECT run.id, directory, sweep.name, config_digest FROM run JOIN cell ON cell.id = run.cell_id "
        "JOIN sweep ON sweep.id = cell.sweep_id WHERE directory IS NOT NULL"
    )
    rows = [
        {"run": run, "path": path}
        for run, directory, sweep, digest in connection.execute(stored).all()
        if (path := places.after_a_copy(connection, directory, sweep, digest)) != directory
    ]
    if rows:
        connection.execute(sa.text("UPDATE run SET directory = :path WHERE id = :run"), rows)


def downgrade() -> None:
    raise NotImplementedError("stalesweep's schema only moves forward: restore a backup instead")
