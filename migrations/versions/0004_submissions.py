"""Job arrays as they were submitted, where in them each run is, classes of failures, and whose end was told."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CLASSES = (
    "'exception', 'diverged', 'gpu_out_of_memory', 'out_of_memory', 'time_limit', 'preempted', 'node_failure', "
    "'killed', 'cancelled', 'never_began', 'forgotten', 'stopped', 'lost'"
)


def upgrade() -> None:
    op.create_table(
        "submission",
        sa.Column("id", INT, nullable=False),
        sa.Column("sweep_id", INT, nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("resources", sa.JSON(), nullable=False),
        sa.Column("tasks", INT, nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.CheckConstraint("tasks >= 1", name="ck_submission_tasks"),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweep.id"], name="fk_submission_sweep_id_sweep"),
        sa.PrimaryKeyConstraint("id", name="pk_submission"),
        sa.UniqueConstraint("token", name="uq_submission_token"),
    )
    op.create_index("ix_submission_sweep_id", "submission", ["sweep_id"])
    # As text: Alembic leaves a column's own constraint out, and SQLite would have to write the table anew,
    # which it cannot while others refer to it.
    number = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    op.execute(
        f"ALTER TABLE run ADD COLUMN submission_id {number} "
        "CONSTRAINT fk_run_submission_id_submission REFERENCES submission (id)"
    )
    op.execute(
        f"ALTER TABLE run ADD COLUMN task {number} "
        "CONSTRAINT ck_run_placed CHECK ((submission_id IS NULL) = (task IS NULL))"
    )
    op.create_index("ix_run_submission_id", "run", ["submission_id"])
    for table in ("run", "attempt"):
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN failure_class TEXT "
            f"CONSTRAINT ck_{table}_failure_class CHECK (failure_class IN ({CLASSES}))"
        )
    op.add_column("attempt", sa.Column("node", sa.Text()))
    op.add_column("sweep", sa.Column("notified_at", sa.DateTime(timezone=True)))
    going = "SELECT cell.sweep_id FROM run JOIN cell ON cell.id = run.cell_id WHERE run.state IN "
    going += "('pending', 'queued', 'running')"
    op.execute(f"UPDATE sweep SET notified_at = created_at WHERE id NOT IN ({going})")
    of_class = "CASE WHEN failure LIKE 'diverged%' THEN 'diverged' ELSE 'exception' END"
    op.execute(f"UPDATE run SET failure_class = {of_class} WHERE state = 'failed'")
    op.execute(f"UPDATE attempt SET failure_class = {of_class} WHERE outcome IN ('failed', 'diverged')")
    op.execute("UPDATE run SET failure_class = 'lost' WHERE state = 'lost'")
    op.execute("UPDATE attempt SET failure_class = 'lost' WHERE outcome = 'lost'")
    op.execute("UPDATE attempt SET failure_class = 'stopped' WHERE outcome = 'interrupted'")


def downgrade() -> None:
    raise NotImplementedError("stalesweep's schema only moves forward: restore a backup instead")
