"""Groups of runs under shared slopes: parameters that differ are found, others are not."""

from __future__ import annotations

import pandas as pd
import pytest

from orchestrator.laws.axes import compare_groups
from orchestrator.laws.cells import evidence
from orchestrator.laws.fit import fit_laws
from orchestrator.laws.forms import GroupComparison
from orchestrator.report.tables import render
from tests.benchmarks.simulated import GRIDS, World


def runs(world: World, seed: int) -> pd.DataFrame:
    return world.sweep(GRIDS["4x7x3"], seed)[0]


def between(*worlds: World) -> GroupComparison:
    rows = {f"group {number}": evidence(runs(world, 3 + number)) for number, world in enumerate(worlds)}
    comparison = compare_groups({name: members[members["bounds"]] for name, members in rows.items()})
    assert comparison is not None
    return comparison


SAME = World(1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("other", "moved", "factor"),
    [
        (World(1.0, 1.0, 0.0, step_at_8=120.0), "constant of T*", 2.0),
        (World(1.0, 1.0, 0.0, eta_at_8=2.8e-3), "constant of the boundary", 4.0),
        (World(1.0, 2.0, 0.0), "exponents of T*", None),
        (World(-0.5, 1.0, 0.0), "slopes of the boundary", None),
    ],
)
def test_what_moved_is_found(other: World, moved: str, factor: float | None) -> None:
    tests = {test.what: test for test in between(SAME, other).tests}
    assert tests[moved].p < 0.01
    if factor:
        assert tests[moved].factors[0] == 1.0 and 0.6 * factor < tests[moved].factors[1] < 1.6 * factor
        slopes = {"constant of T*": "exponents of T*", "constant of the boundary": "slopes of the boundary"}[moved]
        assert tests[slopes].p > 0.05
    else:
        assert tests[moved].factors == ()


def test_groups_that_tell_too_little_are_named_and_one_group_is_not_compared() -> None:
    none = runs(SAME, 3).assign(state="stable", collapse_step=pd.NA, collapse_step_lo=pd.NA)
    rows = {"a": evidence(runs(SAME, 3)), "b": evidence(runs(SAME, 4)), "none": evidence(none)}
    comparison = compare_groups(rows)
    assert comparison is not None and comparison.left_out == ("none",) and comparison.groups == ("a", "b")
    assert compare_groups({"a": rows["a"], "none": rows["none"]}) is None


def test_every_face_says_what_moved_between_settings_of_an_axis() -> None:
    both = pd.concat([
        runs(SAME, 3).assign(axes='{"clip_eps": 0.2}'),
        runs(World(1.0, 1.0, 0.0, step_at_8=120.0), 4).assign(axes='{"clip_eps": 1.0}'),
    ], ignore_index=True)  # fmt: skip
    laws = fit_laws(both.assign(run=range(len(both))))
    (comparison,) = laws.comparisons
    assert comparison.groups == ("simulated · clip_eps=0.2", "simulated · clip_eps=1.0")
    for format in ("table", "markdown", "latex"):
        text = " ".join(render(laws, format).split())
        assert "the constant differs" in text and "Between simulated" in text
    assert laws.to_json()["comparisons"][0]["tests"][1]["what"] == "constant of T*"
