"""Journals, the provenance of attempts, and imported runs, which need not have every metric."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WHOLE = (
    "lag_min", "lag_p99", "lag_max", "dropped_groups", "rollout_tokens",
)  # fmt: skip
FLOATS = (
    "reward", "reward_std", "lag_mean", "gradient_norm", "update_norm", "drift_from_start", "drift_in_cycle",
    "path_length", "ratio_mean", "ratio_max", "clip_fraction_low", "clip_fraction_high", "kl_behavior",
    "kl_reference", "ess_token", "ess_sequence", "entropy", "completion_tokens", "truncated_fraction",
    "zero_std_fraction", "rollout_s", "learner_s", "sync_s", "idle_s",
)  # fmt: skip


def upgrade() -> None:
    # As text: Alembic leaves a column's own constraint out, and SQLite would have to write the table anew,
    # which it cannot while others refer to it.
    op.execute(
        "ALTER TABLE sweep ADD COLUMN source TEXT DEFAULT 'grid' NOT NULL "
        "CONSTRAINT ck_sweep_source CHECK (source IN ('grid', 'import'))"
    )
    op.add_column("run", sa.Column("directory", sa.Text()))
    op.add_column("attempt", sa.Column("git_commit", sa.Text()))
    op.add_column("attempt", sa.Column("git_dirty", sa.Boolean()))
    op.add_column("attempt", sa.Column("threads", INT))
    op.add_column("attempt", sa.Column("journal_bytes", INT, server_default="0", nullable=False))
    with op.batch_alter_table("evaluation") as table:
        table.alter_column("val_n", existing_type=INT, nullable=True)
    with op.batch_alter_table("sync_metric") as table:
        for name in WHOLE:
            table.alter_column(name, existing_type=INT, nullable=True)
        for name in FLOATS:
            table.alter_column(name, existing_type=sa.Double(), nullable=True)


def downgrade() -> None:
    raise NotImplementedError("stalesweep's schema only moves forward: restore a backup instead")
