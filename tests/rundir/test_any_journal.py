"""Whatever stands in a journal, reading it ends, in order, and never with an uncaught error."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from orchestrator.rundir import journal, writing
from tests.support.damage import any_bytes, edited

NOWHERE = {"resumed_from_sync": None, "resumed_from_step": None}
RECORDS: list[dict[str, Any]] = [
    {"record": "begin", "elapsed_s": 0.0, "sweep": "s", "config_digest": "d", **NOWHERE, "origin": {"pid": 7}},
    {"record": "sync", "elapsed_s": 1.5, "sync": 0, "learner_step": 0, "reward": 0.5},
    {"record": "eval", "elapsed_s": 1.6, "learner_step": 8, "val_reward": 0.25, "val_n": 64},
    {"record": "finish", "elapsed_s": 2.0, "outcome": "stable", "learner_steps": 8},
]


def line(record: Any) -> bytes:
    body = to_json(record, inf_nan_mode="constants")
    return b"%08x %s\n" % (zlib.crc32(body), body)


GOOD = [b"".join(map(line, RECORDS)), line(RECORDS[0]), b""]
KINDS = ("begin", "start", "eval", "sync", "finish", "fail", "beat", "cancel", "stop")


def read_all(content: bytes) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = journal.path_of(Path(folder), 1)
        path.write_bytes(content)
        entries, at = [], 0
        while (chunk := journal.read(path, at, limit=2)).entries:
            assert at < chunk.end <= len(content)
            entries += chunk.entries
            at = chunk.end
        last = journal.last(path)
        writing.mend(Path(folder), before=2)
        assert journal.read(path).entries == journal.read(path, limit=1000).entries
    assert (last is None) == (not entries)
    return entries


@given(any_bytes(GOOD))
def test_any_file_is_read_to_its_end(content: bytes) -> None:
    for entry in read_all(content):
        assert isinstance(entry, dict)


@given(st.sampled_from(RECORDS).flatmap(edited) | st.recursive(st.none() | st.text(), st.lists))
def test_a_whole_line_with_odd_content_is_left_out_or_read(record: Any) -> None:
    try:
        odd = line(record)
    except ValueError:  # a lone surrogate is no JSON
        return
    entries = read_all(line(RECORDS[0]) + odd + line(RECORDS[3]))
    assert (entries[0], entries[-1]) == (RECORDS[0], RECORDS[3])
    for entry in entries:
        assert entry["record"] in KINDS
        assert entry["elapsed_s"] >= 0
