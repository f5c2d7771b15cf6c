"""Optuna's tables in the results database: how they are opened, and what it means when they cannot be used.

They are Optuna's own, under names that ours do not have. A user's studies may lie beside ours.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from alembic.util.exc import CommandError
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.trial import FrozenTrial
from sqlalchemy import QueuePool
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.base.errors import StoreError
from orchestrator.base.urls import parse, split
from orchestrator.store import failures, sqlite_files
from orchestrator.store.session import describe, postgres_arguments

PATIENCE_S = 5.0
"""How long to wait for another writer of a SQLite file; the search waits meanwhile."""

TROUBLE = (
    OptunaError, SQLAlchemyError, sqlite3.Error, StoreError, CommandError,
    RuntimeError, KeyError, ValueError, AssertionError, OSError,
)  # fmt: skip
"""What Optuna's storage raises: its own errors, those of what it is built on, and Python's (another version's tables
are a RuntimeError, a study that is gone a KeyError)."""

VALUE = "share of the horizon survived"
"""What optuna-dashboard calls the value of a trial."""

MARK = "stalesweep"
"""User attribute of a study that is ours; differs each time that it is made anew."""


class Opened:
    """A study, open.

    Attributes:
        study: The study.
        storage: Of the study; Optuna's interface to single trials.

    Args:
        url: The results database.
        name: Of the study; it is created where there is none.
        sampler: As of `optuna.create_study`.
        pruner: As of `optuna.create_study`.

    Raises:
        StoreError: Another's study has that name. Besides, any of `TROUBLE`.
    """

    def __init__(
        self, url: str, name: str, sampler: optuna.samplers.BaseSampler, pruner: optuna.pruners.BasePruner
    ) -> None:
        self._tables = _Tables(url)
        try:
            self.storage: BaseStorage = get_storage(self._tables)
            self.study = optuna.create_study(
                storage=self.storage, study_name=name, direction="maximize", sampler=sampler, pruner=pruner,
                load_if_exists=True,
            )  # fmt: skip
            self._mark = self._marked(name)
        except BaseException:
            self.close()
            raise

    @property
    def lasts(self) -> bool:
        """Whether it is still there, and the one that was opened: anybody may delete it."""
        return bool(self.study.user_attrs.get(MARK) == self._mark)

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial; then let others write for as long as that took, where one lock is all that a database has."""
        began = time.thread_time()
        self.study.add_trial(trial)
        if self._tables.engine.dialect.name == "sqlite":
            time.sleep(time.thread_time() - began)

    def delete(self) -> None:
        """Delete the study, and close it."""
        optuna.delete_study(study_name=self.study.study_name, storage=self.storage)
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._tables.close()

    def _marked(self, name: str) -> Any:
        mark = self.study.user_attrs.get(MARK)
        if mark is None:
            if self.study.get_trials(deepcopy=False):
                raise StoreError(f"a study named {name!r} that is not of stalesweep lies there: rename one of the two")
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                self.study.set_metric_names([VALUE])
            mark = secrets.token_hex(8)
            self.study.set_user_attr(MARK, mark)
        return mark


def reason(error: BaseException, url: str) -> str:
    """Say in one line what is wrong and what to do; it holds no password.

    Args:
        error: One of `TROUBLE`.
        url: The results database.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SQLAlchemyError | sqlite3.Error):
        cause = cause.__cause__
    words = " ".join(str(error).split()) if cause is None else failures.meaning(cause)[1]
    return words if isinstance(error, StoreError) else f"{describe(split(parse(url))[0])}: {words}"


class _Tables(RDBStorage):
    """Optuna's tables, by connections like those of the store."""

    def __init__(self, url: str) -> None:
        plain, secret = split(parse(url))
        options: dict[str, Any] = {"pool_size": 1, "max_overflow": 1}  # it looks at versions by a second connection
        if plain.get_backend_name() == "sqlite":
            options |= {"poolclass": QueuePool, "creator": partial(_connect, Path(str(plain.database)))}
        else:
            options |= {"connect_args": postgres_arguments(plain) | secret, "pool_pre_ping": True}
        text = plain.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")  # it is a template
        try:
            super().__init__(text, options)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite_files.connect(path, create=False)
    # A transaction begins with its first write, and takes the lock at once: what it read before is no hindrance.
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout = {PATIENCE_S * 1e3:.0f}")
    return connection
