"""Where things are: the database, run folders, caches, shipped files, and which version this is."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.base.files import config_dir, warn_of_readers

DEFAULT_DB = "sqlite:///stalesweep.db"


def database_url(option: str | None) -> str:
    """Choose the database: the option, else ``STALESWEEP_DB``, else ``STALESWEEP_DB_FILE``'s, else a file here.

    Raises:
        UsageError: The option holds a password, or the file cannot be used.
    """
    from orchestrator.base import urls  # loads SQLAlchemy, which most of what needs a setting does not

    if option:
        if urls.split(urls.parse(option))[1]:
            raise UsageError(
                "--db: everybody on this machine can read a password in the arguments of a command. Keep it in "
                "~/.pgpass, or write the URL into a file that only you can read and name it in STALESWEEP_DB_FILE"
            )
        return option
    if url := os.environ.get("STALESWEEP_DB"):
        return url
    if named := os.environ.get("STALESWEEP_DB_FILE"):
        path = Path(named).expanduser().absolute()
        url = urls.read(path)
        if urls.split(urls.parse(url))[1]:
            warn_of_readers(path, "the password")
        return url
    return DEFAULT_DB


def runs_dir() -> Path:
    """Choose where run folders lie: ``STALESWEEP_RUNS``, else ``stalesweep-runs``."""
    return Path(os.environ.get("STALESWEEP_RUNS") or "stalesweep-runs")


def cache_dir() -> Path:
    """Choose where warmed-up policies are kept: ``STALESWEEP_CACHE``, else the user's cache folder."""
    if chosen := os.environ.get("STALESWEEP_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stalesweep"


def profile() -> Path | None:
    """Choose the site's profile: ``STALESWEEP_PROFILE``, else ``stalesweep/profile.yaml`` in the user's config folder.

    None where there is none, or the variable is set and empty.

    Raises:
        UsageError: The variable names a file that is not there.
    """
    if (chosen := os.environ.get("STALESWEEP_PROFILE")) is not None:
        if chosen and not Path(chosen).is_file():
            raise UsageError(f"STALESWEEP_PROFILE: no file {chosen}")
        return Path(chosen) if chosen else None
    usual = config_dir() / "profile.yaml"
    return usual if os.path.isfile(usual) else None  # noqa: PTH113  # `Path.is_file` raises where a folder is closed


def jobs_write() -> str:
    """Choose what jobs write to: ``STALESWEEP_JOBS_WRITE``, which is ``database``, ``journal``, or ``auto``.

    That is the database, unless it is SQLite where SQLite cannot be relied on.
    """
    chosen = os.environ.get("STALESWEEP_JOBS_WRITE") or "auto"
    if chosen not in ("auto", "database", "journal"):
        raise UsageError(f"STALESWEEP_JOBS_WRITE: expected auto, database or journal, found {chosen!r}")
    return chosen


def shipped(name: str) -> Path:
    """Find ``migrations`` or ``sweeps``: the copy inside an installed wheel, else at the top of the checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_shipped" / name
    return inside if inside.is_dir() else package.parent / name


def code_version() -> str:
    """Read the version of the installed package, ``unknown`` when it is not installed."""
    try:
        return metadata.version("stalesweep")
    except metadata.PackageNotFoundError:
        return "unknown"
