"""Records as lines of JSON."""

from __future__ import annotations

import dataclasses
import math

import pytest

from grpo_worker.schema.records import EvalRecord, FinishRecord, Record, StartRecord, SyncRecord, from_json, to_json
from tests.support.fake_worker import sync

RECORDS: list[Record] = [
    StartRecord(None, None, 7, "cpu", {"python": "3"}, 1, 0.5),
    StartRecord(2, 9, 7, "cuda:0", {}, 1, 0.5),
    EvalRecord(8, math.inf, 256),
    dataclasses.replace(sync(3, 4), engine_gap=None),
    FinishRecord("collapsed", 100, "half", 40, 32, 5),
    FinishRecord("diverged", 3, "zero", detail="the loss is not finite"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_survive_a_round_trip(record: Record) -> None:
    line = to_json(record)
    assert "\n" not in line
    assert from_json(line) == record


def test_nan_stays_nan_and_none_stays_none() -> None:
    found = from_json(to_json(dataclasses.replace(sync(1, 4), reward=math.nan, val_reward=None)))
    assert isinstance(found, SyncRecord)
    assert math.isnan(found.reward)
    assert found.val_reward is None


@pytest.mark.parametrize(
    "line", ['{"record": "other"}', '{"learner_step": 8}', '{"record": "eval"}', "[1]", "3", "null", "torn {", ""]
)
def test_a_line_that_is_no_record_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"not a record|Expecting"):
        from_json(line)
