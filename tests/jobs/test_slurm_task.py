"""When a task of an array puts itself back into the queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.jobs.slurm.task import _may_go_on


def test_a_task_gives_up_when_it_got_nowhere_twice_in_a_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mark = tmp_path / "fruitless-0"
    fruitless = [False, True, False, True, True]
    assert [_may_go_on(mark, one, 3, 50) for one in fruitless] == [True, True, True, True, False]
    assert "too short for one learner step" in caplog.text


def test_a_task_goes_on_no_more_often_than_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert _may_go_on(tmp_path / "fruitless-0", False, 1, 2)
    assert not _may_go_on(tmp_path / "fruitless-0", False, 2, 2)
    assert "2 times: not again" in caplog.text
