"""SEL: names, numbers and states find runs, and what is not there is named with what is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.base.errors import SelectionError
from orchestrator.grid.sweep import Sweep
from orchestrator.store import registration, submissions
from orchestrator.store.database import Store
from tests.support.lives import select

pytestmark = pytest.mark.services

Grid = Callable[..., Sweep]


@pytest.fixture
def stored(store: Store, grid: Grid) -> Store:
    registration.register(store, grid("first"))  # runs 1 to 4
    registration.register(store, grid("second", k=[2]))  # runs 5 and 6
    return store


def numbers(store: Store, *words: str, states: tuple[str, ...] = ()) -> list[int]:
    return [run.run_id for run in select(store, *words, states=states)]


def test_names_and_numbers(stored: Store) -> None:
    assert numbers(stored) == [1, 2, 3, 4, 5, 6]
    assert numbers(stored, "second") == [5, 6]
    assert numbers(stored, "6", "2", "second", "2") == [2, 5, 6], "each once, in the order of sweeps and grids"
    assert numbers(stored, "sweep:second", "run:1") == [1, 5, 6]


def test_states(stored: Store) -> None:
    submissions.set_queued(stored, [2, 5])
    assert numbers(stored, states=("queued",)) == [2, 5]
    assert numbers(stored, "first", states=("queued", "running")) == [2]
    assert numbers(stored, "second", states=("stable",)) == []


def test_a_run_is_selected_with_what_commands_need(stored: Store) -> None:
    registration.set_directories(stored, {5: "/runs/run-000005"})
    (run,) = select(stored, "5")
    assert (run.sweep, run.source, run.state, run.finished) == ("second", "grid", "pending", False)
    assert run.directory == "/runs/run-000005"
    assert len(run.config_digest) == 16


@pytest.mark.parametrize(
    ("words", "states", "message"),
    [
        (["secnod"], [], "no sweep named 'secnod'; did you mean 'second'?"),
        (["xyz"], [], "no sweep named 'xyz'; stored sweeps: first, second"),
        (["77"], [], "no run 77; they are numbered from 1 to 6"),
        (["run:first"], [], "no run first; they are numbered from 1 to 6"),
        (["9223372036854775808"], [], "no run 9223372036854775808; they are numbered from 1 to 6"),
        (["cell:2"], [], "'cell:2': write a sweep's name, a run's number, run:NUMBER or sweep:NAME"),
        ([], ["stabel"], "--state: no state 'stabel'; did you mean 'stable'?"),
        ([], ["stopped"], "--state: since schema 0006 runs that a search stopped early are 'cancelled'"),
        ([], ["done"], "--state: no state 'done'; expected one of pending, queued, running, collapsed"),
    ],
)
def test_what_is_not_there(stored: Store, words: list[str], states: list[str], message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        select(stored, *words, states=states)
    assert message in str(caught.value)


def test_all_mistakes_at_once(stored: Store) -> None:
    with pytest.raises(SelectionError) as caught:
        select(stored, "frist", "2", "9", states=["lots"])
    assert str(caught.value).splitlines() == [
        "--state: no state 'lots'; did you mean 'lost'?",
        "no sweep named 'frist'; did you mean 'first'?",
        "no run 9; they are numbered from 1 to 6",
    ]


def test_an_empty_database(store: Store) -> None:
    assert numbers(store) == []
    with pytest.raises(SelectionError, match="no run 1; the database holds none yet"):
        numbers(store, "1")


def test_a_sweep_may_be_called_like_a_run(stored: Store, grid: Grid) -> None:
    registration.register(stored, grid("'2'", k=[2]))
    registration.register(stored, grid("'77'", k=[2]))
    with pytest.raises(SelectionError, match="'2' is a run and the name of a sweep: write run:2 or sweep:2"):
        numbers(stored, "2")
    assert numbers(stored, "run:2") == [2]
    assert numbers(stored, "sweep:2") == [7, 8]
    assert numbers(stored, "77") == [9, 10]
