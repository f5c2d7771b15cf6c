"""The names of states, outcomes and failure classes: complete, and the same wherever they are written down."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from grpo_worker.schema import records
from orchestrator.base.states import (
    EARLY_STOPS,
    FINAL,
    GOING,
    RESULTS,
    WITHOUT_RESULT,
    AttemptOutcome,
    FailureClass,
    RunState,
)

DOCS = Path(__file__).parents[2] / "docs"


def test_every_state_is_before_the_end_a_result_or_an_end_without_one() -> None:
    assert sorted([*GOING, *RESULTS, *WITHOUT_RESULT]) == sorted(RunState)


def test_an_attempt_can_end_as_its_worker_says_and_with_every_result_of_a_run() -> None:
    assert set(get_args(records.Outcome)) <= set(AttemptOutcome)
    assert set(map(str, RESULTS)) <= set(map(str, AttemptOutcome))


def test_early_stops_are_final() -> None:
    assert set(EARLY_STOPS) < set(FINAL)


def test_the_documentation_has_every_name() -> None:
    states, classes = (DOCS / "database.md").read_text(), (DOCS / "slurm.md").read_text()
    assert [state for state in RunState if f"`{state}`" not in states] == []
    assert [kind for kind in FailureClass if f"`{kind}`" not in classes] == []


def test_in_messages_they_look_as_they_are_stored() -> None:
    assert f"{RunState.LOST} {RunState.LOST!r} {[FailureClass.LOST]}" == "lost 'lost' ['lost']"
