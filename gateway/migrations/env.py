"""Run by Alembic: migrate over the connection that `upgrade` was given."""

from alembic import context

from gateway.tables import Table

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Table.metadata
)
context.run_migrations()
