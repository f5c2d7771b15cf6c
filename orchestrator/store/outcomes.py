"""How the runs of all sweeps ended; searches and dry runs learn from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from orchestrator.store.database import reads
from orchestrator.store.models import CellRow, RunRow
from orchestrator.store.queries import DECIDED


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a finished run ended, or one that was stopped early."""

    model: str
    axes: str  # further axes as JSON with sorted keys
    k: int
    eta: float
    seed: int
    learner_steps: int  # how far it was trained
    collapse_step: int | None  # T*; None if it did not collapse
    config: Mapping[str, Any]  # what it was trained with; {} if it was imported

    def collapsed_by(self, horizon: int) -> bool | None:
        """Whether it collapsed within so many learner steps; None if it was not trained so long."""
        if self.collapse_step is not None and self.collapse_step <= horizon:
            return True
        return False if self.collapse_step is not None or self.learner_steps >= horizon else None


@reads
def outcomes(connection: Connection, models: Iterable[str]) -> list[Outcome]:
    """List how each finished or stopped run of models ended, in any sweep."""
    rows = connection.execute(  # in the order of the fields of `Outcome`
        select(
            *(CellRow.model, CellRow.axes, CellRow.k, CellRow.eta),
            *(RunRow.seed, RunRow.learner_steps, RunRow.collapse_step, RunRow.config),
        )
        .join(RunRow, RunRow.cell_id == CellRow.id)
        .where(CellRow.model.in_(list(models)), DECIDED)
    )
    return [Outcome(*row) for row in rows]
