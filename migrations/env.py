"""Alembic's entry: runs on the connection and in the transaction that `orchestrator.store.schema` hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
)
context.run_migrations()
