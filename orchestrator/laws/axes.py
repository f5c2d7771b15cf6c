"""Did the constant move, or the exponent? Several groups of runs under one likelihood, with slopes or levels shared.

Groups are the settings of further axes of one model, or models. T* has slopes b and q and a level c; the boundary has
slopes z₁ and z₂ (that is a, and how sharp it is) and a level z₀. First each group has its own; then slopes are shared;
then levels too. What each step loses in likelihood tests it. Scatter σ stays each group's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from orchestrator.laws.estimates import LARGEST_LOG
from orchestrator.laws.forms import GroupComparison, GroupTest
from orchestrator.laws.horizon import identified_terms
from orchestrator.laws.identified import Array
from orchestrator.laws.joint import LEAST_SURVIVORS
from orchestrator.laws.likelihood import (
    LATENCY,
    LOG_SIGMA,
    PARAMETERS,
    Held,
    Outcomes,
    Restriction,
    maximise,
    negative_log_likelihood,
)
from orchestrator.laws.profile import chi2_p_value, p_value
from orchestrator.laws.survival import outcomes_of

MOST_GROUPS = 12
"""More groups are not compared: their parameters would outgrow the search."""

STEPS = {
    "exponents of T*": ((), ("b", "q")),
    "constant of T*": (("b", "q"), ("b", "q", "c")),
    "slopes of the boundary": ((), ("z1", "z2")),
    "constant of the boundary": (("z1", "z2"), ("z1", "z2", "z0")),
}
"""What is tested, and what the groups share before and after."""


def compare_groups(groups: Mapping[str, pd.DataFrame]) -> GroupComparison | None:
    """Test which parameters differ between groups; None where fewer than two groups can be fitted.

    Args:
        groups: Evidence that bounds T*, by the group's name. A group that does not identify the exponents of T* alone
            is left out and named.
    """
    fitted = {name: rows for name, rows in groups.items() if "k" in identified_terms(rows[rows["collapsed"]])}
    if not 2 <= len(fitted) <= MOST_GROUPS:
        return None
    immune = all(int((~rows["collapsed"]).sum()) >= LEAST_SURVIVORS for rows in fitted.values())
    together = _Together.of(list(fitted.values()), immune=immune)
    if together is None:
        return None
    steps = {what: step for what, step in STEPS.items() if immune or not what.endswith("boundary")}
    tests = tuple(test for what, (before, after) in steps.items() if (test := together.test(what, before, after)))
    return GroupComparison(tuple(fitted), tuple(name for name in groups if name not in fitted), tests)


@dataclass(frozen=True, eq=False)
class _Together:
    """All groups on common axes, and their own maxima, one after the other."""

    outcomes: tuple[Outcomes, ...]
    own: Array

    @classmethod
    def of(cls, groups: Sequence[pd.DataFrame], *, immune: bool) -> _Together | None:
        found = [outcomes_of(rows, immune=immune) for rows in groups]
        at_eta, at_k = (float(np.mean([centre[axis] for _, centre in found])) for axis in (0, 1))
        common = tuple(
            replace(one, log_eta=one.log_eta + eta - at_eta, log_k=one.log_k + k - at_k) for one, (eta, k) in found
        )
        maxima = [maximise(one, Restriction.hold(immune=immune, held=Held())) for one in common]
        if any(maximum is None for maximum in maxima):
            return None
        return cls(common, np.concatenate([maximum.parameters for maximum in maxima if maximum]))

    @property
    def names(self) -> tuple[str, ...]:
        return PARAMETERS if self.outcomes[0].immune else PARAMETERS[:LATENCY]

    def test(self, what: str, before: Sequence[str], after: Sequence[str]) -> GroupTest | None:
        """What sharing more loses, and by which factor each group's level differs from the first's before it."""
        own, start = self.maximise(before, self.own)
        shared, _ = self.maximise(after, start)
        loss, restrictions = 2 * (own - shared), (len(after) - len(before)) * (len(self.outcomes) - 1)
        if what.endswith("boundary"):
            p = chi2_p_value(loss, restrictions)
        else:
            n = sum(int(one.runs[one.collapsed].sum()) for one in self.outcomes)
            free = 3 * len(self.outcomes) - len(before) * (len(self.outcomes) - 1)
            if n <= free:
                return None
            p = p_value(loss, n, free, restrictions)
        return GroupTest(what, p, self._factors(what, start))

    def maximise(self, shared: Sequence[str], start: Array) -> tuple[float, Array]:
        """Log-likelihood and all groups' parameters with some of them shared."""
        matrix = self._matrix(shared)

        def objective(free: Array) -> tuple[float, Array]:
            parameters = (matrix @ free).reshape(len(self.outcomes), -1)
            each = [negative_log_likelihood(own, one) for own, one in zip(parameters, self.outcomes, strict=True)]
            return sum(value for value, _ in each), matrix.T @ np.concatenate([gradient for _, gradient in each])

        sigmas = self._places("log_sigma")
        bounds = [LOG_SIGMA if column[sigmas].any() else (None, None) for column in matrix.T]
        first = np.linalg.lstsq(matrix, start, rcond=None)[0]
        result = minimize(objective, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 2000})
        return -float(result.fun), matrix @ result.x

    def _matrix(self, shared: Sequence[str]) -> Array:
        """From free parameters to all groups'."""
        matrix = np.eye(len(self.own))
        gone: list[int] = []
        for name in shared:
            first, *others = self._places(name)
            matrix[others] = matrix[first]
            gone += others
        return np.delete(matrix, gone, axis=1)

    def _places(self, name: str) -> list[int]:
        return [group * len(self.names) + self.names.index(name) for group in range(len(self.outcomes))]

    def _factors(self, what: str, parameters: Array) -> tuple[float, ...]:
        """Of T*, or of η_max, against the first group; empty where slopes differ, since it then depends on k and η."""
        if what == "constant of T*":
            level = parameters[self._places("c")]
        elif what == "constant of the boundary":
            level = -parameters[self._places("z0")] / parameters[self._places("z1")]
        else:
            return ()
        return tuple(float(factor) for factor in np.exp(np.clip(level - level[0], -LARGEST_LOG, LARGEST_LOG)))
