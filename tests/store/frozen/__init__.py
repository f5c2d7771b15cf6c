"""Databases of each past schema, as they were left: see README.md here."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg

FOLDER = Path(__file__).parent


def restore(revision: str, url: str) -> None:
    """Put a frozen database into an empty one of either kind."""
    if url.startswith("sqlite"):
        shutil.copyfile(FOLDER / f"{revision}.db", url.removeprefix("sqlite:///"))
        return
    with psycopg.connect(url, autocommit=True) as server:
        server.execute((FOLDER / f"{revision}.sql").read_text(encoding="utf-8"))
