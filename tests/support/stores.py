"""What the store's tests write into it."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import select

from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.records import EvalRecord, FinishRecord, Record, StartRecord, SyncRecord
from orchestrator.rundir.journal import Chunk
from orchestrator.store import attempts, queries
from orchestrator.store.attempts import AttemptOrigin, Claim
from orchestrator.store.database import Store
from orchestrator.store.ingest import ingest
from orchestrator.store.models import Attempt, RunRow

_NAMES = {StartRecord: "start", EvalRecord: "eval", SyncRecord: "sync", FinishRecord: "finish"}

ORIGIN = AttemptOrigin("local", "12", None, 0, "node1", 4242, 1.5, "0.1.0")


def begin(
    store: Store, run_id: int, *, sync: int | None = None, step: int | None = None, take_over: bool = False
) -> Claim:
    """Begin the next attempt of a run."""
    claim = next_claim(store, run_id)
    assert attempts.begin(store, claim, ORIGIN, resumed_from_sync=sync, resumed_from_step=step, take_over=take_over)
    return claim


def next_claim(store: Store, run_id: int) -> Claim:
    """What the next attempt of a run has to claim."""
    steps_per_sync = config_of(store, run_id).steps_per_sync
    with store.read() as connection:
        fence = connection.execute(select(RunRow.fence).where(RunRow.id == run_id)).scalar_one()
    return Claim(run_id, fence + 1, steps_per_sync)


def config_of(store: Store, run_id: int) -> WorkerConfig:
    """A run's config, as it is stored."""
    return WorkerConfig.model_validate(queries.run_configs(store, [run_id])[run_id])


def write(store: Store, claim: Claim, *records: Record) -> None:
    """Store records as if they were the next in the attempt's journal."""
    with store.read() as connection:
        its_row = (Attempt.run_id == claim.run_id, Attempt.number == claim.attempt)
        stored = connection.execute(select(Attempt.journal_bytes).where(*its_row)).scalar_one()
    entries = [{"record": _NAMES[type(record)], "elapsed_s": 1.0, **dataclasses.asdict(record)} for record in records]
    ingest(store, claim, Chunk(entries, stored, stored + 1, []))


def sync_record(sync: int, k: int = 2, **values: Any) -> SyncRecord:
    fields = {
        field.name: {"int": 1, "float": 0.5, "float | None": None}[str(field.type)]
        for field in dataclasses.fields(SyncRecord)
    }
    return SyncRecord(**{**fields, "sync": sync, "learner_step": sync * k, **values})


def eval_record(step: int, reward: float = 0.5) -> EvalRecord:
    return EvalRecord(learner_step=step, val_reward=reward, val_n=256)
