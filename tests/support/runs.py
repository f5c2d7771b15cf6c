"""Short runs of the worker, and the parts of their records that tests compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grpo_worker.loop import run
from grpo_worker.schema.config import WorkerConfig
from grpo_worker.schema.records import Record, StartRecord, SyncRecord


def records_of(config: WorkerConfig, cache: Path, **options: Any) -> list[Record]:
    """All records that a run emits. The options are those of `grpo_worker.loop.run`."""
    records: list[Record] = []
    run(config, records.append, cache_dir=cache, **options)
    return records


def measured(records: list[Record]) -> list[Record]:
    """Records without their timings, which alone may differ between equal runs."""
    timings = {"rollout_s": 0.0, "learner_s": 0.0, "sync_s": 0.0, "idle_s": 0.0}
    return [dataclasses.replace(r, **timings) if isinstance(r, SyncRecord) else r
            for r in records if not isinstance(r, StartRecord)]  # fmt: skip


def of_type(records: list[Record], record_type: type) -> list[Any]:
    """The records of one type."""
    return [record for record in records if isinstance(record, record_type)]


def syncs_of(records: list[Record]) -> list[SyncRecord]:
    """The records of weight syncs."""
    return of_type(records, SyncRecord)


def stop_after(steps: int) -> Callable[[], bool]:
    """Make a `should_stop` that stops an attempt after so many learner steps."""
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) == steps

    return stop
