"""Bring a database to the newest form by Alembic's migrations, under `flow/migrations`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from flow.errors import BadDatabase

MIGRATIONS = Path(__file__).parents[1] / "migrations"


def upgrade(connection: Connection) -> None:
    """Run every migration that the database has not seen. Raises BadDatabase for one of a newer release."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    newest = ScriptDirectory.from_config(config).get_current_head()
    if MigrationContext.configure(connection).get_current_revision() == newest:
        return
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise BadDatabase(
            f"The database has a form that this release does not know: {error}.",
            hint="It was made by a newer release; use that one.",
        ) from None
    connection.commit()
