"""A search in its database at any time of its life, and its study as any user of Optuna sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.storages._rdb.models import BaseModel
from optuna.trial import FrozenTrial
from sqlalchemy import text, update

from grpo_worker.schema.records import FinishRecord
from orchestrator.grid.sweep import Run, Sweep
from orchestrator.search.study import Study
from orchestrator.store import attempts, registration
from orchestrator.store.database import Store
from orchestrator.store.models import RunRow
from orchestrator.store.session import create_engine_for, transaction
from tests.support.stores import begin, eval_record, write

HORIZON = 40

Told = tuple[dict[str, Any], str, float | None, dict[str, Any], dict[int, float]]


class Scene:
    """A search in its database, at any time of its life."""

    def __init__(self, url: str, store: Store, sweep: Sweep) -> None:
        self.url, self.store, self.sweep = url, store, sweep
        self.sweep_id = registration.begin(store, sweep)
        self.left = list(sweep.runs)

    def study(self) -> Study:
        return Study(self.url, self.sweep)

    def add(self, number: int) -> list[int]:
        """Store the next runs."""
        runs = [self.left.pop(0) for _ in range(number)]
        return registration.grow(self.store, self.sweep_id, self.sweep, runs)

    def train(self, run_id: int, outcome: str | None, *rewards: float) -> None:
        """An attempt that validates every 8 steps, and ends as it is told or not at all."""
        claim = begin(self.store, run_id)
        write(self.store, claim, *(eval_record(8 * place, reward) for place, reward in enumerate(rewards)))
        match outcome:
            case "collapsed":
                end = FinishRecord("collapsed", HORIZON, "half", collapse_step=24, collapse_step_lo=16, collapse_sync=3)
                write(self.store, claim, end)
            case "stable" | "degraded":
                write(self.store, claim, FinishRecord(outcome, HORIZON, "half"))
            case "failed":
                attempts.abort(self.store, claim, "out of luck")

    def put(self, run_id: int, state: str, failure: str | None = None, failure_class: str | None = None) -> None:
        with self.store.write() as connection:
            connection.execute(
                update(RunRow)
                .where(RunRow.id == run_id)
                .values(state=state, failure=failure, failure_class=failure_class)
            )

    def mirror(self, study: Study | None = None, begun: Sequence[Run] = ()) -> None:
        (study or self.study()).mirror(self.store, self.sweep_id, begun)

    def trials(self, name: str | None = None) -> list[FrozenTrial]:
        """As any user of Optuna sees them."""
        return seen(self.url, lambda storage: optuna.load_study(
            study_name=name or self.sweep.name, storage=storage).get_trials())  # fmt: skip

    def told(self) -> list[Told]:
        return [
            (trial.params, trial.state.name, trial.value, trial.user_attrs, trial.intermediate_values)
            for trial in self.trials()
        ]


def alchemy(url: str) -> str:
    """As Optuna needs it."""
    return url.replace("postgresql://", "postgresql+psycopg://")


def seen(url: str, look: Callable[[optuna.storages.RDBStorage], Any]) -> Any:
    storage = optuna.storages.RDBStorage(alchemy(url))
    try:
        return look(storage)
    finally:
        storage.engine.dispose()


def sql(url: str, *statements: str) -> None:
    engine = create_engine_for(url)
    with transaction(engine, write=True) as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


TABLES = [table.name for table in reversed(BaseModel.metadata.sorted_tables)]
"""Of Optuna's, those with references to others first."""


def lost_study(url: str) -> None:
    seen(url, lambda storage: optuna.delete_study(study_name="demo", storage=storage))


def lost_tables(url: str) -> None:
    sql(url, *(f"DROP TABLE {name}" for name in TABLES), "DROP TABLE alembic_version")


def lost_trials(url: str) -> None:
    names = [name for name in TABLES if name.startswith("trial")]
    sql(url, *(f"DROP TABLE {name}" for name in names))
