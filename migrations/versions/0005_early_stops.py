"""Runs that were ended early on purpose: one more state, and two classes that say why. Searches are told from grids."""

from alembic import op

from orchestrator.store.constraints import allow

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


def upgrade() -> None:
    for change in WIDER:
        allow(op.get_bind(), *change)
    # A grid file cannot have this section.
    op.execute(
        "UPDATE sweep SET source = 'search' "
        "WHERE source = 'grid' AND (grid_text LIKE 'search:%' OR grid_text LIKE '%\nsearch:%')"
    )


def downgrade() -> None:
    raise NotImplementedError("stalesweep's schema only moves forward: restore a backup instead")
