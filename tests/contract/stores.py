"""What the store's tests write into it."""

from __future__ import annotations

import dataclasses
from typing import Any

from grpo_worker.records import EvalRecord, SyncRecord
from orchestrator.db.store import AttemptOrigin, Claim, Store

ORIGIN = AttemptOrigin("local", "12", None, 0, "node1", 4242, 1.5, "0.1.0")


def begin(
    store: Store, run_id: int, *, sync: int | None = None, step: int | None = None, take_over: bool = False
) -> Claim:
    claim = store.begin_attempt(run_id, ORIGIN, resumed_from_sync=sync, resumed_from_step=step, take_over=take_over)
    assert claim is not None
    return claim


def sync_record(sync: int, k: int = 2, **values: Any) -> SyncRecord:
    fields = {
        field.name: {"int": 1, "float": 0.5, "float | None": None}[str(field.type)]
        for field in dataclasses.fields(SyncRecord)
    }
    return SyncRecord(**{**fields, "sync": sync, "learner_step": sync * k, **values})


def eval_record(step: int, reward: float = 0.5) -> EvalRecord:
    return EvalRecord(learner_step=step, val_reward=reward, val_n=256)
