"""Optuna's own tables in the results database: open a study in them, and say in one line why that failed.

Optuna's tables have names that ours do not have. Users' own studies may lie in them too, and are left alone.
"""

from __future__ import annotations

import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from alembic.util.exc import CommandError
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import QueuePool
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.base.errors import StoreError
from orchestrator.base.urls import parse, split
from orchestrator.store import failures, sqlite_files
from orchestrator.store.session import describe, postgres_arguments

PATIENCE_S = 5.0
"""How long to wait for another writer of a SQLite file; the search waits meanwhile."""

TROUBLE = (OptunaError, SQLAlchemyError, sqlite3.Error, StoreError, CommandError, OSError)
"""Errors of Optuna, of what it is built on, and of the machine. A bug in our code is none of them."""

VALUE = "share of the horizon survived"  # the name of a trial's value in optuna-dashboard
MARK = "stalesweep"  # user attribute of the studies that we make


@dataclass(frozen=True, slots=True)
class OpenStudy:
    """A study and the storage that writes its trials one by one."""

    study: optuna.Study
    storage: BaseStorage
    is_sqlite: bool

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial. On SQLite, which has one lock for all writers, wait then as long as that took."""
        began = time.thread_time()
        self.study.add_trial(trial)
        if self.is_sqlite:
            time.sleep(time.thread_time() - began)

    def update(self, trial: FrozenTrial, wanted: FrozenTrial) -> None:
        """Write what a trial that has not ended lacks."""
        number = trial._trial_id
        for name, content in wanted.user_attrs.items() - trial.user_attrs.items():
            self.storage.set_trial_user_attr(number, name, content)
        for step, reward in sorted(wanted.intermediate_values.items() - trial.intermediate_values.items()):
            self.storage.set_trial_intermediate_value(number, step, reward)
        if wanted.state.is_finished():
            self.storage.set_trial_state_values(number, wanted.state, wanted.values)

    def fail(self, trial: FrozenTrial, why: str) -> None:
        """End a trial as failed."""
        self.storage.set_trial_user_attr(trial._trial_id, "why", why)
        self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


@contextmanager
def opened(url: str, name: str, sampler: optuna.samplers.BaseSampler, *, check_version: bool) -> Iterator[OpenStudy]:
    """Open a study of ours; one that does not exist is created, with Optuna's tables if need be.

    To check whether the tables are those of another version of Optuna takes 30 ms.

    Raises:
        StoreError: A study of this name is not ours, or it was deleted while it was open.
        OptunaError: The tables are those of another version. Besides, any of `TROUBLE`.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tables = _Tables(url, check_version)
    try:
        storage = get_storage(tables)
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", sampler=sampler, load_if_exists=True
        )
        if MARK not in study.user_attrs:
            if study.get_trials(deepcopy=False):
                raise StoreError(f"there is a study {name!r} that stalesweep did not make: rename one of the two")
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                study.set_metric_names([VALUE])
            study.set_user_attr(MARK, True)
        yield OpenStudy(study, storage, tables.engine.dialect.name == "sqlite")
    except KeyError as error:
        if name in optuna.get_all_study_names(tables):
            raise
        raise StoreError(f"the study {name!r} was deleted meanwhile") from error
    finally:
        tables.close()


def reason(error: BaseException, url: str) -> str:
    """Say of one of `TROUBLE`, in one line without a password, what is wrong and what to do."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SQLAlchemyError | sqlite3.Error):
        cause = cause.__cause__
    words = " ".join(str(error).split()) if cause is None else failures.meaning(cause)[1]
    return words if isinstance(error, StoreError) else f"{describe(split(parse(url))[0])}: {words}"


class _Tables(RDBStorage):
    """Optuna's tables, by connections like those of the store."""

    def __init__(self, url: str, check_version: bool) -> None:
        plain, secret = split(parse(url))
        options: dict[str, Any] = {"pool_size": 1, "max_overflow": 1}  # the version check has a connection of its own
        if plain.get_backend_name() == "sqlite":
            options |= {"poolclass": QueuePool, "creator": partial(_connect, Path(str(plain.database)))}
        else:
            options |= {"connect_args": postgres_arguments(plain) | secret, "pool_pre_ping": True}
        text = plain.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")  # it is a template
        try:
            super().__init__(text, options, skip_compatibility_check=not check_version)
        except BaseException as error:
            self.close()
            if type(error) is RuntimeError:  # raised for the tables of an older version
                raise OptunaError(str(error)) from error
            raise

    def close(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite_files.connect(path, create=False)
    # A transaction begins with its first write and takes the lock at once, so that no read before it can block it.
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout = {PATIENCE_S * 1e3:.0f}")
    return connection
