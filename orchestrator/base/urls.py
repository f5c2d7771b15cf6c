"""Database URLs and the secrets in them: read a URL, take its secret out, hand a database to other processes.

A password is never in a process's arguments, a job's script or pickle, a message or a log. A URL that holds one goes
to jobs as the path of a file that only its owner can read (`orchestrator.base.files`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from orchestrator.base import files, webhook
from orchestrator.base.errors import StoreError, StoreUnavailable, UsageError
from orchestrator.base.processes import environment

ALLOWED = "sqlite:///FILE, postgresql://USER@HOST/NAME"

_FILE = "file:"


def parse(url: str) -> URL:
    """Read a database URL. A SQLite path is made absolute, so that it means the same in another folder.

    Raises:
        StoreError: It cannot be read, or names an unknown kind of database. The message never holds the URL, nor does
            its chain, because the password may stand anywhere in such a URL.
    """
    try:
        parsed = make_url(url.strip().replace("postgres://", "postgresql://", 1))
    except (ArgumentError, ValueError):
        raise StoreError(f"the database URL cannot be read; allowed: {ALLOWED}") from None
    if "@" in f"{parsed.host}{parsed.database}" and parsed.get_backend_name() != "sqlite":
        raise StoreError(
            "the database URL cannot be read: it has more than one @. In a user name or password write @ as %40, "
            "/ as %2F, : as %3A and % as %25"
        )
    file = parsed.database
    match parsed.get_backend_name():
        case "postgresql":
            return parsed.set(drivername="postgresql+psycopg")
        case "sqlite" if not file or file == ":memory:" or parsed.query or parsed.host or parsed.username:
            raise StoreError("a SQLite database must be a file that several processes can share: sqlite:///FILE")
        case "sqlite":
            return parsed.set(drivername="sqlite", database=str(Path(str(file)).expanduser().resolve()))
        case other:
            raise StoreError(f"no database of kind {other!r}; allowed: {ALLOWED}")


def absolute(url: str) -> str:
    """A URL that means the same in any folder; it holds the password, if there is one."""
    return parse(url).render_as_string(hide_password=False)


def split(url: URL) -> tuple[URL, dict[str, str]]:
    """Take the secrets out of a URL; returns what is left, and what to hand the driver as arguments instead."""
    last = {key: value if isinstance(value, str) else value[-1] for key, value in url.query.items()}
    secrets = {key: value for key, value in last.items() if _is_secret(key, value)}
    if url.password is not None:
        secrets["password"] = str(url.password)
    # Not `set`, which takes None for "as it is".
    return url._replace(password=None).difference_update_query(secrets), secrets


def harmless_environment() -> dict[str, str]:
    """The environment for programs that need no database: without what may hold a password, since `ps` shows it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("STALESWEEP_", "PG"))}


@contextmanager
def handed_over(url: str) -> Iterator[str]:
    """Hand a database to the processes and jobs that are started within the block.

    Their environment names the database too, without a password of ours: schedulers keep a copy of it. The same holds
    of the webhook that is notified of the sweep's end. Yields a reference for `resolve`: the URL, or where it holds a
    secret, the path of the file that holds it.
    """
    plain, secrets = split(parse(url))
    path = _file_of(url, plain) if secrets else None
    named = {"STALESWEEP_DB": None if path else absolute(url), "STALESWEEP_DB_FILE": str(path) if path else None}
    with environment(named), webhook.handed_over():
        yield f"{_FILE}{path}" if path else absolute(url)


def resolve(reference: str) -> str:
    """Read the URL that a reference stands for.

    Raises:
        StoreUnavailable: Its file cannot be read.
    """
    if not reference.startswith(_FILE):
        return reference
    try:
        return read(Path(reference.removeprefix(_FILE)))
    except UsageError as error:
        raise StoreUnavailable(f"the database's URL cannot be read on this host: {error}") from error


def read(path: Path) -> str:
    """Read a file that holds a URL, see `orchestrator.base.files.read_line`."""
    return files.read_line(path, "the database's URL")


def _is_secret(key: str, value: str) -> bool:
    if key == "options":  # settings of the session, which are shown nowhere either
        return re.search("pass|secret|token", value, re.IGNORECASE) is not None
    return "password" in key or "secret" in key or key.startswith("scram_")


def _file_of(url: str, plain: URL) -> Path:
    if named := os.environ.get("STALESWEEP_DB_FILE"):
        own = Path(named).expanduser().resolve()
        if own.is_file() and absolute(read(own)) == absolute(url):
            return own
    try:  # known without the secret: a launch with a new password renews what queued jobs will read
        return files.keep_url("databases", absolute(url), known_as=str(plain))
    except OSError as error:
        raise UsageError(
            f"cannot hand the database's password to jobs in {error.filename}: {error.strerror}; write the URL into a "
            "file that only you can read and name it in STALESWEEP_DB_FILE, or keep the password in ~/.pgpass"
        ) from None
