"""An engine gap can be missing: where no token is consumed at lag 0 there is nothing to measure."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("sync_metric") as table:  # SQLite has to write the table anew
        table.alter_column("engine_gap", existing_type=sa.Double(), nullable=True)


def downgrade() -> None:
    raise NotImplementedError("stalesweep's schema only moves forward: restore a backup instead")
