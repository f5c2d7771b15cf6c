"""Early stops are cancelled runs; that a run was removed, or diverged, is a failure class and no longer a sentence."""

from alembic import op

from orchestrator.store.constraints import allow

revision = "0006"
down_revision = "0005"

STATES = "'pending', 'queued', 'running', 'collapsed', 'degraded', 'stable', 'failed', 'lost', 'cancelled'"
CLASSES = (
    "'exception', 'diverged', 'gpu_out_of_memory', 'out_of_memory', 'time_limit', 'preempted', 'node_failure', "
    "'killed', 'cancelled', 'never_began', 'forgotten', 'stopped', 'lost', 'predicted_collapse', 'decided'"
)
CHANGES = (
    ("run", "state", f"{STATES}, 'stopped'", STATES),
    ("run", "failure_class", CLASSES, f"{CLASSES}, 'removed'"),
    ("attempt", "failure_class", CLASSES, f"{CLASSES}, 'removed'"),
)


def upgrade() -> None:
    # A stopped run without a class was treated as one whose collapse was predicted.
    op.execute(
        "UPDATE run SET failure_class = 'predicted_collapse' "
        "WHERE state = 'stopped' AND coalesce(failure_class, '') NOT IN ('predicted_collapse', 'decided')"
    )
    op.execute("UPDATE run SET state = 'cancelled' WHERE state = 'stopped'")
    op.execute(
        "UPDATE run SET failure_class = 'diverged' WHERE state = 'failed' AND substr(failure, 1, 8) = 'diverged'"
    )
    for change in CHANGES:
        allow(op.get_bind(), *change)
    removed = "state = 'cancelled' AND failure = 'removed by `stalesweep rm`'"
    op.execute(f"UPDATE run SET failure_class = 'removed' WHERE {removed}")


def downgrade() -> None:
    raise NotImplementedError("stalesweep's schema only moves forward: restore a backup instead")
