"""Run by Alembic: migrate over the connection that `upgrade` was given."""

from alembic import context

from gateway.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
