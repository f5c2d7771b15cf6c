"""Where run folders lie, as a database stores it.

A SQLite file names the folders below its own folder relative to that. A copied project therefore means its own
folders, and a moved one goes on. All other folders are stored as absolute paths, on Postgres all of them.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from sqlalchemy import Connection

from orchestrator.base.settings import runs_dir
from orchestrator.rundir import folder as rundirs


def base(connection: Connection) -> Path | None:
    """The folder that stored paths are relative to; None on Postgres."""
    url = connection.engine.url
    return _folder_of(str(url.database)) if url.get_backend_name() == "sqlite" else None


@functools.cache  # asked for each of many runs
def _folder_of(file: str) -> Path:
    return Path(file).resolve().parent


def to_store(connection: Connection, directory: Path) -> str:
    """What to store for a run folder, given as an absolute path."""
    start = base(connection)
    if start is not None:
        for path in (directory, directory.resolve()):
            if path.is_relative_to(start):
                return str(path.relative_to(start))
    return str(directory)


def of_run(connection: Connection, stored: str | None, sweep: str, config_digest: str) -> str | None:
    """The absolute path of a run's folder, from what is stored; None before its first launch.

    If ``STALESWEEP_RUNS`` names another folder, and the run's own folder lies there now, that counts instead of an
    absolute path.
    """
    if stored is None:
        return None
    if not Path(stored).is_absolute():
        return str((base(connection) or Path.cwd()) / stored)
    if os.environ.get("STALESWEEP_RUNS"):
        moved = runs_dir().absolute() / Path(stored).name
        if moved.parent != Path(stored).parent and rundirs.belongs_to(moved, sweep, config_digest):
            return str(moved)
    return stored


def after_a_copy(connection: Connection, directory: str, sweep: str, config_digest: str) -> str:
    """What to store for an absolute path that an older version stored, perhaps before the project was copied or moved.

    A folder of that name beside the database counts if it is this run's; its parent may have any name.
    """
    start = base(connection)
    here = None if start is None else start.joinpath(*Path(directory).parts[-2:])
    if here is not None and rundirs.belongs_to(here, sweep, config_digest):
        return to_store(connection, here)
    return to_store(connection, Path(directory))
