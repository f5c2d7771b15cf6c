"""The first schema: sweeps, cells, runs, attempts, metrics, evaluations, fits."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# What the models mean today; a revision never imports them, since they move on and it must not.
INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLOAT = sa.Double()
TEXT = sa.Text()
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON()


def upgrade() -> None:
    op.create_table(
        "sweep",
        sa.Column("id", INT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("grid_text", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sweep"),
        sa.UniqueConstraint("name", name="uq_sweep_name"),
    )
    op.create_table(
        "cell",
        sa.Column("id", INT, nullable=False),
        sa.Column("sweep_id", INT, nullable=False),
        sa.Column("position", INT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("k", INT, nullable=False),
        sa.Column("eta", FLOAT, nullable=False),
        sa.Column("axes", TEXT, nullable=False),
        sa.CheckConstraint("eta > 0", name="ck_cell_eta"),
        sa.CheckConstraint("k >= 1", name="ck_cell_k"),
        sa.CheckConstraint("position >= 0", name="ck_cell_position"),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweep.id"], name="fk_cell_sweep_id_sweep"),
        sa.PrimaryKeyConstraint("id", name="pk_cell"),
        sa.UniqueConstraint("sweep_id", "model", "k", "eta", "axes", name="uq_cell_sweep_id_model_k_eta_axes"),
    )
    op.create_table(
        "run",
        sa.Column("id", INT, nullable=False),
        sa.Column("cell_id", INT, nullable=False),
        sa.Column("seed", INT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("config", JSON, nullable=False),
        sa.Column("config_digest", TEXT, nullable=False),
        sa.Column("resources", JSON, nullable=False),
        sa.Column("horizon", INT, nullable=False),
        sa.Column("learner_steps", INT, nullable=False),
        sa.Column("collapse_step", INT, nullable=True),
        sa.Column("collapse_step_lo", INT, nullable=True),
        sa.Column("collapse_sync", INT, nullable=True),
        sa.Column("collapse_detector", TEXT, nullable=True),
        sa.Column("failure", TEXT, nullable=True),
        sa.Column("fence", INT, nullable=False),
        sa.Column("code_version", TEXT, nullable=False),
        sa.Column("git_commit", TEXT, nullable=True),
        sa.Column("updated_at", TIME, nullable=False),
        sa.CheckConstraint("(state = 'collapsed') = (collapse_step IS NOT NULL)", name="ck_run_collapsed"),
        sa.CheckConstraint(
            "state IN ('pending', 'queued', 'running', 'collapsed', 'degraded', 'stable', "
            "'failed', 'lost', 'cancelled')",
            name="ck_run_state",
        ),
        sa.CheckConstraint("collapse_step BETWEEN 1 AND horizon", name="ck_run_collapse_step"),
        sa.CheckConstraint(
            "collapse_step_lo >= 0 AND collapse_step_lo < collapse_step", name="ck_run_collapse_step_lo"
        ),
        sa.CheckConstraint("collapse_sync >= 0", name="ck_run_collapse_sync"),
        sa.CheckConstraint("fence >= 0", name="ck_run_fence"),
        sa.CheckConstraint("horizon >= 1", name="ck_run_horizon"),
        sa.CheckConstraint("learner_steps BETWEEN 0 AND horizon", name="ck_run_learner_steps"),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name="fk_run_cell_id_cell"),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        sa.UniqueConstraint("cell_id", "seed", name="uq_run_cell_id_seed"),
    )
    op.create_table(
        "attempt",
        sa.Column("run_id", INT, nullable=False),
        sa.Column("number", INT, nullable=False),
        sa.Column("executor", TEXT, nullable=False),
        sa.Column("job_id", TEXT, nullable=True),
        sa.Column("task_id", TEXT, nullable=True),
        sa.Column("restart_count", INT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("pid", INT, nullable=False),
        sa.Column("process_started_at", FLOAT, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ready_at", TIME, nullable=True),
        sa.Column("heartbeat_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("outcome", TEXT, nullable=True),
        sa.Column("failure", TEXT, nullable=True),
        sa.Column("resumed_from_sync", INT, nullable=True),
        sa.Column("resumed_from_step", INT, nullable=True),
        sa.Column("versions", JSON, nullable=True),
        sa.Column("device", TEXT, nullable=True),
        sa.Column("parameters", INT, nullable=True),
        sa.Column("setup_s", FLOAT, nullable=True),
        sa.Column("code_version", TEXT, nullable=False),
        sa.CheckConstraint(
            "outcome IN ('collapsed', 'degraded', 'stable', 'diverged', 'interrupted', 'failed', 'lost')",
            name="ck_attempt_outcome",
        ),
        sa.CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="ck_attempt_ended"),
        sa.CheckConstraint("number >= 1", name="ck_attempt_number"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_attempt_run_id_run"),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_attempt"),
    )
    op.create_table(
        "sync_metric",
        sa.Column("run_id", INT, nullable=False),
        sa.Column("sync", INT, nullable=False),
        sa.Column("attempt", INT, nullable=False),
        sa.Column("learner_step", INT, nullable=False),
        sa.Column("reward", FLOAT, nullable=False),
        sa.Column("reward_std", FLOAT, nullable=False),
        sa.Column("val_reward", FLOAT, nullable=True),
        sa.Column("lag_min", INT, nullable=False),
        sa.Column("lag_mean", FLOAT, nullable=False),
        sa.Column("lag_p99", INT, nullable=False),
        sa.Column("lag_max", INT, nullable=False),
        sa.Column("cosine_update_within", FLOAT, nullable=True),
        sa.Column("cosine_update_across", FLOAT, nullable=True),
        sa.Column("cosine_gradient_within", FLOAT, nullable=True),
        sa.Column("cosine_gradient_across", FLOAT, nullable=True),
        sa.Column("gradient_norm", FLOAT, nullable=False),
        sa.Column("update_norm", FLOAT, nullable=False),
        sa.Column("drift_from_start", FLOAT, nullable=False),
        sa.Column("drift_in_cycle", FLOAT, nullable=False),
        sa.Column("path_length", FLOAT, nullable=False),
        sa.Column("ratio_mean", FLOAT, nullable=False),
        sa.Column("ratio_max", FLOAT, nullable=False),
        sa.Column("clip_fraction_low", FLOAT, nullable=False),
        sa.Column("clip_fraction_high", FLOAT, nullable=False),
        sa.Column("kl_behavior", FLOAT, nullable=False),
        sa.Column("kl_reference", FLOAT, nullable=False),
        sa.Column("ess_token", FLOAT, nullable=False),
        sa.Column("ess_sequence", FLOAT, nullable=False),
        sa.Column("entropy", FLOAT, nullable=False),
        sa.Column("completion_tokens", FLOAT, nullable=False),
        sa.Column("truncated_fraction", FLOAT, nullable=False),
        sa.Column("zero_std_fraction", FLOAT, nullable=False),
        sa.Column("engine_gap", FLOAT, nullable=False),
        sa.Column("dropped_groups", INT, nullable=False),
        sa.Column("rollout_s", FLOAT, nullable=False),
        sa.Column("learner_s", FLOAT, nullable=False),
        sa.Column("sync_s", FLOAT, nullable=False),
        sa.Column("idle_s", FLOAT, nullable=False),
        sa.Column("rollout_tokens", INT, nullable=False),
        sa.CheckConstraint("learner_step >= 0", name="ck_sync_metric_learner_step"),
        sa.CheckConstraint("sync >= 0", name="ck_sync_metric_sync"),
        sa.ForeignKeyConstraint(
            ["run_id", "attempt"],
            ["attempt.run_id", "attempt.number"],
            name="fk_sync_metric_run_id_attempt_attempt",
        ),
        sa.PrimaryKeyConstraint("run_id", "sync", name="pk_sync_metric"),
    )
    op.create_table(
        "evaluation",
        sa.Column("run_id", INT, nullable=False),
        sa.Column("learner_step", INT, nullable=False),
        sa.Column("attempt", INT, nullable=False),
        sa.Column("val_reward", FLOAT, nullable=False),
        sa.Column("val_n", INT, nullable=False),
        sa.CheckConstraint("learner_step >= 0", name="ck_evaluation_learner_step"),
        sa.CheckConstraint("val_n >= 1", name="ck_evaluation_val_n"),
        sa.ForeignKeyConstraint(
            ["run_id", "attempt"],
            ["attempt.run_id", "attempt.number"],
            name="fk_evaluation_run_id_attempt_attempt",
        ),
        sa.PrimaryKeyConstraint("run_id", "learner_step", name="pk_evaluation"),
    )
    op.create_table(
        "fit",
        sa.Column("id", INT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("sweeps", JSON, nullable=False),
        sa.Column("run_ids", JSON, nullable=False),
        sa.Column("code_version", TEXT, nullable=False),
        sa.Column("detector", TEXT, nullable=False),
        sa.Column("result", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fit"),
    )


def downgrade() -> None:
    raise NotImplementedError("stalesweep's schema only moves forward: restore a backup instead")
