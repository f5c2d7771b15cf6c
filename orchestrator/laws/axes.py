"""Which parameters differ between groups of runs? Several groups under one likelihood, with slopes or levels shared.

Groups are the settings of further axes of one model, or models. T* has slopes b and q and a level c. The boundary has
slopes z₁ and z₂ (its steepness and a) and a level z₀. In the first fit each group has its own parameters; in the second
the slopes are shared, in the third the levels too. The loss of likelihood in each step tests what is shared in it. Each
group keeps its own scatter σ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from orchestrator.laws.estimates import LARGEST_LOG
from orchestrator.laws.forms import GroupComparison, GroupTest
from orchestrator.laws.horizon import identified_terms
from orchestrator.laws.identified import Array
from orchestrator.laws.joint import LEAST_SURVIVORS
from orchestrator.laws.likelihood import Outcomes
from orchestrator.laws.maximum import Held, Maximum, Restriction, maximise
from orchestrator.laws.profile import chi2_p_value, p_value
from orchestrator.laws.survival import outcomes_of

MOST_GROUPS = 12
"""More groups than this are not compared, because the search would have too many parameters."""

STEPS = {
    "exponents of T*": ((), ("b", "q")),
    "constant of T*": (("b", "q"), ("b", "q", "c")),
    "slopes of the boundary": ((), ("z1", "z2")),
    "constant of the boundary": (("z1", "z2"), ("z1", "z2", "z0")),
}
"""What is tested, and what the groups share before and after the step."""


def compare_groups(groups: Mapping[str, pd.DataFrame]) -> GroupComparison | None:
    """Test which parameters differ between groups; None if fewer than two groups can be fitted.

    Args:
        groups: Evidence that bounds T*, by the group's name. A group that does not identify the exponents of T* by
            itself is left out and named.
    """
    fitted = {name: rows for name, rows in groups.items() if "k" in identified_terms(rows[rows["collapsed"]])}
    if not 2 <= len(fitted) <= MOST_GROUPS:
        return None
    immune = all(int((~rows["collapsed"]).sum()) >= LEAST_SURVIVORS for rows in fitted.values())
    together, own = _together(list(fitted.values()), immune=immune)
    if own is None:
        return None
    steps = {what: step for what, step in STEPS.items() if immune or not what.endswith("boundary")}
    tests = (together.test(what, own, before, after) for what, (before, after) in steps.items())
    left_out = tuple(name for name in groups if name not in fitted)
    return GroupComparison(tuple(fitted), left_out, tuple(test for test in tests if test))


@dataclass(frozen=True, eq=False)
class _Together:
    """The likelihood of all groups, with log η and log k centred alike; parameters are one group's after another's."""

    outcomes: tuple[Outcomes, ...]

    precision: ClassVar[Mapping[str, float]] = {"maxiter": 2000}

    @property
    def names(self) -> tuple[str, ...]:
        return self.outcomes[0].names * len(self.outcomes)

    def penalised(self, parameters: Array) -> tuple[float, Array]:
        of_groups = parameters.reshape(len(self.outcomes), -1)
        each = [one.penalised(own) for own, one in zip(of_groups, self.outcomes, strict=True)]
        return sum(value for value, _ in each), np.concatenate([gradient for _, gradient in each])

    def test(self, what: str, own: Array, before: Sequence[str], after: Sequence[str]) -> GroupTest | None:
        """Test what is shared after a step but not before, from each group's own parameters."""
        loose = maximise(self, self._shared(before), [own])
        tight = maximise(self, self._shared(after), [loose.parameters]) if loose else None
        if loose is None or tight is None:
            return None
        loss, groups = 2 * (loose.log_likelihood - tight.log_likelihood), len(self.outcomes)
        restrictions = (len(after) - len(before)) * (groups - 1)
        if what.endswith("boundary"):
            return GroupTest(what, chi2_p_value(loss, restrictions), self._factors(what, loose))
        n = sum(int(one.runs[one.collapsed].sum()) for one in self.outcomes)
        free = 3 * groups - len(before) * (groups - 1)
        return GroupTest(what, p_value(loss, n, free, restrictions), self._factors(what, loose)) if n > free else None

    def _shared(self, shared: Sequence[str]) -> Restriction:
        """All groups have the first group's values of the shared parameters."""
        matrix = np.eye(len(self.names))
        gone: list[int] = []
        for name in shared:
            first, *others = self._places(name)
            matrix[others] = matrix[first]
            gone += others
        return Restriction(np.delete(matrix, gone, axis=1), np.zeros(len(matrix)))

    def _places(self, name: str) -> list[int]:
        return [place for place, one in enumerate(self.names) if one == name]

    def _factors(self, what: str, found: Maximum) -> tuple[float, ...]:
        """T*, or η_max, of each group over the first's; empty if slopes differ, since it then depends on k and η."""
        if what == "constant of T*":
            level = found.parameters[self._places("c")]
        elif what == "constant of the boundary":
            level = -found.parameters[self._places("z0")] / found.parameters[self._places("z1")]
        else:
            return ()
        return tuple(float(factor) for factor in np.exp(np.clip(level - level[0], -LARGEST_LOG, LARGEST_LOG)))


def _together(groups: Sequence[pd.DataFrame], *, immune: bool) -> tuple[_Together, Array | None]:
    """The likelihood of all groups, and each group's own parameters; None if one group's fit fails."""
    found = [outcomes_of(rows, immune=immune) for rows in groups]
    at_eta, at_k = (float(np.mean([centre[axis] for _, centre in found])) for axis in (0, 1))
    outcomes = tuple(
        replace(one, log_eta=one.log_eta + eta - at_eta, log_k=one.log_k + k - at_k) for one, (eta, k) in found
    )
    maxima = [maximise(one, Restriction.hold(one.names, Held()), one.starts()) for one in outcomes]
    own = [maximum.parameters for maximum in maxima if maximum]
    return _Together(outcomes), np.concatenate(own) if len(own) == len(maxima) else None
