"""The tables: typed models with their constraints. docs/database.md says what each column means to a user.

    sweep ─< cell ─< run ─< attempt ─< sync_metric
        └< submission ─<┘           └< evaluation          fit

A change here needs a new revision in migrations/; a test compares the two, CHECK constraints included.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from orchestrator.base.states import AttemptOutcome, FailureClass, RunState
from orchestrator.store.types import NanFloat, UtcDateTime

SOURCES = ("grid", "search", "import")
"""Where a sweep's runs come from: all those of a grid file, those that a search chose, or a file of results."""


def _one_of(column: str, values: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(map(repr, values))})"


class Base(DeclarativeBase):
    """Base of all tables: constraint names that Alembic can refer to, and one SQL type per Python type."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        # SQLite generates keys only for a column declared INTEGER, which holds 64 bits there.
        int: BigInteger().with_variant(Integer(), "sqlite"),
        float: NanFloat(),
        str: Text(),
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(),
        list[int]: JSON(),
    }


class SweepRow(Base):
    """One grid file, by content; or one import, whose ``grid_text`` says what was imported."""

    __tablename__ = "sweep"
    __table_args__ = (CheckConstraint(_one_of("source", SOURCES), name="source"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    digest: Mapped[str]
    grid_text: Mapped[str]
    created_at: Mapped[datetime]
    source: Mapped[str] = mapped_column(server_default="grid")
    notified_at: Mapped[datetime | None]


class CellRow(Base):
    """One point of a grid without its seed."""

    __tablename__ = "cell"
    __table_args__ = (
        # The index behind this also serves "all cells of a sweep".
        UniqueConstraint("sweep_id", "model", "k", "eta", "axes"),
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint("k >= 1", name="k"),
        CheckConstraint("eta > 0", name="eta"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    sweep_id: Mapped[int] = mapped_column(ForeignKey("sweep.id"))
    position: Mapped[int]
    model: Mapped[str]
    k: Mapped[int]
    eta: Mapped[float] = mapped_column(Double)
    # Text, not JSON: Postgres has no equality for JSON, and identity needs one.
    axes: Mapped[str]


class RunRow(Base):
    """A cell and a seed; its state, and its result once it has one."""

    __tablename__ = "run"
    __table_args__ = (
        UniqueConstraint("cell_id", "seed"),
        CheckConstraint(_one_of("state", RunState), name="state"),
        CheckConstraint("horizon >= 1", name="horizon"),
        CheckConstraint("learner_steps BETWEEN 0 AND horizon", name="learner_steps"),
        CheckConstraint("fence >= 0", name="fence"),
        CheckConstraint("(state = 'collapsed') = (collapse_step IS NOT NULL)", name="collapsed"),
        CheckConstraint("collapse_step BETWEEN 1 AND horizon", name="collapse_step"),
        CheckConstraint("collapse_step_lo >= 0 AND collapse_step_lo < collapse_step", name="collapse_step_lo"),
        CheckConstraint("collapse_sync >= 0", name="collapse_sync"),
        CheckConstraint(_one_of("failure_class", FailureClass), name="failure_class"),
        CheckConstraint("(submission_id IS NULL) = (task IS NULL)", name="placed"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    cell_id: Mapped[int] = mapped_column(ForeignKey("cell.id"))
    seed: Mapped[int]
    state: Mapped[str]
    config: Mapped[dict[str, Any]]
    config_digest: Mapped[str]
    resources: Mapped[dict[str, Any]]
    horizon: Mapped[int]
    learner_steps: Mapped[int]
    collapse_step: Mapped[int | None]
    collapse_step_lo: Mapped[int | None]
    collapse_sync: Mapped[int | None]
    collapse_detector: Mapped[str | None]
    failure: Mapped[str | None]
    fence: Mapped[int]
    code_version: Mapped[str]
    git_commit: Mapped[str | None]
    updated_at: Mapped[datetime]
    directory: Mapped[str | None]
    failure_class: Mapped[str | None]
    submission_id: Mapped[int | None] = mapped_column(ForeignKey("submission.id"), index=True)
    task: Mapped[int | None]
    folder_id: Mapped[str | None]


class Submission(Base):
    """One job array: written before it is submitted, so that one whose answer was lost can be found by its token."""

    __tablename__ = "submission"
    __table_args__ = (CheckConstraint("tasks >= 1", name="tasks"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    sweep_id: Mapped[int] = mapped_column(ForeignKey("sweep.id"), index=True)
    token: Mapped[str] = mapped_column(unique=True)
    job_name: Mapped[str]
    folder: Mapped[str]
    resources: Mapped[dict[str, Any]]
    tasks: Mapped[int]
    submitted_at: Mapped[datetime]
    job_id: Mapped[str | None]


class Attempt(Base):
    """One execution of a run. The newest one's number is the run's fence."""

    __tablename__ = "attempt"
    __table_args__ = (
        CheckConstraint("number >= 1", name="number"),
        CheckConstraint(_one_of("outcome", AttemptOutcome), name="outcome"),
        CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="ended"),
        CheckConstraint(_one_of("failure_class", FailureClass), name="failure_class"),
    )

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    executor: Mapped[str]
    job_id: Mapped[str | None]
    task_id: Mapped[str | None]
    restart_count: Mapped[int]
    host: Mapped[str]
    pid: Mapped[int]
    process_started_at: Mapped[float]
    started_at: Mapped[datetime]
    ready_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    failure: Mapped[str | None]
    resumed_from_sync: Mapped[int | None]
    resumed_from_step: Mapped[int | None]
    versions: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    device: Mapped[str | None]
    parameters: Mapped[int | None]
    setup_s: Mapped[float | None]
    code_version: Mapped[str]
    git_commit: Mapped[str | None]
    git_dirty: Mapped[bool | None]
    threads: Mapped[int | None]
    journal_bytes: Mapped[int] = mapped_column(server_default="0")
    failure_class: Mapped[str | None]
    node: Mapped[str | None]


class SyncMetric(Base):
    """One weight sync and its rollout cycle: `grpo_worker.schema.records.SyncRecord`, column by column.

    Imported runs have what was measured where they were trained, so every metric may be missing.
    """

    __tablename__ = "sync_metric"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "attempt"], ["attempt.run_id", "attempt.number"]),
        CheckConstraint("sync >= 0", name="sync"),
        CheckConstraint("learner_step >= 0", name="learner_step"),
    )

    run_id: Mapped[int] = mapped_column(primary_key=True)
    sync: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    learner_step: Mapped[int]
    reward: Mapped[float | None]
    reward_std: Mapped[float | None]
    val_reward: Mapped[float | None]
    lag_min: Mapped[int | None]
    lag_mean: Mapped[float | None]
    lag_p99: Mapped[int | None]
    lag_max: Mapped[int | None]
    cosine_update_within: Mapped[float | None]
    cosine_update_across: Mapped[float | None]
    cosine_gradient_within: Mapped[float | None]
    cosine_gradient_across: Mapped[float | None]
    gradient_norm: Mapped[float | None]
    update_norm: Mapped[float | None]
    drift_from_start: Mapped[float | None]
    drift_in_cycle: Mapped[float | None]
    path_length: Mapped[float | None]
    ratio_mean: Mapped[float | None]
    ratio_max: Mapped[float | None]
    clip_fraction_low: Mapped[float | None]
    clip_fraction_high: Mapped[float | None]
    kl_behavior: Mapped[float | None]
    kl_reference: Mapped[float | None]
    ess_token: Mapped[float | None]
    ess_sequence: Mapped[float | None]
    entropy: Mapped[float | None]
    completion_tokens: Mapped[float | None]
    truncated_fraction: Mapped[float | None]
    zero_std_fraction: Mapped[float | None]
    engine_gap: Mapped[float | None]
    dropped_groups: Mapped[int | None]
    rollout_s: Mapped[float | None]
    learner_s: Mapped[float | None]
    sync_s: Mapped[float | None]
    idle_s: Mapped[float | None]
    rollout_tokens: Mapped[int | None]


class Evaluation(Base):
    """One validation, on a grid of learner steps that does not depend on k."""

    __tablename__ = "evaluation"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "attempt"], ["attempt.run_id", "attempt.number"]),
        CheckConstraint("learner_step >= 0", name="learner_step"),
        CheckConstraint("val_n >= 1", name="val_n"),
    )

    run_id: Mapped[int] = mapped_column(primary_key=True)
    learner_step: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    val_reward: Mapped[float]
    val_n: Mapped[int | None]


class Fit(Base):
    """What was fitted, from which runs, with which code, and its result."""

    __tablename__ = "fit"

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    sweeps: Mapped[list[str]]
    run_ids: Mapped[list[int]]
    code_version: Mapped[str]
    detector: Mapped[str]
    result: Mapped[dict[str, Any]]
