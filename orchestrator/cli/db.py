"""Commands on the database's schema: ``db upgrade``, ``db current``, ``db check``."""

from __future__ import annotations

import typer

from orchestrator.cli.options import Database


def upgrade(db: Database = None) -> None:
    """Bring the database's schema to this version's."""
    from orchestrator.base.settings import database_url
    from orchestrator.store import schema

    done = schema.upgrade(database_url(db))
    typer.echo(str(done) if done else f"schema {schema.REVISIONS[-1]}: up to date")


def current(db: Database = None) -> None:
    """Print the database's schema revision."""
    from orchestrator.base.settings import database_url
    from orchestrator.store import schema

    found = schema.current(database_url(db))
    typer.echo(found or "none: the database is empty")
    if found not in (None, *schema.REVISIONS):
        schema.check(database_url(db))


def check(db: Database = None) -> None:
    """Check that the schema is this version's."""
    from orchestrator.base.settings import database_url
    from orchestrator.store import schema

    schema.check(database_url(db))
    typer.echo("the schema is this version's")
