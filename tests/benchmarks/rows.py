"""What the benchmarks of the store write: records of weight syncs whose floats are as long as measured ones."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator

from grpo_worker.schema.records import SyncRecord

_FIELDS = {field.name: str(field.type) for field in dataclasses.fields(SyncRecord)}


def sync_records(k: int = 2, seed: int = 0) -> Iterator[SyncRecord]:
    """Records without an end, sync by sync; every metric has a value. Making one takes little time."""
    rng = random.Random(seed)
    drawn = [
        {name: rng.randrange(100) if kind == "int" else rng.random() for name, kind in _FIELDS.items()}
        for _ in range(50)
    ]
    for sync, values in enumerate(itertools.cycle(drawn)):
        values.update(sync=sync, learner_step=sync * k)
        yield SyncRecord(**values)  # type: ignore[arg-type]
