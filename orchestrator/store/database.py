"""A database of this schema, and its two kinds of transaction, which named reads and writes take part in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection, delete, false

from orchestrator.base.errors import StoreError
from orchestrator.base.urls import absolute
from orchestrator.store.models import RunRow
from orchestrator.store.schema import check_revision
from orchestrator.store.session import create_engine_for, transaction

P = ParamSpec("P")
R = TypeVar("R")


class Store:
    """A results database. Holds at most one connection; threads take turns.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``.
        check_schema: Whether to make sure at once that the schema is this version's.

    Raises:
        StoreError: The database cannot be reached or used. Any method may raise it.
        SchemaError: The schema is missing, older or newer.
    """

    def __init__(self, url: str, *, check_schema: bool = True) -> None:
        self._url = absolute(url)
        self._engine = create_engine_for(url)
        if check_schema:
            try:
                self.check()
            except StoreError:
                self.close()
                raise

    @property
    def url(self) -> str:
        """The database's URL, valid in any working directory. Holds the password, if there is one."""
        return self._url

    def check(self) -> None:
        """Make sure that the schema is this version's.

        Raises:
            SchemaError: The schema is missing, older or newer.
        """
        with self.read() as connection:
            check_revision(connection)

    def check_writes(self) -> None:
        """Make sure that the database takes writes, without changing anything.

        Raises:
            StoreUnavailable: It does not now.
        """
        with self.write() as connection:
            connection.execute(delete(RunRow).where(false()))

    def close(self) -> None:
        """Give the connection back; the next call takes one again."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self) -> AbstractContextManager[Connection]:
        """Open a transaction that sees one state of the database throughout. No other call until it ends."""
        return transaction(self._engine, write=False)

    def write(self, before: Callable[[Connection], None] | None = None) -> AbstractContextManager[Connection]:
        """As `read`, but it writes, as a whole or not at all; ``before`` as of `session.transaction`."""
        return transaction(self._engine, write=True, before=before)


OnConnection = Callable[Concatenate[Connection, P], R]
OnDatabase = Callable[Concatenate[Store | Connection, P], R]


def reads(function: OnConnection[P, R]) -> OnDatabase[P, R]:
    """Let a function that reads through a connection be called with an open database as well.

    Given a database, the function runs in a read transaction of its own. Given a connection, it is part of the
    transaction that is open there.
    """
    return _in_transaction(function, Store.read)


def writes(function: OnConnection[P, R]) -> OnDatabase[P, R]:
    """As `reads`, for a function that writes: given a database, it takes effect as a whole or not at all."""
    return _in_transaction(function, Store.write)


def _in_transaction(
    function: OnConnection[P, R], begin: Callable[[Store], AbstractContextManager[Connection]]
) -> OnDatabase[P, R]:
    @functools.wraps(function)
    def wrapped(at: Store | Connection, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if isinstance(at, Connection):
            return function(at, *args, **kwargs)
        with begin(at) as connection:
            return function(connection, *args, **kwargs)

    return wrapped
