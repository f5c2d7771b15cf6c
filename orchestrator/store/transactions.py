"""Named reads and writes of the database, each a transaction of its own unless it is part of a larger one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from orchestrator.store.database import Store

P = ParamSpec("P")
R = TypeVar("R")

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
