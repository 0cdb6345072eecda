"""Brings a database to the form that `gateway.tables` describes, with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from gateway.errors import InvalidConfiguration
from gateway.tables import Instance, Table


def upgrade(connection: Connection) -> None:
    """Make the tables, or apply what they lack; InvalidConfiguration where another version did."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    if inspect(connection).has_table(Instance.__tablename__):
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise InvalidConfiguration(
                "Another version of the gateway made this queue: let that version empty it, or "
                f"name a new database and state folder. {error}"
            ) from error
    else:
        Table.metadata.create_all(connection)
        command.stamp(config, "head")
