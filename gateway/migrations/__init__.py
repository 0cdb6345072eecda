"""Brings a database to the form that `gateway.tables` describes, with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect

from gateway.tables import Instance, Table


def upgrade(connection: Connection) -> None:
    """Make the tables, or apply what the database lacks, in the connection's transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    if inspect(connection).has_table(Instance.__tablename__):
        command.upgrade(config, "head")
    else:
        Table.metadata.create_all(connection)
        command.stamp(config, "head")
